/**
 * A lab: processes, messages that they are to send and how long each takes to each of its destinations, and snapshots. It is what somebody draws;
 * what comes of it is in lab-run.ts. Plain data, saved as JSON, and as part of a link if it is small.
 */

import {
  checkForm,
  type Form,
  leaf,
  list,
  processId,
  record,
  text,
  where,
} from "../../src/core/form.ts";
import type { ProcessId } from "../../src/core/id.ts";
import { ORDER_LEVELS, type OrderLevel } from "../../src/core/order-level.ts";
import { decodeUtf8, encodeUtf8 } from "../../src/core/utf8.ts";

/** How much order a message asks of the group; `none`: it goes beside the group, by the channels alone. */
export type LabOrder = "none" | OrderLevel;

export const LAB_ORDERS: readonly LabOrder[] = [
  "none",
  ...(Object.keys(ORDER_LEVELS) as OrderLevel[]),
];

/** How long something takes to one process. */
export interface Delay {
  readonly to: ProcessId;
  readonly ms: number;
}

export interface LabMessage {
  /** No other message of the lab has the same. */
  readonly name: string;
  readonly from: ProcessId;
  /** @default all */
  readonly to?: ProcessId;
  readonly atMs: number;
  readonly order: LabOrder;
  /** To those that are not in it: `delayMs` of the lab. */
  readonly delays: readonly Delay[];
}

export interface LabSnapshot {
  readonly at: ProcessId;
  readonly atMs: number;
  /** Of markers; of those that are not in it: `delayMs` of the lab. */
  readonly delays: readonly (Delay & { readonly from: ProcessId })[];
}

export interface Lab {
  readonly format: typeof LAB_FORMAT;
  readonly title: string;
  /** What there is to see, in a sentence. */
  readonly see: string;
  /** From the top to the bottom. */
  readonly processes: readonly ProcessId[];
  /** In what order channels bring what was sent on them. */
  readonly channels: "fifo" | "none";
  /** How total order comes about. */
  readonly total: "sequencer" | "agreed";
  /** What is not dragged takes so long: acknowledgements, proposals, orders, markers. */
  readonly delayMs: number;
  readonly messages: readonly LabMessage[];
  readonly snapshots: readonly LabSnapshot[];
}

const LAB_FORMAT = "tidemark-lab/1";
export const PROCESSES_MIN = 2;
export const PROCESSES_MAX = 8;
export const MESSAGES_MAX = 60;
export const SNAPSHOTS_MAX = 6;
export const TIME_MAX = 10_000;
/** A link that is longer is cut off by some who pass it on. */
const LINK_LENGTH_MAX = 6_000;
const LINK_PATTERN = /^[A-Za-z0-9_-]+$/;
const FILE_LENGTH_MAX = 1 << 20;

export const EMPTY_LAB: Lab = {
  format: LAB_FORMAT,
  title: "",
  see: "",
  processes: ["ann", "bob", "eve"],
  channels: "none",
  total: "sequencer",
  delayMs: 40,
  messages: [],
  snapshots: [],
};

// What may be read.

const timeMs: Form<number> = leaf(
  `a whole number of milliseconds from 0 to ${TIME_MAX}`,
  (value): value is number => Number.isInteger(value) && isBetween(value as number, 0, TIME_MAX),
);
const delayMs: Form<number> = leaf(
  `a whole number of milliseconds from 1 to ${TIME_MAX}`,
  (value): value is number => Number.isInteger(value) && isBetween(value as number, 1, TIME_MAX),
);
const oneOf = <T extends string>(...words: readonly T[]): Form<T> =>
  leaf(words.join(", "), (value): value is T => words.includes(value as T));
const sentence: Form<string> = text("a text of up to 400 characters", /^[^\p{C}]{0,400}$/u);
const name: Form<string> = text(
  "a text of 1 to 24 characters",
  /^[^\p{C}\s](?:[^\p{C}]{0,22}[^\p{C}\s])?$/u,
);

