/** What servers of NATS are, and what they have of a system: whether its processes could use them. Nothing is changed. */

import { textOf } from "../core/error.ts";
import { type NatsOptions, NatsSession } from "./connection.ts";
import { membersSettings } from "./members.ts";
import { orderedGroup, orderSettings } from "./nats-order-log.ts";
import { storeStreams } from "./nats-store.ts";
import { checkPlace, differencesFrom, type StreamSettings, streamInfo } from "./stream.ts";
import { controlSettings } from "./stream-control.ts";

/** What a server says of itself to whom it lets in. */
export interface NatsServerFound {
  readonly id: string;
  readonly version: string;
  readonly cluster?: string;
  readonly hasJetStream: boolean;
  readonly isEncrypted: boolean;
}

/** A stream of a system. */
export interface NatsStreamFound {
  readonly name: string;
  /** In what it is not as a process wants it, in words. */
  readonly differences: readonly string[];
  /** The servers whose copy is not up to date. */
  readonly behind: readonly string[];
}

/** Where a system is. */
export interface NatsSystem extends NatsOptions {
  readonly prefix: string;
  readonly replicas: 1 | 3;
}

/** Somebody waits for what comes of it. */
const PATIENCE_MS = 5_000;

/** @throws TidemarkError `BAD_OPTION` */
export async function checkNatsOptions({
  prefix,
  replicas,
  ...options
}: NatsSystem): Promise<void> {
  checkPlace(prefix, replicas);
  await sessionOf(options).close();
}

/**
 * Asks one server.
 * @throws TidemarkError `BAD_OPTION`, `STORE_FAILED`
 */
export async function examineServer(options: NatsOptions): Promise<NatsServerFound> {
  return await using(options, (session) =>
    session.use("ask the server", async ({ connection }) => {
      const { info } = connection;
      if (!info) throw new Error("it does not say who it is");
      return {
        ...{ id: info.server_id, version: info.version },
        ...(info.cluster !== undefined && { cluster: info.cluster }),
        hasJetStream: info.jetstream === true,
        isEncrypted: session.insistsOnTls || info.tls_required === true,
      };
    }),
  );
}

/**
 * Asks for the streams of a system; those that are not there are left out. Whether it has orders of groups is not known to a user
 * who may not list streams: `hidden` has the reason then.
 * @throws TidemarkError `BAD_OPTION`, `STORE_FAILED`
 */
export async function examineStreams({
  prefix,
  replicas,
  ...options
}: NatsSystem): Promise<{ readonly streams: NatsStreamFound[]; readonly hidden?: string }> {
  return await using(options, (session) =>
    session.use(`look at the streams of ${prefix}`, async ({ manager }) => {
      const streams: NatsStreamFound[] = [];
      const look = async (settings: StreamSettings): Promise<void> => {
        const info = await streamInfo(manager, settings.name);
        if (!info) return;
        streams.push({
          name: settings.name,
          differences: differencesFrom(settings, info.config),
          behind: (info.cluster?.replicas ?? []).flatMap(({ name, current }) =>
            current ? [] : name,
          ),
        });
      };
      const others = [controlSettings(prefix, replicas), membersSettings(prefix, replicas)];
      for (const settings of [...storeStreams(prefix, replicas), ...others]) await look(settings);
      const names: string[] = [];
      try {
        for await (const name of manager.streams.names(`${prefix}.order.>`)) names.push(name);
      } catch (error) {
        return { streams, hidden: textOf(error) };
      }
      for (const name of names.sort()) {
        const group = orderedGroup(prefix, name);
        if (group !== undefined) await look(orderSettings(prefix, group, replicas));
      }
      return { streams };
    }),
  );
}

const sessionOf = (options: NatsOptions): NatsSession =>
  new NatsSession({ ...options, name: "tidemark doctor", patienceMs: PATIENCE_MS }, "STORE_FAILED");

async function using<T>(
  options: NatsOptions,
  work: (session: NatsSession) => Promise<T>,
): Promise<T> {
  const session = sessionOf(options);
  try {
    return await work(session);
  } finally {
    await session.close();
  }
}
