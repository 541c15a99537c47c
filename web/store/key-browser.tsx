/** The keys of a database, page by page, and the one that was chosen. */

import { type FormEvent, useCallback, useEffect, useRef, useState } from "react";
import type { PageStore } from "../../src/serve/web/api.ts";
import { hrefOf, routeNow } from "../page.tsx";
import { Button } from "../parts/button.tsx";
import { byteSize, counted, duration, grouped } from "../parts/words.ts";
import type { PageServer } from "../server.ts";
import { bytesIn, shown } from "./bytes.ts";
import { AddKey } from "./key-dialogs.tsx";
import { KeyPanel } from "./key-panel.tsx";
import {
  DatabaseChoice,
  goToPart,
  type KeysPlace,
  keyPart,
  partKey,
  ReplicaChoice,
  replicaOf,
  type StorePartProps,
  TYPES,
} from "./place.tsx";
import { ScrollRegion } from "./scroll-region.tsx";
import { askStore, numberIn, scanned, textIn, tryStore, type Words } from "./store-client.ts";

const ANY = "any";
/** So many keys are shown, and as many more each time. */
const PAGE_KEYS = 100;
/** So many keys are looked through for one page. */
const SCANNED = 1_000;
const SCANS_MAX = 20;
const KEYS_MAX = 5_000;

function placeIn(store: PageStore, route: readonly string[]): KeysPlace {
  const [process, db = "0", match = "*", type = ANY, key] = route;
  return {
    process: replicaOf(store, process),
    db: Math.min(15, Number.parseInt(db, 10) || 0),
    match: partKey(match),
    type,
    key: key === undefined ? undefined : partKey(key),
  };
}

function partsOf({ process, db, match, type, key }: KeysPlace): readonly string[] {
  const chosen = key === undefined ? [] : [keyPart(key)];
  return ["keys", process, String(db), keyPart(match), type, ...chosen];
}

const addressOf = (place: KeysPlace): string => hrefOf("store", ...partsOf(place));

