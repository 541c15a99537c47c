/** What clients ask the replicas, as it happens. */

import { useEffect, useRef, useState } from "react";
import type { CommandEvents, LiveCommand } from "../../src/serve/web/api.ts";
import { Button } from "../parts/button.tsx";
import { grouped } from "../parts/words.ts";
import { eventsIn } from "../server.ts";
import { shownWord } from "./bytes.ts";
import { goToPart, type StorePartProps } from "./place.tsx";
import { ScrollRegion } from "./scroll-region.tsx";

const SHOWN_MAX = 500;
const FILTER_MS = 300;
const AGAIN_MS = 1_000;
const EVERYWHERE = "all";
const LINE_LENGTH_MAX = 400;

/** A command, with a number of its own. */
interface Line extends LiveCommand {
  readonly id: number;
}

interface Heard {
  readonly lines: readonly Line[];
  readonly count: number;
  /** Left out by the server, as they came too fast. */
  readonly missed: number;
  /** Came while the list was held. */
  readonly held: number;
  /** By replica, why it is not watched. */
  readonly problems: Readonly<Record<string, string>>;
}

const NOTHING: Heard = { lines: [], count: 0, missed: 0, held: 0, problems: {} };

export function LiveCommands({ server, store, route }: StorePartProps) {
  const [process = EVERYWHERE, filter = ""] = route;
  const [text, setText] = useState(filter);
  const [heard, setHeard] = useState(NOTHING);
  const [isHeld, setIsHeld] = useState(false);
  const held = useRef(false);
  held.current = isHeld;

  // The address has what is looked for, once it is typed.
  useEffect(() => {
    if (text === filter) return;
    const timer = setTimeout(
      () => goToPart("commands", process, ...(text === "" ? [] : [text])),
      FILTER_MS,
    );
    return () => clearTimeout(timer);
  }, [text, filter, process]);

  useEffect(() => {
    const stop = new AbortController();
    setHeard(NOTHING);
    const query = new URLSearchParams(process === EVERYWHERE ? {} : { processes: process });
    if (filter !== "") query.set("filter", filter);
    const listen = async (): Promise<void> => {
      const { body } = await server.fetch("GET", `/api/store/commands?${query}`);
      if (!body) return;
      for await (const events of eventsIn(body, stop.signal))
        setHeard((before) => withEvents(before, events, held.current));
    };
    const goOn = async (): Promise<void> => {
      while (!stop.signal.aborted) {
        const problem = await listen().then(
          () => "the server does not answer: it may have ended",
          (error: Error) => error.message,
        );
        if (stop.signal.aborted) return;
        setHeard((before) => ({ ...before, problems: { "": problem } }));
        await new Promise((settle) => setTimeout(settle, AGAIN_MS));
      }
    };
    void goOn();
    return () => stop.abort();
  }, [server, process, filter]);

  const { lines, count, missed, problems } = heard;
  return (
    <section className="card live-commands" aria-label="Live commands">
      <div className="bar">
        <label>
          of{" "}
          <select
            aria-label="Replica"
            value={process}
            onChange={({ target }) =>
              goToPart("commands", target.value, ...(filter === "" ? [] : [filter]))
            }
          >
            <option value={EVERYWHERE}>all replicas</option>
            {store.replicas.map((one) => (
              <option key={one.process} value={one.process}>
                {one.process}
              </option>
            ))}
          </select>
        </label>
        <input
          className="grow"
          type="search"
          aria-label="Only commands with"
          placeholder="Only with… (a command, a key, a client)"
          value={text}
          maxLength={200}
          onChange={({ target }) => setText(target.value)}
        />
        <Button isPressed={isHeld} onClick={() => setIsHeld(!isHeld)}>
          {isHeld ? "Go on" : "Pause"}
        </Button>
        <Button
          isQuiet
          onClick={() => setHeard((before) => ({ ...NOTHING, problems: before.problems }))}
        >
          Clear
        </Button>
      </div>
      <p className="dim live-count">
        {grouped(count)} {count === 1 ? "command" : "commands"}
        {count > SHOWN_MAX && `, the last ${SHOWN_MAX} are shown`}
        {missed > 0 && (
          <span className="warn">
            {" "}
            · {grouped(missed)} left out: they come faster than they can be shown
          </span>
        )}
        {heard.held > 0 && ` · ${grouped(heard.held)} not shown while paused`}
      </p>
      {Object.entries(problems).map(([name, problem]) => (
        <p key={name} className="bad">
          {name === "" ? problem : `${name} is not watched: ${problem}`}
        </p>
      ))}
      <ScrollRegion className="scroll-x live-list" label="Commands">
        <table>
          <thead>
            <tr>
              <th>Time</th>
              <th>Replica</th>
              <th className="number">DB</th>
              <th>Client</th>
              <th>Command</th>
            </tr>
          </thead>
          <tbody>
            {lines.map(({ id, atMs, process: at, db, client, words }) => (
              <tr key={id}>
                <td className="mono dim">{timeOf(atMs)}</td>
                <td>{at}</td>
                <td className="number">{db}</td>
                <td className="mono dim">{client}</td>
                <td className="mono live-words">{lineOf(words)}</td>
              </tr>
            ))}
          </tbody>
        </table>
        {lines.length === 0 && (
          <p className="dim live-empty">
            {filter === ""
              ? "No client has asked anything since this was opened."
              : "No client has asked anything with that in it since this was opened."}
          </p>
        )}
      </ScrollRegion>
    </section>
  );
}

let ids = 0;

/** The newest come first. */
function withEvents(
  before: Heard,
  events: readonly { readonly name: string; readonly data: unknown }[],
  isHeld: boolean,
): Heard {
  const lines: Line[] = [];
  let { missed, held } = before;
  const problems = { ...before.problems };
  delete problems[""];
  for (const { name, data } of events)
    if (name === "missed") missed += data as CommandEvents["missed"];
    else if (name === "watching") {
      const { process, problem } = data as CommandEvents["watching"];
      if (problem === undefined) delete problems[process];
      else problems[process] = problem;
    } else if (isHeld) held += 1;
    else {
      ids += 1;
      lines.push({ ...(data as LiveCommand), id: ids });
    }
  return {
    lines:
      lines.length === 0 ? before.lines : [...lines.reverse(), ...before.lines].slice(0, SHOWN_MAX),
    count: before.count + lines.length,
    ...{ missed, held, problems },
  };
}

function timeOf(atMs: number): string {
  const at = new Date(atMs);
  return `${at.toTimeString().slice(0, 8)}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}

function lineOf(words: readonly string[]): string {
  const line = words.map(shownWord).join(" ");
  return line.length > LINE_LENGTH_MAX ? `${line.slice(0, LINE_LENGTH_MAX)}…` : line;
}
