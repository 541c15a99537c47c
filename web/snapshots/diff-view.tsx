/** What changed from one snapshot to another: in states, by path, and on channels. */

import { useEffect, useState } from "react";
import {
  type ChannelComparison,
  compareSnapshots,
  isDifferent,
  type NumberedMessage,
  type ProcessComparison,
} from "../../src/process/compare-snapshots.ts";
import type { Difference } from "../../src/snapshot/diff.ts";
import { formatPath } from "../../src/snapshot/value-path.ts";
import { hrefOf } from "../page.tsx";
import { Empty } from "../parts/empty.tsx";
import { shortText } from "../parts/literal.ts";
import { ScrollX } from "../parts/scroll-x.tsx";
import { counted, duration, grouped } from "../parts/words.ts";
import { useSource } from "./loaded.ts";
import type { SnapshotName, Source } from "./source.ts";

/** So many differences of each process, and messages of each channel, are listed. */
const LISTED = 100;
const DRAW_MS = 100;

type Compared = ProcessComparison | ChannelComparison;

interface Progress {
  readonly all: readonly Compared[];
  readonly done: number;
  readonly of: number;
  readonly isOver: boolean;
  readonly problem?: string;
}

export function DiffView({
  before,
  after,
}: {
  readonly before: SnapshotName;
  readonly after: SnapshotName;
}) {
  const [one, other] = [useSource(before), useSource(after)];
  const problem = one.problem ?? other.problem;
  const back = (
    <a className="button quiet" href={hrefOf("snapshots")}>
      ‹ All snapshots
    </a>
  );
  if (problem !== undefined)
    return (
      <Empty title="These cannot be compared">
        <p role="alert">{problem}</p>
        {back}
      </Empty>
    );
  return (
    <section className="card snapshot-diff" aria-label="Differences">
      <div className="bar">
        {back}
        <h2>
          <a href={hrefOf("snapshots", ...before)}>{titleOf(one.value, before)}</a> →{" "}
          <a href={hrefOf("snapshots", ...after)}>{titleOf(other.value, after)}</a>
        </h2>
        <span className="grow" />
        <a className="button" href={hrefOf("snapshots", ...after, "diff", ...before)}>
          The other way round
        </a>
      </div>
      {one.value && other.value ? (
        <Differences key={`${before} ${after}`} before={one.value} after={other.value} />
      ) : (
        <p className="dim">…</p>
      )}
    </section>
  );
}

const titleOf = (source: Source | undefined, [first, second]: SnapshotName): string => {
  const label = source?.manifest.label;
  return (source?.title ?? `${first}/${second}`) + (label === undefined ? "" : ` (${label})`);
};

function useComparison(before: Source, after: Source): Progress {
  const [progress, setProgress] = useState<Progress>({ all: [], done: 0, of: 0, isOver: false });
  useEffect(() => {
    const over = new AbortController();
    const all: Compared[] = [];
    let [done, of, drawnMs] = [0, 0, performance.now()];
    const tell = (rest: Pick<Progress, "isOver" | "problem">) =>
      over.signal.aborted || setProgress({ all: [...all], done, of, ...rest });
    const compare = async () => {
      const options = {
        limit: LISTED,
        onProgress(now: number, steps: number) {
          [done, of] = [now, steps];
          if (performance.now() - drawnMs < DRAW_MS) return;
          drawnMs = performance.now();
          // Whoever looks at another page by now need not wait for the end of this.
          over.signal.throwIfAborted();
          tell({ isOver: false });
        },
      };
      for await (const one of compareSnapshots(before.snapshot, after.snapshot, options)) {
        over.signal.throwIfAborted();
        all.push(one);
      }
      tell({ isOver: true });
    };
    compare().catch((error: Error) => tell({ isOver: true, problem: error.message }));
    return () => over.abort();
  }, [before, after]);
  return progress;
}

function Differences({ before, after }: { readonly before: Source; readonly after: Source }) {
  const { all, done, of, isOver, problem } = useComparison(before, after);
  const [old, now] = [before.manifest, after.manifest];
  const apartMs = now.startedAtMs - old.startedAtMs;
  const states = all.filter((one) => one.type === "process");
  const channels = all.filter((one) => one.type === "channel");
  const same = all.filter((one) => !isDifferent(one));
  const sum = (read: (one: ProcessComparison) => number): string =>
    grouped(states.reduce((total, one) => total + read(one), 0));
  const flow = (read: (one: ChannelComparison) => number): string =>
    grouped(channels.reduce((total, one) => total + read(one), 0));
  return (
    <>
      <p className="dim">
        {changeOf("system", old.system, now.system)}, {changeOf("epoch", old.epoch, now.epoch)},
        taken {duration(Math.abs(apartMs))} {apartMs < 0 ? "earlier" : "later"}
      </p>
      {!isOver && (
        <p role="status">
          <progress max={of} value={done} aria-label="Comparison" /> {grouped(done)} of{" "}
          {grouped(of)} slices and channels compared…
        </p>
      )}
      {problem !== undefined && (
        <p className="bad" role="alert">
          The comparison ended too early: {problem}
        </p>
      )}
      {isOver && problem === undefined && (
        <p role="status">
          States: {sum((one) => one.changed)} changed, {sum((one) => one.added)} added,{" "}
          {sum((one) => one.removed)} removed. Messages in flight: {flow((one) => one.gone)} gone,{" "}
          {flow((one) => one.come)} new, {flow((one) => one.still)} still there.
        </p>
      )}
      {states.filter(isDifferent).map((one) => (
        <ProcessDifferences key={one.process} one={one} />
      ))}
      {channels.filter(isDifferent).length > 0 && (
        <ScrollX label="Channels">
          <table aria-label="Channels">
            <thead>
              <tr>
                <th>Channel</th>
                <th className="number">Sent since</th>
                <th className="number">Received since</th>
                <th className="number">In flight</th>
                <th>Messages</th>
              </tr>
            </thead>
            <tbody>
              {channels.filter(isDifferent).map((one) => (
                <ChannelDifferences key={`${one.from} ${one.to}`} one={one} />
              ))}
            </tbody>
          </table>
        </ScrollX>
      )}
      {same.length > 0 && (
        <p className="dim">
          The same:{" "}
          {same
            .map((one) => (one.type === "process" ? one.process : `${one.from} → ${one.to}`))
            .join(", ")}
        </p>
      )}
    </>
  );
}

