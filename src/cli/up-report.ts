/** How `tidemark up` tells what happens: as lines of JSON, as lines for people, or as a table that is refreshed. */

import type { AccountReply } from "../bank/account.ts";
import type { ProcessId } from "../core/id.ts";
import type { Audit } from "./audit.ts";
import type { Round, Totals } from "./rounds.ts";
import type { ProcessStatus } from "./system.ts";
import { snapshotResult } from "./system-control.ts";
import {
  duration,
  fitted,
  grouped,
  LiveRegion,
  type Output,
  padded,
  printable,
  styled,
} from "./terminal.ts";

/** Who hears what happens. */
export interface Report {
  /** All processes are there. */
  started(processes: readonly ProcessStatus[], expected: number, directory: string): void;
  round(round: Round, totals: Totals): void;
  /** Something that people should know. */
  note(text: string): void;
  /** All processes have ended; `whole` if everything was as it should be. */
  end(totals: Totals, whole: boolean): void;
}

const complain = (text: string): void => {
  process.stderr.write(`tidemark: ${printable(text)}\n`);
};

/** For programs: nothing but these lines goes to standard output. */
export function jsonReport(): Report {
  let expected = 0;
  let processes = 0;
  const print = (value: unknown): void => {
    process.stdout.write(`${JSON.stringify(value)}\n`);
  };
  return {
    started(all, money) {
      expected = money;
      processes = all.length;
    },
    round({ snapshot = null, audit, naiveSum, problem }) {
      if (!audit) {
        print({ snapshot, processes, problem });
        return;
      }
      const { markers, durationMs, problem: unproven, ...fields } = snapshotResult(audit, expected);
      print({ ...fields, naiveSum, markers, durationMs, problem: unproven });
    },
    note: complain,
    end: print,
  };
}

/** For people who read a file or a pipe. */
export function lineReport(stream: Output): Report {
  let expected = 0;
  const print = (text: string): void => {
    stream.write(`${text}\n`);
  };
  return {
    started(processes, money, directory) {
      expected = money;
      print(`${heading(processes.length, expected, directory)}; Ctrl-C ends`);
    },
    round({ snapshot, audit, naiveSum = 0, problem }) {
      const failed = problem === undefined ? "" : `${mark(false, stream)} ${printable(problem)}`;
      if (audit) {
        const asked = `asked one by one: ${grouped(naiveSum)}, ${naiveError(naiveSum, expected)}`;
        print([sumLine(audit, expected, stream), failed, asked].filter(Boolean).join("; "));
      } else print(`${snapshot ?? "no snapshot"}  ${failed}`);
    },
    note: complain,
    end: (totals, whole) => print(summary(totals, whole, stream)),
  };
}

/** How often the table is drawn at most, and how often at least. */
const DRAW_MIN_MS = 100;
const DRAW_MAX_MS = 1_000;

/** For people at a terminal. */
export function tableReport(stream: Output): Report {
  let live: LiveRegion | undefined;
  let view: TableView | undefined;
  let drawnMs = 0;
  let timer: NodeJS.Timeout | undefined;
  const picture = (): string[] => (live && view ? tablePicture(view, live, stream) : []);
  const draw = (): void => {
    clearTimeout(timer);
    drawnMs = performance.now();
    live?.draw(picture());
    timer = setTimeout(draw, DRAW_MAX_MS);
  };
  const resized = (): void => live?.redrawAll(picture());
  const continued = (): void => live?.beginHere();
  return {
    started(processes, expected, directory) {
      live = new LiveRegion(stream);
      view = { processes, expected, directory, startedMs: performance.now(), speed: new Speed() };
      stream.on("resize", resized);
      process.on("SIGCONT", continued);
      draw();
    },
    round(round, totals) {
      if (!view) return;
      if (round.audit) view.speed.add(round.audit);
      else live?.say(`${mark(false, stream)} ${printable(String(round.problem))}`);
      view = { ...view, totals, ...(round.audit && { round: { ...round, audit: round.audit } }) };
      const sinceMs = performance.now() - drawnMs;
      clearTimeout(timer);
      if (sinceMs >= DRAW_MIN_MS) draw();
      else timer = setTimeout(draw, DRAW_MIN_MS - sinceMs);
    },
    note(text) {
      if (live) live.say(printable(text));
      else complain(text);
    },
    end(totals, whole) {
      clearTimeout(timer);
      stream.off("resize", resized);
      process.off("SIGCONT", continued);
      live?.draw(picture());
      live?.end();
      stream.write(`${summary(totals, whole, stream)}\n`);
    },
  };
}

