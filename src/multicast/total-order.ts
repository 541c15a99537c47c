/**
 * In which order the packets of a group are delivered that asked for total order. Two ways; a group uses one of them.
 *
 * Both are told which packets a member has *accepted*: in the sequence of each origin, and a causal one after all that it depends on.
 * So both orders keep FIFO and causal order among what they order, and no member ever waits in a circle: what a packet waits for
 * was accepted before it by everybody, and comes before it in the total order.
 */

import type { Entry } from "./packet.ts";

/** A packet, by its origin and number. */
export interface Place {
  readonly origin: number;
  readonly number: number;
}

/** What is to be told to others, after a step. */
export interface Said {
  /** A packet in the own sequence. */
  readonly packet?: { readonly kind: "orders" | "finals"; readonly entries: readonly Entry[] };
  /** Words, each to one member. */
  readonly proposals: readonly { readonly to: number; readonly entries: readonly Entry[] }[];
}

/** What both ways do. */
export interface TotalOrder {
  readonly state: unknown;
  /** This member has multicast a packet of that number. */
  sent(number: number): void;
  /** This member has accepted a packet. */
  accepted(place: Place): void;
  /** A packet with positions may be heeded, of `from`, which can be this member: in a uniform group, once a majority has it. */
  learned(from: number, entries: readonly Entry[]): void;
  /** A word of `from`. */
  proposed(from: number, entries: readonly Entry[]): void;
  /** The next packet to be delivered, if it is known. */
  readonly next: Place | undefined;
  /** The next one has been delivered. */
  delivered(): void;
  /** Who keeps that packet waiting, as indexes: those whose word is missing; or the packet that comes before it. */
  waitsFor(place: Place): { readonly members: readonly number[]; readonly before?: Place };
  /** What is to be told since the last call, as much as goes into one packet: until there is no packet more. */
  take(): Said;
}

const NOTHING: Said = { proposals: [] };
/** Of one packet, or of one word: 8 KB. */
export const ENTRIES_MAX = 500;
const isSame = (a: Place, b: Place): boolean => a.origin === b.origin && a.number === b.number;

/** Plain data. */
export interface SequencerState {
  /** Ordered, and not delivered here. */
  readonly line: Place[];
  /** Ordered by this member, and not told. */
  readonly untold: Entry[];
}

/**
 * One member, the sequencer, accepts packets in some order and tells the others: that is the order. One more hop than plain
 * multicast, and all goes through one member. After Kaashoek and Tanenbaum 1991, "Group Communication in the Amoeba Distributed
 * Operating System" (their method PB: the message goes to all, and the sequencer sends its number).
 */
export class Sequencer implements TotalOrder {
  readonly state: SequencerState;
  readonly #self: number;
  readonly #sequencer: number;

  constructor(self: number, sequencer: number, state?: SequencerState) {
    this.#self = self;
    this.#sequencer = sequencer;
    this.state = state ?? { line: [], untold: [] };
  }

  sent(): void {}

