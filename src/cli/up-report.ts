/** How `tidemark up` tells what happens: as lines of JSON, as lines for people, or as a table that is refreshed. */

import type { ProcessId } from "../core/id.ts";
import type { ProcessStatus } from "../serve/system-methods.ts";
import type { Audit } from "./audit.ts";
import type { Round, Totals } from "./rounds.ts";
import { snapshotResult } from "./system-control.ts";
import { grouped, LiveRegion, type Output, painter, printable } from "./terminal.ts";
import {
  costText,
  countsOf,
  heading,
  isRight,
  mark,
  naiveError,
  partsText,
  type TableView,
  tablePicture,
  totalsText,
} from "./up-table.ts";

/** Who hears what happens. */
export interface Report {
  /** All processes are there. */
  started(processes: readonly ProcessStatus[], expected: number, directory: string): void;
  /** The page is served there. */
  page(url: string): void;
  round(round: Round, totals: Totals): void;
  /** Something that people should know. */
  note(text: string): void;
  /** All processes have ended; `whole` if everything was as it should be. */
  end(totals: Totals, whole: boolean): void;
}

export const tellPage = (url: string): void => {
  process.stderr.write(`tidemark: the page is at ${url}\n`);
};

const complain = (text: string): void => {
  process.stderr.write(`tidemark: ${printable(text)}\n`);
};

/** For programs: nothing but these lines goes to standard output. */
export function jsonReport(stream: Output): Report {
  let expected = 0;
  let processes = 0;
  const print = (value: unknown): void => {
    stream.write(`${JSON.stringify(value)}\n`);
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
      const { markers, durationMs, problem: unproven, ...sums } = snapshotResult(audit, expected);
      print({ ...sums, naiveSum, markers, durationMs, problem: unproven });
    },
    page: tellPage,
    note: complain,
    end: print,
  };
}

/** For people who read a file or a pipe. */
export function lineReport(stream: Output): Report {
  const paint = painter(stream);
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
      const failed = problem === undefined ? [] : [`${mark(false, paint)} ${printable(problem)}`];
      if (!audit) {
        print([snapshot ?? "no snapshot", ...failed].join("  "));
        return;
      }
      const sum = `${grouped(audit.sum)} of ${grouped(expected)} ${mark(isRight(audit, expected), paint)}`;
      const naive = `${mark(naiveSum === expected, paint)} ${naiveError(naiveSum, expected)}`;
      const asked = `asked one by one: ${grouped(naiveSum)} ${naive}`;
      print(
        [audit.manifest.id, sum, partsText(audit), costText(audit), asked, ...failed].join("  "),
      );
    },
    page: (url) => print(`the page is at ${url}`),
    note: complain,
    end: (totals, whole) => print(summary(totals, whole, stream)),
  };
}

function summary(totals: Totals, whole: boolean, stream: Output): string {
  const transfers = `${grouped(totals.transfers)} transfers`;
  return `${mark(whole, painter(stream))} ${totalsText(totals)}; ${transfers}`;
}

/** How often the table is drawn at most, and how often at least. */
const DRAW_MIN_MS = 100;
const DRAW_MAX_MS = 1_000;

/** For people at a terminal. */
export function tableReport(stream: Output): Report {
  const paint = painter(stream);
  const speed = new Speed();
  const startedMs = performance.now();
  let live: LiveRegion | undefined;
  let view: Omit<TableView, "runningMs" | "speeds"> | undefined;
  let drawnMs = 0;
  let timer: NodeJS.Timeout | undefined;
  const picture = (): string[] => {
    if (!live || !view) return [];
    const runningMs = performance.now() - startedMs;
    return tablePicture({ ...view, runningMs, speeds: speed.all() }, live, paint);
  };
  const draw = (): void => {
    drawnMs = performance.now();
    live?.draw(picture());
    drawIn(DRAW_MAX_MS);
  };
  const drawIn = (ms: number): void => {
    clearTimeout(timer);
    timer = setTimeout(draw, ms).unref();
  };
  const resized = (): void => live?.redrawAll(picture());
  const continued = (): void => live?.beginHere();
  return {
    started(processes, expected, directory) {
      live = new LiveRegion(stream);
      view = { processes, expected, directory };
      stream.on("resize", resized);
      process.on("SIGCONT", continued);
      draw();
    },
    round(round, totals) {
      if (!view || !live) return;
      const { audit, problem } = round;
      if (problem !== undefined) live.say(`${mark(false, paint)} ${printable(problem)}`);
      if (audit) speed.add(audit);
      view = { ...view, totals, ...(audit && { round: { ...round, audit } }) };
      drawIn(Math.max(0, DRAW_MIN_MS - (performance.now() - drawnMs)));
    },
    page(url) {
      live?.say(`the page is at ${url}`);
    },
    note(text) {
      if (live) live.say(printable(text));
      else complain(text);
    },
    end(totals, whole) {
      clearTimeout(timer);
      stream.off("resize", resized);
      process.off("SIGCONT", continued);
      // The summary takes the place of the running totals.
      if (view) delete (view as { totals?: Totals }).totals;
      live?.draw(picture());
      live?.end();
      stream.write(`${summary(totals, whole, stream)}\n`);
    },
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

  all(): ReadonlyMap<ProcessId, number> {
    const [first] = this.#audits;
    const last = this.#audits.at(-1);
    if (!first || !last || first === last) return new Map();
    const seconds = Math.max(1, last.manifest.startedAtMs - first.manifest.startedAtMs) / 1000;
    return new Map(
      last.manifest.processes.map((process) => [
        process,
        (countsOf(last, process).sent - countsOf(first, process).sent) / seconds,
      ]),
    );
  }
}