/** What the table shows. */
export interface TableView {
  readonly processes: readonly ProcessStatus[];
  readonly expected: number;
  readonly directory: string;
  readonly startedMs: number;
  readonly speed: Speed;
  /** The newest with a snapshot. */
  readonly round?: Round & { readonly audit: Audit };
  readonly totals?: Totals;
}

/** A cell of the matrix needs so much: `999 (99)` and a space. */
const CELL_MIN = 9;
const CELL_MAX = 15;
const LABEL = 4;

/** The lines of the table, for a terminal of that size. */
export function tablePicture(
  view: TableView,
  { columns, rows }: { readonly columns: number; readonly rows: number },
  stream: Output,
): string[] {
  const { processes, round, totals, expected } = view;
  const width = columns - 1;
  const head = heading(processes.length, expected, view.directory);
  const elapsed = duration(performance.now() - view.startedMs);
  const title = `tidemark  ${padded(head, width - 10 - elapsed.length)}${elapsed}`;
  const foot = round
    ? [
        sumLine(round.audit, expected, stream),
        askedLine(round.naiveSum ?? 0, expected, stream),
        ...(totals ? [totalsLine(totals)] : []),
      ]
    : ["the first snapshot is on its way"];
  // One line stays free for the cursor.
  let room = rows - 1 - 1 - foot.length;
  let matrix = round ? matrixLines(round.audit, width) : [];
  if (matrix.length + processes.length + 1 > room) matrix = round ? busiestLines(round.audit) : [];
  room -= matrix.length;
  const list = processLines(view, stream);
  const shown = list.length <= room ? list : [...list.slice(0, room - 1), "…"];
  room -= shown.length;
  const blocks = [[title], shown, matrix, foot].filter((block) => block.length > 0);
  const spaced = room >= blocks.length - 1;
  return blocks.flatMap((block, i) => (spaced && i > 0 ? ["", ...block] : block));
}

function processLines({ processes, round, speed }: TableView, stream: Output): string[] {
  const line = (id: string, pid: string, address: string, ...numbers: string[]): string =>
    [
      padded(id, 3),
      padded(pid, 7, "right"),
      padded(address, 15),
      ...numbers.map((text) => padded(text, 8, "right")),
    ].join("  ");
  const names = ["balance", "asked", "sent/s", "sent", "received"];
  const lines = [styled("dim", line("", "pid", "address", ...names), stream)];
  for (const { process, pid, address } of processes) {
    const counts = round && countsOf(round.audit, process);
    const numbers = [
      round?.audit.balances.get(process),
      (round?.naive as ReadonlyMap<ProcessId, AccountReply> | undefined)?.get(process)?.balance,
      speed.of(process),
      counts?.sent,
      counts?.received,
    ].map((value) => (value === undefined ? "" : fitted(value, 8)));
    lines.push(line(process, String(pid), address, ...numbers));
  }
  return lines;
}

/** Money and messages in flight, from the process of the row to that of the column; none if it is too wide. */
function matrixLines({ manifest, channels }: Audit, width: number): string[] {
  const { processes } = manifest;
  const cell = Math.min(CELL_MAX, Math.floor((width - LABEL) / processes.length));
  if (cell < CELL_MIN || channels.length === 0) return [];
  const rows = new Map(processes.map((from) => [from, new Map<ProcessId, string>()]));
  for (const { from, to, amount, messages } of channels) {
    const whole = `${fitted(amount, cell - 1)} (${messages})`;
    const text = whole.length < cell ? whole : fitted(amount, cell - 1);
    rows.get(from)?.set(to, messages === 0 ? "·" : text);
  }
  const line = (label: string, cells: readonly string[]): string =>
    padded(label, LABEL) + cells.map((text) => padded(text, cell, "right")).join("");
  return [
    line(
      "",
      processes.map((to) => `→ ${to}`),
    ),
    ...processes.map((from) =>
      line(
        from,
        processes.map((to) => rows.get(from)?.get(to) ?? ""),
      ),
    ),
  ];
}

