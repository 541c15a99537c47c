/** What holds the system up: what it comes down to, and the chains that lead there. */

import type { Cause, CauseCode } from "../../src/process/causes.ts";
import type { PageStatus } from "../../src/serve/web/api.ts";
import { hrefOf } from "../page.tsx";
import { duration, grouped } from "../parts/words.ts";

/** What to do about each. */
const ADVICE: Readonly<Record<CauseCode, string>> = {
  PROCESS_SILENT:
    "Is it halted, in a long turn, or swapped out? Its process number is in the table.",
  CHANNEL_DOWN: "The reason is the transport's: look for the address, the port, a firewall.",
  CHANNEL_NOT_TAKEN: "Its receiver is busy, or receives by hand: look at what it does.",
  CHANNEL_WAITS: "If it stays, the channel is cut or loses much, or its receiver is overloaded.",
  EPOCH_BEHIND: "It follows as soon as it hears of the restore: see what it is not connected to.",
  SNAPSHOT_OPEN: "See what holds it up.",
  MARKER_MISSING: "See what it comes from; alone, it is on its way.",
  CHANNELS_OPEN: "See what it comes from.",
  STATE_NOT_RECORDED: "Nobody who has recorded could tell it: see what it comes from.",
  PIECE_NOT_STORED: "A large state, or a slow or full disk.",
  MANIFEST_NOT_WRITTEN: "Look at the store of its initiator.",
  PACKET_HELD: "See what it waits for.",
  PACKET_MISSING: "It is asked for again and again: see who could give it.",
  WORD_MISSING: "In total order by a sequencer all wait for the sequencer: bring it back.",
  NOT_ACKNOWLEDGED: "Bring it back, or let it catch up.",
  PROCESS_WAITS: "See whom it waits for, and why these have not granted it.",
  WAIT_CIRCLE: "A standing detector, deadlock, decides whether it is for ever.",
  WAITS_UNKNOWN: "Its method waits threw, or gave something else: mend it.",
};

const SHOWN_MAX = 20;

export function Causes({ status: { causes, atMs } }: { readonly status: PageStatus }) {
  const { late, heldBy } = causes;
  return (
    <section className="card causes" aria-labelledby="causes">
      <h2 id="causes">What holds it up</h2>
      {heldBy.length === 0 ? (
        <p className="dim">Nothing is late, and everybody is there.</p>
      ) : (
        <>
          <ul className="ends">
            {heldBy.slice(0, SHOWN_MAX).map((cause) => (
              <li key={`${cause.code} ${cause.text}`}>
                <Sentence cause={cause} atMs={atMs} />
                <p className="dim">
                  {cause.holds === 0
                    ? "It holds up nothing yet. "
                    : `It holds up ${grouped(cause.holds)} of ${grouped(late.length)}. `}
                  {ADVICE[cause.code]}
                </p>
              </li>
            ))}
          </ul>
          {late.length > 0 && (
            <details>
              <summary>
                {late.length === 1
                  ? "The chain that leads there"
                  : `The ${grouped(late.length)} chains that lead there`}
              </summary>
              <ul className="chain">
                {late.slice(0, SHOWN_MAX).map((cause) => (
                  <Chain key={`${cause.code} ${cause.text}`} cause={cause} atMs={atMs} above={[]} />
                ))}
              </ul>
              {late.length > SHOWN_MAX && <p>and {grouped(late.length - SHOWN_MAX)} more</p>}
            </details>
          )}
        </>
      )}
    </section>
  );
}

function Chain({
  cause,
  atMs,
  above,
}: {
  readonly cause: Cause;
  readonly atMs: number;
  readonly above: readonly Cause[];
}) {
  return (
    <li>
      {above.length > 0 && <span className="dim">because </span>}
      <Sentence cause={cause} atMs={atMs} />
      {cause.because.length > 0 && !above.includes(cause) && (
        <ul className="chain">
          {cause.because.map((one) => (
            <Chain
              key={`${one.code} ${one.text}`}
              cause={one}
              atMs={atMs}
              above={[...above, cause]}
            />
          ))}
        </ul>
      )}
    </li>
  );
}

function Sentence({ cause, atMs }: { readonly cause: Cause; readonly atMs: number }) {
  const { code, text, at, sinceMs } = cause;
  const href =
    typeof at === "string"
      ? hrefOf("system", "process", at)
      : hrefOf("system", "channel", at.from, at.to);
  return (
    <span>
      <a href={href}>{text}</a>
      {sinceMs !== undefined && <>, for {duration(Math.max(0, atMs - sinceMs))}</>}{" "}
      <code className="code">{code}</code>
    </span>
  );
}