const message = record<LabMessage>({
  name,
  from: processId,
  to: { optional: processId },
  atMs: timeMs,
  order: oneOf(...LAB_ORDERS),
  delays: list(PROCESSES_MAX, record<Delay>({ to: processId, ms: delayMs })),
});
const snapshot = record<LabSnapshot>({
  at: processId,
  atMs: timeMs,
  delays: list(
    PROCESSES_MAX ** 2,
    record<Delay & { readonly from: ProcessId }>({ from: processId, to: processId, ms: delayMs }),
  ),
});
const form = where(
  record<Lab>({
    format: oneOf(LAB_FORMAT),
    title: sentence,
    see: sentence,
    processes: where(
      list(PROCESSES_MAX, processId),
      `name ${PROCESSES_MIN} to ${PROCESSES_MAX} processes, no two alike`,
      (ids) => ids.length >= PROCESSES_MIN && new Set(ids).size === ids.length,
    ),
    channels: oneOf("fifo", "none"),
    total: oneOf("sequencer", "agreed"),
    delayMs,
    messages: where(
      list(MESSAGES_MAX, message),
      "have no two messages of one name",
      (all) => new Set(all.map((one) => one.name)).size === all.length,
    ),
    snapshots: list(SNAPSHOTS_MAX, snapshot),
  }),
  "speak only of its own processes, and send no message from one to itself",
  ({ processes, messages, snapshots }) => {
    const isKnown = (id: ProcessId): boolean => processes.includes(id);
    return (
      messages.every(
        ({ from, to, delays }) =>
          isKnown(from) &&
          (to === undefined || (isKnown(to) && to !== from)) &&
          delays.every((delay) => isKnown(delay.to)),
      ) &&
      snapshots.every(
        ({ at, delays }) =>
          isKnown(at) && delays.every((one) => isKnown(one.from) && isKnown(one.to)),
      )
    );
  },
);

/** Whether it calls itself one. */
export const isLab = (json: string): boolean =>
  json.length <= FILE_LENGTH_MAX && /"format"\s*:\s*"tidemark-lab\//.test(json);

/** @throws Error that says what is wrong with it */
export function readLab(json: string): Lab {
  if (json.length > FILE_LENGTH_MAX) throw new Error("a lab has up to a million characters");
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (thrown) {
    throw new Error(`it is no JSON: ${(thrown as Error).message}`);
  }
  const checked = checkForm(form, value);
  if ("problem" in checked) throw new Error(`as a lab, ${checked.problem}`);
  return checked.copy;
}

/** For people, too. */
export function writeLab(lab: Lab): string {
  return `${JSON.stringify(lab, null, 2)}\n`;
}

/** The lab as a part of a link; undefined if it is too large for one. */
export function linkOf(lab: Lab): string | undefined {
  const bytes = encodeUtf8(JSON.stringify(lab));
  let characters = "";
  for (const byte of bytes) characters += String.fromCharCode(byte);
  const link = btoa(characters).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return link.length > LINK_LENGTH_MAX ? undefined : link;
}

/** @throws Error that says what is wrong with it */
export function labOfLink(link: string): Lab {
  const wrong = "the link was cut off, or is none of a lab";
  if (!LINK_PATTERN.test(link) || link.length % 4 === 1) throw new Error(wrong);
  const characters = atob(link.replaceAll("-", "+").replaceAll("_", "/"));
  const json = decodeUtf8(Uint8Array.from(characters, (one) => one.charCodeAt(0)));
  if (json === undefined) throw new Error(wrong);
  return readLab(json);
}

// What is asked of it.

const isBetween = (value: number, least: number, most: number): boolean =>
  value >= least && value <= most;
const clamp = (value: number, least: number, most: number): number =>
  Math.min(most, Math.max(least, Math.round(value)));

/** Whom a message is for, but for whoever sends it. */
export function destinationsOf(lab: Lab, { from, to }: LabMessage): readonly ProcessId[] {
  return to === undefined ? lab.processes.filter((id) => id !== from) : [to];
}

export function delayTo(lab: Lab, { delays }: LabMessage, to: ProcessId): number {
  return delays.find((one) => one.to === to)?.ms ?? lab.delayMs;
}

export function markerDelay(
  lab: Lab,
  { delays }: LabSnapshot,
  from: ProcessId,
  to: ProcessId,
): number {
  return delays.find((one) => one.from === from && one.to === to)?.ms ?? lab.delayMs;
}

/** A name that no message has yet. */
export function freshName({ messages }: Lab): string {
  for (let number = 1; ; number += 1)
    if (!messages.some((one) => one.name === `m${number}`)) return `m${number}`;
}

// What can be changed: each gives another lab, or the same one if it cannot be.

const changed = (lab: Lab, messages: readonly LabMessage[]): Lab => ({ ...lab, messages });

export function withMessage(lab: Lab, added: LabMessage): Lab {
  if (lab.messages.length >= MESSAGES_MAX) return lab;
  return changed(lab, [...lab.messages, { ...added, atMs: clamp(added.atMs, 0, TIME_MAX) }]);
}

export function withoutMessage(lab: Lab, gone: string): Lab {
  return changed(
    lab,
    lab.messages.filter((one) => one.name !== gone),
  );
}

