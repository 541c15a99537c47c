/** Runs examples of the store as their pages in docs/learn show them: real processes, killed and restored. */

import { spawn } from "node:child_process";
import { expect } from "vitest";
import { freePorts } from "../support/ports.ts";
import { expectPrinted, root } from "./printed.ts";

/** As much time as a busy machine may need. */
export const LIMIT_MS = 120_000;
/** As the pages have it. */
const FIRST_PORT = 7379;

/** What happens is the same each time; when, and how much of it, is not. */
const withoutFigures = (text: string): string =>
  text
    // Of what is in a row matters that all three replicas have it.
    .replaceAll(/^(?!.*bid).*│.*\n/gm, "LEVEL\n")
    .replaceAll(/(^ +[0-9]+ {2}\w+ +([0-9,]+) +\2 +\2 {2}[█▏▎▍▌▋▊▉]+\n)+/gm, "PLAYERS\n")
    .replaceAll(/^ +[0-9]+ +([0-9]+ at [0-9]+ \w+ ← \w+).*\1.*\1\n/gm, "THE SAME TRADE\n")
    .replaceAll(/^ .* s {4}(\w+\/[0-9]+ is for|trade [0-9]+ is not|\w+ of all).*\n/gm, "WRONG\n")
    .replaceAll(/(WRONG\n)+/g, "WRONG\n")
    .replaceAll(/[0-9][0-9,.]*/g, "N")
    .replaceAll(/\b(order|trade)\b/g, "$1s")
    .replaceAll(/ +/g, " ");

interface Run {
  readonly status: number | NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly ports: readonly number[];
}

/** At ports that are free, unless it is told others. */
export async function runExample(args: readonly string[], interruptAt?: RegExp): Promise<Run> {
  const port = await freePorts(3);
  const ports = [port, port + 1, port + 2];
  const at = args.includes("--port") ? [] : ["--port", String(port)];
  const all = ["--conditions=tidemark-source", ...args, ...at];
  const child = spawn(process.execPath, all, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
  const limit = setTimeout(() => child.kill(), LIMIT_MS);
  let [stdout, stderr] = ["", ""];
  let isTold = false;
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    if (!isTold && interruptAt?.test(stdout)) isTold = child.kill("SIGINT");
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  return new Promise((resolve) => {
    child.once("close", (code, signal) => {
      clearTimeout(limit);
      for (const [i, taken] of ports.entries())
        stdout = stdout.replaceAll(`port ${taken}`, `port ${FIRST_PORT + i}`);
      resolve({ status: code ?? signal, stdout, stderr, ports });
    });
  });
}

/** What the page says is printed is printed. */
export async function expectExamples(page: string, least: number): Promise<void> {
  await expectPrinted(
    { page, comparable: withoutFigures, least, atOnce: true },
    async (_node, args) => {
      const { status, stdout, stderr } = await runExample(args);
      const expected = args.includes("--without-watch") ? 1 : 0;
      expect({ status, stderr }).toEqual({ status: expected, stderr: "" });
      return stdout;
    },
  );
}
