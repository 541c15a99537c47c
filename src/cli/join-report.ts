/** How a command with `--join` tells what its one process does: as lines of JSON, or as lines for people. */

import type { ProcessId, SnapshotId } from "../core/id.ts";
import { duration } from "../core/quantity.ts";
import type { SnapshotResult } from "../serve/system-methods.ts";
import { grouped, type Output, painter, printable } from "./terminal.ts";
import { mark } from "./up-table.ts";

export interface JoinReport {
  /** It runs, for the first time or again. */
  started(pid: number, address: string, beganWith: string): void;
  /** What came of a snapshot that it began by itself. */
  snapshot(taken: SnapshotResult | FailedSnapshot): void;
  note(text: string): void;
  end(): void;
}

/** A snapshot that was abandoned, or refused: then it has no id. */
export interface FailedSnapshot {
  readonly snapshot: SnapshotId | null;
  readonly problem: string;
}

/** Where clients reach it. */
export interface JoinService {
  readonly address: string;
  readonly clientTls?: string;
}

/** @param serves of a store */
export function joinReport(
  stream: Output,
  id: ProcessId,
  json: boolean,
  serves?: JoinService,
): JoinReport {
  const print = (event: object, text: string): void => {
    stream.write(`${json ? JSON.stringify(event) : text}\n`);
  };
  return {
    started(pid, address, beganWith) {
      const begins =
        beganWith === "nothing"
          ? "begins"
          : `goes on from ${beganWith === "log" ? "its log" : beganWith}`;
      const tls = serves?.clientTls !== undefined;
      const clients = serves ? ` clients at ${serves.address}${tls ? " with TLS" : ""},` : "";
      const event = { event: "started", process: id, pid, address };
      print(
        { ...event, ...(serves && { serves: serves.address, tls }), beganWith },
        `${id} ${begins}:${clients} processes at ${address} (process ${pid}); Ctrl-C ends`,
      );
    },
    snapshot(taken) {
      const { problem } = taken;
      const right = mark(problem === undefined, painter(stream));
      const said = [
        taken.snapshot ?? "no snapshot",
        `${right} ${problem === undefined ? "consistent" : printable(problem)}`,
        ...("durationMs" in taken
          ? [duration(taken.durationMs), `${grouped(taken.messagesInFlight)} messages in flight`]
          : []),
      ];
      print({ event: "snapshot", ...taken }, said.join("  "));
    },
    note(text) {
      process.stderr.write(`tidemark: ${printable(text)}\n`);
    },
    end: () => print({ event: "ended", process: id }, `${id} has ended`),
  };
}
