/** `tidemark status`: what a running system is doing. */

import { Command } from "commander";
import { duration } from "../core/quantity.ts";
import { ControlClient } from "../runtime/control-socket.ts";
import { readinessOf } from "../serve/health.ts";
import type { SystemMethods, SystemStatus } from "../serve/system-methods.ts";
import { whatIsLate } from "./late.ts";
import { directoryOption, jsonOption } from "./options.ts";
import { grouped, painter, printable, table } from "./terminal.ts";

const TIMEOUT_MS = 10_000;

const paint = painter(process.stdout);

const HELP = `
Exit status: 0 if a system is running and all of its processes answer; else 1.
With --ready: 0 if, besides, they all reach each other, none is restored or
catches up; else 1, with the reasons.

Examples:
  tidemark status
  tidemark status --ready
  tidemark status --dir backups/bank --json`;

interface StatusOptions {
  readonly dir: string;
  readonly ready?: true;
  readonly json?: true;
}

export function statusCommand(): Command {
  return new Command("status")
    .description("show the processes of the running system, and what is late or held")
    .addOption(directoryOption())
    .option("--ready", "say only whether the system is ready, and why not: for probes")
    .addOption(jsonOption("print everything as one line of JSON"))
    .addHelpText("after", HELP)
    .action(async ({ dir, ready, json }: StatusOptions) => {
      const client = await ControlClient.connect<SystemMethods>(dir);
      try {
        const status = await client.call("status", null, { timeoutMs: TIMEOUT_MS });
        if (ready) {
          const { isWell, reasons } = readinessOf(status, { nowMs: Date.now() });
          const text = isWell ? "ready" : `not ready\n${printableLines(reasons)}`;
          console.log(json ? JSON.stringify({ ready: isWell, reasons }) : text);
          process.exitCode = isWell ? 0 : 1;
          return;
        }
        console.log(json ? JSON.stringify(status) : describe(status));
        const { processes } = status;
        const well = processes.every(({ up, explanation }) => up && explanation);
        process.exitCode = well && processes.length > 0 ? 0 : 1;
      } finally {
        client.close();
      }
    });
}

const printableLines = (lines: readonly string[]): string =>
  lines.map((line) => `  ${printable(line)}`).join("\n");

function describe(status: SystemStatus): string {
  const { pid, directory, startedAtMs, snapshots, processes, elsewhere } = status;
  const since = duration(Date.now() - startedAtMs);
  if (processes.length === 0)
    return `process ${pid} is starting a system in ${printable(directory)}`;
  const ids = processes.map(({ process }) => process).join(", ");
  const all = processes.length + (elsewhere?.length ?? 0);
  const what = elsewhere
    ? `${ids}, one of ${all} processes of a system,`
    : `a system of ${all} processes`;
  const lines = [
    `process ${pid} runs ${what} in ${printable(directory)}`,
    `for ${since}, with ${grouped(snapshots)} snapshots so far`,
    ...table(
      [
        ["process", "pid", "address", "state", "epoch", "sent", "received"],
        ...processes.map((one) => [
          one.process,
          String(one.pid),
          one.address,
          one.explanation ? "up" : paint("red", one.up ? "does not answer" : "down"),
          String(one.epoch),
          one.sent === undefined ? "" : grouped(one.sent),
          one.received === undefined ? "" : grouped(one.received),
        ]),
      ],
      "<><<>>>",
    ),
  ];
  const again = processes
    .filter(({ restarts, lastEnd }) => restarts !== undefined || lastEnd !== undefined)
    .map(({ process, restarts = 0, lastEnd }) => {
      const times = restarts === 1 ? "once" : `${restarts} times`;
      return `  ${process} was started again ${times}; it had ended: ${printable(String(lastEnd))}`;
    });
  if (again.length > 0) lines.push("restarts:", ...again);
  const late = whatIsLate(processes, Date.now()).map((line) => `  ${printable(line)}`);
  return [...lines, ...(late.length > 0 ? ["late or held:", ...late] : [])].join("\n");
}
