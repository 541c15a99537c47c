/** What was said of the system, newest first. */

import { useTopic } from "../page.tsx";
import { clockTime } from "../parts/words.ts";

export function Notes() {
  const { value: notes } = useTopic("notes");
  return (
    <section className="card" aria-labelledby="notes">
      <h2 id="notes">Notes</h2>
      {!notes || notes.length === 0 ? (
        <p className="dim">Nothing was said yet: ends, restarts and restores are told here.</p>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls can be scrolled by keys
        <ol className="notes" reversed aria-label="Notes, newest first" tabIndex={0}>
          {notes.toReversed().map(({ number, atMs, text }) => (
            <li key={number}>
              <time dateTime={new Date(atMs).toISOString()}>{clockTime(atMs)}</time> {text}
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}
