/** `tidemark bank`: runs a script on a bank whose accounts are operating-system processes of their own. */

import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { constants, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { Command } from "commander";
import { parseLine, splitLines } from "../bank/script.ts";
import { isTidemarkError, TidemarkError, textOf } from "../core/error.ts";
import { Random } from "../core/random.ts";
import { directoryStore } from "../runtime/directory-store.ts";
import { wholeRecording } from "../serve/record-trace.ts";
import type { RecordedEvent, Recording } from "../trace/recorder.ts";
import { traceLines } from "../trace/recording.ts";
import { type BankHome, BankMaster, type HostedAccount } from "./bank-master.ts";
import { HostedProcess } from "./hosted-process.ts";
import { wholeNumber } from "./options.ts";
import { printable } from "./terminal.ts";
import { bytesOfLines, STANDARD, writeTo } from "./transfer.ts";

/** How to run a script. */
export interface BankOptions {
  /** Decides what the script leaves open. @default none: the smallest receiver, then the smallest sender goes first */
  readonly seed?: number | undefined;
  /** A file that is made at the end: a trace of what the accounts did. @default none */
  readonly trace?: string | undefined;
  /** @default each account in an operating-system process of its own, over loopback TCP */
  readonly openHome?: (problem: (text: string) => void) => Promise<BankHome>;
}

/** Where the results of a script go. */
export interface BankOutput {
  /** Takes results: whole lines, and nothing else. */
  readonly print: (text: string) => void;
  /** Takes what is wrong or worth knowing: one line, without its end. */
  readonly tell: (text: string) => void;
}

/**
 * Runs a script line by line, as the lines come. A line that is wrong is told with its number and has no effect.
 *
 * @returns the exit status: 1 if any line was wrong, else 0
 */
export async function runBank(
  lines: AsyncIterable<string>,
  { seed, trace, openHome }: BankOptions,
  { print, tell }: BankOutput,
): Promise<number> {
  let number = 0;
  let status = 0;
  const recordings: Recording[] = [];
  const note = (text: string): void => tell(`line ${number}: note: ${text}`);
  const wrong = (text: string): void => {
    tell(`line ${number}: ${text}`);
    status = 1;
  };
  const master = new BankMaster({
    openHome: () => {
      const problem = (text: string): void => tell(`line ${number}: ${text}`);
      return openHome ? openHome(problem) : openHosted(problem, trace ? recordings : undefined);
    },
    random: seed === undefined ? undefined : new Random(seed),
    note,
  });
  try {
    for await (const line of lines) {
      number += 1;
      const command = parseLine(line);
      if (!command) continue;
      if ("problem" in command) {
        wrong(command.problem);
        continue;
      }
      try {
        const results = await master.perform(command);
        if (results !== "") print(results);
      } catch (error) {
        if (!isTidemarkError(error)) throw error;
        wrong(error.message);
      }
    }
  } finally {
    await master.close();
  }
  if (trace !== undefined) await writeTo(trace, bytesOfLines(traceLines(recordings)));
  return status;
}

/**
 * Accounts in operating-system processes, with their snapshots in a temporary directory.
 * @param recordings gets what they did
 */
async function openHosted(
  problem: (text: string) => void,
  recordings: Recording[] | undefined,
): Promise<BankHome> {
  const directory = temporaryDirectory();
  const accounts = new Set<HostedAccount>();
  const end = (): void => {
    for (const account of accounts) account.kill();
    rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
  };
  // However this process ends, but for a kill -9: then the accounts end themselves, and remove the directory.
  process.once("exit", end);
  return {
    store: directoryStore(directory, { sync: false }),
    async start(id, money, others) {
      const account: HostedAccount = await HostedProcess.start(
        {
          id,
          // Another bank on this machine may have nodes of the same names.
          system: basename(directory),
          processes: [id, ...others],
          source: { bank: { money, rate: 0 } },
          receive: "manual",
          seed: 0,
          port: 0,
          directory,
          sync: false,
          temporary: true,
          ...(recordings && { trace: { text: true } }),
        },
        ({ code, message }) => problem(`node ${message} (${code})`),
      );
      accounts.add(account);
      void account.ended.then((how) => {
        if (accounts.delete(account)) problem(`node ${id} has ended: ${how}`);
      });
      return account;
    },
    async close() {
      for (const account of recordings ? accounts : [])
        try {
          await account.call("startTrace", { options: {}, forMs: 0 });
          const head = await account.call("stopTrace", null);
          const read = (from: number): Promise<readonly RecordedEvent[]> =>
            account.call("readTrace", { from });
          if (head) recordings?.push(await wholeRecording(head, read));
        } catch (error) {
          problem(`the trace has nothing of node ${account.id}: ${textOf(error)}`);
        }
      const ended = [...accounts].map((account) => account.ended);
      // There is nothing to save.
      for (const account of accounts) account.kill();
      accounts.clear();
      await Promise.all(ended);
      process.off("exit", end);
      rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

/** At once: there is no moment in which it is there and "exit" would not remove it. */
function temporaryDirectory(): string {
  try {
    return mkdtempSync(join(tmpdir(), "tidemark-bank-"));
  } catch (error) {
    throw new TidemarkError("STORE_FAILED", `there is no place for snapshots: ${textOf(error)}`);
  }
}

/** The command for the command line. */
export function bankCommand(): Command {
  return new Command("bank")
    .description("run a script on a bank of processes that send each other money")
    .argument("[file]", 'the script; without it, or with "-", standard input')
    .option(
      "--seed <number>",
      "decides which channel is taken where the script leaves it open",
      wholeNumber(0, Number.MAX_SAFE_INTEGER),
    )
    .option("--trace <file>", "make that file at the end, a trace of what the accounts did")
    .addHelpText("after", HELP)
    .action(async (file: string | undefined, options: Pick<BankOptions, "seed" | "trace">) => {
      process.exitCode = await onTerminal(file, options);
    });
}

const HELP = `
Commands, one a line: StartMaster, KillAll, CreateNode ID MONEY, Send FROM TO AMOUNT, Receive TO [FROM],
ReceiveAll, BeginSnapshot ID, CollectState, PrintSnapshot. docs/use/bank-script.md says what they do.

Exit status: 0; 1 if a line was wrong; 2 if the script cannot be read.

Example:
  printf '%s\\n' 'CreateNode 1 100' 'CreateNode 2 50' 'Send 1 2 30' 'BeginSnapshot 1' \\
    ReceiveAll CollectState PrintSnapshot | tidemark bank`;

async function onTerminal(
  file: string | undefined,
  options: Pick<BankOptions, "seed" | "trace">,
): Promise<number> {
  if (options.trace === STANDARD || (options.trace && existsSync(options.trace)))
    throw new TidemarkError(
      "BAD_OPTION",
      `--trace is a file that is not there yet, not ${options.trace}`,
    );
  // "exit" ends the accounts.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.once(signal, () => process.exit(128 + constants.signals[signal]));
  // Whoever read the results is gone.
  process.stdout.once("error", () => process.exit(1));
  return await runBank(splitLines(readScript(file === "-" ? undefined : file)), options, {
    print: (text) => process.stdout.write(text),
    tell: (text) => process.stderr.write(`${printable(text)}\n`),
  });
}

async function* readScript(file: string | undefined): AsyncGenerator<string> {
  if (file === undefined && process.stdin.isTTY)
    process.stderr.write("Type commands, one a line; Ctrl-D ends.\n");
  try {
    yield* file === undefined
      ? process.stdin.setEncoding("utf8")
      : (await open(file)).createReadStream({ encoding: "utf8" });
  } catch (error) {
    throw new TidemarkError("BAD_OPTION", `the script cannot be read: ${textOf(error)}`);
  }
}
