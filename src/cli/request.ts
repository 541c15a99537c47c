/** `tidemark request`: asks the application of one process of the running system. */

import { Command, Option } from "commander";
import { TidemarkError, textOf } from "../core/error.ts";
import { ControlClient } from "../runtime/control-socket.ts";
import type { SystemMethods } from "../serve/system-methods.ts";
import { directoryOption, jsonOption, parseTimeout } from "./options.ts";
import { readable } from "./values.ts";

interface RequestOptions {
  readonly dir: string;
  readonly timeout: number;
  readonly json?: true;
}

const HELP = `
The request is what the application's method request gets, as JSON; the reply
is what it gives with turn.reply.

Exit status: 0; 1 if the process does not answer, or no system is running; 2
for a request that is not JSON, or a process that there is not.

Examples:
  tidemark request p1 '{"type":"state"}'    # of the bank
  tidemark request a 5 --json`;

export function requestCommand(): Command {
  return new Command("request")
    .description("ask the application of a process of the running system")
    .argument("<process>", "its name")
    .argument("<request>", "what to ask, as JSON")
    .addOption(directoryOption())
    .addOption(
      new Option("--timeout <time>", "wait so long for the reply")
        .default(10_000, "10s")
        .argParser(parseTimeout),
    )
    .addOption(jsonOption("print the reply as one line of JSON"))
    .addHelpText("after", HELP)
    .action(async (of: string, text: string, { dir, timeout, json }: RequestOptions) => {
      const request = parse(text);
      const client = await ControlClient.connect<SystemMethods>(dir);
      try {
        const parameter = { process: of, request, timeoutMs: timeout };
        const { reply } = await client.call("request", parameter);
        console.log(json ? JSON.stringify(reply) : readable(reply, true));
      } finally {
        client.close();
      }
    });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new TidemarkError("BAD_OPTION", `the request is not JSON: ${textOf(error)}`);
  }
}
