/**
 * One replica's share in keys that converge: what each replica does to them is done there at once and told to all, and those who have been
 * told the same have the same, whatever order it came in.
 *
 * Assumptions. Messages of one replica come in its order (`fifo`, or `causal`), each once. Replicas are known by number.
 *
 * Theory of operation (data types that converge, in the form that tells operations: Shapiro, Preguiça, Baquero and Zawirski 2011,
 * "Conflict-Free Replicated Data Types"; what is kept of operations, and until when: Baquero, Almeida and Shoker 2014, "Making
 * Operation-Based CRDTs Operation-Based"). The replica that is asked decides what a command does, from what it has, and tells the
 * *effects*. Each has a *stamp*: the Lamport time (Lamport 1978) and the number of its replica; and the *context* of its message: of each
 * replica, the latest time that its own had been told. An effect had *seen* another one if that one's time is within its context; then it
 * has the later stamp. Of two that have not seen each other the stamps say nothing but which one wins.
 *
 * A key has *elements*: a string is one, each field of a hash, each member of a set, each member of a sorted set with its score is one,
 * and so is the deadline. All have the same three kinds of effects:
 * - `put` gives a value, and `cut` takes it away; both undo what they had seen of the element, those of a string what they had seen of the
 *   whole key;
 * - `add` adds to whatever there is.
 * A `put` or `cut` of a string is also a `put` of the deadline: that it brings, or none.
 * All but those of deadlines also undo what they had seen of other types than their own: it was hidden from whoever asked for them.
 * What was not undone makes the value. Of strings and deadlines the last writer wins, a `cut` (`DEL`) being a write: the `put` or `cut`
 * with the latest stamp. Of the others a `put` that a `cut` had not seen stays, and among several the latest stamp wins. To that all
 * additions that were not undone are added, in the order of stamps: so an addition is lost only to a write that had seen it. If a key has
 * elements of several types, the type with the latest stamp is shown; the others are hidden until an effect undoes them, or what is shown.
 *
 * What is kept. Once all replicas have said, by the contexts of their messages, that they had seen an effect, it is *stable*: whatever
 * comes later has seen it, too. Effects that are stable, and that all others that are kept of the key had seen, are *folded*: replaced by
 * what they make; but not while something is hidden, for that has to be known until it is undone. A key without any others has nothing but
 * its value in the keyspace; a stamp, or a deleted key, is forgotten then. Those who only hear say how far they are after so many effects,
 * so what is kept has a bound while all are there; and while one is not, the window of the group is the bound. In an order that is not
 * causal, an effect may come before one that it had seen: it is remembered that it undoes that one, until all in its context has come.
 *
 * A key that is gone may have left a deadline: whoever took away what there was had not seen it. Nobody forgets that alone, though all know
 * of it: who does not know yet that the key is gone may write to it as it was, with that deadline; and, in an order that is not causal,
 * what is written to a key that somebody has begun anew may come before that. So it is taken away as all else is, by what is told: a
 * `clear` of the replica to which the slot of the key belongs, once that keeps nothing else of the key.
 *
 * All of this, folding too, follows from the set of messages that were told and not from their order: test/kv/convergence.test.ts has it
 * so.
 */

import { decodeUtf8, encodeUtf8 } from "../core/utf8.ts";
import type { Database, Keyspace } from "./keyspace.ts";
import { parseInteger } from "./numbers.ts";
import { slotOf } from "./slot.ts";
import type { Value } from "./value.ts";
import { Hash } from "./values/hash.ts";
import { SetValue } from "./values/set-value.ts";
import { SortedSet } from "./values/sorted-set.ts";

/** Of which type an element is: the deadline, a field of a hash, a member of a set, a string, a member of a sorted set. */
export type Plane = "d" | "h" | "m" | "s" | "z";

/** What an element can have: a text; of a sorted set a score; of a deadline a time, or null for none; of a set true. */
export type ElementValue = string | number | true | null;

/** What a command does to an element, or, with `clear`, takes away of a key, and with `flush` of all keys. */
export interface Effect {
  readonly key: string;
  readonly plane: Plane;
  /** The field or member; empty of the other planes. */
  readonly name: string;
  readonly kind: "put" | "add" | "cut" | "clear" | "flush";
  readonly value?: ElementValue;
  /** Of a `put` of a string: the deadline that it brings. */
  readonly deadline?: number | null;
}

/** An effect that is kept. With time 0: what was folded. */
interface Entry {
  readonly time: number;
  readonly origin: number;
  readonly kind: "put" | "add" | "cut";
  readonly value: ElementValue;
  readonly context: readonly number[];
}

