/** The table that `tidemark up` shows at a terminal, and the words that it shares with the other reports. */

import type { ProcessId } from "../core/id.ts";
import { duration } from "../core/quantity.ts";
import type { ProcessStatus } from "../serve/system-methods.ts";
import type { Audit } from "./audit.ts";
import type { Round, Totals } from "./rounds.ts";
import { fitted, grouped, type Paint, padded, printable } from "./terminal.ts";

/** What the table shows. */
export interface TableView {
  readonly processes: readonly ProcessStatus[];
  /** All the money there is. */
  readonly expected: number;
  readonly directory: string;
  readonly runningMs: number;
  /** Messages that each process sends per second. */
  readonly speeds: ReadonlyMap<ProcessId, number>;
  /** The newest one with a snapshot. */
  readonly round?: Round & { readonly audit: Audit };
  readonly totals?: Totals;
}

/** A cell of the matrix needs so much: a space and `999 (99)`. */
const CELL_MIN = 9;
const CELL_MAX = 15;
const ROW_NAME = 4;
const NUMBER = 8;

/** The lines of the table, for a terminal of that size: what does not fit is told more briefly. */
export function tablePicture(
  view: TableView,
  { columns, rows }: { readonly columns: number; readonly rows: number },
  paint: Paint,
): string[] {
  const { processes, round, totals, expected } = view;
  // One column and one line stay free for the cursor.
  const width = columns - 1;
  const elapsed = duration(view.runningMs);
  const head = `tidemark  ${heading(processes.length, expected, view.directory)}`;
  const title = `${padded(head, width - elapsed.length - 1)} ${elapsed}`;
  const foot = round ? footLines(round, expected, paint) : ["the first snapshot is on its way"];
  if (totals) foot.push(totalsText(totals));
  let room = rows - 1 - 1 - foot.length;
  let flight = round ? matrixLines(round.audit, width, paint) : [];
  if (round && (flight.length === 0 || flight.length + processes.length + 1 > room))
    flight = room > 0 ? [busiestLine(round.audit, width)] : [];
  room = Math.max(0, room - flight.length);
  let list = processLines(view, paint);
  if (list.length > room) {
    const hidden = list.length - room + 1;
    list = room < 3 ? [] : [...list.slice(0, room - 1), `… and ${hidden} more`];
  }
  room -= list.length;
  const blocks = [[title], list, flight, foot].filter((block) => block.length > 0);
  const spaced = room >= blocks.length - 1;
  return blocks.flatMap((block, i) => (spaced && i > 0 ? ["", ...block] : block));
}

function processLines({ processes, round, speeds }: TableView, paint: Paint): string[] {
  const line = (id: string, pid: string, address: string, numbers: readonly string[]): string => {
    const cells = [padded(id, 3), padded(pid, 7, "right"), padded(address, 15)];
    return [...cells, ...numbers.map((text) => padded(text, NUMBER, "right"))].join("  ");
  };
  const names = ["balance", "asked", "sent/s", "sent", "received"];
  const lines = processes.map(({ process, pid, address }) => {
    const { sent, received } = round ? countsOf(round.audit, process) : {};
    const balance = round?.audit.balances.get(process);
    const asked = round?.naive?.get(process)?.balance;
    const numbers = [balance, asked, speeds.get(process), sent, received];
    const texts = numbers.map((value) => (value === undefined ? "" : fitted(value, NUMBER)));
    return line(process, String(pid), address, texts);
  });
  return [paint("dim", line("", "pid", "address", names)), ...lines];
}

