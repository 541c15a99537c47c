/** `tidemark sim run`: one world under many seeds, each with faults of its own. */

import { once } from "node:events";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { Command, InvalidArgumentError, Option } from "commander";
import { TidemarkError, textOf } from "../core/error.ts";
import { duration } from "../core/quantity.ts";
import { shellWord } from "../core/shell-word.ts";
import { type Faults, formatFaults, parseFaults } from "../sim/faults.ts";
import type { RunReport } from "../sim/run.ts";
import { jsonOption, wholeNumber } from "./options.ts";
import type { SeedsNews, SeedsWanted } from "./seeds-thread.ts";
import { grouped, painter, printable } from "./terminal.ts";
import { STANDARD } from "./transfer.ts";
import { endedEarly } from "./world-file.ts";

const SOURCE = fileURLToPath(new URL("./seeds-thread.ts", import.meta.url));
/** Built, it lies beside this file as JavaScript. */
const THREAD = SOURCE.replace(/\.ts$/, extname(fileURLToPath(import.meta.url)));

interface RunCommandOptions {
  readonly seeds: Seeds;
  readonly seed?: number;
  readonly faults?: Faults;
  readonly keepGoing?: true;
  readonly trace?: true;
  readonly traceTo?: string;
  readonly json?: true;
}

interface Seeds {
  readonly first: number;
  readonly last: number;
}

const PROGRESS_MS = 200;
const INTERRUPTED_STATUS = 130;

const HELP = `
FILE is a module that exports a world by default: see defineWorld of
tidemark/sim. Each seed draws faults (late, lost, repeated and overtaken frames,
broken connections, partitions, crashes, clocks that are off, stores that fail),
which last for a while; then the world heals, and everything must complete.

What is judged: the world's own properties; that messages arrive once, in order;
that every snapshot is consistent by its certificate and by what was seen from
outside; and that nothing is stuck after healing. A property under "sometimes"
must have held at some moment of some seed.

Exit status: 0; 1 if a promise was broken; 2 for a mistake in the command or in
FILE; 130 after Ctrl-C, with what was known by then. Applications and properties
are synchronous: one that gives a promise is an error.

Examples:
  tidemark sim run cart.sim.ts --seeds 1..10000
  tidemark sim run cart.sim.ts --seed 17 --trace
  tidemark sim run cart.sim.ts --seed 17 --trace-to seed17.jsonl
  tidemark sim run cart.sim.ts --faults '{"loss":0.1,"reliable":false}'`;

const paint = painter(process.stdout);

export function simRunCommand(): Command {
  return new Command("run")
    .description("run a world of yours under many seeds")
    .argument("<file>", "the module with the world")
    .addOption(
      new Option("--seeds <first..last>", "which seeds, one after another")
        .argParser(parseSeeds)
        .default({ first: 1, last: 100 }, "1..100"),
    )
    .addOption(
      new Option("--seed <number>", "only this one")
        .argParser(wholeNumber(0, Number.MAX_SAFE_INTEGER))
        .conflicts("seeds"),
    )
    .addOption(
      new Option(
        "--faults <json>",
        "these faults for every seed; what is left out does not happen",
      ).argParser(parseFaultsOption),
    )
    .option("--keep-going", "do not stop at the first seed that fails")
    .option("--trace", "print everything that happens")
    .option(
      "--trace-to <file>",
      "make that file, a trace of what the processes did; of a single seed",
    )
    .addOption(
      jsonOption("print a line of JSON for each seed that fails, and one at the end").conflicts(
        "trace",
      ),
    )
    .addHelpText("after", HELP)
    .action(async (file: string, options: RunCommandOptions) => {
      process.exitCode = await run(file, options);
    });
}

