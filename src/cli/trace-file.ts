/** Files with traces, and how events and cuts of them are called. */

import { TidemarkError, textOf } from "../core/error.ts";
import { CausalOrder, type Frontier } from "../trace/causal-order.ts";
import { type Trace, TraceReader } from "../trace/trace.ts";
import { printable } from "./terminal.ts";
import { eachLine } from "./text-file.ts";

/**
 * @param file `-`: standard input
 * @throws TidemarkError `BAD_OPTION`
 */
export async function readTrace(file: string): Promise<Trace> {
  const reader = new TraceReader(file);
  await eachLine(file, (line) => reader.addText(line));
  return reader.end();
}

/**
 * The order of the events of a trace.
 * @param file where it comes from
 * @throws TidemarkError `BAD_OPTION` if some events would be before themselves
 */
export function orderOf(trace: Trace, file: string): CausalOrder {
  try {
    return new CausalOrder(trace);
  } catch (error) {
    throw new TidemarkError("BAD_OPTION", `${file}: ${textOf(error)}`, { cause: error });
  }
}

/**
 * The cut that words name, as in `p=3 q=12`; of who is not named nothing is inside.
 * @throws TidemarkError `BAD_OPTION`
 */
export function parseCut(words: readonly string[], order: CausalOrder): Frontier {
  const cut = new Map<string, number>();
  for (const word of words) {
    const [, process = "", count = ""] = /^(.+)=([0-9]+)$/.exec(word) ?? [];
    if (process === "" || cut.has(process))
      throw new TidemarkError(
        "BAD_OPTION",
        `a cut is written as p=3 q=12, each process once with how many of its events are inside; ${word} is not understood`,
      );
    cut.set(process, Number(count));
  }
  return order.frontier(cut);
}

/** A cut as `parseCut` reads it. */
export function cutText(trace: Trace, cut: Frontier): string {
  return trace.processes.map((name, p) => `${printable(name)}=${cut[p]}`).join(" ");
}

/** An event, so that it can be found: whose it is, and where. */
export function eventText(trace: Trace, event: number): string {
  const { process = 0, position = 0, line } = trace.events[event] ?? {};
  const where = line === undefined ? "" : `, line ${line}`;
  return `event ${position + 1} of ${printable(trace.processes[process] ?? "")}${where}`;
}
