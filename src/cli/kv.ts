/** `tidemark kv`: the replicated store, for clients of the Redis protocol. */

import { resolve } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { TidemarkError, textOf } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import type { LogPolicy } from "../runtime/input-log.ts";
import { readClientTls } from "../serve/client-tls.ts";
import type { KvSystemOptions } from "../serve/kv-system.ts";
import { SAVE_TIMEOUT_MS } from "../serve/redis-server.ts";
import { ServerSettings } from "../serve/server-settings.ts";
import { checkUsersFile } from "../serve/users-file.ts";
import { jsonAppReport, lineAppReport } from "./app-report.ts";
import { addJoinOptions, type JoinOptions, membersOf, refuseJoinOptions } from "./join-options.ts";
import { joinReport } from "./join-report.ts";
import { type JoinPlan, joinSystem } from "./join-system.ts";
import { kvExportCommand } from "./kv-export.ts";
import { kvImportCommand } from "./kv-import.ts";
import { addNatsOptions, type NatsCommandOptions } from "./nats-options.ts";
import { jsonOption, PORT_MAX, parseDuration, wholeNumber } from "./options.ts";
import { addRunOptions, type Plan, type RunOptions, runSystem } from "./run-system.ts";
import { natsPlaceOf } from "./store.ts";
import { PROCESSES_MAX, processNames, wholeRule } from "./system-file.ts";

/** How the total order comes about, by the names that people know. */
const ORDER_ENGINES = { sequencer: "sequencer", agreed: "agreed", jetstream: "log" } as const;
type OrderEngine = keyof typeof ORDER_ENGINES;

interface KvOptions extends RunOptions, NatsCommandOptions, JoinOptions {
  readonly processes: number;
  readonly host: string;
  readonly set?: Readonly<Record<string, string>>;
  readonly orderEngine?: OrderEngine;
  readonly causal?: readonly string[];
  readonly fifo?: readonly string[];
  readonly users?: string;
  readonly clientTls?: string;
  readonly interval: number;
  readonly keep: number;
  readonly dir: string;
  readonly log: LogPolicy | "off";
  readonly restarts?: number;
  readonly then?: "stop" | "restore";
  readonly json?: true;
}

const HELP = `
Each process serves all clients, on a port of its own: the given one and those
after it. What is written anywhere is in the same order everywhere, and is
answered when the process that was asked has it in that order; what is read is
what that process has.

BGSAVE takes a snapshot of the whole store, with all replicas at one cut.
tidemark snapshots, show, restore and the others work on its directory.

Who gives that order is one process, the first by name: while it is away writes
wait. With --order-engine agreed all must be there. With --join, --nats and
--order-engine jetstream a stream of NATS gives it, and whoever dies, the others
go on, as long as most processes and most servers are there.

Keys like a pattern of --causal or --fifo are not in that order: a write is
answered at once by the process that was asked, also while it is cut off from
others, and what all have written comes to the same everywhere. What has no such
meaning, lists for one, is refused there. All processes, and all later runs,
need the same patterns.

A process that dies is started again and comes back with all it knew, from its
log. Ctrl-C ends all processes.

On several machines each runs one process: --join says which it is, --peer who
the others are, or --config, a file that all have alike. With --nats servers of
NATS keep the snapshots and carry what processes say; with --listen as well, and
where each peer listens, they keep the snapshots alone. Without --nats there are
snapshots on one machine only, in a directory that all processes share. With
--tls what goes between processes that listen is encrypted, and each proves who
it is; without, trust the network.

Who may do what, --users says: each process reads that file when it starts, and
by ACL LOAD. With --client-tls nobody is served who does not speak TLS. See
docs/operate/access.md.

With import it takes keys from Redis into a running store, with export it writes
them for redis-cli --pipe.

Exit status: 0 if every snapshot was consistent; 1 if one was not, if a process
was lost, or the store could not start; 2 for a mistake in the options; 128 +
its number when a second signal, a second or more after the first, forced it.

Examples:
  tidemark kv                              # three processes, from port 7379 on
  redis-cli -p 7379 SET greeting hello
  redis-cli -p 7381 GET greeting
  tidemark kv --processes 1 --log always
  tidemark kv --set requirepass=secret --set maxclients=100
  tidemark kv --users users.acl --client-tls certificates
  tidemark kv --causal 'cart:*' --causal 'user:*' --fifo 'log:*'
  tidemark kv --join a --peer b --peer c --nats nats://10.0.0.9:4222
  tidemark kv --join a --listen 10.0.0.1:7400 --peer b=10.0.0.2:7400 \\
    --tls certificates                     # ca.pem, a.pem, a.key`;

