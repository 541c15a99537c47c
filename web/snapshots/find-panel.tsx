/** Finds values in states and messages, by where they stand, by what they say, or both: as `tidemark show` does. */

import { type FormEvent, useEffect, useRef, useState } from "react";
import { find, type Hit } from "../../src/process/find.ts";
import { parsePath } from "../../src/snapshot/value-path.ts";
import { Button } from "../parts/button.tsx";
import { ScrollX } from "../parts/scroll-x.tsx";
import { Tree } from "../parts/tree.tsx";
import { counted, grouped } from "../parts/words.ts";
import type { Source } from "./source.ts";

const HITS_MAX = 100;
const DRAW_MS = 100;

interface Search {
  readonly hits: readonly Hit[];
  readonly state: "looking" | "done" | "more" | "stopped";
  readonly problem?: string;
}

export function FindPanel({ source }: { readonly source: Source }) {
  const { manifest, snapshot } = source;
  const [text, setText] = useState("");
  const [path, setPath] = useState("");
  const [process, setProcess] = useState("");
  const [search, setSearch] = useState<Search | undefined>(undefined);
  const running = useRef<AbortController | undefined>(undefined);
  useEffect(() => () => running.current?.abort(), []);

  const look = async (event: FormEvent) => {
    event.preventDefault();
    running.current?.abort();
    if (text === "" && path === "") return;
    const over = new AbortController();
    running.current = over;
    const hits: Hit[] = [];
    const tell = (state: Search["state"], problem?: string) => {
      if (running.current === over)
        setSearch({ hits: [...hits], state, ...(problem === undefined ? {} : { problem }) });
    };
    tell("looking");
    let drawnMs = performance.now();
    try {
      const expression = path === "" ? undefined : parsePath(path);
      const wanted = text.toLowerCase();
      const matcher =
        text === ""
          ? undefined
          : {
              name: text,
              match: (texts: readonly string[]) => {
                return texts.map((one) => one.toLowerCase().indexOf(wanted));
              },
            };
      const processes = process === "" ? manifest.processes : [process];
      const channels = manifest.channels.filter(({ to }) => process === "" || to === process);
      for await (const hit of find(snapshot, processes, channels, expression, matcher)) {
        if (over.signal.aborted) return;
        if (hits.length === HITS_MAX) return tell("more");
        hits.push(hit);
        if (performance.now() - drawnMs < DRAW_MS) continue;
        tell("looking");
        await new Promise((settle) => setTimeout(settle));
        drawnMs = performance.now();
      }
      tell("done");
    } catch (error) {
      tell("stopped", (error as Error).message);
    }
  };

  return (
    <section aria-label="Find">
      <form className="bar" onSubmit={(event) => void look(event)}>
        <input
          type="search"
          aria-label="Text"
          placeholder="Text in values and names"
          value={text}
          onChange={({ target }) => setText(target.value)}
        />
        <input
          aria-label="Path"
          className="mono"
          placeholder="Path, as in $.orders[*].total"
          value={path}
          onChange={({ target }) => setPath(target.value)}
        />
        <select
          aria-label="Process"
          value={process}
          onChange={({ target }) => setProcess(target.value)}
        >
          <option value="">all processes</option>
          {manifest.processes.map((id) => (
            <option key={id}>{id}</option>
          ))}
        </select>
        <button type="submit" className="button main">
          Find
        </button>
        {search?.state === "looking" && (
          <Button
            onClick={() => {
              running.current?.abort();
              running.current = undefined;
              setSearch({ ...search, state: "stopped" });
            }}
          >
            Stop
          </Button>
        )}
      </form>
      <p className="dim" role="status">
        {search
          ? said(search)
          : "In all states and all messages in flight; a path begins with $, and goes on with .name, [3], [*] or, at any depth, ..name."}
      </p>
      {search?.problem !== undefined && (
        <p className="bad" role="alert">
          {search.problem}
        </p>
      )}
      {search && search.hits.length > 0 && (
        <ScrollX label="What is found">
          <table>
            <thead>
              <tr>
                <th>Where</th>
                <th>Path</th>
                <th>Value</th>
              </tr>
            </thead>
            <tbody>
              {search.hits.map(({ found }, i) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: they are only ever added to
                <tr key={i}>
                  <th scope="row">
                    {"process" in found
                      ? found.process
                      : `${found.from} → ${found.to}, message ${grouped(found.message)}`}
                  </th>
                  <td className="mono path">{found.path}</td>
                  <td>
                    <Tree value={found.value} openLevels={0} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </ScrollX>
      )}
    </section>
  );
}

function said({ hits, state }: Search): string {
  const many = counted(hits.length, "value");
  if (state === "looking") return `${many} found so far…`;
  if (state === "more") return `The first ${many}: say more of what you look for.`;
  if (state === "stopped") return `${many} found before it was stopped.`;
  return hits.length === 0 ? "Nothing is found." : `${many} found.`;
}
