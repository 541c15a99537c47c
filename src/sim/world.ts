/** What is simulated and explored: a system, what the outside asks of it, and what must be true of it. */

import type { ProcessId } from "../core/id.ts";
import type { Channel } from "../core/topology.ts";
import type { ChannelOrder } from "../link/link.ts";
import type { Application } from "../process/application.ts";
import type { Codec } from "../process/codec.ts";
import type { SnapshotAlgorithm } from "../process/process.ts";
import type { SeenSnapshot } from "./seen.ts";

/** True or false of a world at one moment; a text is false, and says why. */
export type Property<M, State, Reply> = (view: View<M, State, Reply>) => boolean | string;

/** Properties by what they are called in reports. */
export type Properties<M, State, Reply> = Readonly<Record<string, Property<M, State, Reply>>>;

/** One thing that somebody outside asks of a process, once. */
export interface Asked<Request> {
  readonly of: ProcessId;
  readonly request: Request;
}

/**
 * A world: what `tidemark sim run` and `tidemark explore` expect a file to export by default.
 *
 * @typeParam M messages, between processes
 * @typeParam State what `capture` gives; with a frozen state, the list of its slices
 */
export interface World<M = unknown, State = unknown, Request = never, Reply = never> {
  readonly processes: readonly ProcessId[];
  /** @default "mesh": a channel each way between any two */
  readonly channels?: "mesh" | readonly Channel[];
  /** In what order messages are received from a channel; with `none`, as they come. @default "fifo" */
  readonly order?: ChannelOrder;
  /** How snapshots are taken. @default "chandy-lamport", or "lai-yang" if `order` is "none" */
  readonly algorithm?: SnapshotAlgorithm;
  /** A new instance, each time: it may depend on nothing else. */
  application(id: ProcessId): Application<M, State, Request, Reply>;
  /** @default jsonCodec() */
  readonly messageCodec?: Codec<M>;
  /** @default jsonCodec() */
  readonly stateCodec?: Codec<unknown>;
  /**
   * Each process logs its inputs, and shows nothing of what they lead to before they are safe. Who dies comes back with all that it
   * knew. Only simulated.
   * @default false
   */
  readonly logsInputs?: boolean;
  /** How requests are logged. @default jsonCodec() */
  readonly requestCodec?: Codec<Request>;
  /** What the outside asks: each once, at any time; those to one process in this order. Explored, as copies. @default none */
  readonly requests?: readonly Asked<Request>[];
  /** The initiators of snapshots, each begun at any time. @default none */
  readonly snapshots?: readonly ProcessId[];
  /**
   * Groups of two or more processes that could exchange their places, and nothing would be different but who is who. Of states that
   * differ in that alone a search looks at one. It refuses a claim that it finds to be false, and properties that tell
   * them apart. Only explored.
   * @default none
   */
  readonly interchangeable?: readonly (readonly ProcessId[])[];
  /** What holds at every moment. */
  readonly always?: Properties<M, State, Reply>;
  /** What holds at some moment of some run: a search in which it never does fails. */
  readonly sometimes?: Properties<M, State, Reply>;
  /** What holds in the end: of a simulated world when it has healed and come to rest; in every schedule from some step on. */
  readonly eventually?: Properties<M, State, Reply>;
  /** What holds in the first state and in every one that can be reached from it. Only explored. */
  readonly safety?: Properties<M, State, Reply>;
  /** What stays possible: from every state that can be reached, some path leads to one where it holds. Only explored. */
  readonly liveness?: Properties<M, State, Reply>;
}

/** Gives the world back; for its types. */
export function defineWorld<M, State, Request = never, Reply = never>(
  world: World<M, State, Request, Reply>,
): World<M, State, Request, Reply> {
  return world;
}

/** A world at one moment, seen from outside it: of all processes at once, as nobody inside could. */
export interface View<M, State, Reply> {
  /** Virtual time since the beginning. */
  readonly nowMs: number;
  /** The processes that are up. */
  readonly up: readonly ProcessId[];
  /** What the process' application would capture now; a frozen state as the list of its slices. `undefined` while it is down. */
  state(id: ProcessId): State | undefined;
  /** Messages that were sent and have not been received, in the order of sending. */
  inFlight(from: ProcessId, to: ProcessId): readonly M[];
  /** All of them. */
  allInFlight(): readonly M[];
  /** The answers to `requests`, by their index; `undefined` where there is none. */
  readonly replies: readonly (Reply | undefined)[];
  /** Snapshots that are complete, in that order. */
  readonly snapshots: readonly SeenSnapshot<M, State>[];
}