/** Instead of a matrix that does not fit. */
function busiestLines({ channels }: Audit): string[] {
  const busy = channels.filter(({ messages }) => messages > 0);
  const most = [...busy].sort((a, b) => b.amount - a.amount).slice(0, 4);
  const list = most.map(
    ({ from, to, amount, messages }) => `${from}→${to} ${fitted(amount, 6)} (${messages})`,
  );
  return [`in flight on ${busy.length} of ${channels.length} channels; most: ${list.join(", ")}`];
}

function heading(processes: number, expected: number, directory: string): string {
  const many = processes === 1 ? "1 process" : `${processes} processes`;
  return `${many}, ${grouped(expected)} in all, snapshots in ${printable(directory)}`;
}

function mark(right: boolean, stream: Output): string {
  return right ? styled("green", "✓", stream) : styled("red", "✗", stream);
}

function sumLine(audit: Audit, expected: number, stream: Output): string {
  const { manifest, sum, amountInFlight, messagesInFlight, problem } = audit;
  const right = problem === undefined && sum === expected;
  const total = styled("bold", `${grouped(sum)} of ${grouped(expected)}`, stream);
  const inAccounts = `${grouped(sum - amountInFlight)} in accounts`;
  const inFlight = `${grouped(amountInFlight)} in flight (${grouped(messagesInFlight)} messages)`;
  const cost = `${duration(manifest.cutMs)}, ${manifest.channels.length} markers`;
  return `${manifest.id}  ${inAccounts} + ${inFlight} = ${total} ${mark(right, stream)}  ${cost}`;
}

function askedLine(naiveSum: number, expected: number, stream: Output): string {
  const right = mark(naiveSum === expected, stream);
  return `asked one by one: ${grouped(naiveSum)} ${right}  ${naiveError(naiveSum, expected)}`;
}

function naiveError(naiveSum: number, expected: number): string {
  if (naiveSum === expected) return "right this time";
  return naiveSum < expected
    ? `${grouped(expected - naiveSum)} missing`
    : `${grouped(naiveSum - expected)} too much`;
}

function totalsLine({ snapshots, consistent, naiveWrong }: Totals): string {
  return `${grouped(snapshots)} snapshots, ${grouped(consistent)} consistent; asking one by one was wrong ${times(naiveWrong)}`;
}

function summary(totals: Totals, whole: boolean, stream: Output): string {
  const transfers = `${grouped(totals.transfers)} transfers`;
  return `${mark(whole, stream)} ${totalsLine(totals)}; ${transfers}`;
}

const times = (count: number): string => (count === 1 ? "once" : `${grouped(count)} times`);

/** Messages of a process up to the cut. */
function countsOf({ manifest }: Audit, process: ProcessId): { sent: number; received: number } {
  const piece = manifest.pieces.find((one) => one.process === process);
  return {
    sent: (piece?.outgoing ?? []).reduce((sum, { sent }) => sum + sent, 0),
    received: (piece?.incoming ?? []).reduce((sum, { received }) => sum + received, 0),
  };
}

/** Over how long a speed is measured, at least. */
const SPEED_MS = 1_000;

/** How many messages each process sends per second, from cut to cut. */
class Speed {
  /** The oldest first; the first is the newest of those that are old enough. */
  readonly #audits: Audit[] = [];

  add(audit: Audit): void {
    this.#audits.push(audit);
    const oldEnoughMs = audit.manifest.startedAtMs - SPEED_MS;
    while ((this.#audits[1]?.manifest.startedAtMs ?? Number.POSITIVE_INFINITY) <= oldEnoughMs)
      this.#audits.shift();
  }

  of(process: ProcessId): number | undefined {
    const [first] = this.#audits;
    const last = this.#audits.at(-1);
    if (!first || !last || first === last) return undefined;
    const seconds = (last.manifest.startedAtMs - first.manifest.startedAtMs) / 1000;
    return (countsOf(last, process).sent - countsOf(first, process).sent) / Math.max(seconds, 1e-3);
  }
}
