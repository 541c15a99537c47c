/**
 * One process' share in detecting that a diffusing computation has terminated: Dijkstra and Scholten 1980, "Termination Detection for
 * Diffusing Computations", Information Processing Letters 11(1).
 *
 * Assumptions. Messages of the computation, and signals, arrive exactly once, in any order; signals may also be repeated. Who got a
 * message can send a signal back. Only the *root* begins anything: others are passive, and send nothing, until a message comes. No
 * process loses its state.
 *
 * Theory of operation. Every message is answered by one *signal*. A process that gets its first message is engaged by it, and its sender
 * becomes its parent; further messages are answered at once. When it is passive, and all that it sent has been answered, it answers the
 * message that engaged it, and is neutral again; another message may engage it anew. So those that are engaged are a tree at
 * any moment, with the root at its top, and whoever is active, or has sent what has not been received, is in it. When the root is passive
 * and nothing that it sent is without its answer, nobody else is in the tree, and all is over.
 *
 * There are as many signals as messages, and they go only where messages went. The last signal tells the root: nobody has to ask.
 *
 * A signal says how many messages of a channel are answered, and not that one more is. So one that is repeated, or overtaken, changes
 * nothing, where a count too many would mean a claim that is false.
 */

import { checkForm, count, record } from "../core/form.ts";
import type { ProcessId } from "../core/id.ts";
import type { Machine } from "../core/machine.ts";
import { type ControlInput, type DirectEffect, Members } from "./members.ts";

/** Goes back to who sent messages. */
export interface Signal {
  /** So many messages of that channel are answered. */
  readonly answered: number;
}

/** What the machine is told. */
export type DijkstraScholtenInput =
  /** Of the root: there is work. */
  | { readonly type: "active" }
  /** Nothing is left to do here until a message comes. */
  | { readonly type: "passive" }
  /** A message of the computation leaves. */
  | { readonly type: "sent"; readonly to: ProcessId }
  /** A message of the computation has come; the process is active by it. */
  | { readonly type: "received"; readonly from: ProcessId }
  | ControlInput;

/** What the driver must do, in order. */
export type DijkstraScholtenEffect =
  | DirectEffect<Signal>
  /** Of the root: the computation has terminated. */
  | { readonly type: "terminated" };

/** Plain data; lists have a number for each process, in ascending order of the ids. */
export interface DijkstraScholtenState {
  active: boolean;
  /** It is in the tree. */
  engaged: boolean;
  /** The number of the process that engaged it; itself, of the root; -1 while it is neutral. */
  parent: number;
  /** Messages to each, and how many of these are answered. */
  readonly sent: number[];
  readonly answered: number[];
  /** Messages of each that were answered here. */
  readonly signalled: number[];
}

const signalForm = record<Signal>({ answered: count });

/**
 * See the head of the file. For several computations at a time, one machine each.
 *
 * @example
 * ```ts
 * import { DijkstraScholten } from "tidemark/detect";
 * const root = new DijkstraScholten("root", ["leaf", "root"], "root");
 * const leaf = new DijkstraScholten("leaf", ["leaf", "root"], "root");
 * root.step({ type: "active" });
 * root.step({ type: "sent", to: "leaf" });
 * root.step({ type: "passive" });
 * leaf.step({ type: "received", from: "root" });
 * const [signal] = leaf.step({ type: "passive" });
 * if (signal?.type !== "control") throw new Error("the message is answered");
 * const [told] = root.step({ ...signal, from: "leaf" });
 * if (told?.type !== "terminated") throw new Error("all is over");
 * ```
 */
export class DijkstraScholten
  implements Machine<DijkstraScholtenInput, DijkstraScholtenEffect, DijkstraScholtenState>
{
  readonly state: DijkstraScholtenState;
  readonly #members: Members;
  readonly #root: number;

  /**
   * @param processes all of the system
   * @param root who begins the computation
   * @param saved of a machine as it was; it is taken over
   * @throws TidemarkError `BAD_ID`, `BAD_OPTION`, `UNKNOWN_PROCESS`
   */
  constructor(
    self: ProcessId,
    processes: readonly ProcessId[],
    root: ProcessId,
    saved?: DijkstraScholtenState,
  ) {
    const members = new Members(self, processes);
    this.#members = members;
    this.#root = members.expect(root);
    const counts = {
      sent: members.zeros(),
      answered: members.zeros(),
      signalled: members.zeros(),
    };
    this.state = saved ?? { active: false, engaged: false, parent: -1, ...counts };
  }

  step(input: DijkstraScholtenInput): readonly DijkstraScholtenEffect[] {
    const effects: DijkstraScholtenEffect[] = [];
    const { state } = this;
    const irregular = (reason: string): void => void effects.push({ type: "irregular", reason });
    switch (input.type) {
      case "active":
        state.active = true;
        if (this.#isRoot) this.#engage(this.#members.self);
        else if (!state.engaged)
          irregular(`there is work here that is none of what ${this.#rootId} began`);
        break;
      case "passive":
        state.active = false;
        this.#leaveIfDone(effects);
        break;
      case "sent": {
        const to = this.#members.other(input.to);
        if (to === undefined) irregular(`a message to ${input.to}, which is no other process`);
        else {
          state.sent[to] = (state.sent[to] ?? 0) + 1;
          if (!state.engaged)
            irregular(`a message to ${input.to} is none of what ${this.#rootId} began`);
        }
        break;
      }
      case "received":
        this.#received(input.from, effects);
        break;
      case "control": {
        const reason = this.#signalled(input, effects);
        if (reason) irregular(reason);
      }
    }
    return effects;
  }

  get #isRoot(): boolean {
    return this.#members.self === this.#root;
  }

  get #rootId(): ProcessId {
    return this.#members.id(this.#root);
  }

  #engage(parent: number): void {
    this.state.engaged = true;
    this.state.parent = parent;
  }

  #received(id: ProcessId, effects: DijkstraScholtenEffect[]): void {
    const { state } = this;
    const from = this.#members.other(id);
    if (from === undefined) {
      effects.push({ type: "irregular", reason: `a message of ${id}, which is no other process` });
      return;
    }
    state.active = true;
    if (state.engaged) this.#answer(from, effects);
    else this.#engage(from);
  }

  #answer(to: number, effects: DijkstraScholtenEffect[]): void {
    const answered = (this.state.signalled[to] ?? 0) + 1;
    this.state.signalled[to] = answered;
    effects.push({ type: "control", to: this.#members.id(to), message: { answered } });
  }

  /** Gives what is wrong with it. */
  #signalled(
    { from, message }: ControlInput,
    effects: DijkstraScholtenEffect[],
  ): string | undefined {
    const { state } = this;
    const number = this.#members.other(from);
    const checked = checkForm(signalForm, message);
    if (number === undefined) return "a signal came from no other process";
    if ("problem" in checked) return `a signal of ${from}: ${checked.problem}`;
    const { answered } = checked.copy;
    const sent = state.sent[number] ?? 0;
    if (answered > sent) return `a signal of ${from} answers ${answered} messages of ${sent}`;
    if (answered <= (state.answered[number] ?? 0)) return undefined;
    state.answered[number] = answered;
    this.#leaveIfDone(effects);
    return undefined;
  }

  #leaveIfDone(effects: DijkstraScholtenEffect[]): void {
    const { state } = this;
    if (!state.engaged || state.active) return;
    if (state.sent.some((sent, number) => sent > (state.answered[number] ?? 0))) return;
    const { parent } = state;
    state.engaged = false;
    state.parent = -1;
    if (parent === this.#members.self) effects.push({ type: "terminated" });
    else this.#answer(parent, effects);
  }
}
