/** Standing detectors: which are to look, how often, and what they have found. */

import { type FormEvent, useEffect, useState } from "react";
import { parseDetector } from "../../src/detect/detection.ts";
import type { PageWatch, WatchRequest } from "../../src/serve/web/api.ts";
import { hrefOf, useAsk, usePage, useTopic } from "../page.tsx";
import { Button } from "../parts/button.tsx";
import { clockTime, counted, duration } from "../parts/words.ts";
import { lookOf, Verdict } from "./verdict.tsx";

const SECONDS_MIN = 0.1;
const SECONDS_MAX = 3_600;
const SECONDS_USUAL = 2;
/** A look takes much less, unless something holds it up. */
const LONG_MS = 2_000;

const MEANINGS: Readonly<Record<string, string>> = {
  deadlock: "some wait for each other for ever",
  termination: "everybody is passive, and no work is in flight",
  garbage: "objects that nobody can reach",
  sum: "goods do not add up",
  token: "a token is lost, or there twice",
};

const meaningOf = (detector: string): string => MEANINGS[detector.split("=")[0] ?? ""] ?? "";

export function Watch() {
  const { about } = usePage();
  const { value: watch, problem } = useTopic("watch");
  return (
    <section className="watch" aria-label="Standing detectors">
      <div className="card">
        <h2>Standing detectors</h2>
        <p className="dim">
          Every so often a snapshot of the running system is taken and looked at. It is removed
          again, unless something has become true in it: the newest 20 of those stay. It works also
          when everybody waits for everybody.
        </p>
        <Setting key={about?.kind} watching={watch?.watching} />
        <State watch={watch} problem={problem} />
      </div>
      {watch && <Found watch={watch} />}
    </section>
  );
}

/** What is chosen: what is watched already, or else all that the applications declare. */
function Setting({ watching }: { readonly watching: PageWatch["watching"] }) {
  const { server, say, about } = usePage();
  const { value: offered, problem } = useAsk<{ detectors: readonly string[] }>(
    about === undefined || about.kind === "directory" ? undefined : "/api/detectors",
  );
  const [chosen, setChosen] = useState<readonly string[] | undefined>(undefined);
  const [added, setAdded] = useState<readonly string[]>([]);
  const [text, setText] = useState("");
  const [seconds, setSeconds] = useState(String(SECONDS_USUAL));
  const since = watching?.sinceMs;
  // What somebody else has started is shown as it is.
  // biome-ignore lint/correctness/useExhaustiveDependencies: it is another one if it has begun at another time
  useEffect(() => {
    if (!watching) return;
    setChosen(watching.detectors);
    setAdded(watching.detectors);
    setSeconds(String(watching.everyMs / 1_000));
  }, [since]);
  const offers = [...new Set([...(offered?.detectors ?? []), ...added])];
  const picked = chosen ?? offered?.detectors ?? [];
  const wrong = text.trim() === "" ? undefined : problemOf(text.trim());
  const everyMs = Math.round(Number(seconds) * 1_000);
  const isTime = Number(seconds) >= SECONDS_MIN && Number(seconds) <= SECONDS_MAX;

  const add = (event: FormEvent): void => {
    event.preventDefault();
    const name = text.trim();
    if (name === "" || wrong !== undefined) return;
    setAdded([...added, name]);
    setChosen([...picked.filter((one) => one !== name), name]);
    setText("");
  };
  const start = (): void => {
    const body: WatchRequest = { detectors: offers.filter((one) => picked.includes(one)), everyMs };
    server
      ?.ask("PUT", "/api/watch", body)
      .catch(({ message }: Error) => say(`It is not watched: ${message}`, "bad"));
  };
  const stop = (): void => {
    server?.ask("DELETE", "/api/watch").catch(({ message }: Error) => say(message, "bad"));
  };
  if (about?.kind === "directory")
    return <p className="warn">No system runs here: there is nothing to watch.</p>;
  return (
    <>
      {problem && <p className="warn">{problem.message}</p>}
      {offered?.detectors.length === 0 && (
        <p className="warn">
          The applications declare nothing that could be detected: no goods, isPassive, waits or
          references. What can be asked all the same is unknown each time.
        </p>
      )}
      <fieldset className="detectors">
        <legend className="hidden">What to detect</legend>
        {offers.map((name) => (
          <label key={name} className="choice">
            <input
              type="checkbox"
              checked={picked.includes(name)}
              onChange={({ target }) =>
                setChosen(target.checked ? [...picked, name] : picked.filter((one) => one !== name))
              }
            />
            <span>
              <code>{name}</code> <span className="dim">{meaningOf(name)}</span>
            </span>
          </label>
        ))}
      </fieldset>
      <div className="bar watch-bar">
        <form className="bar" onSubmit={add}>
          <input
            aria-label="Another detector"
            aria-invalid={wrong !== undefined}
            aria-describedby="detector-problem"
            placeholder="sum=NAME:AMOUNT, token=NAME …"
            value={text}
            onChange={({ target }) => setText(target.value)}
          />
          <button
            type="submit"
            className="button"
            disabled={text.trim() === "" || wrong !== undefined}
          >
            Add
          </button>
        </form>
        <label className="bar">
          every
          <input
            className="seconds"
            aria-label="Seconds from one look to the next"
            inputMode="decimal"
            value={seconds}
            aria-invalid={!isTime}
            onChange={({ target }) => setSeconds(target.value)}
          />
          s
        </label>
        <span className="grow" />
        {watching && <Button onClick={stop}>Stop watching</Button>}
        <Button
          tone="main"
          isDisabled={picked.length === 0 || !isTime || problem !== undefined}
          onClick={start}
        >
          {watching ? "Watch this instead" : "Start watching"}
        </Button>
      </div>
      <p id="detector-problem" className="bad" role="status">
        {wrong ?? (isTime ? "" : `A time is ${SECONDS_MIN} to ${SECONDS_MAX} seconds.`)}
      </p>
    </>
  );
}

