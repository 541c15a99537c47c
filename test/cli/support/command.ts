/** Runs the command line as its users do: in an operating-system process of its own, and looks at what it leaves. */

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

export const MAIN: string = fileURLToPath(new URL("../../../src/cli/main.ts", import.meta.url));
/** Nothing that is started here takes longer, unless it is told so. */
const LIMIT_MS = 60_000;

/** A directory that goes when the test has finished. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "tidemark-cli-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** How a command ended: its exit status, or the signal that ended it. */
export interface Ended {
  readonly status: number | NodeJS.Signals;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that is running. */
export class Started {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  stdout: string = "";
  stderr: string = "";

  constructor(
    args: readonly string[],
    env: NodeJS.ProcessEnv = {},
    stdin: "ignore" | "pipe" = "ignore",
    limitMs: number = LIMIT_MS,
  ) {
    // As `npm run tidemark` has it: a world imports `tidemark/sim`, and means what stands here.
    this.child = spawn(process.execPath, ["--conditions=tidemark-source", MAIN, ...args], {
      stdio: [stdin, "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined, ...env },
    });
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
    });
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
    });
    const limit = setTimeout(() => this.child.kill("SIGKILL"), limitMs);
    // "close" comes only when every process that holds the pipes has ended, the children of the command too.
    this.ended = new Promise((settle) => {
      this.child.on("close", (code, signal) => {
        clearTimeout(limit);
        const status = code ?? (signal as NodeJS.Signals);
        settle({ status, stdout: this.stdout, stderr: this.stderr });
      });
    });
    onTestFinished(() => {
      this.child.kill("SIGKILL");
    });
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** Waits until it has printed so many whole lines; gives them. */
  async lines(count: number): Promise<string[]> {
    await until(`${count} lines of output`, () => this.stdout.split("\n").length > count);
    return this.stdout.split("\n").slice(0, count);
  }
}

/** Runs a command to its end. */
export function tidemark(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<Ended> {
  return new Started(args, env).ended;
}

/** Waits for a condition, for so long at most. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  limitMs: number = LIMIT_MS,
): Promise<void> {
  const deadlineMs = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() > deadlineMs) throw new Error(`waited ${limitMs} ms in vain for ${what}`);
    await pause(10);
  }
}

/** False also for a process that has ended and that nobody has taken note of yet. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !existsSync("/proc") || !/^[^)]*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return false;
  }
}

/** The JSON values of some lines. */
// biome-ignore lint/suspicious/noExplicitAny: what the lines hold is what the tests are about
export function parseLines(text: string): any[] {
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}

/** Every file below a directory. */
export function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** The version in package.json. */
export const packageVersion: string = JSON.parse(
  readFileSync(new URL("../../../package.json", import.meta.url), "utf8"),
).version;