/** Money and messages in flight, from the process of the row to that of the column; none if it is too wide. */
function matrixLines({ manifest, channels }: Audit, width: number, paint: Paint): string[] {
  const { processes } = manifest;
  const cell = Math.min(CELL_MAX, Math.floor((width - ROW_NAME) / processes.length));
  if (cell < CELL_MIN || channels.length === 0) return [];
  const rows = new Map(processes.map((from) => [from, new Map<ProcessId, string>()]));
  for (const { from, to, amount, messages } of channels) {
    const both = `${fitted(amount, cell - 1)} (${messages})`;
    const text = both.length < cell ? both : fitted(amount, cell - 1);
    rows.get(from)?.set(to, messages === 0 ? "·" : text);
  }
  const line = (cells: readonly string[]): string =>
    cells.map((text) => padded(text, cell, "right")).join("");
  const names = line(processes.map((to) => `→ ${to}`));
  const caption = "in flight";
  const head = names.trimStart();
  const before = ROW_NAME + names.length - head.length;
  return [
    paint("dim", padded(caption.length < before ? caption : "", before) + head),
    ...processes.map(
      (from) => padded(from, ROW_NAME) + line(processes.map((to) => rows.get(from)?.get(to) ?? "")),
    ),
  ];
}

/** Instead of a matrix that does not fit. */
function busiestLine({ channels }: Audit, width: number): string {
  const busy = channels.filter(({ messages }) => messages > 0);
  let line = `in flight on ${busy.length} of ${channels.length} channels`;
  let before = ": ";
  for (const { from, to, amount, messages } of busy.sort((a, b) => b.amount - a.amount)) {
    const more = `${before}${from} → ${to} ${fitted(amount, 6)} (${messages})`;
    if (line.length + more.length > width) break;
    line += more;
    before = ", ";
  }
  return line;
}

function footLines(
  { audit, naiveSum = 0 }: Round & { readonly audit: Audit },
  expected: number,
  paint: Paint,
): string[] {
  const names = [`snapshot ${audit.manifest.id}`, "asked one by one"];
  const sums = [audit.sum, naiveSum].map((sum) => `${grouped(sum)} of ${grouped(expected)}`);
  const rights = [isRight(audit, expected), naiveSum === expected];
  const whys = [partsText(audit), naiveError(naiveSum, expected)];
  const lines = names.map((name, i) => {
    const sum = paint("bold", padded(sums[i] ?? "", widest(sums)));
    return `${padded(name, widest(names))}  ${sum} ${mark(rights[i] === true, paint)}  ${whys[i]}`;
  });
  return [...lines, `the snapshot took ${costText(audit)}`];
}

const widest = (texts: readonly string[]): number => Math.max(...texts.map((text) => text.length));

/** Messages of a process up to the cut. */
export function countsOf(
  { manifest }: Audit,
  process: ProcessId,
): { readonly sent: number; readonly received: number } {
  const piece = manifest.pieces.find((one) => one.process === process);
  return {
    sent: (piece?.outgoing ?? []).reduce((sum, { sent }) => sum + sent, 0),
    received: (piece?.incoming ?? []).reduce((sum, { received }) => sum + received, 0),
  };
}

// Words.

/** True if the snapshot is proven, and no money is missing. */
export function isRight({ problem, sum }: Audit, expected: number): boolean {
  return problem === undefined && sum === expected;
}

export function mark(right: boolean, paint: Paint): string {
  return right ? paint("green", "✓") : paint("red", "✗");
}

export function heading(processes: number, expected: number, directory: string): string {
  const many = processes === 1 ? "1 process" : `${processes} processes`;
  return `${many}, ${grouped(expected)} in all, snapshots in ${printable(directory)}`;
}

export function partsText({ sum, amountInFlight }: Audit): string {
  return `${grouped(sum - amountInFlight)} in accounts + ${grouped(amountInFlight)} in flight`;
}

export function costText({ manifest, messagesInFlight }: Audit): string {
  const many = messagesInFlight === 1 ? "1 message" : `${grouped(messagesInFlight)} messages`;
  return `${duration(manifest.cutMs)} and ${manifest.channels.length} markers; ${many} in flight`;
}

export function naiveError(naiveSum: number, expected: number): string {
  if (naiveSum === expected) return "right this time";
  return naiveSum < expected
    ? `${grouped(expected - naiveSum)} missing`
    : `${grouped(naiveSum - expected)} too much`;
}

export function totalsText({ snapshots, consistent, naiveWrong }: Totals): string {
  const times = naiveWrong === 1 ? "once" : `${grouped(naiveWrong)} times`;
  return `${grouped(snapshots)} snapshots, ${grouped(consistent)} consistent; asking was wrong ${times}`;
}
