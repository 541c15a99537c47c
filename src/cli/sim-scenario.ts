/** `tidemark sim scenario`: what happens to a few processes, told in a file, and what comes of it, in a file beside it. */

import { existsSync } from "node:fs";
import { Command } from "commander";
import { isTidemarkError } from "../core/error.ts";
import { runScenario, type ScenarioOutcome } from "../sim/scenario.ts";
import { jsonOption } from "./options.ts";
import { painter, printable } from "./terminal.ts";
import { readText, writeText } from "./text-file.ts";

interface ScenarioOptions {
  readonly update?: true;
  readonly print?: true;
  readonly json?: true;
}

const HELP = `
A scenario is a text file, NAME.tide. Its first line is a comment that says why
it exists; then one statement a line:

  processes p1 p2        channels mesh | channels p1→p2 p2→p1
  step p1 a              something happens inside p1
  send p1 p2 b [f]       b at the sender, f at the receiver
  receive p2 p1          the next message or marker from p1
  hold p1 p2, release p1 p2, deliver
  snapshot p1            named p1/1, p1/2 …
  expect p1 a b          the events at p1 so far
  expect p1→p2 f         what is in flight (-> is as good as →)
  expect p1/1 p1 a       what a snapshot recorded: of a process,
  expect p1/1 p1→p2 f    of a channel; or: expect p1/1 incomplete

What comes of it is compared with NAME.out beside it, if there is one.

Exit status: 0; 1 if something is not as expected, or the file is wrong:
FILE:LINE: REASON; 2 if a file cannot be read, or for a mistake in the command.

Examples:
  tidemark sim scenario scenarios/*.tide
  tidemark sim scenario mine.tide --update
  tidemark sim scenario mine.tide --print`;

const paint = painter(process.stdout);

export function simScenarioCommand(): Command {
  return new Command("scenario")
    .description("go through scenario files, and compare what comes of them")
    .argument("<files...>", "scenarios: .tide files")
    .option("--update", "write what comes of each to the file beside it")
    .option("--print", "print what happens, statement by statement")
    .addOption(jsonOption("print a line of JSON for each file").conflicts("print"))
    .addHelpText("after", HELP)
    .action((files: readonly string[], options: ScenarioOptions) => {
      const statuses = files.map((file) => one(file, options));
      const right = statuses.filter((status) => status === 0).length;
      if (files.length > 1 && !options.json) console.log(`${right} of ${files.length} as expected`);
      process.exitCode = Math.max(...statuses);
    });
}

/** Goes through one file, whatever came of the one before. Gives its exit status. */
function one(file: string, options: ScenarioOptions): 0 | 1 | 2 {
  const wrong = (error: unknown, status: 1 | 2): 1 | 2 => {
    if (!isTidemarkError(error)) throw error;
    const { message } = error;
    if (options.json) console.log(JSON.stringify({ file, ok: false, failures: [message] }));
    else console.error(printable(status === 1 ? message : `tidemark: ${message}`));
    return status;
  };
  const beside = `${file.replace(/\.tide$/, "")}.out`;
  let text: string;
  let known: string | undefined;
  try {
    text = readText(file);
    if (!options.update && existsSync(beside)) known = readText(beside);
  } catch (error) {
    return wrong(error, 2);
  }
  let outcome: ScenarioOutcome;
  try {
    outcome = runScenario(text, file);
  } catch (error) {
    return wrong(error, 1);
  }
  const failures = [...outcome.failures];
  const difference = known === undefined ? undefined : firstDifference(known, outcome.text);
  if (difference !== undefined) failures.push(`${beside}:${difference}`);
  if (options.update && failures.length === 0) writeText(beside, outcome.text);
  tell(file, outcome.text, failures, options);
  return failures.length === 0 ? 0 : 1;
}

function tell(
  file: string,
  text: string,
  failures: readonly string[],
  { print, json }: ScenarioOptions,
): void {
  const ok = failures.length === 0;
  if (json) {
    console.log(JSON.stringify({ file, ok, failures, text }));
    return;
  }
  if (print) process.stdout.write(text.split("\n").map(printable).join("\n"));
  for (const failure of failures) console.log(paint("red", printable(failure)));
  if (ok && !print) console.log(`${paint("green", "as expected")}  ${printable(file)}`);
}

/** The number of the first line that differs, and how. */
function firstDifference(expected: string, found: string): string | undefined {
  // A file that was checked out on Windows says the same.
  const [a, b] = [expected.split(/\r?\n/), found.split("\n")];
  if (a.join("\n") === found) return undefined;
  const i = a.findIndex((line, at) => line !== b[at]);
  const at = i < 0 ? a.length : i;
  return `${at + 1}: expected "${a[at] ?? "no more"}", and it is "${b[at] ?? "no more"}"`;
}