/** Gives the exit status. */
async function run(file: string, options: RunCommandOptions): Promise<number> {
  const { seed, faults, keepGoing = false, trace = false, traceTo, json } = options;
  const { first, last } = seed === undefined ? options.seeds : { first: seed, last: seed };
  if (traceTo !== undefined && first < last)
    throw new TidemarkError(
      "BAD_OPTION",
      "--trace-to is for a single seed: say which, as in --seed 17",
    );
  if (traceTo === STANDARD)
    throw new TidemarkError(
      "BAD_OPTION",
      "standard output says what came of it: --trace-to is a file",
    );
  const tally = new Tally();
  const progress = new Progress(first, last);
  const wanted: SeedsWanted = { file, first, last, faults, keepGoing, trace, traceTo };
  const interrupted = await eachOf(wanted, (news) => {
    if (news.type === "loaded") tally.begin(news.sometimes);
    else if (news.type === "passed") {
      tally.passed(news.report);
      progress.tell(news.seed, tally);
    } else {
      progress.clear();
      if (news.type === "traced") console.log(news.line);
      else {
        const { seed: at, message, faults: bad, events } = news;
        tally.failed(events);
        if (json) console.log(JSON.stringify({ seed: at, failed: message, faults: bad }));
        else tellFailure(file, at, message, bad, options);
      }
    }
  });
  progress.clear();
  const absent = interrupted || tally.failures > 0 ? [] : tally.absent;
  if (json) console.log(JSON.stringify(tally.summary(absent, interrupted)));
  else tally.tell(absent, interrupted);
  if (tally.failures > 0 || absent.length > 0) return 1;
  return interrupted ? INTERRUPTED_STATUS : 0;
}

/**
 * Runs the seeds in a thread of their own, and hands over what it tells. True if Ctrl-C, or the end of whoever reads the output,
 * came before their end: it is heard also while an application goes round for ever.
 * @throws TidemarkError `BAD_OPTION` for a file that holds no world
 */
async function eachOf(
  wanted: SeedsWanted,
  take: (news: Exclude<SeedsNews, { type: "done" | "refused" }>) => void,
): Promise<boolean> {
  const thread = new Worker(THREAD, { workerData: wanted });
  let [interrupted, loaded, done] = [false, false, false] as boolean[];
  let wrong: TidemarkError | undefined;
  const interrupt = (): void => {
    interrupted = true;
    void thread.terminate();
  };
  // As often as it comes: npm hands on what the terminal has sent already.
  process.on("SIGINT", interrupt);
  process.stdout.once("error", interrupt);
  thread.on("message", (news: SeedsNews) => {
    if (news.type === "refused") wrong = asError(news);
    else if (news.type !== "done") take(news);
    loaded = true;
    if (news.type !== "done") return;
    done = true;
    // The world may have left something running.
    void thread.terminate();
  });
  thread.on("error", (thrown) => {
    wrong ??= new TidemarkError("BAD_OPTION", `${wanted.file}: ${textOf(thrown)}`, {
      cause: thrown,
    });
  });
  await once(thread, "exit");
  process.off("SIGINT", interrupt);
  process.stdout.off("error", interrupt);
  if (done) return false;
  if (interrupted) return true;
  const ended = loaded
    ? `${wanted.file} ended the thread that runs it: it calls process.exit`
    : endedEarly(wanted.file);
  throw wrong ?? new TidemarkError("BAD_OPTION", ended);
}

function asError({ code, message, stack }: SeedsNews & { type: "refused" }): TidemarkError {
  const error = new TidemarkError(code, message);
  error.stack = stack;
  return error;
}

function tellFailure(
  file: string,
  seed: number,
  message: string,
  faults: Faults,
  options: RunCommandOptions,
): void {
  const given = options.faults ? ` --faults '${formatFaults(faults)}'` : "";
  const again = `tidemark sim run ${shellWord(file)} --seed ${seed}${given} --trace`;
  console.log(`${paint("red", `SEED=${seed}`)}  ${printable(message)}`);
  console.log(`  faults: ${formatFaults(faults)}`);
  console.log(`  to see it: ${printable(again)}`);
}

/** What all seeds together came to. */
class Tally {
  #failed = 0;
  #seeds = 0;
  #events = 0;
  #complete = 0;
  #abandoned = 0;
  #startedMs = performance.now();
  /** In how many seeds each `sometimes` held. */
  readonly #happened = new Map<string, number>();