function problemOf(detector: string): string | undefined {
  try {
    parseDetector(detector);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

function State({
  watch,
  problem,
}: {
  readonly watch: PageWatch | undefined;
  readonly problem: string | undefined;
}) {
  if (problem !== undefined) return <p className="bad">{problem}</p>;
  if (!watch) return <p className="dim">Asking …</p>;
  const { watching, looks, problem: why } = watch;
  const lookingMs =
    watching?.lookingSinceMs === undefined ? 0 : Date.now() - watching.lookingSinceMs;
  return (
    <p className="watch-state" role="status">
      {watching ? (
        <>
          <span className="good">● Watching</span> {watching.detectors.join(", ")} every{" "}
          {duration(watching.everyMs)}, since {clockTime(watching.sinceMs)}:{" "}
          {counted(looks, "look")}.
        </>
      ) : looks === 0 ? (
        <span className="dim">○ Nothing is watched.</span>
      ) : (
        <span className="dim">
          ○ Nothing is watched any more. What was found in {counted(looks, "look")} stands below.
        </span>
      )}
      {lookingMs > LONG_MS && (
        <span className="warn">
          {" "}
          This look takes long already: <a href={hrefOf("system")}>see what holds it up</a>.
        </span>
      )}
      {why !== undefined && <span className="bad"> No look was possible: {why}.</span>}
    </p>
  );
}

function Found({ watch: { verdicts, sums, changes } }: { readonly watch: PageWatch }) {
  if (verdicts.length === 0 && changes.length === 0) return undefined;
  return (
    <>
      <div className="verdicts">
        {verdicts.map(({ detection, snapshot, atMs }) => (
          <Verdict
            key={detection.detector}
            detection={detection}
            snapshot={snapshot}
            atMs={atMs}
            points={sums[detection.detector] ?? []}
          />
        ))}
      </div>
      <section className="card" aria-labelledby="changes">
        <h2 id="changes">What has changed</h2>
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls can be scrolled by keys */}
        <ol className="changes" aria-label="Changes, newest first" tabIndex={0} reversed>
          {changes
            .toReversed()
            .map(({ number, atMs, detector, detected, sentence, snapshot, problem }) => (
              <li key={number}>
                <time dateTime={new Date(atMs).toISOString()}>{clockTime(atMs)}</time>{" "}
                {problem === undefined ? (
                  <>
                    <code>{detector}</code>{" "}
                    <span className={lookOf(detector, detected).tone}>{sentence}</span>{" "}
                    {detected === true && snapshot !== undefined && (
                      <a href={hrefOf("snapshots", ...snapshot.split("/"))}>{snapshot}</a>
                    )}
                  </>
                ) : (
                  <span className="warn">no look was possible: {problem}</span>
                )}
              </li>
            ))}
        </ol>
      </section>
    </>
  );
}