/** In the order of stamps; never empty. */
interface Element {
  readonly version: number;
  readonly entries: Entry[];
}

/** What is kept of a key beside its value in the keyspace. */
interface Kept {
  readonly version: number;
  /** By plane and name. An element that is not here is as the keyspace has it. */
  readonly elements: Map<string, Element>;
  /** Types of which there are elements here, or were. */
  readonly planes: Set<Plane>;
  /** It has elements of several types: all that are not shown are in `elements`. */
  isMixed: boolean;
  /** It has stable effects that could not be folded yet. */
  isLate: boolean;
}

/** An effect that undoes some that have not come yet. */
interface Early {
  readonly effect: Effect;
  readonly time: number;
  readonly origin: number;
  readonly context: readonly number[];
}

/** What is told: the effects of some commands. The time of each is `time` and its `at`. */
interface Told {
  readonly time: number;
  /** So many times are used. */
  readonly times: number;
  readonly context: readonly number[];
  readonly effects: readonly (Effect & { readonly at: number })[];
  readonly events: readonly (readonly [events: string, event: string, key: string])[];
}

/** The first part of a captured state. */
export interface ConvergenceHead {
  readonly seen: readonly number[];
  readonly contexts: readonly (readonly number[])[];
  readonly heard: number;
  readonly early: readonly Early[];
  readonly left: readonly string[];
}

type EntryImage = readonly [
  time: number,
  origin: number,
  kind: Entry["kind"],
  value: ElementValue,
  context: readonly number[],
];
/** What is kept of some keys. */
export type KeptImage = readonly (readonly [
  key: string,
  isMixed: boolean,
  elements: readonly (readonly [id: string, entries: readonly EntryImage[]])[],
])[];

/** After so many effects of others, who has said nothing says how far it is. */
const HEARD_MOST = 256;
/** With one message goes so much of what keys that are gone have left: each counts as its characters and so many more. */
const CLEARED_MOST = 16_384;
const CLEARED_EACH = 64;
const SLICE_KEYS = 64;
const NOTHING: readonly number[] = [];

export interface ConvergenceOptions {
  readonly members: number;
  readonly self: number;
  readonly keyspace: Keyspace;
  /** Whether a key of database 0 is one of these. */
  readonly has: (key: string) => boolean;
}

/** See the head of the file. */
export class Convergence {
  readonly #options: ConvergenceOptions;
  readonly #kept = new Map<string, Kept>();
  #version = 1;
  /** By replica: the latest time that it has told. */
  #seen: number[];
  /** By replica: the context of its latest message, with that message itself. */
  #contexts: number[][];
  /** By replica: up to when its effects are stable. */
  #stable: number[];
  /** By replica, in the order of times: its effects that are not stable. */
  #unstable: { readonly time: number; readonly key: string }[][];
  /** By replica, in its order: what undoes some that have not come yet. */
  #early: Early[][];
  /** How many of them there are of a key; of all keys, by the empty text. */
  readonly #earlyOf = new Map<string, number>();
  /** Effects of others since the last own message. */
  #heard = 0;
  /** Keys that are gone and may have left a deadline, which this replica is to take away. */
  #left = new Set<string>();
  /** Scores that are to be added up once the message at hand is taken: members by key. */
  readonly #unsummed = new Map<string, Set<string>>();
  /** Keys that the message at hand is about. */
  readonly #touched = new Set<string>();
  // The own message at hand.
  #context: number[] = [];
  #times = 0;
  #effects: (Effect & { readonly at: number })[] = [];
  #events: (readonly [string, string, string])[] = [];

  constructor(options: ConvergenceOptions) {
    const { members } = options;
    this.#options = options;
    const none = (): number[] => new Array<number>(members).fill(0);
    this.#seen = none();
    this.#contexts = Array.from({ length: members }, none);
    this.#stable = none();
    this.#unstable = this.#seen.map(() => []);
    this.#early = this.#seen.map(() => []);
  }

