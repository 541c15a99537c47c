/**
 * A global state for detectors: the states of all processes and the messages in flight at one consistent cut, and what the applications
 * say of them (process/declarations.ts). Plain data; a detector is a function of it.
 *
 * Theory of operation. For each process an application is made anew, as the system makes it, and restored from the recorded state. It
 * is asked of itself, and of each message that is in flight to it. Within `Grouped` that is the application inside: packets on channels
 * are copies of what groups keep, so messages of groups are taken from the states of the groups, each once for each member that has yet
 * to deliver it.
 *
 * What an application says wrongly, or throws, is a problem and not an error: the verdicts that depend on it are unknown, with that
 * reason, and all others stand.
 */

import { TidemarkError, textOf } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import type { Channel } from "../core/topology.ts";
import type { Application, Renamed } from "../process/application.ts";
import {
  checkWaits,
  type Declarations,
  type Goods,
  type Grant,
  isNameOrNone,
  isNames,
  type References,
  type Wait,
} from "../process/declarations.ts";
import { Grouped, type GroupedState } from "../process/grouped.ts";

/** One thing that an application may say. */
export type Declaration = keyof Declarations<unknown>;

/** What was said of a state or a message; what is absent was not. */
interface Said {
  readonly goods?: Goods;
  readonly isPassive?: boolean;
  readonly references?: References;
}

/** One process at the cut. */
export interface LocalState<State = unknown> extends Said {
  readonly process: ProcessId;
  /** What its application captured; of one with groups without them. */
  readonly state: State;
  readonly waits?: readonly Wait[];
}

/** One message at the cut: sent, and not received; or of a group, and not delivered by that member. */
export interface MessageInFlight<M = unknown> extends Said {
  readonly from: ProcessId;
  readonly to: ProcessId;
  /** If it is of one. */
  readonly group?: string;
  readonly message: M;
  readonly grants?: boolean | readonly Grant[];
}

/** Why something is not known: of one thing that applications say, or of messages altogether. */
export interface Problem {
  readonly of: Declaration | "messages";
  readonly reason: string;
}

/** See the head of the file. */
export interface GlobalState<State = unknown, M = unknown> {
  readonly processes: readonly LocalState<State>[];
  readonly messages: readonly MessageInFlight<M>[];
  readonly problems: readonly Problem[];
}

/** Of whatever its types are. */
type AnyApplication = Pick<Application<never, never, never, never>, "restore"> &
  Declarations<never>;

/** What a global state is made of. */
export interface GlobalStateOptions {
  /** Gives a new instance, as the system makes it: it is restored and asked, and never run. */
  readonly application: (process: ProcessId) => AnyApplication;
  /** What each application captured. */
  readonly states: Readonly<Record<ProcessId, unknown>>;
  readonly inFlight: readonly (Channel & { readonly messages: readonly unknown[] })[];
  /** As for `Application.restore`. @default nobody */
  readonly renamed?: Renamed | undefined;
  /** Ask for these only: some may take long. @default all */
  readonly only?: readonly Declaration[];
}

/**
 * Restores applications and asks them. What `tidemark/sim` shows of a snapshot has the right shape; of a stored one, take
 * `inspectSnapshot`.
 *
 * @throws TidemarkError `BAD_MESSAGE` if an application cannot be restored
 *
 * @example
 * ```ts
 * import { detectSum, globalState } from "tidemark/detect";
 * const application = () => {
 *   let money = 0;
 *   return {
 *     restore: (state: number) => void (money = state),
 *     goods: (message?: number) => ({ money: message ?? money }),
 *   };
 * };
 * const state = globalState({
 *   application,
 *   states: { ann: 60, bob: 35 },
 *   inFlight: [{ from: "ann", to: "bob", messages: [5] }],
 * });
 * if (detectSum(state, "money", 100).detected !== false) throw new Error("nothing is lost");
 * ```
 */
export function globalState<State = unknown, M = unknown>(
  options: GlobalStateOptions,
): GlobalState<State, M> {
  const { states, inFlight } = options;
  const asking = new Asking(options.only);
  const applications = new Map(
    Object.keys(states)
      .sort()
      .map((id) => [id, restored(options, id)] as const),
  );
  const processes = [...applications].map(([process, application]): LocalState<State> => {
    const captured = states[process];
    const inside = isGrouped(application);
    return {
      process,
      state: (inside ? stateInside(captured as GroupedState<unknown>) : captured) as State,
      ...asking.ofState(inside ? application.application : application, process),
    };
  });
  const messages: MessageInFlight<M>[] = [];
  const add = (channel: Channel, message: unknown, group?: string): void => {
    const to = applications.get(channel.to);
    if (!to) {
      asking.problems.push({ of: "messages", reason: `the state of ${channel.to} is not there` });
      return;
    }
    const asked = isGrouped(to) ? to.application : to;
    messages.push({
      ...{ from: channel.from, to: channel.to, ...(group === undefined ? {} : { group }) },
      ...{ message: message as M, ...asking.ofMessage(asked, message, channel) },
    });
  };
  for (const { from, to, messages: some } of inFlight)
    for (const message of some) {
      const receiver = applications.get(to);
      if (!isGrouped(receiver)) add({ from, to }, message);
      else asking.direct(receiver, message, { from, to }, add);
    }
  const groups = new Map(
    [...applications].flatMap(([id, one]) => (isGrouped(one) ? [[id, one] as const] : [])),
  );
  const { messages: inGroups, problems } = Grouped.undelivered(groups);
  for (const { from, to, group, message } of inGroups) add({ from, to }, message, group);
  for (const reason of problems) asking.problems.push({ of: "messages", reason });
  return { processes, messages, problems: asking.problems };
}

