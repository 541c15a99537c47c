/** `tidemark sim run`: one world under many seeds, each with faults of its own. */

import { setImmediate as nextTurn } from "node:timers/promises";
import { inspect } from "node:util";
import { Command, InvalidArgumentError, Option } from "commander";
import { TidemarkError } from "../core/error.ts";
import { drawFaults, type Faults, formatFaults, parseFaults } from "../sim/faults.ts";
import { type RunReport, runWorld } from "../sim/run.ts";
import type { SimulationEvent } from "../sim/simulation.ts";
import { Violation } from "../sim/witness.ts";
import { jsonOption, wholeNumber } from "./options.ts";
import { duration, grouped, painter, printable } from "./terminal.ts";
import { type AnyWorld, loadWorld } from "./world-file.ts";

interface RunCommandOptions {
  readonly seeds: Seeds;
  readonly seed?: number;
  readonly faults?: Faults;
  readonly keepGoing?: true;
  readonly trace?: true;
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
FILE; 130 after Ctrl-C, with what was known by then.

Examples:
  tidemark sim run cart.sim.ts --seeds 1..10000
  tidemark sim run cart.sim.ts --seed 17 --trace
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
    .addOption(jsonOption("print a line of JSON for each seed that fails, and one at the end"))
    .addHelpText("after", HELP)
    .action(async (file: string, options: RunCommandOptions) => {
      process.exitCode = await run(file, await loadWorld(file), options);
    });
}

/** Gives the exit status. */
async function run(file: string, world: AnyWorld, options: RunCommandOptions): Promise<number> {
  const { seed, keepGoing, json } = options;
  const { first, last } = seed === undefined ? options.seeds : { first: seed, last: seed };
  let interrupted = false as boolean;
  const interrupt = (): void => {
    interrupted = true;
  };
  process.once("SIGINT", interrupt);
  const tally = new Tally(world);
  const progress = new Progress(first, last);
  for (let at = first; at <= last && !interrupted; at += 1) {
    const faults = options.faults ?? drawFaults(at);
    try {
      const watch = options.trace && printEvent;
      tally.passed(runWorld(world, { seed: at, faults, ...(watch ? { watch } : {}) }));
    } catch (thrown) {
      const { message } = asFailure(thrown, file);
      tally.failed += 1;
      progress.clear();
      if (json) console.log(JSON.stringify({ seed: at, failed: message, faults }));
      else tellFailure(file, at, message, faults, options);
      if (!keepGoing) break;
    }
    if (progress.tell(at, tally)) await nextTurn();
  }
  process.off("SIGINT", interrupt);
  progress.clear();
  const absent = interrupted || tally.failed > 0 ? [] : tally.absent;
  if (json) console.log(JSON.stringify(tally.summary(absent)));
  else tally.tell(absent);
  if (tally.failed > 0 || absent.length > 0) return 1;
  return interrupted ? INTERRUPTED_STATUS : 0;
}

/** What a run threw, if it is about the world and not a mistake in its file. */
function asFailure(thrown: unknown, file: string): Error {
  if (thrown instanceof Violation) return thrown;
  if (thrown instanceof TidemarkError)
    throw new TidemarkError("BAD_OPTION", `${file}: ${thrown.message}`, { cause: thrown });
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

function tellFailure(
  file: string,
  seed: number,
  message: string,
  faults: Faults,
  options: RunCommandOptions,
): void {
  const given = options.faults ? ` --faults '${formatFaults(faults)}'` : "";
  console.log(`${paint("red", `SEED=${seed}`)}  ${printable(message)}`);
  console.log(`  faults: ${formatFaults(faults)}`);
  console.log(`  to see it: tidemark sim run ${file} --seed ${seed}${given} --trace`);
}

function printEvent({ nowMs, process: id, happening }: SimulationEvent): void {
  const { type, ...rest } = happening;
  const details = Object.entries(rest).map(
    ([key, value]) =>
      `${key} ${inspect(value, { breakLength: Number.POSITIVE_INFINITY, depth: 4 })}`,
  );
  console.log(`${nowMs.toFixed(3).padStart(10)}  ${id}  ${type}  ${details.join("  ")}`.trimEnd());
}

/** What all seeds together came to. */
class Tally {
  failed = 0;
  #seeds = 0;
  #events = 0;
  #complete = 0;
  #abandoned = 0;
  readonly #startedMs = performance.now();
  /** In how many seeds each `sometimes` held. */
  readonly #happened: Map<string, number>;

  constructor(world: AnyWorld) {
    this.#happened = new Map(Object.keys(world.sometimes ?? {}).map((name) => [name, 0]));
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

  summary(absent: readonly string[]): object {
    return {
      seeds: this.#seeds + this.failed,
      failed: this.failed,
      events: this.#events,
      snapshots: { complete: this.#complete, abandoned: this.#abandoned },
      happened: Object.fromEntries(this.#happened),
      neverHappened: absent,
    };
  }

  tell(absent: readonly string[]): void {
    const all = this.#seeds + this.failed;
    const verdict =
      this.failed > 0
        ? paint("red", `${grouped(this.failed)} of ${grouped(all)} seeds failed`)
        : paint("green", `${grouped(all)} ${all === 1 ? "seed" : "seeds"}, none failed`);
    const took = performance.now() - this.#startedMs;
    console.log(
      `${verdict}  ${grouped(this.#events)} events in ${duration(took)} (${grouped(this.rate)}/s)`,
    );
    console.log(
      `  ${grouped(this.#complete)} snapshots complete, ${grouped(this.#abandoned)} abandoned`,
    );
    for (const [name, seeds] of this.#happened)
      if (seeds > 0) console.log(`  sometimes "${name}": in ${grouped(seeds)} of them`);
    for (const name of absent)
      console.log(paint("red", `  sometimes "${name}": never; nothing shows that it can happen`));
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

  /** True now and then: time for others. */
  tell(seed: number, { rate, failed }: Tally): boolean {
    const now = performance.now();
    if (now - this.#toldMs < PROGRESS_MS) return false;
    this.#toldMs = now;
    if (process.stderr.isTTY) {
      this.#shown = true;
      const done = `${grouped(seed - this.#first + 1)} of ${grouped(this.#last - this.#first + 1)} seeds`;
      const bad = failed > 0 ? `, ${grouped(failed)} failed` : "";
      process.stderr.write(`\r\u001b[K${done}${bad}  ${grouped(rate)} events/s`);
    }
    return true;
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