/** What is not of the right form stays as it was; a sender is none of the destinations. */
export function withMessageChanged(lab: Lab, of: string, change: Partial<LabMessage>): Lab {
  return changed(
    lab,
    lab.messages.map((one) => {
      if (one.name !== of) return one;
      const { to, ...rest } = { ...one, ...change };
      const next: LabMessage = { ...rest, atMs: clamp(rest.atMs, 0, TIME_MAX) };
      if ("problem" in checkForm(message, next)) return one;
      if (next.name !== of && lab.messages.some((other) => other.name === next.name)) return one;
      return to === undefined || to === next.from ? next : { ...next, to };
    }),
  );
}

export function withDelay(lab: Lab, of: string, to: ProcessId, ms: number): Lab {
  return changed(
    lab,
    lab.messages.map((one) => {
      if (one.name !== of) return one;
      const others = one.delays.filter((delay) => delay.to !== to);
      return { ...one, delays: [...others, { to, ms: clamp(ms, 1, TIME_MAX) }] };
    }),
  );
}

export function withSnapshot(lab: Lab, at: ProcessId, atMs: number): Lab {
  if (lab.snapshots.length >= SNAPSHOTS_MAX) return lab;
  const added = { at, atMs: clamp(atMs, 0, TIME_MAX), delays: [] };
  return { ...lab, snapshots: [...lab.snapshots, added] };
}

export function withSnapshotChanged(lab: Lab, index: number, change: Partial<LabSnapshot>): Lab {
  const snapshots = lab.snapshots.map((one, i) => {
    const next = { ...one, ...change };
    return i === index ? { ...next, atMs: clamp(next.atMs, 0, TIME_MAX) } : one;
  });
  return { ...lab, snapshots };
}

export function withoutSnapshot(lab: Lab, index: number): Lab {
  return { ...lab, snapshots: lab.snapshots.filter((_, i) => i !== index) };
}

export function withMarkerDelay(
  lab: Lab,
  index: number,
  from: ProcessId,
  to: ProcessId,
  ms: number,
): Lab {
  const delays = lab.snapshots[index]?.delays.filter((one) => one.from !== from || one.to !== to);
  const added = { from, to, ms: clamp(ms, 1, TIME_MAX) };
  return withSnapshotChanged(lab, index, { delays: [...(delays ?? []), added] });
}

const NAMES = ["ann", "bob", "eve", "dan", "fay", "gus", "ida", "joe", "kim"];

export function withProcess(lab: Lab): Lab {
  if (lab.processes.length >= PROCESSES_MAX) return lab;
  const added = NAMES.find((id) => !lab.processes.includes(id)) as ProcessId;
  return { ...lab, processes: [...lab.processes, added] };
}

/** Its messages and snapshots go with it. */
export function withoutProcess(lab: Lab, gone: ProcessId): Lab {
  if (lab.processes.length <= PROCESSES_MIN) return lab;
  return {
    ...lab,
    processes: lab.processes.filter((id) => id !== gone),
    messages: lab.messages
      .filter(({ from, to }) => from !== gone && to !== gone)
      .map((one) => ({ ...one, delays: one.delays.filter(({ to }) => to !== gone) })),
    snapshots: lab.snapshots
      .filter(({ at }) => at !== gone)
      .map((one) => ({
        ...one,
        delays: one.delays.filter(({ from, to }) => from !== gone && to !== gone),
      })),
  };
}

/** @throws Error if it cannot have that name */
export function withProcessRenamed(lab: Lab, was: ProcessId, id: ProcessId): Lab {
  if (was === id) return lab;
  const checked = checkForm(processId, id);
  if ("problem" in checked)
    throw new Error("a process has a name of 1 to 64 letters, digits, dots, dashes or underscores");
  if (lab.processes.includes(id)) throw new Error(`there is a process ${id} already`);
  const named = (one: ProcessId): ProcessId => (one === was ? id : one);
  return {
    ...lab,
    processes: lab.processes.map(named),
    messages: lab.messages.map((one) => ({
      ...one,
      from: named(one.from),
      ...(one.to === undefined ? {} : { to: named(one.to) }),
      delays: one.delays.map((delay) => ({ ...delay, to: named(delay.to) })),
    })),
    snapshots: lab.snapshots.map((one) => ({
      ...one,
      at: named(one.at),
      delays: one.delays.map((delay) => ({
        ...{ ...delay, from: named(delay.from), to: named(delay.to) },
      })),
    })),
  };
}

/** One line up or down. */
export function withProcessMoved(lab: Lab, id: ProcessId, by: -1 | 1): Lab {
  const processes = [...lab.processes];
  const at = processes.indexOf(id);
  const other = processes[at + by];
  if (other === undefined) return lab;
  processes[at] = other;
  processes[at + by] = id;
  return { ...lab, processes };
}
