/**
 * One process' share in detecting deadlock among processes that wait for *all* they asked for (the AND model, as with locks): edge
 * chasing, Chandy, Misra and Haas 1983, "Distributed Deadlock Detection", ACM Transactions on Computer Systems 1(2).
 *
 * Assumptions. A process that asked is blocked until all is granted, and grants nothing meanwhile; one that does both at a time is two
 * processes here. Requests, grants and probes share channels that are FIFO and exactly-once; probes may also be repeated. No process
 * loses its state.
 *
 * Theory of operation. Whoever is blocked sends a *probe* to each that it waits for. A probe that comes to a blocked process, from one
 * that it has yet to grant something, goes on to each that this one waits for; once for each time that a process began. If a probe
 * comes back to who began it, those that it passed wait for each other in a circle, and none will ever go on.
 *
 * Why: a probe says which request it follows, by number. Who takes it is blocked, and has not granted that request; so its sender has
 * been blocked since it sent the probe, and has granted nothing since then, and so on back to the beginning. So all of the
 * circle are blocked at this moment. That the probe is not before its request (FIFO) is needed only for it not to be dropped.
 *
 * At most one probe goes along each edge of the wait-for graph, each time that somebody begins; a circle of n is found after n hops. Who
 * closes a circle is the last one in it to be blocked: so it is enough that each process begins (`check`) once it is blocked, at once
 * or a while later if it still is. A process that waits for a circle and is not in it learns nothing.
 */

import { checkForm, count, list, processId, record, where } from "../core/form.ts";
import type { ProcessId } from "../core/id.ts";
import type { Machine } from "../core/machine.ts";
import { type ControlInput, type DirectEffect, Members } from "./members.ts";

/** Follows a request. */
export interface Probe {
  /** Of the times that the first of the path began. */
  readonly number: number;
  /** The request that it follows, of those from its sender to its receiver. */
  readonly request: number;
  /** Whom it passed: from who began to who sends it, each waiting for the next. */
  readonly path: readonly ProcessId[];
}

/** What the machine is told. */
export type AndDeadlockInput =
  /** A request leaves: this process is blocked until it is granted, and all others of it. */
  | { readonly type: "asks"; readonly of: ProcessId }
  /** A grant came. */
  | { readonly type: "got"; readonly from: ProcessId }
  /** A request came. */
  | { readonly type: "asked"; readonly by: ProcessId }
  /** A grant leaves. */
  | { readonly type: "grants"; readonly to: ProcessId }
  /** If this process is blocked, it is to find out whether for ever. */
  | { readonly type: "check" }
  | ControlInput;

/** What the driver must do, in order. */
export type AndDeadlockEffect =
  | DirectEffect<Probe>
  /** This process is deadlocked: each in the list waits for the next one, and the last one for the first, which is this one. */
  | { readonly type: "deadlocked"; readonly circle: readonly ProcessId[] };

/** Plain data; lists have a number for each process, in ascending order of the ids. */
export interface AndDeadlockState {
  /** Requests of this process to each, and how many of these were granted. */
  readonly asked: number[];
  readonly got: number[];
  /** Requests of each to this process, and how many of these it granted. */
  readonly wanted: number[];
  readonly granted: number[];
  /** How often it began; what it began before it was blocked, or before it was told, is over. */
  begun: number;
  over: number;
  /** By who began: the last time of which a probe went on from here. */
  readonly seen: number[];
}

/**
 * See the head of the file.
 *
 * @example
 * ```ts
 * import { ChandyMisraHaasAnd } from "tidemark/detect";
 * const a = new ChandyMisraHaasAnd("a", ["a", "b"]);
 * const b = new ChandyMisraHaasAnd("b", ["a", "b"]);
 * // Each asks the other.
 * a.step({ type: "asks", of: "b" });
 * b.step({ type: "asks", of: "a" });
 * a.step({ type: "asked", by: "b" });
 * b.step({ type: "asked", by: "a" });
 * const [probe] = a.step({ type: "check" });
 * if (probe?.type !== "control") throw new Error("a probe follows the request");
 * const [next] = b.step({ ...probe, from: "a" });
 * if (next?.type !== "control") throw new Error("and goes on");
 * const [told] = a.step({ ...next, from: "b" });
 * if (told?.type !== "deadlocked" || String(told.circle) !== "a,b") throw new Error("a and b wait for each other");
 * ```
 */
