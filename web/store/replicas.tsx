/** All replicas side by side: how far each is, and one key as each of them has it. */

import { type FormEvent, useEffect, useRef, useState } from "react";
import type { TypedReply } from "../../src/kv/reply-reader.ts";
import type { PageReplica, PageStore, StoreAnswer } from "../../src/serve/web/api.ts";
import { byteSize, duration, grouped } from "../parts/words.ts";
import type { PageServer } from "../server.ts";
import { bytesIn, shown, shownWord } from "./bytes.ts";
import { OrderBadge, orderOf } from "./orders.tsx";
import { DatabaseChoice, goToPart, keyPart, partKey, type StorePartProps } from "./place.tsx";
import { ScrollRegion } from "./scroll-region.tsx";
import { askReplicas, numberIn, textIn, type Words } from "./store-client.ts";

const LOOK_MS = 1_000;

export function Replicas({ server, store, route }: StorePartProps) {
  return (
    <>
      <Figures store={store} />
      <Waits store={store} />
      <KeyEverywhere server={server} store={store} route={route} />
    </>
  );
}

/** What clients asked in the last second, by replica: from one look to the next. */
function useRates({ atMs, replicas }: PageStore): ReadonlyMap<string, number> {
  const before = useRef<{ atMs: number; commands: ReadonlyMap<string, number> } | undefined>(
    undefined,
  );
  const [rates, setRates] = useState<ReadonlyMap<string, number>>(new Map());
  useEffect(() => {
    const commands = new Map(
      replicas.flatMap(({ process, figures }) =>
        figures ? [[process, figures.commands - figures.ownCommands] as const] : [],
      ),
    );
    const last = before.current;
    before.current = { atMs, commands };
    if (!last || last.atMs === atMs) return;
    const seconds = (atMs - last.atMs) / 1000;
    setRates(
      new Map(
        [...commands].flatMap(([process, count]) => {
          const since = count - (last.commands.get(process) ?? Number.NaN);
          // Who was started again has counted anew.
          return since >= 0 ? [[process, since / seconds] as const] : [];
        }),
      ),
    );
  }, [atMs, replicas]);
  return rates;
}

const keysOf = ({ figures }: PageReplica): number =>
  Object.values(figures?.keys ?? {}).reduce((sum, keys) => sum + keys, 0);

function Figures({ store }: { readonly store: PageStore }) {
  const rates = useRates(store);
  const { replicas } = store;
  const epoch = Math.max(0, ...replicas.map(({ figures }) => figures?.epoch ?? 0));
  const newest = Math.max(
    0,
    ...replicas.map(({ figures }) => (figures?.epoch === epoch ? figures.records : 0)),
  );
  return (
    <section className="card">
      <h2>Replicas</h2>
      <ScrollRegion label="Table of replicas">
        <table className="replicas">
          <thead>
            <tr>
              <th>Replica</th>
              <th>Serves</th>
              <th>State</th>
              <th className="number">Epoch</th>
              <th className="number">Position</th>
              <th className="number">Behind</th>
              <th className="number">Keys</th>
              <th className="number">Memory</th>
              <th className="number">Clients</th>
              <th className="number">Commands/s</th>
              <th className="number">Unsettled</th>
              <th className="number">Up</th>
            </tr>
          </thead>
          <tbody>
            {replicas.map((replica) => {
              const { process, address, figures, problem } = replica;
              const rate = rates.get(process);
              return (
                <tr key={process}>
                  <th scope="row">{process}</th>
                  <td className="mono">{address}</td>
                  <td>
                    {!figures ? (
                      <span className="bad" title={problem}>
                        ● away
                      </span>
                    ) : figures.absent.length > 0 ? (
                      <span className="warn">● cannot reach {figures.absent.join(", ")}</span>
                    ) : (
                      <span className="good">● serves</span>
                    )}
                  </td>
                  {figures ? (
                    <>
                      <td className="number">{figures.epoch}</td>
                      <td className="number">{grouped(figures.records)}</td>
                      <td className="number">
                        {figures.epoch === epoch
                          ? grouped(newest - figures.records)
                          : "another epoch"}
                      </td>
                      <td className="number">{grouped(keysOf(replica))}</td>
                      <td className="number">{byteSize(figures.usedBytes)}</td>
                      <td className="number">{grouped(figures.clients)}</td>
                      <td className="number">{rate === undefined ? "" : grouped(rate)}</td>
                      <td className="number">{grouped(figures.unsettled)}</td>
                      <td className="number">{duration(figures.upSeconds * 1000)}</td>
                    </>
                  ) : (
                    <td colSpan={9} className="dim replica-problem">
                      {problem}
                    </td>
                  )}
                </tr>
              );
            })}
          </tbody>
        </table>
      </ScrollRegion>
      <p className="dim below">
        At the same position of an epoch replicas have the same keys in total order, byte for byte.
        Unsettled are effects on keys that converge which are not known to be known to all. The page
        is a client as well; its own commands are not counted.
      </p>
    </section>
  );
}

