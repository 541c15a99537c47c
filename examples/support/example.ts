// What every example of the store does: its options, its end, and how it waits.
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";

/** What went wrong, and is told without a stack. */
export class Problem extends Error {}

/** A mistake in the options. */
class Mistake extends Error {}

export interface Options {
  readonly seconds: number;
  readonly port: number;
  /** The place in the list of the replica that is killed. */
  readonly victim: number;
  readonly dir: string | undefined;
  readonly json: boolean;
  /** Of those that only this example has. */
  readonly flags: ReadonlySet<string>;
}

const PATIENCE_MS = 30_000;
const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/**
 * Runs it, and ends the process: with 0 if all was right, 1 if not, 2 for a mistake in the options,
 * and, when it was told to end before it was over, as signals have it.
 */
export async function runExample(
  help: string,
  defaults: { readonly seconds: number; readonly flags?: readonly string[] },
  run: (options: Options, stop: AbortSignal) => Promise<boolean>,
): Promise<void> {
  const stop = new AbortController();
  let stoppedBy: keyof typeof SIGNALS | undefined;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.on(signal, () => {
      // Who says it twice does not want to wait.
      if (stoppedBy) process.exit(SIGNALS[signal]);
      stoppedBy = signal;
      stop.abort();
    });
  process.stdout.on("error", () => stop.abort());
  try {
    const options = optionsIn(process.argv.slice(2), defaults);
    if (options === "help") process.stdout.write(help);
    else process.exitCode = (await run(options, stop.signal)) ? 0 : 1;
  } catch (error) {
    if (stop.signal.aborted) process.exitCode = stoppedBy ? SIGNALS[stoppedBy] : 1;
    else if (error instanceof Problem || error instanceof Mistake) {
      console.error(error.message);
      process.exitCode = error instanceof Problem ? 1 : 2;
    } else throw error;
  }
}

/** @throws Mistake there is no such option, or its value is none */
function optionsIn(
  args: string[],
  { seconds, flags = [] }: { readonly seconds: number; readonly flags?: readonly string[] },
): Options | "help" {
  const values = valuesIn(args, flags);
  if (values["help"] === true) return "help";
  const number = (name: string, byDefault: number, least: number, most: number): number => {
    const value = Number(values[name] ?? byDefault);
    if (value >= least && value <= most) return value;
    throw new Mistake(`--${name} takes a number from ${least} to ${most}`);
  };
  const port = number("port", 7379, 1, 65_533);
  if (!Number.isInteger(port)) throw new Mistake("--port takes a whole number");
  const victim = ["p1", "p2", "p3"].indexOf(String(values["kill"] ?? "p2"));
  if (victim < 0) throw new Mistake("--kill takes p1, p2 or p3");
  const { dir } = values;
  return {
    ...{ seconds: number("seconds", seconds, 1, 86_400), port, victim },
    ...{ dir: typeof dir === "string" ? dir : undefined, json: values["json"] === true },
    flags: new Set(flags.filter((name) => values[name] === true)),
  };
}

/** @throws Mistake */
function valuesIn(
  args: string[],
  flags: readonly string[],
): Readonly<Record<string, string | boolean | undefined>> {
  const named = (names: readonly string[], type: "string" | "boolean") =>
    Object.fromEntries(names.map((name) => [name, { type }]));
  const options = {
    ...named(["seconds", "port", "kill", "dir"], "string"),
    ...named(["json", ...flags], "boolean"),
    help: { type: "boolean", short: "h" } as const,
  };
  try {
    return parseArgs({ args, options }).values as Record<string, string | boolean | undefined>;
  } catch (error) {
    throw new Mistake(error instanceof Error ? error.message : String(error));
  }
}

/** Waits until something holds. @throws Problem it does not in time */
export async function until(
  what: string,
  stop: AbortSignal,
  holds: () => boolean | Promise<boolean>,
): Promise<void> {
  const deadlineMs = performance.now() + PATIENCE_MS;
  while (!(await holds())) {
    stop.throwIfAborted();
    if (performance.now() > deadlineMs) throw new Problem(`waited in vain: ${what}`);
    await pause(5);
  }
}
