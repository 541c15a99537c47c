/** `tidemark doctor`: whether a machine and a directory have what a system needs. */

import { Command, Option } from "commander";
import { isTidemarkError } from "../core/error.ts";
import { ControlClient } from "../runtime/control-socket.ts";
import type { SystemMethods, SystemStatus, SystemVersions } from "../serve/system-methods.ts";
import {
  checkClock,
  checkControlSocket,
  checkDirectory,
  checkDisk,
  checkFlush,
  checkNats,
  checkNode,
  checkOpenFiles,
  checkPort,
  checkTls,
  checkVersions,
  type Finding,
  openFilesLimit,
} from "./doctor-checks.ts";
import { addNatsOptions, type NatsCommandOptions, natsPlace } from "./nats-options.ts";
import {
  type Address,
  directoryName,
  directoryOption,
  jsonOption,
  parseAddress,
} from "./options.ts";
import { type Paint, painter, printable } from "./terminal.ts";
import { NODE_NEEDED, VERSION } from "./version.ts";

interface DoctorOptions extends NatsCommandOptions {
  readonly dir: string;
  readonly port?: readonly Address[];
  readonly tls?: string;
  readonly json?: true;
}

const TIMEOUT_MS = 10_000;

const HELP = `
Looks at Node, limits, the directory and its disk, the control socket, and, if
a system runs there, at the versions and clocks of its processes. Says of each
what was found, and what to do. It asks and measures, and changes nothing: for
the disk it writes a small file, flushes it, and removes it again.

With --nats it asks each of the servers, and JetStream for the streams that the
system has there: whether they are as a process with these options wants them.

Exit status: 0 if nothing is a failure, warnings or not; else 1.

Examples:
  tidemark doctor
  tidemark doctor --port 127.0.0.1:7379 --port 127.0.0.1:9464
  tidemark doctor --dir store --tls certificates --json
  tidemark doctor --nats nats://db1,nats://db2,nats://db3 --nats-replicas 3`;

export function doctorCommand(): Command {
  const command = new Command("doctor")
    .description("check whether a machine and a directory have what a system needs")
    .addOption(directoryOption())
    .addOption(
      new Option(
        "--port <host:port>",
        "whether that is free, or who listens there; once for each",
      ).argParser(parsePorts),
    )
    .addOption(
      new Option("--tls <directory>", "look at the certificates and keys there").argParser(
        directoryName,
      ),
    );
  return addNatsOptions(command, "look at the servers of NATS")
    .addOption(jsonOption("print a line of JSON for each check"))
    .addHelpText("after", HELP)
    .action(async (options: DoctorOptions) => {
      const findings = await examine(options);
      const paint = painter(process.stdout);
      for (const finding of findings)
        console.log(options.json ? JSON.stringify(finding) : described(finding, paint));
      process.exitCode = findings.some(({ verdict }) => verdict === "failure") ? 1 : 0;
    });
}

async function examine(options: DoctorOptions): Promise<readonly Finding[]> {
  const { dir, port = [], tls } = options;
  const nats = natsPlace(options);
  if (nats) {
    const { checkNatsOptions } = await import("../nats/examination.ts");
    await checkNatsOptions(nats);
  }
  const { status, versions } = await runningIn(dir);
  const own = { version: VERSION, node: process.versions.node };
  return [
    checkNode(own.node, NODE_NEEDED),
    checkOpenFiles(openFilesLimit()),
    await checkDirectory(dir),
    await checkDisk(dir),
    await checkFlush(dir),
    await checkControlSocket(dir, status !== undefined),
    checkVersions(own, versions, status),
    checkClock(versions),
    ...(await Promise.all(port.map((address) => checkPort(address, status)))),
    ...(tls === undefined ? [] : await checkTls(tls, Date.now())),
    ...(nats === undefined ? [] : await checkNats(nats)),
  ];
}

/** The system of the directory, if one runs; and its versions, if it tells them. */
async function runningIn(
  dir: string,
): Promise<{ readonly status?: SystemStatus; readonly versions?: SystemVersions }> {
  let client: ControlClient<SystemMethods>;
  try {
    client = await ControlClient.connect<SystemMethods>(dir);
  } catch (error) {
    // Why a socket cannot be opened is what its check says.
    if (isTidemarkError(error)) return {};
    throw error;
  }
  const patience = { timeoutMs: TIMEOUT_MS };
  try {
    const status = await client.call("status", null, patience);
    const versions = await client.call("versions", null, patience).catch(() => undefined);
    return { status, ...(versions && { versions }) };
  } catch {
    return {};
  } finally {
    client.close();
  }
}

function described({ check, verdict, found, advice }: Finding, paint: Paint): string {
  const colour = ({ ok: "green", warning: "yellow", failure: "red" } as const)[verdict];
  const head = `${paint(colour, verdict.padEnd(8))} ${check.padEnd(14)}  ${printable(found)}`;
  return advice === undefined ? head : `${head}\n${" ".repeat(25)}→ ${printable(advice)}`;
}

function parsePorts(text: string, earlier: readonly Address[] = []): readonly Address[] {
  return [...earlier, parseAddress(text)];
}
