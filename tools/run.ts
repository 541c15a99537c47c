// What the tools share: the project's folder, running a program, and naming the nearest known word.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

export const root: string = fileURLToPath(new URL("..", import.meta.url));

export interface Finished {
  /** The exit status; 128 + the signal's number, as a shell says it, when a signal ended it. */
  readonly status: number;
  /** Standard output and standard error as they came, empty when the program wrote to the terminal. */
  readonly output: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** `capture` returns the output, `show` lets the program write to the terminal. */
  readonly output: "capture" | "show";
  /** The program and its children are killed after this long. */
  readonly limitMs: number;
}

/** Runs a program to its end. Ctrl-C and a request to stop reach it and its children. */
export function run(
  program: string,
  args: readonly string[],
  options: RunOptions,
): Promise<Finished> {
  return new Promise((resolve) => {
    const show = options.output === "show";
    // A shown program shares our process group, so the terminal itself sends it Ctrl-C. A captured
    // one leads a group of its own, so that a step out of time goes with all its children.
    const child = spawn(program, args, {
      cwd: options.cwd ?? root,
      env: options.env ?? process.env,
      stdio: show ? "inherit" : ["ignore", "pipe", "pipe"],
      detached: !show,
    });
    let output = "";
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
    const kill = (signal: NodeJS.Signals): void => {
      try {
        if (child.pid !== undefined) process.kill(show ? child.pid : -child.pid, signal);
      } catch {
        // It has ended already.
      }
    };
    const stop = (signal: NodeJS.Signals): void => {
      if (!show || signal !== "SIGINT") kill(signal);
      if (!show) process.exit(signal === "SIGINT" ? 130 : 143);
    };
    process.on("SIGINT", stop);
    process.on("SIGTERM", stop);
    const timer = setTimeout(() => {
      output += `\nstopped: it took longer than ${options.limitMs / 1000} s\n`;
      kill("SIGKILL");
    }, options.limitMs);
    const finish = (status: number): void => {
      clearTimeout(timer);
      process.off("SIGINT", stop);
      process.off("SIGTERM", stop);
      resolve({ status, output });
    };
    child.on("error", (error) => {
      output += `${error.message}\n`;
      finish(127);
    });
    child.on("close", (code, signal) => {
      finish(code ?? (signal === "SIGINT" ? 130 : signal === "SIGTERM" ? 143 : 137));
    });
  });
}

/** Runs npm itself, the one that started us if there is one. */
export function npm(args: readonly string[], options: RunOptions): Promise<Finished> {
  const script = process.env["npm_execpath"];
  return script?.endsWith("js")
    ? run(process.execPath, [script, ...args], options)
    : run("npm", args, options);
}

/** The known words nearest to a mistyped one, best first, at most three. */
export function nearest(word: string, known: readonly string[]): readonly string[] {
  return known
    .map((candidate) => ({ candidate, distance: distance(word, candidate) }))
    .filter((entry) => entry.distance <= Math.max(2, word.length / 2))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, 3)
    .map((entry) => entry.candidate);
}

/** How many letters must change to make one word the other (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const changed = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(changed, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
