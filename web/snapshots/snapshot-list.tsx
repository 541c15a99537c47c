/** All snapshots of a directory, and the attempts that left none, newest first. */

import { useCallback, useEffect, useState } from "react";
import type { PageSnapshot, PageSnapshots, PageSnapshotsKind } from "../../src/serve/web/api.ts";
import { hrefOf, usePage, useTopic } from "../page.tsx";
import { Button } from "../parts/button.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { CommandLine, dirOption, Empty } from "../parts/empty.tsx";
import { ScrollX } from "../parts/scroll-x.tsx";
import { byteSize, clockTime, counted, duration, grouped } from "../parts/words.ts";
import { useLoaded } from "./loaded.ts";
import { openedSources } from "./source.ts";

const SHOWN = 50;
const LOOK_MS = 2_000;
/** Who types is not answered at every letter. */
const TYPED_MS = 250;

const KINDS: readonly (readonly [PageSnapshotsKind, string])[] = [
  ["all", "All"],
  ["snapshots", "Snapshots"],
  ["failed", "Failed attempts"],
];

export function SnapshotList() {
  const { server, about } = usePage();
  const [kind, setKind] = useState<PageSnapshotsKind>("all");
  const [typed, setTyped] = useState("");
  const [text, setText] = useState("");
  const [from, setFrom] = useState(0);
  const [marked, setMarked] = useState<readonly string[]>([]);
  const hasDirectory = server !== undefined && about !== undefined && about.kind !== "file";
  useEffect(() => {
    const timer = setTimeout(() => {
      setText(typed);
      setFrom(0);
    }, TYPED_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  const path = `/api/snapshots?from=${from}&limit=${SHOWN}&kind=${kind}&text=${encodeURIComponent(text)}`;
  const { value, problem, again } = useLoaded(hasDirectory ? path : undefined, () =>
    server ? server.ask<PageSnapshots>("GET", path) : Promise.reject(new Error("no server")),
  );
  // While another page of the list is on its way, the one before stays.
  const [last, setLast] = useState<PageSnapshots | undefined>(undefined);
  useEffect(() => {
    if (value) setLast(value);
  }, [value]);
  useEffect(() => {
    if (!hasDirectory) return;
    const timer = setInterval(() => {
      if (document.visibilityState === "visible") again();
    }, LOOK_MS);
    return () => clearInterval(timer);
  }, [hasDirectory, again]);
  const list = value ?? last;
  const mark = (id: string) =>
    setMarked((all) =>
      all.includes(id) ? all.filter((one) => one !== id) : [...all, id].slice(-2),
    );

  return (
    <>
      <OpenedFiles />
      {!hasDirectory && <NoDirectory />}
      {hasDirectory && (
        <section className="card snapshot-list" aria-label="Snapshots">
          <div className="bar">
            <h2>Snapshots</h2>
            <Take onTaken={again} />
            <span className="grow" />
            <Compare marked={marked} />
          </div>
          <div className="bar">
            <fieldset className="kinds" aria-label="Which">
              {KINDS.map(([name, word]) => (
                <Button
                  key={name}
                  isQuiet
                  isPressed={kind === name}
                  onClick={() => {
                    setKind(name);
                    setFrom(0);
                  }}
                >
                  {word}
                </Button>
              ))}
            </fieldset>
            <input
              type="search"
              aria-label="Filter by id, label or reason"
              placeholder="Filter by id, label or reason"
              value={typed}
              onChange={({ target }) => setTyped(target.value)}
            />
            <span className="grow" />
            <Pages from={from} list={list} onGo={setFrom} />
          </div>
          {problem && (
            <p className="bad" role="alert">
              {problem}
            </p>
          )}
          {list?.problems.map((one) => (
            <p key={one} className="bad">
              {one}
            </p>
          ))}
          {list && list.read < list.snapshots && (
            <p className="dim" role="status">
              {grouped(list.read)} of {counted(list.snapshots, "manifest")} have been read: the
              others cannot be found by their label yet.
            </p>
          )}
          {list && list.entries.length > 0 && (
            <Table list={list} marked={marked} onMark={mark} onChange={again} />
          )}
          {list?.entries.length === 0 && <Nothing isFiltered={text !== "" || kind !== "all"} />}
        </section>
      )}
    </>
  );
}

function NoDirectory() {
  const { server, about } = usePage();
  if (server && !about) return null;
  return (
    <Empty title="No directory of snapshots is open">
      <p>Drop a snapshot that was exported onto this page, or open it.</p>
      <CommandLine>tidemark export latest snapshot.tar</CommandLine>
      <p>Or let the page show a directory:</p>
      <CommandLine>tidemark ui DIR</CommandLine>
    </Empty>
  );
}

function Nothing({ isFiltered }: { readonly isFiltered: boolean }) {
  const { about } = usePage();
  if (isFiltered) return <p className="dim">Nothing here is like that.</p>;
  return (
    <Empty title="There are no snapshots yet">
      <p>A running system takes them by itself, or when you say so:</p>
      <CommandLine>{`tidemark snapshot --label good${dirOption(about)}`}</CommandLine>
    </Empty>
  );
}

/** Files that were opened here: nobody has to ask a server for them. */
function OpenedFiles() {
  const sources = openedSources();
  if (sources.length === 0) return null;
  return (
    <section className="card" aria-label="Opened files">
      <h2>Opened files</h2>
      <ul className="plain">
        {sources.map(({ name, title, manifest }) => (
          <li key={title}>
            <a href={hrefOf("snapshots", ...name)}>{title}</a>{" "}
            <span className="dim">
              {manifest.id}, {clockTime(manifest.startedAtMs)}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** Takes one, if a system runs: which may begin, and end, while somebody looks. */
function Take({ onTaken }: { readonly onTaken: () => void }) {
  const { server, say } = usePage();
  const { value, problem } = useTopic("status");
  const [label, setLabel] = useState("");
  const [isTaking, setIsTaking] = useState(false);
  const isRunning = value !== undefined && problem === undefined;
  const take = async () => {
    if (!server) return;
    setIsTaking(true);
    try {
      const body = label === "" ? {} : { label };
      const { snapshot, messagesInFlight } = await server.ask<{
        snapshot: string;
        messagesInFlight: number;
      }>("POST", "/api/snapshots", body);
      say(`${snapshot} is taken: ${counted(messagesInFlight, "message")} in flight`, "good");
      setLabel("");
      onTaken();
    } catch (error) {
      say(`No snapshot was taken: ${(error as Error).message}`, "bad");
    } finally {
      setIsTaking(false);
    }
  };
  if (!isRunning)
    return <span className="dim take">{problem === undefined ? "" : "No system runs here."}</span>;
  return (
    <form
      className="bar take"
      onSubmit={(event) => {
        event.preventDefault();
        void take();
      }}
    >
      <input
        aria-label="Label of the next snapshot"
        placeholder="Label, if it is to stay"
        maxLength={256}
        value={label}
        onChange={({ target }) => setLabel(target.value)}
      />
      <Button tone="main" isDisabled={isTaking} onClick={() => void take()}>
        Take a snapshot
      </Button>
    </form>
  );
}

function Compare({ marked }: { readonly marked: readonly string[] }) {
  const [one, other] = marked;
  if (one === undefined || other === undefined)
    return <span className="dim compare-hint">Mark two to compare them.</span>;
  return (
    <a
      className="button"
      href={hrefOf("snapshots", ...one.split("/"), "diff", ...other.split("/"))}
    >
      Compare {one} with {other}
    </a>
  );
}

function Pages({
  from,
  list,
  onGo,
}: {
  readonly from: number;
  readonly list: PageSnapshots | undefined;
  readonly onGo: (from: number) => void;
}) {
  const total = list?.total ?? 0;
  const to = Math.min(total, from + SHOWN);
  return (
    <nav className="bar pages" aria-label="Pages">
      <span className="dim">
        {total === 0 ? "none" : `${grouped(from + 1)} to ${grouped(to)} of ${grouped(total)}`}
      </span>
      <Button label="Newer" isDisabled={from === 0} onClick={() => onGo(Math.max(0, from - SHOWN))}>
        ‹
      </Button>
      <Button label="Older" isDisabled={to >= total} onClick={() => onGo(from + SHOWN)}>
        ›
      </Button>
    </nav>
  );
}

interface TableProps {
  readonly list: PageSnapshots;
  readonly marked: readonly string[];
  readonly onMark: (id: string) => void;
  readonly onChange: () => void;
}

function Table({ list, marked, onMark, onChange }: TableProps) {
  return (
    <ScrollX label="List">
      <table>
        <thead>
          <tr>
            <th>
              <span className="hidden">Compare</span>
            </th>
            <th>Snapshot</th>
            <th>Label or reason</th>
            <th>Taken</th>
            <th className="number">In flight</th>
            <th className="number wide">Size</th>
            <th className="number wide">Time</th>
            <th className="number wide">Epoch</th>
            <th>
              <span className="hidden">What to do</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {list.entries.map((entry) => (
            <Row
              key={`${entry.id} ${entry.initiator} ${entry.startedAtMs}`}
              entry={entry}
              isInUse={entry.id === list.inUse}
              isMarked={entry.id !== undefined && marked.includes(entry.id)}
              onMark={onMark}
              onChange={onChange}
            />
          ))}
        </tbody>
      </table>
    </ScrollX>
  );
}

interface RowProps {
  readonly entry: PageSnapshot;
  readonly isInUse: boolean;
  readonly isMarked: boolean;
  readonly onMark: (id: string) => void;
  readonly onChange: () => void;
}

const OUTCOME: Readonly<Record<PageSnapshot["outcome"], string>> = {
  complete: "",
  abandoned: "abandoned",
  refused: "refused",
  open: "no end noted yet",
  damaged: "damaged",
};

function Row({ entry, isInUse, isMarked, onMark, onChange }: RowProps) {
  const { id, initiator, label, startedAtMs, outcome, reason } = entry;
  const isWhole = outcome === "complete";
  return (
    <tr aria-selected={isMarked}>
      <td>
        {isWhole && id !== undefined && (
          <input
            type="checkbox"
            aria-label={`Compare ${id}`}
            checked={isMarked}
            onChange={() => onMark(id)}
          />
        )}
      </td>
      <th scope="row" className="mono">
        {id === undefined ? (
          <span className="dim">by {initiator}</span>
        ) : (
          <a href={hrefOf("snapshots", ...id.split("/"))}>{id}</a>
        )}
      </th>
      <td className="reason">
        {label !== undefined && <strong>{label} </strong>}
        {!isWhole && (
          <span>
            <span className="bad">{OUTCOME[outcome]}</span> {reason}
          </span>
        )}
        {isInUse && <span className="dim">the present epoch began from it</span>}
      </td>
      <td className="when" title={new Date(startedAtMs).toISOString()}>
        {clockTime(startedAtMs)}
      </td>
      <td className="number">{entry.inFlight === undefined ? "" : grouped(entry.inFlight)}</td>
      <td className="number wide">{entry.bytes === undefined ? "" : byteSize(entry.bytes)}</td>
      <td className="number wide">
        {entry.tookMs === undefined ? "" : duration(Math.max(0, entry.tookMs))}
      </td>
      <td className="number wide">{entry.epoch}</td>
      <td className="acts">
        {isWhole && id !== undefined && (
          <>
            <Relabel id={id} label={label} onChange={onChange} />
            {!isInUse && <Delete id={id} label={label} onDeleted={onChange} />}
          </>
        )}
      </td>
    </tr>
  );
}

interface RelabelProps {
  readonly id: string;
  readonly label: string | undefined;
  readonly onChange: () => void;
}

/** Gives a snapshot another label, and back the old one. */
export function Relabel({ id, label, onChange }: RelabelProps) {
  const { server, say } = usePage();
  const [isOpen, setIsOpen] = useState(false);
  const [text, setText] = useState("");
  const put = useCallback(
    async (next: string | undefined, before: string | undefined, canUndo: boolean) => {
      try {
        await server?.ask("PATCH", `/api/snapshots/${id}`, { label: next ?? null });
        const words = next === undefined ? `${id} has no label any more` : `${id} is ${next}`;
        say(words, "good", canUndo ? () => void put(before, next, false) : undefined);
        onChange();
      } catch (error) {
        say(`The label was not changed: ${(error as Error).message}`, "bad");
      }
    },
    [server, say, id, onChange],
  );
  return (
    <>
      <Button
        isQuiet
        label={`Label ${id}`}
        onClick={() => {
          setText(label ?? "");
          setIsOpen(true);
        }}
      >
        Label…
      </Button>
      {isOpen && (
        <Dialog title={`The label of ${id}`} onClose={() => setIsOpen(false)}>
          <form
            className="stack"
            onSubmit={(event) => {
              event.preventDefault();
              setIsOpen(false);
              void put(text === "" ? undefined : text, label, true);
            }}
          >
            <p className="dim">One with a label stays until you delete it. Empty: none.</p>
            <input
              aria-label="Label"
              maxLength={256}
              value={text}
              onChange={({ target }) => setText(target.value)}
            />
            <div className="bar">
              <span className="grow" />
              <Button onClick={() => setIsOpen(false)}>Cancel</Button>
              <button type="submit" className="button main">
                Save
              </button>
            </div>
          </form>
        </Dialog>
      )}
    </>
  );
}

interface DeleteProps {
  readonly id: string;
  readonly label: string | undefined;
  /** The present epoch began from it, so the next start needs it. */
  readonly isDisabled?: boolean;
  readonly onDeleted: () => void;
}

/** Asks first. */
export function Delete({ id, label, isDisabled, onDeleted }: DeleteProps) {
  const { server, say } = usePage();
  const [isOpen, setIsOpen] = useState(false);
  const remove = async () => {
    setIsOpen(false);
    try {
      await server?.ask("DELETE", `/api/snapshots/${id}`);
      say(`${id} is deleted`, "good");
      onDeleted();
    } catch (error) {
      say(`${id} was not deleted: ${(error as Error).message}`, "bad");
    }
  };
  return (
    <>
      <Button
        isQuiet
        isDisabled={isDisabled === true}
        label={`Delete ${id}`}
        onClick={() => setIsOpen(true)}
      >
        Delete…
      </Button>
      {isOpen && (
        <Dialog title={`Delete ${id}?`} onClose={() => setIsOpen(false)}>
          <p>
            {label === undefined ? "" : `It is called ${label}. `}
            What is deleted cannot be brought back. Download it first, if you may want it again.
          </p>
          <div className="bar">
            <span className="grow" />
            <Button onClick={() => setIsOpen(false)}>Keep it</Button>
            <Button tone="bad" onClick={() => void remove()}>
              Delete it
            </Button>
          </div>
        </Dialog>
      )}
    </>
  );
}
