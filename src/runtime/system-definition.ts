/** What a file exports by default to be run by `tidemark up FILE`: a whole system of one user's applications. */

import type { ProcessId } from "../core/id.ts";
import type { Channel } from "../core/topology.ts";
import type { Application } from "../process/application.ts";
import type { Codec } from "../process/codec.ts";
import type { RecorderOptions } from "../trace/recorder.ts";
import type { LogPolicy } from "./input-log.ts";
import type { RunningProcess } from "./running-process.ts";
import type { SnapshotStore } from "./snapshot-store.ts";

/** What a process is told of the system that it is part of. */
export interface SystemView {
  /** All processes of the system, in the order of the definition. */
  readonly processes: readonly ProcessId[];
}

/** What `serve` is told. */
export interface ServedSystem extends SystemView {
  /** Where its snapshots are. */
  readonly store: SnapshotStore;
}

/** When a process that ended is not started again any more. */
export interface RestartRule {
  /** So many times within `withinMs` a process is started again; at the next end the system gives up. 0: at the first. @default 5 */
  readonly restarts?: number;
  /** @default 60000 */
  readonly withinMs?: number;
  /** The pause before the first restart, in milliseconds; each one after it is twice as long. @default 100 */
  readonly firstDelayMs?: number;
  /** The longest pause. A process that has run for as long begins with the first pause again. @default 10000 */
  readonly maxDelayMs?: number;
  /** What follows when it gives up: the end, or, once, a restore of all to the newest snapshot. @default "stop" */
  readonly afterwards?: "stop" | "restore";
}

/**
 * A system, as `tidemark up FILE` runs it.
 *
 * @typeParam M messages, between processes
 * @typeParam State what `capture` gives; with a frozen state, the list of its slices
 */
export interface SystemDefinition<M = unknown, State = unknown, Request = never, Reply = never> {
  /** Their names, or how many: then they are p1, p2 and so on. At most 64. */
  readonly processes: number | readonly ProcessId[];
  /** A new instance, in the operating-system process of that one. */
  application(id: ProcessId, system: SystemView): Application<M, State, Request, Reply>;
  /**
   * The way in from outside, if there is one beside `tidemark request`: opens a server, say, that asks `running.request`. Called in the
   * operating-system process of each process once it runs. Gives what closes it again, which is called before the process is
   * drained and stopped.
   */
  serve?(
    running: RunningProcess<M, State, Request, Reply>,
    system: ServedSystem,
  ): Closing | undefined | undefined | Promise<Closing | undefined | undefined>;
  /** Only processes of the same system talk to each other. @default "tidemark" */
  readonly system?: string;
  /** @default "mesh": a channel each way between any two */
  readonly channels?: "mesh" | readonly Channel[];
  /** In what order messages are received from a channel; with `none`, as they come. @default "fifo" */
  readonly order?: "fifo" | "none";
  /** How snapshots are taken. @default "chandy-lamport", or "lai-yang" if `order` is "none" */
  readonly algorithm?: "chandy-lamport" | "lai-yang";
  /** @default MessagePack */
  readonly messageCodec?: Codec<M>;
  /** @default MessagePack */
  readonly stateCodec?: Codec<State>;
  /** How requests are logged. @default MessagePack */
  readonly requestCodec?: Codec<Request>;
  /**
   * By what policy each process logs its inputs, so that it comes back with all that it knew: docs/operate/durability.md. `false`: none
   * does. `--log` of the command says otherwise. @default "everysec"
   */
  readonly log?: LogPolicy | false;
  /** After so many bytes of inputs the state is captured, and they are not needed any more. @default 64 MiB */
  readonly captureBytes?: number;
  /** Bytes on the way on one channel, not taken by the receiver. @default 1 MiB */
  readonly windowBytes?: number;
  /** Bytes that may wait on one channel, beyond which `turn.send` throws. @default 64 MiB */
  readonly limitBytes?: number;
  /** A peer that is down for this long is lost: snapshots no longer wait for it. @default 5000 */
  readonly lostAfterMs?: number;
  /** What each process records for a trace, all the time; `true`: by default options. `tidemark trace record` reads it. @default nothing */
  readonly trace?: true | RecorderOptions;
  /** Spans of OpenTelemetry, by the provider that the file registers: docs/operate/spans.md. @default false */
  readonly spans?: boolean;
  readonly snapshots?: {
    /** From one snapshot that is taken unasked to the next; 0: one right after the other. @default 10000 */
    readonly everyMs?: number;
    /** How many to keep, but for those with a label; 0: all. @default 1000 */
    readonly keep?: number;
  };
  /** What happens when a process ends that nobody stopped. */
  readonly restart?: RestartRule;
  /** Where snapshots and logs are if `--dir` does not say so, from where the file is. @default ".tidemark", from where one is */
  readonly directory?: string;
}

/** Closes what `serve` opened. */
export type Closing = () => void | Promise<void>;

/**
 * Gives the definition back; for its types. A file that exports it by default is run by `tidemark up FILE`, each process in an
 * operating-system process of its own, which is started again when it dies. The file is loaded in each of them, and in the one that
 * starts them: nothing in it should happen but in the functions of the definition. It throws nothing: `tidemark up` says what is
 * wrong with a definition.
 *
 * @example
 * ```ts
 * import { type Application, defineSystem, type Turn } from "tidemark";
 *
 * class Counter implements Application<number, number, number, number> {
 *   #sum = 0;
 *   request(id: number, add: number, turn: Turn<number, number>) {
 *     this.#sum += add;
 *     turn.send(turn.peers, add);
 *     turn.reply(id, this.#sum);
 *   }
 *   receive(_from: string, add: number) { this.#sum += add; }
 *   capture() { return this.#sum; }
 *   restore(sum: number) { this.#sum = sum; }
 * }
 *
 * export default defineSystem({ processes: ["a", "b", "c"], application: () => new Counter() });
 * ```
 */
export function defineSystem<M, State, Request = never, Reply = never>(
  definition: SystemDefinition<M, State, Request, Reply>,
): SystemDefinition<M, State, Request, Reply> {
  return definition;
}