type AnyGrouped = Grouped<unknown, unknown, never, never>;

const isGrouped = (application: unknown): application is AnyGrouped =>
  application instanceof Grouped;

function stateInside(captured: GroupedState<unknown>): unknown {
  if ("state" in captured) return captured.state;
  return captured.flatMap((one) => ("slice" in one ? [one.slice] : []));
}

function restored({ application, states, renamed }: GlobalStateOptions, id: ProcessId) {
  try {
    const made = application(id);
    made.restore(states[id] as never, renamed);
    return made;
  } catch (cause) {
    throw new TidemarkError(
      "BAD_MESSAGE",
      `an application of ${id} cannot be restored from what was recorded: ${textOf(cause)}`,
      { cause },
    );
  }
}

/** Asks applications, and collects what is wrong with the answers. */
class Asking {
  readonly problems: Problem[] = [];
  readonly #only: ReadonlySet<Declaration> | undefined;

  constructor(only: readonly Declaration[] | undefined) {
    this.#only = only && new Set(only);
  }

  ofState(one: AnyApplication, process: ProcessId): Omit<LocalState, "process" | "state"> {
    const ask = <T>(of: Declaration, act: (() => unknown) | undefined, check: Check<T>) =>
      this.#ask(of, act && (() => act.call(one)), check, process);
    return {
      ...ask("goods", one.goods, checkGoods),
      ...ask("isPassive", one.isPassive, checkTruth),
      ...ask("waits", one.waits, checkWaits),
      ...ask("references", one.references, checkReferences),
    };
  }

  ofMessage(
    one: AnyApplication,
    message: unknown,
    { from, to }: Channel,
  ): Said & Pick<MessageInFlight, "grants"> {
    const ask = <T>(
      of: Declaration,
      act: ((message: never) => unknown) | undefined,
      check: Check<T>,
    ) =>
      // What has no parameter would tell of the state once more.
      this.#ask(
        of,
        act && act.length > 0 ? () => act.call(one, message as never) : undefined,
        check,
        `of a message from ${from}, ${to}`,
      );
    return {
      ...ask("goods", one.goods, checkGoods),
      ...ask("isPassive", one.isPassive, checkTruth),
      ...ask("grants", one.grants, checkGrants),
      ...ask("references", one.references, checkReferences),
    };
  }

  /** A message by the channel, past all groups. */
  direct(
    receiver: AnyGrouped,
    bytes: unknown,
    channel: Channel,
    add: (channel: Channel, message: unknown) => void,
  ): void {
    try {
      const read = receiver.readDirect(bytes as Uint8Array);
      if (read) add(channel, read.message);
    } catch (thrown) {
      const { from, to } = channel;
      const reason = `a message from ${from} to ${to} cannot be decoded: ${textOf(thrown)}`;
      this.problems.push({ of: "messages", reason });
    }
  }

  #ask<T>(
    of: Declaration,
    act: (() => unknown) | undefined,
    check: Check<T>,
    place: string,
  ): { readonly [name: string]: T } | undefined {
    if (!act || this.#only?.has(of) === false) return undefined;
    try {
      const said = act();
      const wrong = check(said);
      if (wrong === undefined) return { [of]: said as T };
      this.problems.push({ of, reason: `${place}: ${of} gives ${wrong}` });
    } catch (thrown) {
      this.problems.push({ of, reason: `${place}: ${of} threw: ${textOf(thrown)}` });
    }
    return undefined;
  }
}

/** Says what is wrong, if something is. */
type Check<T> = ((said: unknown) => string | undefined) & { readonly type?: T };

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const checkTruth: Check<boolean> = (said) =>
  typeof said === "boolean" ? undefined : "something that is neither true nor false";

const checkGoods: Check<Goods> = (said) => {
  if (!isObject(said)) return "no object of amounts";
  for (const [name, amount] of Object.entries(said))
    if (!Number.isSafeInteger(amount))
      return `${String(amount)} of ${name}, which is no whole number: count in the smallest unit`;
  return undefined;
};

const checkGrants: Check<boolean | readonly Grant[]> = (said) => {
  if (typeof said === "boolean") return undefined;
  const isGrant = (one: unknown): boolean =>
    isObject(one) && isNameOrNone(one["to"]) && isNameOrNone(one["by"]);
  return Array.isArray(said) && said.every(isGrant) ? undefined : "neither a boolean nor grants";
};

const checkReferences: Check<References> = (said) => {
  if (!isObject(said)) return "no object with roots and objects";
  const { roots, objects } = said;
  if (roots !== undefined && !isNames(roots)) return "roots that are no list of names";
  if (objects === undefined) return undefined;
  if (!isObject(objects)) return "objects that are not by their names";
  const wrong = Object.entries(objects).find(([, names]) => !isNames(names));
  return wrong && `for ${wrong[0]} no list of names`;
};