export class ChandyMisraHaasAnd
  implements Machine<AndDeadlockInput, AndDeadlockEffect, AndDeadlockState>
{
  readonly state: AndDeadlockState;
  readonly #members: Members;
  readonly #form;

  /**
   * @param processes all of the system
   * @param saved of a machine as it was; it is taken over
   * @throws TidemarkError `BAD_ID`, `BAD_OPTION`, `UNKNOWN_PROCESS`
   */
  constructor(self: ProcessId, processes: readonly ProcessId[], saved?: AndDeadlockState) {
    const members = new Members(self, processes);
    this.#members = members;
    const member = where(
      processId,
      "be a process of the system",
      (id) => members.numberOf(id) !== undefined,
    );
    this.#form = record<Probe>({ number: count, request: count, path: list(members.size, member) });
    this.state = saved ?? {
      ...{ asked: members.zeros(), got: members.zeros() },
      ...{ wanted: members.zeros(), granted: members.zeros() },
      ...{ begun: 0, over: 0, seen: members.zeros() },
    };
  }

  /** It waits for something. */
  get isBlocked(): boolean {
    const { asked, got } = this.state;
    return asked.some((requests, number) => requests > (got[number] ?? 0));
  }

  step(input: AndDeadlockInput): readonly AndDeadlockEffect[] {
    const effects: AndDeadlockEffect[] = [];
    const { state } = this;
    switch (input.type) {
      case "asks":
        this.#add(state.asked, input.of, effects);
        break;
      case "got":
        this.#add(state.got, input.from, effects, state.asked);
        if (!this.isBlocked) state.over = state.begun;
        break;
      case "asked":
        this.#add(state.wanted, input.by, effects);
        break;
      case "grants":
        if (this.isBlocked)
          effects.push({
            type: "irregular",
            reason: `something is granted to ${input.to}, but this process is blocked`,
          });
        this.#add(state.granted, input.to, effects, state.wanted);
        break;
      case "check":
        if (!this.isBlocked) break;
        state.begun += 1;
        this.#probe([], state.begun, effects);
        break;
      case "control": {
        const reason = this.#arrived(input, effects);
        if (reason) effects.push({ type: "irregular", reason });
      }
    }
    return effects;
  }

  /** One more with that process; not more than `most`, if there is such a list. */
  #add(
    list: number[],
    id: ProcessId,
    effects: AndDeadlockEffect[],
    most?: readonly number[],
  ): void {
    const number = this.#members.other(id);
    const next = number === undefined ? 0 : (list[number] ?? 0) + 1;
    if (number === undefined)
      effects.push({ type: "irregular", reason: `${id} is no other process` });
    else if (most && next > (most[number] ?? 0))
      effects.push({
        type: "irregular",
        reason: `a grant between ${id} and this process, and no request`,
      });
    else list[number] = next;
  }

  /** To each that this process waits for. */
  #probe(before: readonly ProcessId[], number: number, effects: AndDeadlockEffect[]): void {
    const { asked, got } = this.state;
    const path = [...before, this.#members.id(this.#members.self)];
    for (const [to, request] of asked.entries())
      if (request > (got[to] ?? 0))
        effects.push({
          type: "control",
          to: this.#members.id(to),
          message: { number, request, path },
        });
  }

  /** Gives what is wrong with it. */
  #arrived({ from, message }: ControlInput, effects: AndDeadlockEffect[]): string | undefined {
    const { state } = this;
    const sender = this.#members.other(from);
    if (sender === undefined) return "a probe came from no other process";
    const checked = checkForm(this.#form, message);
    if ("problem" in checked) return `a probe of ${from}: ${checked.problem}`;
    const { number, request, path } = checked.copy;
    const first = this.#members.numberOf(path[0]);
    if (first === undefined || path.at(-1) !== from)
      return `a probe of ${from} has a path that does not end there`;
    if (request > (state.wanted[sender] ?? 0))
      return `a probe of ${from} follows a request that has not come`;
    if (request <= (state.granted[sender] ?? 0) || !this.isBlocked) return undefined;
    if (first === this.#members.self) {
      if (number > state.begun) return `a probe of ${from} is of a beginning that was not`;
      if (number <= state.over) return undefined;
      state.over = number;
      effects.push({ type: "deadlocked", circle: path });
      return undefined;
    }
    if (number <= (state.seen[first] ?? 0)) return undefined;
    state.seen[first] = number;
    this.#probe(path, number, effects);
    return undefined;
  }
}
