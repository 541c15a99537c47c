/** `tidemark nats members`: which processes a system on several machines has, and which of them are there. */

import { Command, Option } from "commander";
import { TidemarkError } from "../core/error.ts";
import { duration } from "../core/quantity.ts";
import type { Member, MemberList, SystemMembers } from "../nats/members.ts";
import {
  addNatsOptions,
  type NatsCommandOptions,
  natsName,
  requiredNatsPlace,
} from "./nats-options.ts";
import { jsonOption } from "./options.ts";
import { printable, table } from "./terminal.ts";

interface MembersOptions extends NatsCommandOptions {
  readonly forget?: true;
  readonly json?: true;
}

const HELP = `
For processes of kv --join and up --join with --nats. Whoever starts first
says which processes there are and on what all agree; who differs is refused.
Each says every 5 s that it is there. Times are by the clock of the servers.

  there      it has said so within 20 s
  down       who runs it is there, and starts it again
  left       it was stopped, or given up
  silent     it has said nothing for 20 s: it was killed, hangs or is cut off
  never      it has not started yet

To change the configuration, stop all processes, forget it with --forget, and
start them all alike. Logs and snapshots stay: other processes or keys of
another order may need new ones.

Exit status: 0 if all of the configuration are there, or it is forgotten; 1 if
one is missing, nothing is known, something is damaged, or NATS fails.

Examples:
  tidemark nats members --nats nats://db1:4222
  tidemark nats members --json
  tidemark nats members --forget --nats nats://db1:4222`;

export function natsMembersCommand(): Command {
  const command = new Command("members")
    .description("list the processes of a system, and who is there")
    .argument("[system]", "its name, if there are several with the prefix")
    .addOption(
      new Option("--forget", "forget its configuration, so that it can begin with another one"),
    )
    .addOption(jsonOption("print one line of JSON for each system"));
  return addNatsOptions(command, "where they are")
    .addHelpText("after", HELP)
    .action(async (system: string | undefined, options: MembersOptions) => {
      const { forgetMembers, listMembers } = await import("../nats/members.ts");
      const place = requiredNatsPlace(options);
      const where = natsName(place);
      const list = await listMembers(place);
      const found = list.systems.filter((one) => system === undefined || one.system === system);
      const [first] = found;
      if (!first)
        throw new TidemarkError(
          "NOT_FOUND",
          `${system === undefined ? "no system" : `no system ${system}`} is known in ${where}: ` +
            "processes of kv --join and up --join with --nats make themselves known when they start",
        );
      if (!options.forget) {
        for (const [i, one] of found.entries()) {
          if (!options.json && i > 0) console.log("");
          if (options.json) console.log(JSON.stringify({ ...clockOf(list), ...one }));
          else for (const line of linesOf(one, list, where)) console.log(line);
        }
        process.exitCode = found.every(isWhole) ? 0 : 1;
        return;
      }
      if (found.length > 1)
        throw new TidemarkError(
          "BAD_OPTION",
          `there are several systems in ${where}: say which one to forget: ${found.map((one) => one.system).join(", ")}`,
        );
      await forgetMembers(place, first.system);
      if (options.json) console.log(JSON.stringify({ forgotten: first.system }));
      else
        console.log(
          `the configuration of ${printable(first.system)} is forgotten in ${where}: whoever starts next makes another one`,
        );
    });
}

const clockOf = ({ nowMs, clock }: MemberList): Pick<MemberList, "nowMs" | "clock"> => ({
  nowMs,
  clock,
});

const isWhole = ({ configuration, members }: SystemMembers): boolean =>
  configuration !== undefined &&
  members.every(({ configured, state }) => !configured || state === "there");

function linesOf(
  { system, configuration, problem, members }: SystemMembers,
  { nowMs, clock }: MemberList,
  where: string,
): readonly string[] {
  const head = ["process", "", "last seen", "since", "host", "pid", "address", "epoch", "version"];
  const rows = members.map((member) => [member.process, ...cellsOf(member, nowMs)].map(printable));
  return [
    `${printable(system)} in ${where}`,
    ...(configuration
      ? [
          `  set up by ${configuration.by} on ${printable(configuration.host)}, Tidemark ${printable(configuration.version)}`,
          `  processes: ${configuration.processes.join(", ")}`,
          ...configuration.agreed.map(({ what, value }) => printable(`  ${what}: ${value}`)),
        ]
      : [
          problem === undefined
            ? "  it has no configuration: whoever starts next makes one"
            : `  its configuration is damaged: ${printable(problem)}; --forget removes it`,
        ]),
    "",
    ...table([head, ...rows], "<<><<><>"),
    ...members.flatMap(({ process, problem: damage }) =>
      damage === undefined
        ? []
        : [`what ${process} said is damaged: ${printable(damage)}; it says it again while it runs`],
    ),
    ...(clock === "own"
      ? ["Nothing may be written there, so how long ago is by the clock of this computer."]
      : []),
  ];
}

function cellsOf(
  { state, seenMs, presence, configured }: Member,
  nowMs: number,
): readonly string[] {
  const ago = (atMs: number | undefined): string =>
    atMs === undefined ? "" : `${duration(Math.max(0, nowMs - atMs))} ago`;
  const how = presence?.left === "given up" ? "left: given up" : state;
  return [
    configured ? how : `${how}, not configured`,
    ago(seenMs),
    presence?.sinceMs === undefined ? "" : new Date(presence.sinceMs).toISOString(),
    presence?.host ?? "",
    presence ? String(presence.pid) : "",
    presence?.address ?? "",
    presence?.epoch === undefined ? "" : String(presence.epoch),
    presence?.version ?? "",
  ];
}