export function KeyBrowser({ server, store, route }: StorePartProps) {
  const place = placeIn(store, route);
  const { process, db, match, type, key } = place;
  const go = (change: Partial<KeysPlace>): void => goToPart(...partsOf({ ...place, ...change }));
  const keys = useKeys(server, place);
  const [isAdding, setIsAdding] = useState(false);
  const [text, setText] = useState(shown(match));
  const [problem, setProblem] = useState("");
  useEffect(() => setText(shown(match)), [match]);
  const changed = (from: string | undefined, to: string | undefined): void => {
    keys.again();
    const [view, part = "keys", ...now] = routeNow();
    const isThere =
      view === "store" &&
      part === "keys" &&
      addressOf(placeIn(store, now)) === addressOf({ ...place, key: from });
    // Whoever has gone on meanwhile stays there.
    if (isThere && from !== to) go({ key: to });
  };

  const look = (event: FormEvent): void => {
    event.preventDefault();
    try {
      const wanted = bytesIn(text === "" ? "*" : text);
      setProblem("");
      if (wanted === match) keys.again();
      else go({ match: wanted, key: undefined });
    } catch (error) {
      setProblem((error as Error).message);
    }
  };
  return (
    <div className={key === undefined ? "key-browser" : "key-browser has-key"}>
      <section className="card key-list" aria-label="Keys">
        <form className="bar" onSubmit={look}>
          <input
            type="search"
            className="grow mono"
            aria-label="Pattern"
            placeholder="user:*"
            value={text}
            onChange={({ target }) => setText(target.value)}
          />
          <select
            aria-label="Type"
            value={type}
            onChange={({ target }) => go({ type: target.value, key: undefined })}
          >
            <option value={ANY}>any type</option>
            {TYPES.map((one) => (
              <option key={one} value={one}>
                {one}
              </option>
            ))}
          </select>
          <button type="submit" className="button">
            Look
          </button>
        </form>
        <div className="bar">
          <ReplicaChoice store={store} value={process} onChoose={(one) => go({ process: one })} />
          <DatabaseChoice
            value={String(db)}
            onChoose={(one) => go({ db: Number(one), key: undefined })}
          />
          <span className="dim key-total">
            {keys.total !== undefined && counted(keys.total, "key")}
          </span>
          <span className="grow" />
          <Button tone="main" onClick={() => setIsAdding(true)}>
            Add a key
          </Button>
        </div>
        {(problem || keys.problem) !== "" && (
          <p className="bad" role="alert">
            {problem || keys.problem}
          </p>
        )}
        <ScrollRegion className="key-rows" label="List of keys">
          <table>
            <thead>
              <tr>
                <th>Key</th>
                <th>Type</th>
                <th className="number">Expires in</th>
                <th className="number">Size</th>
              </tr>
            </thead>
            <tbody>
              {keys.rows.map((row) => (
                <tr key={row.key} aria-selected={row.key === key}>
                  <td className="mono key-name">
                    <a
                      href={addressOf({ ...place, key: row.key })}
                      aria-current={row.key === key ? "true" : undefined}
                    >
                      {row.key === "" ? "(the empty key)" : shown(row.key)}
                    </a>
                  </td>
                  <td title={`kept as ${row.encoding}`}>
                    <span className={`badge type-${row.type}`}>{row.type}</span>
                  </td>
                  <td className="number">{row.ttlMs < 0 ? "" : duration(row.ttlMs)}</td>
                  <td className="number">{byteSize(row.bytes)}</td>
                </tr>
              ))}
            </tbody>
          </table>
          {keys.rows.length === 0 && !keys.isAsking && keys.problem === "" && (
            <p className="dim key-none">
              {keys.isWhole
                ? keys.total === 0
                  ? "This database has no keys yet."
                  : "No key is like that."
                : "No key like that was found so far."}
            </p>
          )}
        </ScrollRegion>
        <div className="bar">
          <span className="dim" role="status">
            {keys.isAsking
              ? "Looking…"
              : `${counted(keys.rows.length, "key")} shown${keys.isWhole ? ", these are all" : ""}`}
          </span>
          <span className="grow" />
          <Button isQuiet onClick={keys.again}>
            Look again
          </Button>
          <Button
            onClick={keys.more}
            isDisabled={keys.isWhole || keys.isAsking || keys.rows.length >= KEYS_MAX}
          >
            More
          </Button>
        </div>
        {keys.rows.length >= KEYS_MAX && (
          <p className="dim">
            {grouped(KEYS_MAX)} are enough for a list: say more of what the key is like.
          </p>
        )}
      </section>
      {key === undefined ? (
        <section className="card key-panel key-hint">
          <p className="dim">Choose a key to see what it has.</p>
        </section>
      ) : (
        <KeyPanel
          key={`${process} ${db} ${key}`}
          server={server}
          store={store}
          place={{ ...place, key }}
          onChanged={changed}
          onClose={() => go({ key: undefined })}
        />
      )}
      {isAdding && (
        <AddKey
          server={server}
          store={store}
          place={place}
          onClose={() => setIsAdding(false)}
          onDone={(added, isUndone) => {
            setIsAdding(false);
            if (isUndone) changed(added, key);
            else changed(key, added);
          }}
        />
      )}
    </div>
  );
}

/** A key in the list. */
interface KeyRow {
  readonly key: string;
  readonly type: string;
  /** -1: it does not expire. */
  readonly ttlMs: number;
  readonly bytes: number;
  readonly encoding: string;
}

interface Keys {
  readonly rows: readonly KeyRow[];
  readonly total: number | undefined;
  /** There are no more. */
  readonly isWhole: boolean;
  readonly isAsking: boolean;
  readonly problem: string;
  more(): void;
  again(): void;
}

interface Found {
  readonly of: string;
  readonly rows: readonly KeyRow[];
  readonly cursor: string;
  readonly total: number | undefined;
  readonly problem: string;
}

