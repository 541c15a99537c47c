/** `tidemark explore`: every schedule of a small world. */

import { setImmediate as nextTurn } from "node:timers/promises";
import { inspect } from "node:util";
import { Command, Option } from "commander";
import { duration } from "../core/quantity.ts";
import { type Counterexample, type Exploration, exploring, replay } from "../sim/explore.ts";
import { formatStep, parseSchedule, type ScheduleStep } from "../sim/schedule.ts";
import { jsonOption, wholeNumber } from "./options.ts";
import { grouped, painter, printable } from "./terminal.ts";
import { readText } from "./text-file.ts";
import { type AnyWorld, loadWorld } from "./world-file.ts";

interface ExploreCommandOptions {
  readonly order: "breadth" | "depth";
  readonly maxDepth?: number;
  readonly maxStates: number;
  readonly maxMemory: number;
  readonly replay?: string;
  readonly json?: true;
}

const HELP = `
FILE is a module that exports a world by default: see defineWorld of
tidemark/sim. Every order is tried in which messages can arrive, requests be
asked, timers ring and snapshots begin; time itself stands still, and nothing is
lost. A world must be small: two or three processes, a few messages.

Properties: always and safety hold in every state; sometimes in at least one;
eventually in the end of every schedule; liveness stays possible from every
state. A property that does not hold is shown with a shortest schedule, which
--replay goes through again.

Exit status: 0 if every state was looked at and all properties hold; 1 if one
does not, or a bound ended the search; 2 for a mistake in the command or FILE;
130 after Ctrl-C, with what was known by then.

Examples:
  tidemark explore cart.sim.ts
  tidemark explore cart.sim.ts --max-states 1000000 --json
  tidemark explore cart.sim.ts --replay schedule.txt`;

const INTERRUPTED_STATUS = 130;

const paint = painter(process.stdout);

export function exploreCommand(): Command {
  return new Command("explore")
    .description("try every schedule of a small world of yours")
    .argument("<file>", "the module with the world")
    .addOption(
      new Option("--order <order>", "breadth finds a shortest counterexample")
        .choices(["breadth", "depth"])
        .default("breadth"),
    )
    .option("--max-depth <steps>", "go no further than that", wholeNumber(1, 1_000_000))
    .option(
      "--max-states <count>",
      "stop at so many states",
      wholeNumber(1, 1_000_000_000),
      10_000_000,
    )
    .option("--max-memory <MiB>", "stop at so much memory for states", wholeNumber(1, 65_536), 1024)
    .addOption(
      new Option(
        "--replay <file>",
        "go through the steps of a file, and show each state",
      ).conflicts(["order", "maxDepth", "maxStates", "maxMemory", "json"]),
    )
    .addOption(jsonOption("print one line of JSON"))
    .addHelpText("after", HELP)
    .action(async (file: string, options: ExploreCommandOptions) => {
      const world = await loadWorld(file);
      process.exitCode =
        options.replay === undefined
          ? await search(file, world, options)
          : show(world, parseSchedule(readText(options.replay)));
    });
}

/** Gives the exit status. */
async function search(
  file: string,
  world: AnyWorld,
  options: ExploreCommandOptions,
): Promise<number> {
  const { order, maxDepth, maxStates, maxMemory, json } = options;
  const startedMs = performance.now();
  const rate = (states: number): number => (states * 1000) / (performance.now() - startedMs);
  const live = process.stderr.isTTY && !json;
  let interrupted = false as boolean;
  const interrupt = (): void => {
    interrupted = true;
  };
  process.once("SIGINT", interrupt);
  const searching = exploring(world, {
    order,
    ...(maxDepth === undefined ? {} : { maxDepth }),
    maxStates,
    maxBytes: maxMemory * 2 ** 20,
    progress: ({ states, depth }) => {
      if (live)
        process.stderr.write(
          `\r\u001b[K${grouped(states)} states, depth ${depth}, ${grouped(rate(states))}/s`,
        );
    },
  });
  let known = searching.next();
  while (!known.done && !interrupted) {
    await nextTurn();
    known = searching.next();
  }
  process.off("SIGINT", interrupt);
  const found = known.value;
  if (live) process.stderr.write("\r\u001b[K");
  if (json) {
    const { counterexample } = found;
    const schedule = counterexample?.schedule.map(formatStep);
    console.log(
      JSON.stringify({
        ...found,
        ...(known.done ? {} : { interrupted: true }),
        ...(counterexample ? { counterexample: { ...counterexample, schedule } } : {}),
      }),
    );
  } else {
    const took = performance.now() - startedMs;
    const { states, transitions, ends, depth } = found;
    console.log(
      `${grouped(states)} states, ${grouped(transitions)} transitions, ${grouped(ends)} ends, depth ${depth}` +
        `  ${duration(took)} (${grouped(rate(states))} states/s)`,
    );
    console.log(
      `  ${grouped(found.localStates)} states of single processes, which took ${grouped(found.steps)} steps`,
    );
    if (known.done) tell(file, world, found);
    else console.log("interrupted: what was looked at is not all there is");
  }
  if (!known.done) return INTERRUPTED_STATUS;
  return found.complete ? 0 : 1;
}

function tell(
  file: string,
  world: AnyWorld,
  { counterexample, bound, complete }: Exploration,
): void {
  if (complete) console.log(paint("green", "every schedule: all properties hold"));
  if (bound !== undefined)
    console.log(`the bound of ${bound} was reached: what was looked at is not all there is`);
  if (counterexample) tellCounterexample(file, world, counterexample);
}

function tellCounterexample(
  file: string,
  world: AnyWorld,
  { kind, property, reason, schedule }: Counterexample,
): void {
  const never = kind === "sometimes" && reason === undefined;
  const what =
    kind === "problem"
      ? property
      : never
        ? `sometimes "${property}": in no schedule`
        : `${kind} "${property}" does not hold${reason === undefined ? "" : `: ${reason}`}`;
  console.log(paint("red", printable(what)));
  if (never) return;
  console.log(`  after ${schedule.length} ${schedule.length === 1 ? "step" : "steps"}:`);
  for (const { step, text } of replay(world, schedule))
    if (step) console.log(`    ${printable(text)}`);
  console.log(
    `  to go through it: tidemark explore ${file} --replay FILE, with these lines in the file`,
  );
}

/** Gives the exit status. */
function show(world: AnyWorld, schedule: readonly ScheduleStep[]): number {
  for (const { text, wrong, view } of replay(world, schedule)) {
    console.log(paint("bold", printable(text)));
    if (wrong !== undefined) console.log(`  # ${printable(wrong)}`);
    for (const id of view.up) console.log(`  ${id}  ${inspect(view.state(id), { depth: 5 })}`);
    for (const from of view.up)
      for (const to of view.up) {
        const messages = view.inFlight(from, to);
        if (messages.length > 0)
          console.log(`  ${from} → ${to}  ${messages.map((one) => inspect(one)).join(", ")}`);
      }
  }
  return 0;
}
