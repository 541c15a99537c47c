/**
 * One process' share in detecting deadlock among processes that wait for *any* of some others (the OR model, as in communication): Chandy,
 * Misra and Haas 1983, "Distributed Deadlock Detection", ACM Transactions on Computer Systems 1(2), by a diffusing computation.
 *
 * Assumptions. A blocked process waits for a message of any of some processes, sends nothing of its own until one comes, and goes on
 * then. Messages of the computation, queries and replies share channels that are FIFO and exactly-once; queries and replies may also
 * be repeated. No process loses its state.
 *
 * Theory of operation. Whoever is blocked sends a *query* to each that it waits for. A process that is not blocked drops it, and never
 * replies. A blocked one is engaged by the first query of a computation, and sends queries to all that it waits for; it replies
 * when they all have. To further queries it replies at once, if it has been blocked ever since. When all have replied to who began, it
 * is deadlocked, and so is everybody that can be reached from it along waits: each reply came behind whatever its sender had sent before
 * it on that channel, and found the receiver still blocked; so nothing is under way to any of them from those it waits for.
 *
 * At most one query goes along each edge of the wait-for graph that can be reached, and one reply back, each time that somebody begins.
 * Of those that wait for each other the last one to be blocked finds it: so it is enough that each begins (`check`) once it is
 * blocked. Whoever waits for nobody will never go on: a process that has ended says that it waits for no one.
 *
 * The paper counts replies. Here it is remembered whose are missing, and a query that an engaged process gets again from who engaged it
 * is left without a reply: so nothing that is repeated counts twice, or for something else.
 */

import { checkForm, count, type Form, leaf, list, processId, record, where } from "../core/form.ts";
import type { ProcessId } from "../core/id.ts";
import type { Machine } from "../core/machine.ts";
import { type ControlInput, type DirectEffect, Members } from "./members.ts";

/** Goes along a wait, or back. */
export interface Query {
  readonly type: "query" | "reply";
  /** Who began, and which time. */
  readonly initiator: ProcessId;
  readonly number: number;
  /** Of a reply: who was found to be blocked, and is in no other reply. */
  readonly blocked: readonly ProcessId[];
}

/** What the machine is told. */
export type OrDeadlockInput =
  /** This process is blocked until a message of one of these comes. */
  | { readonly type: "waits"; readonly for: readonly ProcessId[] }
  /** It goes on. */
  | { readonly type: "active" }
  /** If this process is blocked, it is to find out whether for ever. */
  | { readonly type: "check" }
  | ControlInput;

/** What the driver must do, in order. */
export type OrDeadlockEffect =
  | DirectEffect<Query>
  /** This process is deadlocked, and so are all of these, in ascending order: each waits for some of them, and for nobody else. */
  | { readonly type: "deadlocked"; readonly with: readonly ProcessId[] };

/** What somebody began, as far as it has come here. */
interface Computation {
  number: number;
  /** This process has been blocked since it was engaged. */
  open: boolean;
  /** Whose query engaged it; itself, of who began. */
  engager: number;
  /** Whose replies are missing. */
  missing: number[];
  /** Whom the replies tell of. */
  blocked: number[];
}

/** Plain data; processes by number, in ascending order of the ids. */
export interface OrDeadlockState {
  /** `null` while it is not blocked. */
  waits: readonly number[] | null;
  /** How often it began. */
  begun: number;
  /** By who began, the last one that is known here. */
  readonly computations: Computation[];
}

/**
 * See the head of the file.
 *
 * @example
 * ```ts
 * import { ChandyMisraHaasOr } from "tidemark/detect";
 * const a = new ChandyMisraHaasOr("a", ["a", "b"]);
 * const b = new ChandyMisraHaasOr("b", ["a", "b"]);
 * a.step({ type: "waits", for: ["b"] });
 * b.step({ type: "waits", for: ["a"] });
 * const [query] = a.step({ type: "check" });
 * if (query?.type !== "control") throw new Error("b is asked");
 * const [back] = b.step({ ...query, from: "a" });
 * if (back?.type !== "control") throw new Error("b asks whom it waits for");
 * const [reply] = a.step({ ...back, from: "b" });
 * if (reply?.type !== "control") throw new Error("a is blocked");
 * const [last] = b.step({ ...reply, from: "a" });
 * if (last?.type !== "control") throw new Error("so b is, for good");
 * const [told] = a.step({ ...last, from: "b" });
 * if (told?.type !== "deadlocked" || String(told.with) !== "a,b") throw new Error("both are");
 * ```
 */
