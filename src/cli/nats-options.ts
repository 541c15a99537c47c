/** NATS as the place of snapshots, and as what carries frames: the options that several commands share. */

import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { TidemarkError } from "../core/error.ts";
import type { NatsStoreOptions } from "../nats/nats-store.ts";

/** What `addNatsOptions` gives. */
export interface NatsCommandOptions {
  /** True: the servers in the environment. */
  readonly nats?: string | true;
  readonly natsCreds?: string;
  readonly natsTls?: string;
  readonly natsReplicas?: 1 | 3;
  readonly natsPrefix?: string;
}

/** Where on NATS a system is. It may have a password in it, and goes to other processes over IPC alone. */
export type NatsPlace = Pick<NatsStoreOptions, "credentials" | "tls"> &
  Required<Pick<NatsStoreOptions, "prefix" | "replicas">> & { readonly servers: string };

const SERVERS_VARIABLE = "TIDEMARK_NATS";
const PREFIX = "tidemark";
const SCHEME = /^\s*(?:nats|tls):\/\//;

/** @param what for help, of `--nats` */
export function addNatsOptions(command: Command, what: string): Command {
  return (
    command
      // Parsed later: commander would print a password in what it refuses.
      .addOption(
        new Option("--nats [servers]", `${what}: nats://host:4222; or as ${SERVERS_VARIABLE} says`),
      )
      .option("--nats-creds <file>", "with --nats: credentials, as nsc makes them")
      .option("--nats-tls <directory>", "with --nats: ca.pem to trust; cert.pem, key.pem to show")
      .addOption(
        new Option("--nats-replicas <number>", "with --nats: on how many servers, 1 or 3")
          .default(undefined, "1")
          .argParser((text) => {
            if (text === "1" || text === "3") return Number(text);
            throw new InvalidArgumentError("Use 1, or 3 of a cluster.");
          }),
      )
      .addOption(
        new Option("--nats-prefix <name>", "with --nats: what all names there begin with").default(
          undefined,
          PREFIX,
        ),
      )
  );
}

/** As `addNatsOptions`, of a command that only needs snapshots: they are in a directory or there. */
export function addNatsStoreOptions(command: Command): Command {
  addNatsOptions(command, "instead of --dir");
  command.options.find(({ long }) => long === "--nats")?.conflicts("dir");
  return command;
}

/**
 * Undefined if NATS is not asked for.
 * @throws TidemarkError `BAD_OPTION`
 */
export function natsPlace(options: NatsCommandOptions): NatsPlace | undefined {
  const { nats, natsCreds, natsTls, natsReplicas = 1, natsPrefix = PREFIX } = options;
  if (nats === undefined) {
    const given = (["natsCreds", "natsTls", "natsReplicas", "natsPrefix"] as const).find(
      (name) => options[name] !== undefined,
    );
    if (given) throw bad(`--nats-${given.slice(4).toLowerCase()} goes with --nats`);
    return undefined;
  }
  const servers = nats === true ? (process.env[SERVERS_VARIABLE] ?? "") : nats;
  if (servers === "")
    throw bad(
      `--nats needs servers: behind it, as in nats://127.0.0.1:4222, or in ${SERVERS_VARIABLE}`,
    );
  // Without it, an argument that was meant for the command would be looked for as a host.
  if (!SCHEME.test(servers))
    throw bad(
      "what stands behind --nats is no server: use nats://host:4222 or tls://host:4222; " +
        `those of ${SERVERS_VARIABLE} are taken if --nats stands last, or before another option`,
    );
  return {
    servers,
    ...{ replicas: natsReplicas, prefix: natsPrefix },
    ...(natsCreds !== undefined && { credentials: resolve(natsCreds) }),
    ...(natsTls !== undefined && { tls: tlsIn(resolve(natsTls)) }),
  };
}

/**
 * Of a command that is about nothing else: whoever says nothing means what the environment says.
 * @throws TidemarkError `BAD_OPTION`
 */
export function requiredNatsPlace(options: NatsCommandOptions): NatsPlace {
  return natsPlace({ ...options, nats: options.nats ?? true }) as NatsPlace;
}

/** For people: which system, on which servers, and nothing secret. */
export function natsName({ servers, prefix }: NatsPlace): string {
  return `${prefix} on NATS at ${servers.split(",").map(serverName).join(", ")}`;
}

/** For people: the host and port of one of the servers. */
export function serverName(server: string): string {
  return server.replace(/^.*@|^.*:\/\//s, "").trim();
}

/** What of it is in no output, in whatever form it may come. */
export function natsSecrets({ servers }: NatsPlace): readonly string[] {
  return servers.split(",").flatMap((one) => {
    const [, who = ""] = /^(?:[^/]*:\/\/)?(.*)@/s.exec(one.trim()) ?? [];
    const secret = who.slice(who.indexOf(":") + 1);
    try {
      return [secret, decodeURIComponent(secret)];
    } catch {
      return [secret];
    }
  });
}

function tlsIn(directory: string): NonNullable<NatsPlace["tls"]> {
  const [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map((name) =>
    join(directory, name),
  ) as [string, string, string];
  if (!existsSync(ca)) throw bad(`--nats-tls: there is no ${ca}, by which to know the servers`);
  if (existsSync(cert) !== existsSync(key))
    throw bad(`--nats-tls: of cert.pem and key.pem in ${directory} each needs the other`);
  return existsSync(cert) ? { ca, cert, key } : { ca };
}

function bad(reason: string): TidemarkError {
  return new TidemarkError("BAD_OPTION", reason);
}
