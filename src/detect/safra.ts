/**
 * One process' share in detecting that a computation has terminated: Safra's algorithm, in Dijkstra 1987, "Shmuel Safra's Version of
 * Termination Detection", EWD 998.
 *
 * Assumptions. Messages of the computation arrive exactly once, in any order. Each process has a channel to the next one, in ascending
 * order of their ids, and the last one to the first, which is the *leader*; the token arrives. A passive process sends nothing, and
 * becomes active only by a message: else see below. No process loses its state; those that hear of one that did say `lost`.
 *
 * Theory of operation. Each process counts what it sent less what it received; all counts together are the messages in flight. The
 * leader sends a token round the ring, which waits at each process until it is passive, and adds up their counts. But they are not
 * of one moment: a message may be received behind the token by who was counted, and sent on to who was not. So a process that
 * receives becomes *black*, a token that meets a black process becomes black, and who has passed the token on is white. If a token
 * comes back white to a white, passive leader, and the sum is zero, all is over; otherwise a further round may tell.
 *
 * Why: take the cut at which each process passed the token on, and the leader got it back. A message that is received inside it but
 * not sent inside it was received since the round before, by a process that was black when the token came. So there is none if all
 * were white: the cut is consistent, all were passive at it, and with sum zero its channels were empty. That much is true also if work
 * comes from outside (`active`): then a claim is about that cut, which lies within the round, and not about now.
 *
 * A round costs a message for each process. After termination the round that is under way may fail, and the next one, which makes
 * all white; the one after it does not. When a next one begins is for the driver to say: `probe` again, at once or later.
 */

import { checkForm, count, leaf, record, truth } from "../core/form.ts";
import type { ProcessId } from "../core/id.ts";
import type { Machine } from "../core/machine.ts";
import { type ControlInput, type DirectEffect, Members } from "./members.ts";

/** What goes round the ring. */
export interface Token {
  /** From 1; the leader begins them one after the other. */
  readonly round: number;
  /** Messages sent less messages received, of those that it has passed. */
  readonly sum: number;
  readonly black: boolean;
}

/** What the machine is told. */
export type SafraInput =
  /** There is work: at the start, or from outside. */
  | { readonly type: "active" }
  /** Nothing is left to do here until a message comes. */
  | { readonly type: "passive" }
  /** A message of the computation leaves. */
  | { readonly type: "sent" }
  /** A message of the computation has come; the process is active by it. */
  | { readonly type: "received" }
  /** Of the leader: a round is to begin, unless one is under way. Of others nothing. */
  | { readonly type: "probe" }
  /** A process has lost its state, and the counts mean nothing any more: from now on nothing is claimed. */
  | { readonly type: "lost" }
  | ControlInput;

/** What the driver must do, in order. */
export type SafraEffect =
  | DirectEffect<Token>
  /** Of the leader: the computation has terminated. */
  | { readonly type: "terminated"; readonly round: number }
  /** Of the leader: a round is over and tells nothing. */
  | { readonly type: "unfinished"; readonly round: number };

/** Plain data. */
export interface SafraState {
  active: boolean;
  /** Messages sent less messages received. */
  count: number;
  black: boolean;
  /** The last round that came by here; of the leader, that it began. */
  round: number;
  /** Of the leader: a round is to begin, or its token is in the ring. */
  probe: "none" | "wanted" | "out";
  /** It waits here until this process is passive. */
  token: Token | null;
  lost: boolean;
}

const tokenForm = record<Token>({
  round: count,
  sum: leaf("a whole number", (value): value is number => Number.isSafeInteger(value)),
  black: truth,
});

/**
 * See the head of the file.
 *
 * @example
 * ```ts
 * import { Safra } from "tidemark/detect";
 * const a = new Safra("a", ["a", "b"]);
 * const b = new Safra("b", ["a", "b"]);
 * // a sends b a message, which is under way while the token goes round.
 * for (const type of ["active", "sent", "passive"] as const) a.step({ type });
 * const round = () => {
 *   const [token] = a.step({ type: "probe" });
 *   const [back] = token?.type === "control" ? b.step({ ...token, from: "a" }) : [];
 *   const [told] = back?.type === "control" ? a.step({ ...back, from: "b" }) : [];
 *   return told?.type;
 * };
 * if (round() !== "unfinished") throw new Error("a message is in flight");
 * for (const type of ["received", "passive"] as const) b.step({ type });
 * if (round() !== "unfinished") throw new Error("b is black");
 * if (round() !== "terminated") throw new Error("all is over");
 * ```
 */
