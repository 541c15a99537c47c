/**
 * Total order by a log that stands beside the processes: whatever is written to it has one place, for everybody who reads it.
 *
 * Assumptions. The log takes texts and gives them, each at its position, to all in the same order, from any position on. A text may come
 * late or twice; or not at all, if whoever wrote it has lost the log meanwhile: then it is told when the log is there again. The log
 * outlives any process. There is one for each epoch. The group is uniform.
 *
 * Theory of operation (total order from consensus: Chandra and Toueg 1996, *Unreliable Failure Detectors for Reliable Distributed
 * Systems*, §7; the consensus is the log's).
 * - Packets go as they always do, by the channels; the log has their *places* alone. So whatever a snapshot needs of channels stays true,
 *   and the log has a few bytes for each packet.
 * - A member writes the place of a packet of its own once it has accepted it, which it does not before a majority has it: what has a
 *   place is not lost with whoever sent it. Before that place it writes those of all packets that it had accepted by then and that have
 *   none as far as it has read. So what a packet depends on stands in the log before it, in the same text or in what its writer had read;
 *   a text needs no other one, and it does no harm that one is lost, late or there twice. Of several places of a packet the first one
 *   counts. One text of each member is under way; what is accepted meanwhile comes with the next.
 * - For whoever is lost the others write: a packet that a majority has gets its place.
 * - *After a restore* members stand at different places of an order whose log is over, and may know of places that no packet has any more:
 *   the place was read before the cut, and the packet was sent behind it. So a member first forgets what it knows behind the first packet
 *   that it does not have. That packets before it were sent before the cut is what a consistent cut says. Then each writes to the new log
 *   what it knows, its *past*; when all have, the longest is what everybody goes on from. The pasts are parts of one order, and whatever
 *   somebody has delivered is in the longest: nobody delivers what it has not got.
 * - What a member has delivered it remembers until all have: they say so by words on the channels, and not in the log, so that a snapshot
 *   cannot have such a word without what it speaks of.
 *
 * What it does not do. A group begins, and goes on after a restore, once every member has written its past.
 */

import type { ProcessId } from "../core/id.ts";
import type { Place, Said, TotalOrder } from "./total-order.ts";

/** What a member knows of the order when a log begins. */
interface Past {
  /** How many places come before these. */
  readonly first: number;
  readonly places: Place[];
  /** More is to come of it. */
  open: boolean;
}

/** Plain data. */
export interface LogOrderState {
  /** The epoch of the log that is read; 0 if none is yet. */
  epoch: number;
  /** The last one that was read. */
  position: number;
  /** All members have written their past. */
  begun: boolean;
  /** By member, until it has begun: what they have written; and then whose texts count. */
  readonly pasts: Map<number, Past>;
  readonly lives: number[];
  /** Another life of this member has written to it first: it is the log of a group that this one is none of. */
  isForeign: boolean;
  /** How many were delivered here. */
  count: number;
  /** Behind these. */
  readonly line: Place[];
  /** Delivered here, and not known to be delivered by all: the last of `count`. */
  readonly past: Place[];
  /** By origin: the last number that was delivered in total order; and that has a place. */
  readonly delivered: number[];
  readonly placed: number[];
  /** In the order in which they were accepted; the first one is not delivered. And the last one that is own. */
  readonly accepted: Place[];
  own: number;
  /** How many texts with places it has written, and whether the last one has not come back. */
  written: number;
  underWay: boolean;
  /** By member: how many it has said to have delivered; and how many this one has told the others. */
  readonly counts: number[];
  told: number;
}

/** So many places go into one text: less than a server of NATS takes. */
const PLACES_MAX = 4_000;
/** So many are remembered for those that have not delivered them, before there is no more room. */
const PAST_MAX = 50_000;
/** Others hear of so many at the latest. */
const TELL_COUNT = 1_000;

/** See the head of the file. */
export class LogOrder implements TotalOrder {
  readonly state: LogOrderState;
  readonly #self: number;
  readonly #members: readonly ProcessId[];
  readonly #life: number;
  #texts: string[] = [];

  constructor(
    self: number,
    members: readonly ProcessId[],
    life: number,
    state: LogOrderState | undefined,
  ) {
    this.#self = self;
    this.#members = members;
    this.#life = life;
    const zeros = (): number[] => members.map(() => 0);
    this.state = state ?? {
      ...{ epoch: 0, position: 0, begun: false, pasts: new Map(), lives: zeros() },
      ...{ isForeign: false, own: 0, told: 0 },
      ...{ count: 0, line: [], past: [], delivered: zeros(), placed: zeros() },
      ...{ accepted: [], written: 0, underWay: false, counts: zeros() },
    };
  }