/** What TIDEMARK EXPLAIN says. */
function Waits({ store }: { readonly store: PageStore }) {
  const waits = store.replicas.flatMap(({ process, figures }) =>
    (figures?.waits ?? []).map((line) => ({ process, line })),
  );
  return (
    <section className="card">
      <h2>What waits</h2>
      {waits.length === 0 ? (
        <p className="dim">No replica waits for anything.</p>
      ) : (
        <ul className="waits">
          {waits.map(({ process, line }) => (
            <li key={`${process} ${line}`}>
              <strong>{process}</strong> {line}
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

/** Larger values are not read as a whole. */
const COMPARED_BYTES_MAX = 1024 * 1024;
const TOKEN: Words = ["TIDEMARK", "TOKEN"];

/** A key at one replica. */
interface KeyThere {
  readonly process: string;
  readonly problem: string | undefined;
  /** Before and after it was read. */
  readonly position: string;
  /** The same as of another replica that has the same. */
  readonly value: string;
  readonly summary: string;
}

function KeyEverywhere({ server, store, route }: StorePartProps) {
  const [db = "0", part] = route;
  const key = part === undefined ? undefined : partKey(part);
  const [text, setText] = useState(key === undefined ? "" : shown(key));
  const [there, setThere] = useState<readonly KeyThere[] | undefined>(undefined);
  const [problem, setProblem] = useState("");
  const processes = store.replicas.map(({ process }) => process).join(" ");

  useEffect(() => {
    setThere(undefined);
    if (key === undefined) return;
    let isOver = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = async (): Promise<void> => {
      try {
        const found = await readEverywhere(server, processes.split(" "), Number(db), key);
        if (!isOver) setThere(found);
        if (!isOver) setProblem("");
      } catch (error) {
        if (!isOver) setProblem((error as Error).message);
      }
      if (!isOver) timer = setTimeout(() => void look(), LOOK_MS);
    };
    void look();
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [server, processes, db, key]);

  const look = (event: FormEvent): void => {
    event.preventDefault();
    try {
      goToPart("replicas", db, keyPart(bytesIn(text)));
      setProblem("");
    } catch (error) {
      setProblem((error as Error).message);
    }
  };
  return (
    <section className="card">
      <h2>One key at every replica</h2>
      <form className="bar" onSubmit={look}>
        <input
          className="grow mono"
          aria-label="Key"
          placeholder="a key"
          value={text}
          onChange={({ target }) => setText(target.value)}
        />
        <DatabaseChoice
          value={db}
          onChoose={(one) => goToPart("replicas", one, ...(part === undefined ? [] : [part]))}
        />
        <button type="submit" className="button main" disabled={text === ""}>
          Compare
        </button>
      </form>
      {problem !== "" && (
        <p className="bad" role="alert">
          {problem}
        </p>
      )}
      {key !== undefined && there && (
        <>
          <Verdict store={store} there={there} db={Number(db)} keyName={key} />
          <ScrollRegion label="The key at each replica">
            <table>
              <thead>
                <tr>
                  <th>Replica</th>
                  <th>Position</th>
                  <th>Value</th>
                </tr>
              </thead>
              <tbody>
                {there.map((one) => (
                  <tr key={one.process}>
                    <th scope="row">{one.process}</th>
                    <td className="mono">{one.position}</td>
                    <td className={one.problem === undefined ? "mono everywhere-value" : "bad"}>
                      {one.problem ?? brief(one.summary)}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </ScrollRegion>
        </>
      )}
      {key === undefined && (
        <p className="dim below">
          It is read at all replicas at the same time, again and again, with the position at which
          each of them is.
        </p>
      )}
    </section>
  );
}

function Verdict({
  store,
  there,
  db,
  keyName,
}: {
  readonly store: PageStore;
  readonly there: readonly KeyThere[];
  readonly db: number;
  readonly keyName: string;
}) {
  const { order } = orderOf(store, db, keyName);
  const here = there.filter(({ problem }) => problem === undefined);
  const values = new Set(here.map(({ value }) => value));
  const positions = new Set(here.map(({ position }) => position));
  const [position] = positions;
  const isSame = positions.size === 1 && !String(position).includes("–");
  const away = there.length - here.length;
  const but = away === 0 ? "" : `; ${away} ${away === 1 ? "is" : "are"} away`;
  const said = ((): readonly [tone: string, text: string] => {
    if (here.length === 0) return ["bad", "No replica answers."];
    if (values.size === 1)
      return [
        "good",
        isSame
          ? `Equal at all that answer, all at position ${position}${but}.`
          : `Equal at all that answer, at the positions below${but}.`,
      ];
    if (order !== "total")
      return ["warn", `They differ at this moment: keys in ${order} order converge${but}.`];
    return isSame
      ? ["bad", `They differ at the same position, ${position}: that must never be${but}.`]
      : ["warn", `They differ, for they are at different positions${but}.`];
  })();
  return (
    <p className="verdict" role="status">
      <OrderBadge order={order} /> <span className={said[0]}>{said[1]}</span>
    </p>
  );
}

/** @throws ServerError */
async function readEverywhere(
  server: PageServer,
  processes: readonly string[],
  db: number,
  key: string,
): Promise<readonly KeyThere[]> {
  const kinds = await askReplicas(server, processes, db, [
    ["TYPE", key],
    ["MEMORY", "USAGE", key],
  ]);
  const types = kinds.map(({ replies }) => textIn(replies?.[0]));
  const type = types.find((one) => one !== "" && one !== "none") ?? "none";
  const isLarge = kinds.some(({ replies }) => numberIn(replies?.[1]) > COMPARED_BYTES_MAX);
  const [reads, isWhole] = readOf(type, key, isLarge);
  const answers = await askReplicas(server, processes, db, [
    TOKEN,
    ["TYPE", key],
    reads,
    ["PEXPIRETIME", key],
    TOKEN,
  ]);
  return answers.map((answer) => keyThere(answer, isWhole));
}

/** What reads a value, or how much it is. */
function readOf(type: string, key: string, isLarge: boolean): readonly [Words, boolean] {
  const all: Readonly<Record<string, Words>> = {
    string: ["GET", key],
    hash: ["HGETALL", key],
    set: ["SMEMBERS", key],
    zset: ["ZRANGE", key, "0", "-1", "WITHSCORES"],
    list: ["LRANGE", key, "0", "-1"],
  };
  const lengths: Readonly<Record<string, Words>> = {
    string: ["STRLEN", key],
    hash: ["HLEN", key],
    set: ["SCARD", key],
    zset: ["ZCARD", key],
    list: ["LLEN", key],
  };
  return [(isLarge ? lengths : all)[type] ?? ["EXISTS", key], !isLarge];
}

function keyThere({ process, replies, problem }: StoreAnswer, isWhole: boolean): KeyThere {
  const [before, type, value, deadline, after] = replies ?? [];
  const [from, to] = [textIn(before), textIn(after)];
  const known = {
    ...{ process, problem: problem?.message },
    position: from === to ? from : `${from} – ${to}`,
  };
  if (!value) return { ...known, value: "", summary: "" };
  const kind = textIn(type);
  const expires = numberIn(deadline) < 0 ? "" : `, expires at ${numberIn(deadline)}`;
  // A replica may have it as another type meanwhile.
  const shape =
    value.type === "error"
      ? kind
      : isWhole
        ? plain(value)
        : `${textIn(value)} elements or bytes, too large to be compared whole`;
  const summary = kind === "none" ? "there is no such key" : `${kind}: ${shape}${expires}`;
  return { ...known, value: `${kind} ${shape} ${textIn(deadline)}`, summary };
}

const SHOWN_CHARACTERS = 2_000;

const brief = (text: string): string =>
  text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;

/** A value in one line; what has no order is put in one. */
function plain(reply: TypedReply): string {
  if (!("items" in reply)) return shownWord(textIn(reply));
  const { type, items } = reply;
  if (type === "map") {
    const pairs = items.flatMap((one, i) =>
      i % 2 === 0 ? [`${plain(one)}: ${plain(items[i + 1] as TypedReply)}`] : [],
    );
    return `{${pairs.sort().join(", ")}}`;
  }
  const parts = items.map(plain);
  return type === "set" ? `{${parts.sort().join(", ")}}` : `[${parts.join(", ")}]`;
}