export function kvCommand(): Command {
  const command = new Command("kv")
    .description("run a replicated key-value store that clients of Redis talk to")
    .addOption(
      new Option("--processes <number>", "how many, each an operating-system process")
        .default(3)
        .argParser(wholeNumber(1, PROCESSES_MAX)),
    )
    .addOption(
      new Option("--port <port>", "the first one serves there, the next ones on those after it")
        .default(7379)
        .argParser(wholeNumber(1, PORT_MAX)),
    )
    .option("--host <address>", "serve there; 0.0.0.0: everywhere", "127.0.0.1")
    .addOption(
      new Option("--set <name=value>", "a setting, as CONFIG SET takes it").argParser(parseSetting),
    )
    .addOption(
      new Option(
        "--users <file>",
        "users and what each may do, as in an aclfile of Redis: user NAME rules",
      ),
    )
    .addOption(
      new Option(
        "--client-tls <directory>",
        "clients speak TLS: cert.pem, key.pem; with ca.pem, they show a certificate it signed",
      ),
    )
    .addOption(
      new Option(
        "--order-engine <name>",
        "who gives the order: one process, all by agreement, or a stream of NATS",
      )
        .choices(Object.keys(ORDER_ENGINES))
        .default(undefined, "sequencer"),
    )
    .addOption(
      new Option(
        "--causal <pattern>",
        "keys like it are written at once where they are asked for, and converge; in causal order",
      ).argParser(parsePattern),
    )
    .addOption(
      new Option("--fifo <pattern>", "as --causal, in the order of each process").argParser(
        parsePattern,
      ),
    )
    .addOption(
      new Option("--interval <time>", "from snapshot to snapshot")
        .default(60_000, "1m")
        .argParser(parseDuration),
    );
  const log = ["everysec"] as const;
  command.addCommand(kvImportCommand()).addCommand(kvExportCommand());
  const logged = "what is written";
  const timeout = [SAVE_TIMEOUT_MS, "10m"] as const;
  addRunOptions(command, { keep: 100, logged, log, restarts: "5", timeout });
  addNatsOptions(command, "with --join, for snapshots");
  return addJoinOptions(command, "a store")
    .addOption(jsonOption("print a line of JSON for each snapshot, and one for all at the end"))
    .addHelpText("after", HELP)
    .hook("preSubcommand", (_, below) => {
      const given = command.options.find(
        (option) => command.getOptionValueSource(option.attributeName()) === "cli",
      );
      // It would be of no effect.
      if (given)
        throw new TidemarkError(
          "BAD_OPTION",
          `${given.long} in front of ${below.name()} is for a store that is started: put what is for ${below.name()} behind it`,
        );
    })
    .action(async (options: KvOptions) => {
      if (options.join !== undefined) {
        const given = OF_WHOLE_SYSTEMS.filter(
          (name) => command.getOptionValueSource(name) === "cli",
        );
        process.exitCode = await joinSystem(joinPlanOf(options, options.join, given));
        return;
      }
      refuseJoinOptions(options);
      if (options.orderEngine === "jetstream")
        throw new TidemarkError(
          "BAD_OPTION",
          "--order-engine jetstream is for --join with --nats, whose servers give the order",
        );
      if (natsPlaceOf(options))
        throw new TidemarkError(
          "BAD_OPTION",
          "--nats is for --join: a store on one machine has --dir",
        );
      const transports = { port: 0, loss: 0, repeat: 0 };
      process.exitCode = await runSystem(planOf(options), { ...options, ...transports });
    });
}

/** What one process of several machines cannot decide. */
const OF_WHOLE_SYSTEMS = [
  "ui",
  "uiPort",
  "uiHost",
  "processes",
  "interval",
  "timeout",
  "keep",
  "then",
  "new",
  "chaos",
  "trace",
] as const;