export class ChandyMisraHaasOr
  implements Machine<OrDeadlockInput, OrDeadlockEffect, OrDeadlockState>
{
  readonly state: OrDeadlockState;
  readonly #members: Members;
  readonly #form: Form<Query>;

  /**
   * @param processes all of the system
   * @param saved of a machine as it was; it is taken over
   * @throws TidemarkError `BAD_ID`, `BAD_OPTION`, `UNKNOWN_PROCESS`
   */
  constructor(self: ProcessId, processes: readonly ProcessId[], saved?: OrDeadlockState) {
    const members = new Members(self, processes);
    this.#members = members;
    const member = where(
      processId,
      "be a process of the system",
      (id) => members.numberOf(id) !== undefined,
    );
    this.#form = record<Query>({
      type: leaf('"query" or "reply"', (value) => value === "query" || value === "reply"),
      ...{ initiator: member, number: count, blocked: list(members.size, member) },
    });
    const none = (): Computation => ({
      number: 0,
      open: false,
      engager: -1,
      missing: [],
      blocked: [],
    });
    this.state = saved ?? { waits: null, begun: 0, computations: members.ids.map(none) };
  }

  step(input: OrDeadlockInput): readonly OrDeadlockEffect[] {
    const effects: OrDeadlockEffect[] = [];
    const { state } = this;
    switch (input.type) {
      case "waits":
        this.#goOn();
        this.#wait(input.for, effects);
        break;
      case "active":
        this.#goOn();
        break;
      case "check": {
        if (!state.waits) break;
        state.begun += 1;
        this.#engage(this.#members.self, state.begun, this.#members.self, state.waits, effects);
        break;
      }
      case "control": {
        const reason = this.#arrived(input, effects);
        if (reason) effects.push({ type: "irregular", reason });
      }
    }
    return effects;
  }

  #goOn(): void {
    this.state.waits = null;
    for (const computation of this.state.computations) computation.open = false;
  }

  #wait(ids: readonly ProcessId[], effects: OrDeadlockEffect[]): void {
    const waits = new Set<number>();
    for (const id of ids) {
      const number = this.#members.other(id);
      if (number !== undefined) waits.add(number);
      else {
        effects.push({
          type: "irregular",
          reason: `it waits for ${id}, which is no other process`,
        });
        // Somebody from outside may yet let it go on: nothing is claimed of it.
        return;
      }
    }
    this.state.waits = [...waits].sort((a, b) => a - b);
  }

  #engage(
    initiator: number,
    number: number,
    engager: number,
    waits: readonly number[],
    effects: OrDeadlockEffect[],
  ): void {
    const computation = { number, open: true, engager, missing: [...waits], blocked: [] };
    this.state.computations[initiator] = computation;
    for (const to of waits) this.#send("query", to, initiator, number, [], effects);
    this.#endIfAll(initiator, computation, effects);
  }

  #endIfAll(initiator: number, computation: Computation, effects: OrDeadlockEffect[]): void {
    const { self } = this.#members;
    if (computation.missing.length > 0) return;
    const blocked = [...new Set([...computation.blocked, self])].sort((a, b) => a - b);
    if (initiator !== self)
      this.#send("reply", computation.engager, initiator, computation.number, blocked, effects);
    else effects.push({ type: "deadlocked", with: blocked.map((one) => this.#members.id(one)) });
  }

  /** Gives what is wrong with it. */
  #arrived({ from, message }: ControlInput, effects: OrDeadlockEffect[]): string | undefined {
    const sender = this.#members.other(from);
    if (sender === undefined) return "a query or reply came from no other process";
    const checked = checkForm(this.#form, message);
    if ("problem" in checked) return `a query or reply of ${from}: ${checked.problem}`;
    const { type, number, blocked } = checked.copy;
    const { state } = this;
    const initiator = this.#members.numberOf(checked.copy.initiator) as number;
    const computation = state.computations[initiator] as Computation;
    const isOwn = initiator === this.#members.self;
    if (number > computation.number && (isOwn || type === "reply"))
      return `a ${type} of ${from} is of what was never asked`;
    // Whoever is not blocked may yet let others go on.
    if (!state.waits) return undefined;
    if (type === "query" && number > computation.number) {
      this.#engage(initiator, number, sender, state.waits, effects);
      return undefined;
    }
    if (number !== computation.number || !computation.open) return undefined;
    if (type === "query") {
      if (sender !== computation.engager)
        this.#send("reply", sender, initiator, number, [], effects);
      return undefined;
    }
    const at = computation.missing.indexOf(sender);
    if (at < 0) return undefined;
    computation.missing.splice(at, 1);
    const more = blocked.map((id) => this.#members.numberOf(id) as number);
    computation.blocked = [...new Set([...computation.blocked, ...more])];
    this.#endIfAll(initiator, computation, effects);
    return undefined;
  }

  #send(
    type: Query["type"],
    to: number,
    initiator: number,
    number: number,
    blocked: readonly number[],
    effects: OrDeadlockEffect[],
  ): void {
    const id = (one: number): ProcessId => this.#members.id(one);
    const message = { type, initiator: id(initiator), number, blocked: blocked.map(id) };
    effects.push({ type: "control", to: id(to), message });
  }
}