  sent(): void {}

  accepted({ origin, number }: Place): void {
    this.state.accepted.push({ origin, number });
    if (origin === this.#self) this.state.own = number;
  }

  learned(): void {}

  proposed(): void {}

  get next(): Place | undefined {
    const { begun, line } = this.state;
    return begun ? line[0] : undefined;
  }

  delivered(): void {
    const { state } = this;
    const { line, accepted, delivered } = state;
    const place = line.shift();
    if (!place) return;
    state.count += 1;
    state.past.push(place);
    delivered[place.origin] = place.number;
    const left = accepted.findIndex(({ origin, number }) => number > (delivered[origin] as number));
    accepted.splice(0, left < 0 ? accepted.length : left);
    this.heard(this.#self, state.count);
  }

  waitsFor(place: Place): { readonly members: readonly number[]; readonly before?: Place } {
    const { begun, pasts, line } = this.state;
    if (!begun) {
      const missing = this.#members.flatMap((_, member) =>
        pasts.get(member)?.open === false ? [] : [member],
      );
      return { members: missing };
    }
    if (!this.#hasPlace(place)) return { members: [place.origin] };
    const [before] = line;
    const isFirst = before?.origin === place.origin && before.number === place.number;
    return before && !isFirst ? { members: [], before } : { members: [] };
  }

  take(): Said {
    return { proposals: [] };
  }

  // What is particular to a log.

  /** Some have not delivered what this one has, and so much of it that more would be too much. */
  get isAhead(): boolean {
    return this.state.past.length >= PAST_MAX;
  }

  /** The others should hear how many were delivered here. */
  get isUntold(): boolean {
    return this.state.count - this.state.told >= TELL_COUNT;
  }

  /**
   * The member goes on from a state of an epoch before, or begins.
   * @param isHere whether it has that packet
   */
  start(isHere: (place: Place) => boolean): void {
    const { state } = this;
    state.epoch = 0;
    state.begun = false;
    const missing = state.line.findIndex((place) => !isHere(place));
    if (missing < 0) return;
    state.line.splice(missing);
  }

  /** The log of that epoch is there, for the first time or again. */
  open(epoch: number): void {
    const { state } = this;
    if (epoch !== state.epoch) {
      state.epoch = epoch;
      state.begun = false;
      state.position = 0;
      state.pasts.clear();
      state.lives.fill(0);
      state.isForeign = false;
    }
    state.underWay = false;
    if (!state.begun && state.pasts.get(this.#self)?.open !== false) this.#writePast();
  }

  /**
   * What stands in the log at a position: one text, or several as lines.
   * @returns what is wrong with it, if something is
   */
  read(position: number, lines: string): string | undefined {
    const { state } = this;
    if (position <= state.position) return undefined;
    state.position = position;
    let wrong: string | undefined;
    for (const text of lines.split("\n")) {
      const read = parse(text, this.#members);
      if (typeof read === "string") wrong ??= read;
      else if ("first" in read) this.#readPast(read);
      else if (state.begun && state.lives[read.from] === read.life) this.#readPlaces(read);
    }
    return wrong;
  }

  /** A member has delivered so many. */
  heard(member: number, count: number): void {
    const { state } = this;
    const { counts, past } = state;
    if (count <= (counts[member] as number)) return;
    counts[member] = count;
    const many = Math.min(...counts) - (state.count - past.length);
    if (many > 0) past.splice(0, many);
  }

  /**
   * What is to be written to the log since the last call.
   * @param isLost whether that member does not write for itself
   */
  takeTexts(isLost: (member: number) => boolean): readonly string[] {
    this.#writePlaces(isLost);
    const texts = this.#texts;
    this.#texts = [];
    return texts;
  }

  #hasPlace({ origin, number }: Place): boolean {
    return number <= (this.state.placed[origin] as number);
  }

  #writePlaces(isLost: (member: number) => boolean): void {
    const { state } = this;
    if (!state.begun || state.underWay) return;
    const isOurs = ({ origin }: Place): boolean => origin === this.#self || isLost(origin);
    // Mostly there is nothing, and the line may be long.
    const isDone = this.#hasPlace({ origin: this.#self, number: state.own });
    if (isDone && !this.#members.some((_, member) => isLost(member))) return;
    const places: Place[] = [];
    // Up to the last one that is to be written here; the others are written by their origins, unless something depends on them.
    let end = 0;
    for (const place of state.accepted) {
      if (this.#hasPlace(place)) continue;
      const ours = isOurs(place);
      if (places.length === PLACES_MAX) {
        // It does not fit, with what stands before it: that comes first.
        if (ours) end = PLACES_MAX;
        if (ours) break;
        continue;
      }
      places.push(place);
      if (ours) end = places.length;
    }
    if (end === 0) return;
    state.written += 1;
    state.underWay = true;
    this.#write({ text: state.written, places: entriesOf(places.slice(0, end)) });
  }

  #writePast(): void {
    const { count, past, line } = this.state;
    const places = entriesOf([...past, ...line]);
    let first = count - past.length;
    do {
      const some = places.splice(0, PLACES_MAX);
      this.#write({ first, places: some, more: places.length > 0 });
      first += some.length;
    } while (places.length > 0);
  }

  #write(content: object): void {
    const from = this.#members[this.#self];
    this.#texts.push(JSON.stringify({ from, life: this.#life, ...content }));
  }

  /** The first life of a member that writes to a log is that which counts. */
  #readPast({ from, life, first, places, more }: PastText): void {
    const { begun, pasts, lives } = this.state;
    if (begun || (lives[from] !== 0 && lives[from] !== life)) return;
    lives[from] = life;
    if (from === this.#self && life !== this.#life) this.state.isForeign = true;
    const known = pasts.get(from);
    if (known && !known.open) return;
    if (known && known.first + known.places.length === first) {
      known.places.push(...places);
      known.open = more;
      // Written again from its beginning; in the middle of nothing it means nothing.
    } else pasts.set(from, { first, places: [...places], open: more });
    if ([...this.#members.keys()].every((member) => pasts.get(member)?.open === false))
      this.#begin();
  }

  #begin(): void {
    const { state } = this;
    let longest: Past | undefined;
    for (const past of state.pasts.values())
      if (!longest || endOf(past) > endOf(longest)) longest = past;
    const { first, places } = longest as Past;
    const line = places.slice(Math.max(0, state.count - first));
    state.line.splice(0, state.line.length, ...line);
    state.begun = true;
    state.pasts.clear();
    for (const [origin, number] of state.delivered.entries()) state.placed[origin] = number;
    for (const { origin, number } of line) state.placed[origin] = number;
  }

  #readPlaces({ from, text, places }: PlacesText): void {
    const { state } = this;
    for (const place of places) {
      if (this.#hasPlace(place)) continue;
      state.line.push(place);
      state.placed[place.origin] = place.number;
    }
    if (from === this.#self && text === state.written) state.underWay = false;
  }
}

const endOf = ({ first, places }: Past): number => first + places.length;

const entriesOf = (places: readonly Place[]): (readonly [number, number])[] =>
  places.map(({ origin, number }) => [origin, number]);

interface PastText {
  readonly from: number;
  readonly life: number;
  readonly first: number;
  readonly places: readonly Place[];
  readonly more: boolean;
}

interface PlacesText {
  readonly from: number;
  readonly life: number;
  /** Which one it is of those that its writer wrote. */
  readonly text: number;
  readonly places: readonly Place[];
}

/** Whoever may write to the log may write anything. */
function parse(line: string, members: readonly ProcessId[]): PastText | PlacesText | string {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return "it is no JSON";
  }
  const given = (value ?? {}) as Readonly<Record<string, unknown>>;
  const { from: name, life, first, text, more } = given;
  const from = members.indexOf(name as ProcessId);
  if (from < 0) return "it is of no member";
  if (!isCount(life) || life === 0) return "it is of no life";
  const places = placesIn(given["places"], members.length);
  if (!places) return "its places are none";
  if (isCount(first) && typeof more === "boolean") return { from, life, first, places, more };
  if (isCount(text)) return { from, life, text, places };
  return "it is neither a past nor has a number";
}

function placesIn(value: unknown, members: number): readonly Place[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const places = (value as unknown[]).flatMap((entry) => {
    const [origin, number] = (Array.isArray(entry) ? entry : []) as readonly unknown[];
    return isCount(origin) && origin < members && isCount(number) ? [{ origin, number }] : [];
  });
  return places.length === value.length ? places : undefined;
}

const isCount = (value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0;