/** Keys as SCAN gives them. What was found stays until the next answer is there. */
function useKeys(server: PageServer, { process, db, match, type }: KeysPlace): Keys {
  const of = JSON.stringify([process, db, match, type]);
  const [found, setFound] = useState<Found>({
    ...{ of: "", rows: [], cursor: "0", total: undefined, problem: "" },
  });
  const [isAsking, setIsAsking] = useState(true);
  const [count, setCount] = useState(0);
  const asking = useRef(0);

  const ask = useCallback(
    async (from: Found | undefined, least: number = PAGE_KEYS): Promise<void> => {
      asking.current += 1;
      const mine = asking.current;
      setIsAsking(true);
      let next: Found;
      try {
        const [size] = await askStore(server, process, db, [["DBSIZE"]]);
        const [keys, cursor] = await scan(
          server,
          { process, db, match, type },
          from?.cursor ?? "0",
          least,
        );
        const known = new Set(from?.rows.map(({ key }) => key));
        const rows = await rowsOf(
          server,
          process,
          db,
          keys.filter((key) => !known.has(key)),
        );
        next = {
          ...{ of, cursor, total: numberIn(size), problem: "" },
          rows: [...(from?.rows ?? []), ...rows],
        };
      } catch (error) {
        const { message } = error as Error;
        next = {
          ...{ of, cursor: "0", total: undefined, rows: from?.rows ?? [] },
          problem: message,
        };
      }
      if (mine !== asking.current) return;
      setFound(next);
      setIsAsking(false);
    },
    [server, process, db, match, type, of],
  );
  const isOld = found.of !== of;
  // biome-ignore lint/correctness/useExhaustiveDependencies: another place, or a higher count, asks for as much as there was of it
  useEffect(() => {
    void ask(undefined, Math.max(PAGE_KEYS, isOld ? 0 : found.rows.length));
  }, [ask, count]);
  return {
    rows: isOld ? [] : found.rows,
    total: isOld ? undefined : found.total,
    isWhole: !isOld && found.cursor === "0",
    isAsking: isAsking || isOld,
    problem: isOld ? "" : found.problem,
    more: () => void ask(found),
    // By whoever has seen another place before: what is looked at now is what is asked for.
    again: useCallback(() => setCount((before) => before + 1), []),
  };
}

/** Goes on until it has so many keys, or has looked through very many. */
async function scan(
  server: PageServer,
  { process, db, match, type }: Omit<KeysPlace, "key">,
  from: string,
  least: number,
): Promise<readonly [keys: readonly string[], cursor: string]> {
  const keys = new Set<string>();
  let cursor = from;
  // A page of few keys is found slot by slot; what is rare needs many.
  let count = match === "*" && type === ANY ? least : SCANNED;
  for (let i = 0; i < SCANS_MAX && keys.size < least; i += 1) {
    const words: Words = [
      ...["SCAN", cursor, "MATCH", match, "COUNT", String(count)],
      ...(type === ANY ? [] : ["TYPE", type]),
    ];
    const [reply] = await askStore(server, process, db, [words]);
    const [next, some] = scanned(reply);
    for (const key of some) keys.add(key);
    cursor = next;
    if (cursor === "0") break;
    count = SCANNED;
  }
  return [[...keys].sort(), cursor];
}

const DETAILS = 4;
/** Keys whose details are asked for at a time. */
const KEYS_AT_ONCE = 400;

async function rowsOf(
  server: PageServer,
  process: string,
  db: number,
  keys: readonly string[],
): Promise<readonly KeyRow[]> {
  const rows: KeyRow[] = [];
  for (let from = 0; from < keys.length; from += KEYS_AT_ONCE) {
    const some = keys.slice(from, from + KEYS_AT_ONCE);
    const requests = some.flatMap((key): readonly Words[] => [
      ["TYPE", key],
      ["PTTL", key],
      ["MEMORY", "USAGE", key],
      ["OBJECT", "ENCODING", key],
    ]);
    const replies = await tryStore(server, process, db, requests);
    for (const [i, key] of some.entries()) {
      const [type, ttl, bytes, encoding] = replies.slice(DETAILS * i, DETAILS * (i + 1));
      // Gone since it was found.
      if (textIn(type) === "none") continue;
      rows.push({
        ...{ key, type: textIn(type), ttlMs: numberIn(ttl) },
        ...{ bytes: numberIn(bytes), encoding: textIn(encoding) },
      });
    }
  }
  return rows;
}
