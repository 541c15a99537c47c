/** `tidemark sim`: runs the machines that ship in simulated systems. */

import { join, parse } from "node:path";
import { Command, Option } from "commander";
import { isTidemarkError, TidemarkError } from "../core/error.ts";
import {
  type Draws,
  formatSnapshot,
  parseDraws,
  parseEvents,
  parseTopology,
  passTokens,
  seededDraws,
  type TokenOutcome,
  type TokenState,
} from "../sim/token-passing.ts";
import { directoryName, jsonOption, wholeNumber } from "./options.ts";
import { simRunCommand } from "./sim-run.ts";
import { simScenarioCommand } from "./sim-scenario.ts";
import { printable } from "./terminal.ts";
import { makeDirectory, readText, writeText } from "./text-file.ts";

const HELP = `
Exit status: 0; 1 if something is wrong with what is simulated; 2 for a mistake
in the command.

Examples:
  tidemark sim cos418 3nodes.top 3nodes-simple.events
  tidemark sim cos418 --help`;

export function simCommand(): Command {
  return new Command("sim")
    .description("run the machines that ship in a simulated system")
    .addHelpText("after", HELP)
    .addCommand(simRunCommand())
    .addCommand(simScenarioCommand())
    .addCommand(cos418Command());
}

interface Cos418Options {
  readonly delays?: string;
  readonly draws?: string;
  readonly seed: number;
  readonly trace?: true;
  readonly out?: string;
  readonly json?: true;
}

/** The list in an object of draws, if no other one is asked for. */
const DRAWS = "draws";

const COS418_HELP = `
Servers pass tokens over one-way links, and snapshots are taken meanwhile. Each
is printed as a block: its id; SERVER TOKENS; FROM TO token(N) for each message
that was on a link. An empty line separates the blocks.

Each message takes one tick and a draw from 0 to 4 more. The draws come from
--seed, or from the list in the file of --delays: a JSON array, or an object
with that array as "draws", or under the name that --draws gives.

Exit status: 0; 1 if a line or a draw is wrong: FILE:LINE: REASON on standard
error; 2 if a file cannot be read, or for a mistake in the command.

Examples:
  tidemark sim cos418 3nodes.top 3nodes-simple.events
  tidemark sim cos418 3nodes.top 3nodes-simple.events --delays delays.json
  tidemark sim cos418 8nodes.top busy.events --seed 7 --trace --out results`;

function cos418Command(): Command {
  return new Command("cos418")
    .description("pass tokens by the files of a university course")
    .argument("<topology>", "how many servers, what they have, and the links: a .top file")
    .argument("<events>", "what they send, and when snapshots begin: an .events file")
    .addOption(new Option("--delays <file>", "replay draws from a file").conflicts("seed"))
    .option("--draws <name>", `the list in an object of draws (default: "${DRAWS}")`)
    .option("--seed <number>", "decides the draws", wholeNumber(0, Number.MAX_SAFE_INTEGER), 1)
    .option("--trace", "print everything that happens, before the snapshots")
    .option(
      "--out <directory>",
      "write each snapshot to a .snap file there, and print no blocks",
      directoryName,
    )
    .addOption(
      jsonOption("print a line of JSON for each snapshot, and one at the end").conflicts("trace"),
    )
    .addHelpText("after", COS418_HELP)
    .action((topology: string, events: string, options: Cos418Options) => {
      process.exitCode = cos418(topology, events, options);
    });
}

/** Gives the exit status. */
function cos418(
  topology: string,
  events: string,
  { delays, draws, seed, trace, out, json }: Cos418Options,
): number {
  if (draws !== undefined && delays === undefined)
    throw new TidemarkError("BAD_OPTION", "--draws names a list in the file of --delays");
  const texts = { topology: readText(topology), events: readText(events) };
  const list = delays === undefined ? undefined : readText(delays);
  let outcome: TokenOutcome;
  try {
    const system = parseTopology(texts.topology, topology);
    const happening = parseEvents(texts.events, system, events);
    const source: Draws =
      list === undefined || delays === undefined
        ? seededDraws(seed)
        : parseDraws(list, draws ?? DRAWS, delays);
    outcome = passTokens(system, happening, source, trace && console.log);
  } catch (error) {
    // It names the file and the line, as compilers do, for editors to find.
    if (!isTidemarkError(error)) throw error;
    console.error(printable(error.message));
    return 1;
  }
  const { snapshots } = outcome;
  if (out !== undefined) writeSnapshots(out, parse(events).name, snapshots);
  if (json) printJson(outcome);
  else if (out === undefined) {
    const blocks = snapshots.map((state, id) => formatSnapshot(id, state));
    process.stdout.write((trace && blocks.length > 0 ? "\n" : "") + blocks.join("\n"));
  }
  return 0;
}

/** Only of several is each told apart by its id. */
function writeSnapshots(directory: string, name: string, snapshots: readonly TokenState[]): void {
  makeDirectory(directory);
  for (const [id, state] of snapshots.entries()) {
    const number = snapshots.length > 1 ? id : "";
    writeText(join(directory, `${name}${number}.snap`), formatSnapshot(id, state));
  }
}

function printJson({ snapshots, time, end }: TokenOutcome): void {
  for (const [snapshot, state] of snapshots.entries())
    console.log(JSON.stringify({ snapshot, ...plain(state) }));
  console.log(JSON.stringify({ snapshots: snapshots.length, time, ...plain(end) }));
}

const plain = ({ tokens, messages }: TokenState): object => ({
  tokens: Object.fromEntries(tokens),
  messages,
});