const changeOf = (name: string, was: string | number, is: string | number): string =>
  was === is ? `${name} ${is}` : `${name} ${was} → ${is}`;

function ProcessDifferences({ one }: { readonly one: ProcessComparison }) {
  const { process, presence, added, removed, changed, differences } = one;
  const more = added + removed + changed - differences.length;
  return (
    <section aria-label={`State of ${process}`}>
      <h3 className="mono">{process}</h3>
      {presence !== "both" && (
        <p>Only in the {presence === "before" ? "first" : "second"} of the two.</p>
      )}
      {differences.length > 0 && (
        <ScrollX label="Differences">
          <table className="differences">
            <thead>
              <tr>
                <th>
                  <span className="hidden">What</span>
                </th>
                <th>Path</th>
                <th>Before</th>
                <th>After</th>
              </tr>
            </thead>
            <tbody>
              {differences.map((difference) => (
                <DifferenceRow
                  key={`${difference.kind} ${formatPath(difference.path)}`}
                  difference={difference}
                />
              ))}
            </tbody>
          </table>
        </ScrollX>
      )}
      {more > 0 && (
        <p className="dim">
          {counted(more, "difference")} more: tidemark diff --process {process} lists all
        </p>
      )}
    </section>
  );
}

const SIGN = {
  added: ["+", "added"],
  removed: ["−", "removed"],
  changed: ["~", "changed"],
} as const;

function DifferenceRow({ difference }: { readonly difference: Difference }) {
  const { kind, path } = difference;
  const [sign, word] = SIGN[kind];
  const was = "before" in difference ? shortText(difference.before) : "";
  const is = "after" in difference ? shortText(difference.after) : "";
  const moved = kind === "changed" && difference.beforePath;
  return (
    <tr className={kind}>
      <td>
        <span title={word} role="img" aria-label={word}>
          {sign}
        </span>
      </td>
      <th scope="row" className="mono path">
        {formatPath(path)}
        {moved && <span className="dim"> (was {formatPath(moved)})</span>}
      </th>
      <td className="mono was">{was}</td>
      <td className="mono is">
        {is}
        {kind === "changed" && <Risen before={difference.before} after={difference.after} />}
      </td>
    </tr>
  );
}

/** By how much a number changed. */
function Risen({ before, after }: { readonly before: unknown; readonly after: unknown }) {
  if (typeof before !== "number" || typeof after !== "number") return null;
  const by = after - before;
  // Of other numbers the difference is rarely what one wants to read.
  if (!Number.isSafeInteger(by)) return null;
  return (
    <span className="dim">
      {" "}
      ({by > 0 ? "+" : ""}
      {by})
    </span>
  );
}

function ChannelDifferences({ one }: { readonly one: ChannelComparison }) {
  const { from, to, before, after, comparable, gone, come, still, goneMessages, comeMessages } =
    one;
  const since = (was: number | undefined, is: number | undefined): string => {
    if (was === undefined || is === undefined) return "";
    return comparable ? `${is < was ? "−" : "+"}${grouped(Math.abs(is - was))}` : "counted anew";
  };
  return (
    <tr>
      <th scope="row" className="mono channel">
        {from} → {to}
      </th>
      <td className="number">{since(before?.sent, after?.sent)}</td>
      <td className="number">{since(before?.received, after?.received)}</td>
      <td className="number">
        {grouped(before?.inFlight ?? 0)} → {grouped(after?.inFlight ?? 0)}
      </td>
      <td className="messages">
        {grouped(gone)} gone, {grouped(come)} new, {grouped(still)} still there
        {gone + come > 0 && (
          <details>
            <summary>Which</summary>
            <ul className="plain mono">
              <MessageList sign="−" tone="was" messages={goneMessages} of={gone} />
              <MessageList sign="+" tone="is" messages={comeMessages} of={come} />
            </ul>
          </details>
        )}
      </td>
    </tr>
  );
}

interface MessageListProps {
  readonly sign: string;
  readonly tone: string;
  readonly messages: readonly NumberedMessage[];
  readonly of: number;
}

function MessageList({ sign, tone, messages, of }: MessageListProps) {
  return (
    <>
      {messages.map(({ number, message }, i) => (
        <li key={number ?? `${sign} ${i}`} className={tone}>
          {sign} {number === undefined ? "" : `${grouped(number)}  `}
          {shortText(message)}
        </li>
      ))}
      {of > messages.length && <li className="dim">{grouped(of - messages.length)} more</li>}
    </>
  );
}