  /** The world is there, with these under `sometimes`. */
  begin(sometimes: readonly string[]): void {
    this.#startedMs = performance.now();
    for (const name of sometimes) this.#happened.set(name, 0);
  }

  get failures(): number {
    return this.#failed;
  }

  /** A seed that failed after so many events. */
  failed(events: number): void {
    this.#failed += 1;
    this.#events += events;
  }

  passed({ events, snapshots, happened }: RunReport): void {
    this.#seeds += 1;
    this.#events += events;
    this.#complete += snapshots.complete;
    this.#abandoned += snapshots.abandoned;
    for (const name of happened) this.#happened.set(name, (this.#happened.get(name) ?? 0) + 1);
  }

  get rate(): number {
    return (this.#events * 1000) / Math.max(1, performance.now() - this.#startedMs);
  }

  /** Of `sometimes`, what never held. */
  get absent(): readonly string[] {
    return [...this.#happened].flatMap(([name, seeds]) => (seeds === 0 ? [name] : []));
  }

  summary(absent: readonly string[], interrupted: boolean): object {
    return {
      seeds: this.#seeds + this.#failed,
      failed: this.#failed,
      interrupted,
      events: this.#events,
      snapshots: { complete: this.#complete, abandoned: this.#abandoned },
      happened: Object.fromEntries(this.#happened),
      neverHappened: absent,
    };
  }

  tell(absent: readonly string[], interrupted: boolean): void {
    const all = this.#seeds + this.#failed;
    const verdict =
      this.#failed > 0
        ? paint("red", `${grouped(this.#failed)} of ${grouped(all)} seeds failed`)
        : paint("green", `${grouped(all)} ${all === 1 ? "seed" : "seeds"}, none failed`);
    if (interrupted) console.log("interrupted: until then");
    const took = performance.now() - this.#startedMs;
    console.log(
      `${verdict}  ${grouped(this.#events)} events in ${duration(took)} (${grouped(this.rate)}/s)`,
    );
    console.log(
      `  ${grouped(this.#complete)} snapshots complete, ${grouped(this.#abandoned)} abandoned`,
    );
    for (const [name, seeds] of this.#happened)
      if (seeds > 0) console.log(`  sometimes "${printable(name)}": in ${grouped(seeds)} of them`);
    for (const name of absent)
      console.log(
        paint("red", `  sometimes "${printable(name)}": never; nothing shows that it can happen`),
      );
  }
}

/** A line on standard error that is written over, if that is a terminal. */
class Progress {
  readonly #first: number;
  readonly #last: number;
  #toldMs = performance.now();
  #shown: boolean = false;

  constructor(first: number, last: number) {
    this.#first = first;
    this.#last = last;
  }

  /** Now and then. */
  tell(seed: number, { rate, failures }: Tally): void {
    const now = performance.now();
    if (!process.stderr.isTTY || now - this.#toldMs < PROGRESS_MS) return;
    this.#toldMs = now;
    this.#shown = true;
    const done = `${grouped(seed - this.#first + 1)} of ${grouped(this.#last - this.#first + 1)} seeds`;
    const bad = failures > 0 ? `, ${grouped(failures)} failed` : "";
    process.stderr.write(`\r\u001b[K${done}${bad}  ${grouped(rate)} events/s`);
  }

  clear(): void {
    if (this.#shown) process.stderr.write("\r\u001b[K");
    this.#shown = false;
  }
}

function parseSeeds(text: string): Seeds {
  const [, first, last] = /^([0-9]{1,15})\.\.([0-9]{1,15})$/.exec(text) ?? [];
  if (first !== undefined && last !== undefined && Number(first) <= Number(last))
    return { first: Number(first), last: Number(last) };
  throw new InvalidArgumentError("Use the first and the last: 1..1000.");
}

function parseFaultsOption(text: string): Faults {
  try {
    return parseFaults(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}
