/** How `tidemark up FILE` tells what happens: as lines of JSON, or as lines for people. */

import { duration } from "../core/quantity.ts";
import { proofResult } from "./system-control.ts";
import { grouped, type Output, painter, printable } from "./terminal.ts";
import { type Report, tellPage } from "./up-report.ts";
import { mark } from "./up-table.ts";

const complain = (text: string): void => {
  process.stderr.write(`tidemark: ${printable(text)}\n`);
};

/** For programs: a line for each snapshot, and one at the end. */
export function jsonAppReport(stream: Output): Report {
  const print = (value: unknown): void => {
    stream.write(`${JSON.stringify(value)}\n`);
  };
  let processes = 0;
  return {
    started(all) {
      processes = all.length;
    },
    round({ snapshot = null, proof, problem }) {
      print(proof ? proofResult(proof) : { snapshot, processes, problem });
    },
    page: tellPage,
    note: complain,
    end: ({ snapshots, consistent, transfers: messages }) =>
      print({ snapshots, consistent, messages }),
  };
}

/** For people. */
export function lineAppReport(stream: Output, file: string): Report {
  const paint = painter(stream);
  const print = (text: string): void => {
    stream.write(`${text}\n`);
  };
  return {
    started(processes, _expected, directory) {
      const many = processes.length === 1 ? "1 process" : `${processes.length} processes`;
      const where = `${printable(file)}, snapshots in ${printable(directory)}`;
      print(`${many} of ${where}; Ctrl-C ends`);
      for (const { process, pid, address } of processes) print(`${process}  ${pid}  ${address}`);
    },
    round({ snapshot, proof, problem }) {
      const failed = problem === undefined ? [] : [`${mark(false, paint)} ${printable(problem)}`];
      if (!proof) {
        print([snapshot ?? "no snapshot", ...failed].join("  "));
        return;
      }
      const { manifest, messagesInFlight } = proof;
      const right = failed.length > 0 ? failed : [`${mark(true, paint)} consistent`];
      const flight = `${grouped(messagesInFlight)} messages in flight`;
      print([manifest.id, ...right, duration(manifest.cutMs), flight].join("  "));
    },
    page: (url) => print(`the page is at ${url}`),
    note: complain,
    end({ snapshots, consistent, transfers }, whole) {
      const sums = `${grouped(snapshots)} snapshots, ${grouped(consistent)} consistent`;
      print(`${mark(whole, paint)} ${sums}; ${grouped(transfers)} messages`);
    },
  };
}