/** @throws TidemarkError `BAD_OPTION` */
function joinPlanOf(options: KvOptions, id: ProcessId, given: readonly string[]): JoinPlan {
  const { port, host, log, restarts, sync, compress, keyFile, tls, metrics, timeout } = options;
  const password = options.set?.["requirepass"];
  const bad = (reason: string): TidemarkError => new TidemarkError("BAD_OPTION", reason);
  if (given[0] !== undefined)
    throw bad(`--${given[0]} is for a store on one machine: with --join, nobody decides it alone`);
  const nats = natsPlaceOf(options);
  if (options.orderEngine === "jetstream" && !nats)
    throw bad("--order-engine jetstream needs --nats, whose servers give the order");
  const { processes, listen, peers } = membersOf(id, options, { nats });
  const rule = wholeRule();
  const kv = { processes, port, host, isOnePort: true, ...definitionIn(options) };
  const { clientTls } = kv;
  const serves = { address: `${host}:${port}`, ...(clientTls !== undefined && { clientTls }) };
  return {
    ...{ kind: "store", id, processes, peers, sync, directory: options.dir, timeoutMs: timeout },
    ...(listen && { listen }),
    ...(nats && { nats }),
    ...(compress !== undefined && { compress }),
    ...(keyFile !== undefined && { keyFile }),
    ...(tls !== undefined && { tls }),
    ...(metrics && { metrics }),
    ...(options.spans && { spans: options.spans }),
    events: { logLevel: options.logLevel, logFormat: options.logFormat },
    ...(password !== undefined && { password }),
    source: { kv },
    log: log === "off" ? undefined : log,
    restart: { ...rule, restarts: restarts ?? rule.restarts },
    serves,
    report: joinReport(process.stdout, id, options.json === true, serves),
  };
}

/** @throws TidemarkError `BAD_OPTION` */
function planOf(options: KvOptions): Plan {
  const { port, host, log, restarts, then: afterwards = "stop" } = options;
  const processes = processNames(options.processes);
  if (port + processes.length - 1 > PORT_MAX)
    throw new TidemarkError("BAD_OPTION", `there are no ${processes.length} ports from ${port} on`);
  const rule = wholeRule();
  const where = processes.map((id, i) => `${id} serves ${host}:${port + i}`).join(", ");
  const password = options.set?.["requirepass"];
  const definition = definitionIn(options);
  const spoken = definition.clientTls === undefined ? "" : ", with TLS";
  return {
    kind: "store",
    serves: {
      addresses: new Map(processes.map((id, i) => [id, { host, port: port + i }])),
      ...(password !== undefined && { password }),
      ...(definition.clientTls !== undefined && { clientTls: definition.clientTls }),
    },
    source: { kv: { processes, port, host, ...definition } },
    processes,
    about: { processes },
    directory: options.dir,
    log: log === "off" ? undefined : log,
    restart: { ...rule, restarts: restarts ?? rule.restarts, afterwards },
    intervalMs: options.interval,
    keep: options.keep,
    report: options.json
      ? jsonAppReport(process.stdout)
      : lineAppReport(process.stdout, `a store (${where}${spoken})`),
  };
}

/** What processes are told of the store. @throws TidemarkError `BAD_OPTION` */
function definitionIn(
  options: KvOptions,
): Pick<KvSystemOptions, "settings" | "namespaces" | "users" | "clientTls" | "total"> {
  const { causal, fifo, orderEngine } = options;
  return {
    ...(orderEngine && { total: ORDER_ENGINES[orderEngine] }),
    ...settingsIn(options),
    ...accessIn(options),
    ...((causal || fifo) && { namespaces: { ...(causal && { causal }), ...(fifo && { fifo }) } }),
  };
}

/** Looked at before anything is started. @throws TidemarkError `BAD_OPTION` */
function accessIn({ users, clientTls }: KvOptions): Pick<KvSystemOptions, "users" | "clientTls"> {
  if (users !== undefined) checkUsersFile(resolve(users));
  if (clientTls !== undefined) readClientTls(resolve(clientTls));
  return {
    ...(users !== undefined && { users: resolve(users) }),
    ...(clientTls !== undefined && { clientTls: resolve(clientTls) }),
  };
}

/** Checked before anything is started. @throws TidemarkError `BAD_OPTION` */
function settingsIn({ set: settings }: KvOptions): Pick<KvSystemOptions, "settings"> {
  if (!settings) return {};
  try {
    new ServerSettings(settings);
  } catch (cause) {
    const reason = textOf(cause).replace(/^ERR /, "");
    throw new TidemarkError("BAD_OPTION", `--set: ${reason}`, { cause });
  }
  return { settings };
}

/** As keys are: a text of bytes. */
function parsePattern(text: string, earlier: readonly string[] = []): readonly string[] {
  if (text === "") throw new InvalidArgumentError("A pattern is like cart:*.");
  const pattern = Buffer.from(text).toString("latin1");
  return earlier.includes(pattern) ? earlier : [...earlier, pattern];
}

function parseSetting(
  text: string,
  earlier: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  const equals = text.indexOf("=");
  if (equals < 1) throw new InvalidArgumentError("Write it as name=value.");
  return { ...earlier, [text.slice(0, equals)]: text.slice(equals + 1) };
}
