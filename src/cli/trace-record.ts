/** `tidemark trace record`: what all processes of the running system do for a while, as one file. */

import { accessSync, constants, existsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { Command, Option } from "commander";
import { TidemarkError, textOf } from "../core/error.ts";
import { duration } from "../core/quantity.ts";
import { ControlClient } from "../runtime/control-socket.ts";
import { recordSystem } from "../serve/record-trace.ts";
import type { SystemMethods } from "../serve/system-methods.ts";
import type { Recording } from "../trace/recorder.ts";
import { traceLines } from "../trace/recording.ts";
import { directoryOption, parseDuration, wholeNumber } from "./options.ts";
import { stopSignal } from "./stop-signal.ts";
import { grouped } from "./terminal.ts";
import { bytesOfLines, STANDARD, writeTo } from "./transfer.ts";

interface RecordOptions {
  readonly dir: string;
  readonly for: number;
  readonly out: string;
  readonly snapshot?: true;
  readonly text?: true;
  readonly events: number;
  readonly every: number;
}

const HELP = `
Every process is told to record, and after that time what it has recorded is
fetched. Only the newest events are kept: --events says how many of each.
An event is what one turn sent to one process, or received from one, whatever
number of messages that is. Of an application with a method values, what that
gives stands beside the events.

Ctrl-C ends the recording early, and writes what there is. Nothing is left on,
also if this command dies: then it ends by itself. A system that was started
with --trace records all the time: then the file begins as far back as there is
room, and --events, --every and --text are as the system has them.

Exit status: 0; 1 if no system is running, somebody else is recording, or the
file is there already or cannot be written.

Examples:
  tidemark trace record --out run.jsonl
  tidemark trace record --for 500ms --snapshot --text --out run.jsonl
  tidemark trace record --for 10s --every 1000 | tidemark trace check -`;

export function recordCommand(): Command {
  return new Command("record")
    .description("record what the processes of the running system do for a while")
    .addOption(directoryOption())
    .addOption(
      new Option("--for <time>", "for how long").default(2000, "2s").argParser(parseDuration),
    )
    .option("--out <file>", "is made, and not overwritten; -: standard output", STANDARD)
    .option("--snapshot", "take a snapshot in the middle of it")
    .option("--text", "with messages as short text")
    .addOption(
      new Option("--events <number>", "how many events of each process are kept, the newest")
        .default(65_536)
        .argParser(wholeNumber(1, 1_000_000)),
    )
    .addOption(
      new Option("--every <number>", "one event for so many messages of a channel, or packets")
        .default(1)
        .argParser(wholeNumber(1, Number.MAX_SAFE_INTEGER)),
    )
    .addHelpText("after", HELP)
    .action(record);
}

async function record(options: RecordOptions): Promise<void> {
  const { dir, out, for: forMs, events, every, text = false } = options;
  if (out === STANDARD && process.stdout.isTTY)
    throw new TidemarkError("BAD_OPTION", "a trace is not for a terminal: name a file with --out");
  if (out !== STANDARD && existsSync(out))
    throw new TidemarkError("STORE_FAILED", `${out} is there already, and is not overwritten`);
  // What was recorded for an hour is not to be lost for that.
  if (out !== STANDARD) refuseUnwritable(dirname(out));
  const stop = stopSignal();
  const client = await ControlClient.connect<SystemMethods>(dir);
  try {
    const { recordings, tookMs, snapshot } = await recordSystem(
      (method, parameter) => client.call(method, parameter),
      { options: { events, every, text }, forMs, snapshot: options.snapshot === true },
      stop,
    );
    if (snapshot !== undefined) process.stderr.write(`${snapshot} was taken\n`);
    await writeTo(out, bytesOfLines(traceLines(recordings)));
    const { processes } = await client.call("status", null);
    for (const { process: id } of processes)
      if (!recordings.some((one) => one.process === id))
        process.stderr.write(
          `of ${id} there is nothing: it did not answer, or was started again\n`,
        );
    process.stderr.write(`${summary(recordings, tookMs, out)}\n`);
  } finally {
    client.close();
  }
}

function refuseUnwritable(directory: string): void {
  try {
    if (statSync(directory).isDirectory()) accessSync(directory, constants.W_OK);
    else throw new Error("it is no directory");
  } catch (error) {
    throw new TidemarkError(
      "STORE_FAILED",
      `nothing can be written into ${directory}: ${textOf(error)}`,
    );
  }
}

function summary(recordings: readonly Recording[], tookMs: number, out: string): string {
  const sum = (of: (one: Recording) => number): number =>
    recordings.reduce((all, one) => all + of(one), 0);
  const lost = sum((one) => one.lost);
  const older = lost === 0 ? "" : `, ${grouped(lost)} older ones are lost`;
  const where = out === STANDARD ? "" : ` in ${out}`;
  const events = grouped(sum((one) => one.events.length));
  return `${events} events of ${recordings.length} processes in ${duration(tookMs)}${where}${older}`;
}
