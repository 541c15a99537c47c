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
      let failed = 0;
      for (const file of files) if (!one(file, options)) failed += 1;
      if (files.length > 1 && !options.json)
        console.log(`${files.length - failed} of ${files.length} as expected`);
      process.exitCode = failed > 0 ? 1 : 0;
    });
}

/** True if all is as expected. */
function one(file: string, { update, print, json }: ScenarioOptions): boolean {
  const beside = `${file.replace(/\.tide$/, "")}.out`;
  const text = readText(file);
  let outcome: ScenarioOutcome;
  try {
    outcome = runScenario(text, file);
  } catch (error) {
    if (!isTidemarkError(error)) throw error;
    if (json) console.log(JSON.stringify({ file, ok: false, failures: [error.message] }));
    else console.error(printable(error.message));
    return false;
  }
  const failures = [...outcome.failures];
  if (update && failures.length === 0) writeText(beside, outcome.text);
  else if (existsSync(beside)) {
    const difference = firstDifference(readText(beside), outcome.text);
    if (difference !== undefined) failures.push(`${beside}:${difference}`);
  }
  if (json)
    console.log(JSON.stringify({ file, ok: failures.length === 0, failures, text: outcome.text }));
  else {
    if (print) process.stdout.write(outcome.text);
    for (const failure of failures) console.log(paint("red", failure));
    if (failures.length === 0 && !print) console.log(`${paint("green", "as expected")}  ${file}`);
  }
  return failures.length === 0;
}

/** The number of the first line that differs, and how. */
function firstDifference(expected: string, found: string): string | undefined {
  if (expected === found) return undefined;
  const [a, b] = [expected.split("\n"), found.split("\n")];
  const i = a.findIndex((line, at) => line !== b[at]);
  const at = i < 0 ? a.length : i;
  return `${at + 1}: expected "${a[at] ?? "no more"}", and it is "${b[at] ?? "no more"}"`;
}