  accepted(place: Place): void {
    if (this.#self === this.#sequencer) this.state.untold.push([place.origin, place.number]);
  }

  learned(from: number, entries: readonly Entry[]): void {
    if (from !== this.#sequencer) return;
    for (const [origin, number] of entries) this.state.line.push({ origin, number });
  }

  proposed(): void {}

  get next(): Place | undefined {
    return this.state.line[0];
  }

  delivered(): void {
    this.state.line.shift();
  }

  waitsFor(place: Place): { readonly members: readonly number[]; readonly before?: Place } {
    const { line } = this.state;
    if (!line.some((one) => isSame(one, place))) return { members: [this.#sequencer] };
    const [before] = line;
    return before && !isSame(before, place) ? { members: [], before } : { members: [] };
  }

  take(): Said {
    const { untold } = this.state;
    if (untold.length === 0) return NOTHING;
    const entries = untold.splice(0, ENTRIES_MAX);
    return { packet: { kind: "orders", entries }, proposals: [] };
  }
}

/** A packet in the line, at the place that this member proposed, or that was agreed. */
interface Waiting extends Place {
  place: number;
  agreed: boolean;
}

/** No group comes so far; a place beyond is a mistake, and would make all later ones one. */
const PLACE_MAX = 2 ** 52;

/** Plain data. */
export interface AgreementState {
  /** The largest place proposed or agreed. */
  clock: number;
  /** In ascending order. */
  readonly line: Waiting[];
  /** Of own packets, by number: the largest place proposed, and by whom not yet. */
  readonly open: Map<number, { place: number; readonly missing: number[] }>;
  readonly toPropose: Map<number, Entry[]>;
  readonly toAgree: Entry[];
}

/**
 * Every member proposes a place for each packet, later than all places it knows; the largest is agreed, and told by the origin. A
 * packet is delivered when its place is agreed and no other can come to stand before it. No member is special, and it takes three
 * hops. Dale Skeen's algorithm, as in Birman and Joseph 1987, "Reliable Communication in the Presence of Failures", §5 (ABCAST).
 */
export class Agreement implements TotalOrder {
  readonly state: AgreementState;
  readonly #self: number;
  readonly #members: number;

  constructor(self: number, members: number, state?: AgreementState) {
    this.#self = self;
    this.#members = members;
    this.state = state ?? {
      clock: 0,
      line: [],
      open: new Map(),
      toPropose: new Map(),
      toAgree: [],
    };
  }

  sent(number: number): void {
    const missing = Array.from({ length: this.#members }, (_, member) => member);
    this.state.open.set(number, { place: 0, missing });
  }

  accepted({ origin, number }: Place): void {
    const { state } = this;
    state.clock += 1;
    // Later than all others, so at the end.
    state.line.push({ origin, number, place: state.clock, agreed: false });
    if (origin === this.#self) this.#collect(this.#self, number, state.clock);
    else {
      const proposed = state.toPropose.get(origin) ?? [];
      proposed.push([number, state.clock]);
      state.toPropose.set(origin, proposed);
    }
  }

  proposed(from: number, entries: readonly Entry[]): void {
    for (const [number, place] of entries)
      if (place <= PLACE_MAX) this.#collect(from, number, place);
  }

  #collect(from: number, number: number, place: number): void {
    const { open, toAgree } = this.state;
    const one = open.get(number);
    const at = one?.missing.indexOf(from) ?? -1;
    // Said again, or of nothing that was sent.
    if (!one || at < 0) return;
    one.missing.splice(at, 1);
    one.place = Math.max(one.place, place);
    if (one.missing.length > 0) return;
    open.delete(number);
    toAgree.push([number, one.place]);
  }

  learned(from: number, entries: readonly Entry[]): void {
    for (const [number, place] of entries) this.#agree(from, number, place);
  }

  #agree(origin: number, number: number, place: number): void {
    const { state } = this;
    const { line } = state;
    const at = line.findIndex((one) => one.number === number && one.origin === origin);
    const waiting = line[at];
    // Never less than what was proposed here; anything else is no agreement.
    if (!waiting || waiting.agreed || place < waiting.place || place > PLACE_MAX) return;
    state.clock = Math.max(state.clock, place);
    waiting.place = place;
    waiting.agreed = true;
    // Mostly it stays where it is, and the line may be long.
    let [before, end] = [at + 1, line.length];
    if (before < end && isBefore(waiting, line[before] as Waiting)) return;
    while (before < end) {
      const middle = (before + end) >>> 1;
      if (isBefore(waiting, line[middle] as Waiting)) end = middle;
      else before = middle + 1;
    }
    line.copyWithin(at, at + 1, before);
    line[before - 1] = waiting;
  }

  get next(): Place | undefined {
    const first = this.state.line[0];
    return first?.agreed ? first : undefined;
  }

  delivered(): void {
    this.state.line.shift();
  }

  waitsFor(place: Place): { readonly members: readonly number[]; readonly before?: Place } {
    const { line, open } = this.state;
    const waiting = line.find((one) => isSame(one, place));
    if (waiting?.agreed) {
      const [before] = line;
      return before && before !== waiting ? { members: [], before } : { members: [] };
    }
    if (place.origin !== this.#self) return { members: [place.origin] };
    return { members: open.get(place.number)?.missing ?? [] };
  }

  take(): Said {
    const { toPropose, toAgree } = this.state;
    if (toPropose.size === 0 && toAgree.length === 0) return NOTHING;
    const proposals = [...toPropose].map(([to, entries]) => ({ to, entries }));
    toPropose.clear();
    const entries = toAgree.splice(0, ENTRIES_MAX);
    return entries.length > 0 ? { packet: { kind: "finals", entries }, proposals } : { proposals };
  }
}

/** What is agreed for a message may be what was proposed here for a later one of its origin. */
function isBefore(a: Waiting, b: Waiting): boolean {
  if (a.place !== b.place) return a.place < b.place;
  return a.origin === b.origin ? a.number < b.number : a.origin < b.origin;
}