export class Safra implements Machine<SafraInput, SafraEffect, SafraState> {
  readonly state: SafraState;
  readonly #members: Members;

  /**
   * @param processes all of the system
   * @param saved of a machine as it was; it is taken over
   * @throws TidemarkError `BAD_ID`, `BAD_OPTION`, `UNKNOWN_PROCESS`
   */
  constructor(self: ProcessId, processes: readonly ProcessId[], saved?: SafraState) {
    this.#members = new Members(self, processes);
    const none = { active: false, count: 0, black: false, round: 0 };
    this.state = saved ?? { ...none, probe: "none", token: null, lost: false };
  }

  step(input: SafraInput): readonly SafraEffect[] {
    const { state } = this;
    const effects: SafraEffect[] = [];
    switch (input.type) {
      case "active":
        state.active = true;
        break;
      case "passive":
        state.active = false;
        this.#goOn(effects);
        break;
      case "sent":
        state.count += 1;
        break;
      case "received":
        state.count -= 1;
        state.black = true;
        state.active = true;
        break;
      case "probe":
        if (!this.isLeader || state.probe !== "none") break;
        state.probe = "wanted";
        this.#goOn(effects);
        break;
      case "lost":
        state.lost = true;
        break;
      case "control": {
        const reason = this.#arrived(input, effects);
        if (reason) effects.push({ type: "irregular", reason });
      }
    }
    return effects;
  }

  /** Whether rounds begin and end here. */
  get isLeader(): boolean {
    return this.#members.self === 0;
  }

  /** Gives what is wrong with it. */
  #arrived({ from, message }: ControlInput, effects: SafraEffect[]): string | undefined {
    const { size, self } = this.#members;
    const { state } = this;
    if (this.#members.other(from) !== (self + size - 1) % size)
      return "a token came from a process that is not before this one in the ring";
    const checked = checkForm(tokenForm, message);
    if ("problem" in checked) return `a token of ${from}: ${checked.problem}`;
    const { copy: token } = checked;
    // What the leader began comes back to it, and to others what follows the last round; anything before that is repeated.
    const awaited = this.isLeader ? state.round : state.round + 1;
    if (token.round > awaited)
      return `a token of ${from} is of round ${token.round}: no such round can be`;
    const isRepeated = this.isLeader && (state.probe !== "out" || state.token !== null);
    if (token.round < awaited || isRepeated) return undefined;
    state.round = token.round;
    state.token = token;
    this.#goOn(effects);
    return undefined;
  }

  /** What waits for this process to be passive. */
  #goOn(effects: SafraEffect[]): void {
    const { state } = this;
    if (state.active) return;
    if (!this.isLeader) {
      if (state.token) this.#passOn(state.token, effects);
      return;
    }
    if (state.probe === "wanted") {
      state.probe = "out";
      state.round += 1;
      const token = { round: state.round, sum: 0, black: false };
      state.black = false;
      if (this.#members.size > 1) this.#send(token, effects);
      else state.token = token;
    }
    if (state.token) this.#conclude(state.token, effects);
  }

  #passOn({ round, sum, black }: Token, effects: SafraEffect[]): void {
    const { state } = this;
    state.token = null;
    const isBlack = black || state.black || state.lost;
    state.black = false;
    this.#send({ round, sum: sum + state.count, black: isBlack }, effects);
  }

  #conclude({ round, sum, black }: Token, effects: SafraEffect[]): void {
    const { state } = this;
    state.token = null;
    state.probe = "none";
    const isOver = !black && !state.black && !state.lost && sum + state.count === 0;
    effects.push({ type: isOver ? "terminated" : "unfinished", round });
  }

  #send(message: Token, effects: SafraEffect[]): void {
    const to = this.#members.id((this.#members.self + 1) % this.#members.size);
    effects.push({ type: "control", to, message });
  }
}
