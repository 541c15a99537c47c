/** The store as a system of processes: what `tidemark kv` runs. */

import type { ProcessId } from "../core/id.ts";
import { sha256 } from "../core/sha256.ts";
import { encodeUtf8 } from "../core/utf8.ts";
import { commandTable } from "../kv/commands.ts";
import { CONVERGING, type NamespacePatterns, Namespaces } from "../kv/namespaces.ts";
import { MESSAGE_BYTES } from "../kv/record.ts";
import {
  GROUP,
  groupOfLevel,
  Replica,
  type ReplicaReply,
  type ReplicaRequest,
  type ReplicaState,
} from "../kv/replica.ts";
import { describeGroup } from "../multicast/explanation.ts";
import type { TotalOrderEngine } from "../multicast/group.ts";
import { bytesCodec, lentBytesCodec } from "../process/codec.ts";
import { Grouped, groupedCodecs } from "../process/grouped.ts";
import { msgpackCodec } from "../runtime/msgpack-codec.ts";
import { defineSystem, type SystemDefinition } from "../runtime/system-definition.ts";
import { OwnSystem } from "./own-system.ts";
import { RedisServer } from "./redis-server.ts";

/** How the store is set up. */
export interface KvSystemOptions {
  readonly processes: readonly ProcessId[];
  /** Of the first process; the next ones follow. 0: any that are free. */
  readonly port: number;
  /** Each process serves on that port itself, for each is on a machine of its own. */
  readonly isOnePort?: boolean;
  readonly host?: string;
  /** As `CONFIG SET` takes them. */
  readonly settings?: Readonly<Record<string, string>>;
  /** A file of users; each process reads it for itself. @default none: there is the default user alone */
  readonly users?: string;
  /** A directory with `cert.pem`, `key.pem` and perhaps `ca.pem`: clients speak TLS. @default none */
  readonly clientTls?: string;
  /** How the total order comes about; the same for all processes. @default "sequencer" */
  readonly total?: TotalOrderEngine;
  /** Keys that are not in total order, and converge; the same for all processes. @default none */
  readonly namespaces?: NamespacePatterns;
  /** Hears of each server that serves, and of the replica beside it. */
  readonly onServing?: (process: ProcessId, server: RedisServer, replica: Replica) => void;
}

type StoreApplication = Grouped<Uint8Array, ReplicaState, ReplicaRequest, ReplicaReply>;

/** What is multicast and not with all members yet. */
const WINDOW_BYTES = 4 * 1024 * 1024;
/** The longest name of a system. */
const NAME_CHARACTERS = 256;

/** The definition of the system. */
export function kvSystem(
  options: KvSystemOptions,
): SystemDefinition<Uint8Array, unknown, ReplicaRequest, ReplicaReply> {
  const { processes, port, isOnePort, host, settings, users, clientTls } = options;
  const { namespaces, total = "sequencer" } = options;
  const levels = CONVERGING.filter((level) => (namespaces?.[level]?.length ?? 0) > 0);
  const groups = [GROUP, ...levels.map(groupOfLevel)];
  const applications = new Map<ProcessId, readonly [StoreApplication, Replica]>();
  return defineSystem<Uint8Array, unknown, ReplicaRequest, ReplicaReply>({
    processes,
    system: nameOf(namespaces, total),
    // The window of a group is to be the bound of what goes on while one is away.
    ...(levels.length > 0 && { windowBytes: 2 * WINDOW_BYTES }),
    application(self) {
      const replica = new Replica({
        ...{ self, table: commandTable, replicas: processes },
        ...(levels.length > 0 && { namespaces: new Namespaces(namespaces ?? {}) }),
      });
      const grouped: StoreApplication = new Grouped({
        self,
        application: replica,
        groups: Object.fromEntries(
          groups.map((name) => [
            name,
            { members: processes, ...(name === GROUP ? { total } : {}) },
          ]),
        ),
        messageCodec: lentBytesCodec,
        maxMessageBytes: MESSAGE_BYTES,
        windowBytes: WINDOW_BYTES,
        limitBytes: 16 * WINDOW_BYTES,
      });
      applications.set(self, [grouped, replica]);
      return grouped;
    },
    ...groupedCodecs<Uint8Array, unknown>({
      messageCodec: lentBytesCodec,
      stateCodec: msgpackCodec<unknown>(),
    }),
    requestCodec: bytesCodec,
    async serve(running, { store }) {
      const [grouped, replica] = applications.get(running.id) as readonly [
        StoreApplication,
        Replica,
      ];
      const explainGroup = (): readonly string[] => {
        const nowMs = performance.timeOrigin + performance.now();
        return groups.flatMap((name) => {
          const explanation = grouped.explain(name);
          return explanation ? describeGroup(explanation, nowMs) : [];
        });
      };
      const server = await RedisServer.start(running, replica, {
        port: port === 0 || isOnePort ? port : port + processes.indexOf(running.id),
        ...(host === undefined ? {} : { host }),
        ...(settings && { settings }),
        ...(users !== undefined && { users }),
        ...(clientTls !== undefined && { clientTls }),
        sweeps: running.id === processes[0],
        otherReplicas: processes.length - 1,
        system: new OwnSystem({ running, replica, processes, store, explainGroup }),
      });
      options.onServing?.(running.id, server, replica);
      return () => server.close();
    },
  });
}

/** Processes that do not agree on namespaces and order are none of one system; nor is a log from before they were others. */
function nameOf(namespaces: NamespacePatterns = {}, total: TotalOrderEngine): string {
  const named = CONVERGING.flatMap((level) =>
    (namespaces[level] ?? []).map((pattern) => ` ${level} ${JSON.stringify(pattern)}`),
  );
  const ordered = total === "sequencer" ? "" : ` order ${total}`;
  const name = `tidemark/kv${ordered}${named.join("")}`;
  return name.length <= NAME_CHARACTERS ? name : `tidemark/kv ${sha256(encodeUtf8(name))}`;
}