  get #db(): Database {
    return this.#options.keyspace.databases[0] as Database;
  }

  /** How many effects are kept. */
  get kept(): number {
    let count = 0;
    for (const { elements } of this.#kept.values())
      for (const { entries } of elements.values()) count += entries.length;
    return count;
  }

  // What is done here.

  /** Commands of this replica follow, to be told in one message. */
  begin(): void {
    this.#context = [...this.#seen];
    this.#times = 0;
  }

  /** What one command does, and which events that is. */
  do(effects: readonly Effect[], events: readonly (readonly [string, string, string])[]): void {
    if (effects.length === 0) return;
    const { self } = this.#options;
    const time = Math.max(...this.#context) + 1 + this.#times;
    for (const effect of effects) {
      this.#effects.push({ ...effect, at: this.#times });
      this.#apply(effect, time, self, this.#context);
    }
    this.#events.push(...events);
    this.#times += 1;
  }

  /** What others are to be told; nothing, if nothing was done. */
  end(): Uint8Array | undefined {
    if (this.#times === 0) return undefined;
    this.#clearLeft();
    return this.#tell();
  }

  /** Says how far this replica is, if others may want to know. */
  say(): Uint8Array | undefined {
    if (this.#heard < HEARD_MOST) return undefined;
    this.begin();
    this.#clearLeft();
    this.#times = Math.max(this.#times, 1);
    return this.#tell();
  }

  /** Takes away, for all, what keys that are gone have left. */
  #clearLeft(): void {
    this.#options.keyspace.nowMs = 0;
    const effects: Effect[] = [];
    let sum = 0;
    for (const key of this.#left) {
      if (sum > CLEARED_MOST) break;
      this.#left.delete(key);
      const elements = this.#kept.get(key)?.elements;
      // If there is something else by now, it comes here again when that is folded.
      if (!elements || firstIn(elements) || !this.#leavesDeadline(key, elements)) continue;
      effects.push({ key, plane: "s", name: "", kind: "clear" });
      sum += key.length + CLEARED_EACH;
    }
    this.do(effects, []);
  }

  #leavesDeadline(key: string, elements: ReadonlyMap<string, Element>): boolean {
    return typeof deadlineIn(elements, () => true) === "number" && !this.#db.has(key);
  }

  #tell(): Uint8Array {
    const time = Math.max(...this.#context) + 1;
    const told: Told = {
      ...{ time, times: this.#times, context: this.#context },
      ...{ effects: this.#effects, events: this.#events },
    };
    this.#effects = [];
    this.#events = [];
    this.#heard = 0;
    this.#advance(this.#options.self, told);
    // JSON has no numbers without an end.
    const text = JSON.stringify(told, (_, value) =>
      value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY
        ? String(value)
        : value,
    );
    return encodeUtf8(text);
  }

  // What others have done.

  /**
   * Takes what `end` or `say` gave at another replica.
   * @returns the events of it
   * @throws SyntaxError
   */
  take(origin: number, bytes: Uint8Array): Told["events"] {
    const told = JSON.parse(decodeUtf8(bytes) ?? "") as Told;
    const { time, context, effects, events } = told;
    for (const { at, ...effect } of effects) {
      const { plane, value } = effect;
      const isEndless = plane === "z" && typeof value === "string";
      this.#apply(
        isEndless ? { ...effect, value: Number(value) } : effect,
        time + at,
        origin,
        context,
      );
    }
    this.#sumUp();
    this.#heard += effects.length;
    this.#advance(origin, told);
    return events;
  }

  #advance(origin: number, { time, times, context }: Told): void {
    const last = time + times - 1;
    this.#seen[origin] = last;
    const own = [...context];
    own[origin] = last;
    this.#contexts[origin] = own;
    this.#forgetEarly();
    const due = new Set<string>();
    for (const key of this.#touched) if (this.#kept.get(key)?.isLate) due.add(key);
    this.#touched.clear();
    for (const [replica, queue] of this.#unstable.entries()) {
      const stable = this.#contexts.reduce(
        (least, one) => Math.min(least, one[replica] as number),
        Number.POSITIVE_INFINITY,
      );
      this.#stable[replica] = stable;
      let past = 0;
      while (past < queue.length && (queue[past]?.time ?? 0) <= stable) {
        due.add(queue[past]?.key as string);
        past += 1;
      }
      if (past > 0) queue.splice(0, past);
    }
    for (const key of due) this.#fold(key);
  }

  /** The time that a reader has does not matter to what is there. */
  #apply(effect: Effect, time: number, origin: number, context: readonly number[]): void {
    this.#options.keyspace.nowMs = 0;
    const { key, kind, plane, name } = effect;
    const early: Early = { effect, time, origin, context };
    const isBefore = context.some(
      (at, replica) => replica !== origin && at > (this.#seen[replica] as number),
    );
    if (isBefore) this.#addEarly(early);
    if (kind === "flush") {
      const keys = new Set(this.#kept.keys());
      for (const one of this.#db.keys()) if (this.#options.has(one)) keys.add(one);
      for (const one of keys) this.#undo({ ...effect, key: one }, early);
      return;
    }
    const kept = this.#own(key);
    const hides = this.#undoHidden(key, kept, plane, early);
    if (kind !== "add" && (plane === "s" || kind === "clear")) this.#undo(effect, early);
    const id = plane + name;
    if (kind !== "add" && plane !== "s") this.#undoElement(kept, id, early);
    const isKept = kind !== "clear" && !this.#isUndone(effect, time, origin);
    const isLast = isKept && this.#insert(kept, id, early);
    let isAnyKept = isKept;
    if (plane === "s" && (kind === "put" || kind === "cut")) {
      // Whoever writes to another type than a string undoes the string, and leaves its deadline: so that is an effect of its own.
      const value = kind === "cut" ? null : (effect.deadline ?? null);
      const deadline: Effect = { key, plane: "d", name: "", kind: "put", value };
      if (!this.#isUndone(deadline, time, origin)) {
        this.#insert(kept, "d", { ...early, effect: deadline });
        isAnyKept = true;
      }
    }
    if (isAnyKept) {
      this.#unstable[origin]?.push({ time, key });
      this.#touched.add(key);
    }
    if (plane === "s" && kind !== "add") {
      const others = kept.elements.size - (kept.elements.has("s") ? 1 : 0);
      if (others > (kept.elements.has("d") ? 1 : 0)) this.#rebuild(key, kept, true);
      else {
        const text = evaluate("s", kept.elements.get("s")?.entries);
        kept.isMixed = false;
        if (text === undefined) this.#db.delete(key);
        else this.#db.replace(key, text as string);
        this.#showDeadline(key, kept);
      }
    } else if (plane === "d") this.#showDeadline(key, kept);
    else if (hides) this.#rebuild(key, kept, true);
    else this.#show(key, kept, effect, isKept, isLast);
    if (kept.elements.size === 0) this.#kept.delete(key);
  }

  /** Takes away what an effect had seen of the whole key; what others have put into it, unseen, is shown again by whoever asks for that. */
  #undo(effect: Effect, by: Early): void {
    const { key, kind } = effect;
    const kept = this.#own(key);
    for (const id of [...kept.elements.keys()])
      if (isWithin(effect, id)) this.#undoElement(kept, id, by);
    if (kind !== "flush") return;
    this.#rebuild(key, kept, true);
    if (kept.elements.size === 0) this.#kept.delete(key);
  }

  /** Who writes to one type has not seen another one: what was hidden from it goes. Gives whether there was any. */
  #undoHidden(key: string, kept: Kept, plane: Plane, by: Early): boolean {
    const { elements, planes } = kept;
    if (by.effect.kind === "clear") return false;
    const shown = this.#db.get(key);
    const base = shown === undefined ? undefined : planeOf(shown);
    const isBaseHidden = base !== undefined && isHidden(plane, base);
    if (!isBaseHidden && !hasHidden(planes, plane)) return false;
    this.#keepBase(key, kept);
    for (const id of [...elements.keys()]) if (isHidden(plane, id)) this.#undoElement(kept, id, by);
    planes.clear();
    for (const id of elements.keys()) planes.add(id[0] as Plane);
    return true;
  }

  #undoElement(kept: Kept, id: string, { time, origin, context }: Early): void {
    const element = kept.elements.get(id);
    if (!element) return;
    const left = element.entries.filter((one) => !hasSeen(time, origin, context, one));
    if (left.length === 0) kept.elements.delete(id);
    else if (left.length < element.entries.length)
      kept.elements.set(id, { version: this.#version, entries: left });
  }

  /** By an effect that came before it. */
  #isUndone({ key, plane, name }: Effect, time: number, origin: number): boolean {
    if (!this.#earlyOf.has(key) && !this.#earlyOf.has("")) return false;
    return this.#early.some((queue) =>
      queue.some(
        ({ effect, ...by }) =>
          (effect.key === key || effect.kind === "flush") &&
          isWithin(effect, plane + name) &&
          hasSeen(by.time, by.origin, by.context, { time, origin }),
      ),
    );
  }

  #addEarly(early: Early): void {
    const { key } = early.effect;
    this.#early[early.origin]?.push(early);
    this.#earlyOf.set(key, (this.#earlyOf.get(key) ?? 0) + 1);
  }

  /** What one had seen has come. Each replica has seen more with every message: so what is first is over first. */
  #forgetEarly(): void {
    for (const queue of this.#early) {
      const isOver = ({ origin, context }: Early): boolean =>
        context.every((at, replica) => replica === origin || at <= (this.#seen[replica] as number));
      let past = 0;
      while (past < queue.length && isOver(queue[past] as Early)) past += 1;
      for (const { effect } of queue.splice(0, past)) {
        const left = (this.#earlyOf.get(effect.key) ?? 0) - 1;
        if (left > 0) this.#earlyOf.set(effect.key, left);
        else this.#earlyOf.delete(effect.key);
      }
    }
  }

  /** Gives whether it has the latest stamp of its element. */
  #insert(kept: Kept, id: string, { effect, time, origin, context }: Early): boolean {
    const { key, kind, value = null } = effect;
    const plane = id[0] as Plane;
    const base =
      kind === "add" && !kept.elements.has(id)
        ? elementOf(this.#db.get(key), plane, effect.name)
        : undefined;
    if (base !== undefined) this.#insertEntry(kept, id, folded(base));
    const entry: Entry = { time, origin, kind: kind as Entry["kind"], value, context };
    return this.#insertEntry(kept, id, entry);
  }

  /** Gives whether it is the last one of its element. */
  #insertEntry(kept: Kept, id: string, entry: Entry): boolean {
    let element = kept.elements.get(id);
    if (element?.version !== this.#version) {
      element = { version: this.#version, entries: [...(element?.entries ?? [])] };
      kept.elements.set(id, element);
      kept.planes.add(id[0] as Plane);
    }
    const { entries } = element;
    let [at, end] = [0, entries.length];
    if (end > 0 && !isLater(entries[end - 1] as Entry, entry)) at = end;
    while (at < end) {
      const middle = (at + end) >> 1;
      if (isLater(entries[middle] as Entry, entry)) end = middle;
      else at = middle + 1;
    }
    entries.splice(at, 0, entry);
    return at === entries.length - 1;
  }

  /** What is kept of a key, to be changed; with the deadline that it has, if there was nothing yet. */
  #own(key: string): Kept {
    const there = this.#kept.get(key);
    if (there?.version === this.#version) return there;
    const own: Kept = {
      version: this.#version,
      elements: new Map(there?.elements),
      planes: new Set(there?.planes),
      isMixed: there?.isMixed ?? false,
      isLate: there?.isLate ?? false,
    };
    const deadline = there ? undefined : this.#db.deadline(key);
    if (deadline !== undefined)
      own.elements.set("d", { version: this.#version, entries: [folded(deadline)] });
    this.#kept.set(key, own);
    return own;
  }

  // What is shown.

  /**
   * @param isKept it was not undone by something that came before it
   * @param isLast it has the latest stamp of its element
   */
  #show(
    key: string,
    kept: Kept,
    { plane, name, kind, value }: Effect,
    isKept: boolean,
    isLast: boolean,
  ): void {
    const shown = this.#db.get(key);
    if (kept.isMixed || (shown !== undefined && planeOf(shown) !== plane)) {
      this.#rebuild(key, kept, false);
      return;
    }
    // There may be very many additions. Of whole numbers their order does not matter; others are added up once for each message.
    const members = plane === "z" ? this.#unsummed.get(key) : undefined;
    if (kind === "add" && plane === "z" && shown !== undefined && (!isLast || members?.has(name))) {
      if (members) members.add(name);
      else this.#unsummed.set(key, new Set([name]));
      return;
    }
    const isMore = kind === "add" && isKept && (isLast || plane !== "z");
    const now = isMore
      ? sum(plane, elementOf(shown, plane, name), value ?? null)
      : evaluate(plane, kept.elements.get(plane + name)?.entries);
    this.#write(key, plane, name, now);
    if (shown === undefined || kind !== "add") this.#showDeadline(key, kept);
  }

  #sumUp(): void {
    for (const [key, names] of this.#unsummed) {
      const kept = this.#kept.get(key);
      for (const name of names) {
        if (!kept?.elements.has(`z${name}`) || kept.isMixed) continue;
        this.#show(key, kept, { key, plane: "z", name, kind: "put" }, true, true);
      }
    }
    this.#unsummed.clear();
  }

  /** Chooses the type anew. */
  #rebuild(key: string, kept: Kept, isBaseGone: boolean): void {
    const { elements } = kept;
    if (!isBaseGone) this.#keepBase(key, kept);
    const live = liveIn(elements);
    this.#db.delete(key);
    kept.isMixed = live.planes > 1;
    for (const [id, { entries }] of [...elements]) {
      const plane = id[0] as Plane;
      if (plane !== live.shown) continue;
      const value = evaluate(plane, entries);
      if (value !== undefined) this.#write(key, plane, id.slice(1), value);
      if (entries.every(({ time }) => time === 0)) elements.delete(id);
    }
    this.#showDeadline(key, kept);
  }

  /** What the keyspace alone has is kept as well. */
  #keepBase(key: string, { elements, planes }: Kept): void {
    const version = this.#version;
    for (const [id, value] of elementsOf(this.#db.get(key))) {
      if (!elements.has(id)) elements.set(id, { version, entries: [folded(value)] });
      planes.add(id[0] as Plane);
    }
  }

  #showDeadline(key: string, { elements }: Kept): void {
    const deadline = deadlineIn(elements, () => true) ?? undefined;
    if (this.#db.has(key) && this.#db.deadline(key) !== deadline)
      this.#db.setDeadline(key, deadline);
  }

  #write(key: string, plane: Plane, name: string, value: ElementValue | undefined): void {
    const db = this.#db;
    const { version } = this.#options.keyspace;
    if (plane === "s") {
      if (value === undefined) db.delete(key);
      else db.put(key, value as string);
      return;
    }
    let there = db.change(key) as Hash | SetValue | SortedSet | undefined;
    if (!there) {
      if (value === undefined) return;
      const made = { h: Hash, m: SetValue, z: SortedSet, d: Hash }[plane];
      there = new made(version);
      db.put(key, there);
    }
    writeElement(there, name, value);
    if (sizeOf(there) === 0) db.delete(key);
  }

  // Folding.

  #fold(key: string): void {
    const there = this.#kept.get(key);
    if (!there) return;
    const { members, self, keyspace } = this.#options;
    keyspace.nowMs = 0;
    const isStable = ({ time, origin }: Entry): boolean => time <= (this.#stable[origin] as number);
    // What is folded is earlier than what is not: the first one is, or none. What is hidden has to be known until somebody takes it away.
    const first = firstIn(there.elements);
    if (
      there.isMixed ||
      (first && (!isStable(first) || isRival(there.elements, first, isStable)))
    ) {
      if (!there.isLate) this.#own(key).isLate = true;
      return;
    }
    const isFolded = foldable(there.elements, isStable, members);
    const all = [...there.elements.values()].flatMap(({ entries }) => entries);
    if (all.every(isFolded)) {
      if (!this.#leavesDeadline(key, there.elements)) {
        // What is shown is what they make.
        this.#kept.delete(key);
        return;
      }
      if (slotOf(key) % members === self) this.#left.add(key);
    }
    const isFresh = all.some((one) => one.time > 0 && isFolded(one));
    if (isFresh) this.#foldSome(this.#own(key), isFolded);
    const kept = this.#kept.get(key);
    if (!kept) return;
    const isLate = all.some((one) => one.time > 0 && isStable(one) && !isFolded(one));
    if (kept.isLate !== isLate) this.#own(key).isLate = isLate;
  }

  #foldSome(kept: Kept, isFolded: (entry: Entry) => boolean): void {
    const { elements } = kept;
    const version = this.#version;
    const some = new Map<string, Element>();
    for (const [id, { entries }] of elements) {
      const those = entries.filter(isFolded);
      if (those.length > 0) some.set(id, { version, entries: those });
    }
    const deadline = deadlineIn(elements, isFolded);
    const live = liveIn(some);
    for (const [id, { entries }] of [...elements]) {
      const plane = id[0] as Plane;
      if (plane === "d") continue;
      const value = plane === live.shown ? evaluate(plane, some.get(id)?.entries) : undefined;
      const rest = entries.filter((one) => !isFolded(one));
      if (value !== undefined && rest.length > 0) rest.unshift(folded(value));
      if (rest.length === 0) elements.delete(id);
      else elements.set(id, { version, entries: rest });
    }
    const late = elements.get("d")?.entries.filter((one) => !isFolded(one)) ?? [];
    // Who wrote one after that has undone it.
    if (typeof deadline === "number" && late.length === 0) late.push(folded(deadline));
    if (late.length === 0) elements.delete("d");
    else elements.set("d", { version, entries: late });
  }

  // As a part of the state.

  /** Fixes what is there: what is changed from here on is copied before. */
  freeze(): readonly [head: ConvergenceHead, next: () => KeptImage | undefined] {
    this.#version += 1;
    const head: ConvergenceHead = {
      seen: [...this.#seen],
      contexts: this.#contexts.map((one) => [...one]),
      heard: this.#heard,
      early: this.#early.flat(),
      left: [...this.#left],
    };
    const keys = [...this.#kept];
    let at = 0;
    const next = (): KeptImage | undefined => {
      if (at >= keys.length) return undefined;
      const some = keys.slice(at, at + SLICE_KEYS);
      at += SLICE_KEYS;
      return some.map(([key, { isMixed, elements }]) => [
        key,
        isMixed,
        [...elements].map(([id, { entries }]) => [id, entries.map(imageOf)]),
      ]);
    };
    return [head, next];
  }

  /** Takes what `freeze` gave. */
  restore(head: ConvergenceHead, images: readonly KeptImage[]): void {
    const { seen, contexts, heard, early, left } = head;
    this.#seen = [...seen];
    this.#contexts = contexts.map((one) => [...one]);
    this.#heard = heard;
    this.#left = new Set(left);
    this.#stable = this.#seen.map((_, replica) =>
      Math.min(...this.#contexts.map((one) => one[replica] as number)),
    );
    this.#early = this.#seen.map(() => []);
    this.#earlyOf.clear();
    for (const one of early) this.#addEarly(one);
    this.#unstable = this.#seen.map(() => []);
    this.#kept.clear();
    for (const [key, isMixed, elements] of images.flat()) {
      const planes = new Set(elements.map(([id]) => id[0] as Plane));
      const kept: Kept = {
        ...{ version: this.#version, elements: new Map(), planes, isMixed, isLate: false },
      };
      for (const [id, entries] of elements) {
        const own = entries.map(entryOf);
        kept.elements.set(id, { version: this.#version, entries: own });
        for (const { time, origin } of own)
          if (time > (this.#stable[origin] as number)) this.#unstable[origin]?.push({ time, key });
          else if (time > 0) kept.isLate = true;
      }
      this.#kept.set(key, kept);
    }
    for (const queue of this.#unstable) queue.sort((a, b) => a.time - b.time);
  }
}

/** Whether an effect undoes what it had seen of an element of its key. */
function isWithin({ kind, plane, name }: Effect, id: string): boolean {
  if (kind === "flush" || kind === "clear") return true;
  if (isHidden(plane, id)) return true;
  return kind !== "add" && (plane === "s" || id === plane + name);
}

/** Whether it is of another type than who wrote to that one has seen. */
const isHidden = (plane: Plane, id: string): boolean =>
  plane !== "d" && id[0] !== plane && id[0] !== "d";

function hasHidden(planes: ReadonlySet<Plane>, from: Plane): boolean {
  for (const one of planes) if (isHidden(from, one)) return true;
  return false;
}

function hasSeen(
  time: number,
  origin: number,
  context: readonly number[],
  other: { readonly time: number; readonly origin: number },
): boolean {
  return other.time <= (other.origin === origin ? time - 1 : (context[other.origin] as number));
}

const isLater = (one: Entry, other: Entry): boolean =>
  one.time > other.time || (one.time === other.time && one.origin > other.origin);

const folded = (value: ElementValue): Entry => ({
  ...{ time: 0, origin: 0, kind: "put", value, context: NOTHING },
});

/** The value that effects on an element make, in the order of their stamps. */
function evaluate(plane: Plane, entries: readonly Entry[] | undefined): ElementValue | undefined {
  let value: ElementValue | undefined;
  for (const one of entries ?? []) {
    if (one.kind === "put") value = one.value;
    else if (one.kind === "cut" && plane === "s") value = undefined;
  }
  for (const one of entries ?? []) if (one.kind === "add") value = sum(plane, value, one.value);
  return value;
}

/** A text that is no number stays as it is. Whole numbers go round at 64 bits, so that their order does not matter. */
function sum(
  plane: Plane,
  value: ElementValue | undefined,
  by: ElementValue,
): ElementValue | undefined {
  if (plane === "z") return ((value as number | undefined) ?? 0) + (by as number);
  const was = typeof value === "string" ? parseInteger(value) : 0;
  return was === undefined ? value : String(BigInt.asIntN(64, BigInt(was) + BigInt(by as string)));
}

/** Which types have values, and which one has the latest. */
function liveIn(elements: ReadonlyMap<string, Element>): {
  readonly planes: number;
  readonly shown: Plane | undefined;
} {
  const latest = new Map<Plane, Entry>();
  for (const [id, { entries }] of elements) {
    const plane = id[0] as Plane;
    if (plane === "d" || evaluate(plane, entries) === undefined) continue;
    const last = entries.findLast(({ kind }) => kind !== "cut") as Entry;
    const before = latest.get(plane);
    if (!before || isLater(last, before)) latest.set(plane, last);
  }
  let shown: Plane | undefined;
  for (const [plane, last] of [...latest].sort(([a], [b]) => (a < b ? -1 : 1)))
    if (shown === undefined || isLater(last, latest.get(shown) as Entry)) shown = plane;
  return { planes: latest.size, shown };
}

/** The last deadline that was written; `undefined`: nobody did. */
function deadlineIn(
  elements: ReadonlyMap<string, Element>,
  counts: (entry: Entry) => boolean,
): number | null | undefined {
  return elements.get("d")?.entries.findLast(counts)?.value as number | null | undefined;
}

/** The earliest effect that is not folded. */
function firstIn(elements: ReadonlyMap<string, Element>): Entry | undefined {
  let first: Entry | undefined;
  for (const { entries } of elements.values()) {
    const [one, next] = entries;
    const own = one?.time === 0 ? next : one;
    if (own && (!first || isLater(first, own))) first = own;
  }
  return first;
}

/** Whether something that is not stable had not seen it. Most likely that is late. */
function isRival(
  elements: ReadonlyMap<string, Element>,
  first: Entry,
  isStable: (entry: Entry) => boolean,
): boolean {
  for (const { entries } of elements.values()) {
    const other = entries.findLast(
      (one) => !isStable(one) && !hasSeen(one.time, one.origin, one.context, first),
    );
    if (other) return true;
  }
  return false;
}

/** The most that are stable and that all others had seen. */
function foldable(
  elements: ReadonlyMap<string, Element>,
  isStable: (entry: Entry) => boolean,
  members: number,
): (entry: Entry) => boolean {
  const least = new Array<number>(members).fill(Number.POSITIVE_INFINITY);
  const isFolded = (one: Entry): boolean =>
    one.time === 0 || (isStable(one) && one.time <= (least[one.origin] as number));
  const entries = [...elements.values()].flatMap((element) => element.entries);
  const counted = new Set<Entry>();
  for (let isDone = false; !isDone; ) {
    isDone = true;
    for (const one of entries) {
      if (counted.has(one) || isFolded(one)) continue;
      counted.add(one);
      isDone = false;
      for (let replica = 0; replica < members; replica += 1) {
        const at = replica === one.origin ? one.time - 1 : (one.context[replica] as number);
        least[replica] = Math.min(least[replica] as number, at);
      }
    }
  }
  return isFolded;
}

// Elements of values.

function planeOf(value: Value): Plane | undefined {
  if (typeof value === "string") return "s";
  switch (value.type) {
    case "string":
      return "s";
    case "hash":
      return "h";
    case "set":
      return "m";
    case "zset":
      return "z";
    case "list":
      return undefined;
  }
}

/** What a value has of that name; nothing, if it is of another type. */
export function elementOf(
  value: Value | undefined,
  plane: Plane,
  name: string,
): ElementValue | undefined {
  if (value === undefined || planeOf(value) !== plane) return undefined;
  if (typeof value === "string") return value;
  switch (value.type) {
    case "string":
      return value.slice(0);
    case "hash":
      return value.fields.get(name);
    case "set":
      return value.has(name) ? true : undefined;
    case "zset":
      return value.score(name);
    case "list":
      return undefined;
  }
}

function* elementsOf(value: Value | undefined): IterableIterator<readonly [string, ElementValue]> {
  if (value === undefined) return;
  if (typeof value === "string") yield ["s", value];
  else if (value.type === "string") yield ["s", value.slice(0)];
  else if (value.type === "hash")
    for (const [name, text] of value.fields.entries()) yield [`h${name}`, text];
  else if (value.type === "set") for (const name of value.members.keys()) yield [`m${name}`, true];
  else if (value.type === "zset")
    for (const [name, score] of value.scores.entries()) yield [`z${name}`, score];
}

/** @param there can be changed */
export function writeElement(
  there: Hash | SetValue | SortedSet,
  name: string,
  value: ElementValue | undefined,
): void {
  if (there.type === "hash") {
    if (value === undefined) there.fields.delete(name);
    else there.set(name, value as string);
  } else if (there.type === "set") {
    if (value === undefined) there.delete(name);
    else there.add(name);
  } else if (value === undefined) there.delete(name);
  else there.set(name, value as number);
}

function sizeOf(value: Value | undefined): number {
  if (value === undefined) return 0;
  if (typeof value === "string" || value.type === "string" || value.type === "list") return 1;
  return value.type === "hash" ? value.fields.size : value.size;
}

const imageOf = ({ time, origin, kind, value, context }: Entry): EntryImage => [
  ...([time, origin, kind, value, context] as const),
];

const entryOf = ([time, origin, kind, value, context]: EntryImage): Entry => ({
  ...{ time, origin, kind, value, context },
});
