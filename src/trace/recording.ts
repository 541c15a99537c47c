/**
 * Makes one trace of what several processes recorded: lines in the format of docs/internals/history-format.md.
 *
 * Theory of operation. Each life of a process is a process of the trace. In a recording lives are told apart by their incarnations, which
 * both ends of a channel know; so the two names at a line and the number of the message are enough for a reader to find the arrow. What
 * an epoch did is undone by the next one: a group is another one in each.
 */

import type { ProcessId } from "../core/id.ts";
import { HISTORY_FORMAT } from "./history.ts";
import type { RecordedEvent, Recording } from "./recorder.ts";

/**
 * A trace of what processes recorded, line by line, in the order of their clocks as far as that of each process allows.
 *
 * @param options.complete that the recordings end when all has come that will; it is not said of those in which anything else is
 *   missing. @default false
 */
export function* traceLines(
  recordings: readonly Recording[],
  options: { readonly complete?: boolean } = {},
): Generator<string> {
  const names = new Names(recordings);
  const isWhole = recordings.every(
    ({ lost, whole, every, lives }) => lost === 0 && whole && every === 1 && lives.length <= 1,
  );
  const complete = options.complete === true && isWhole;
  const head = { type: "history", format: HISTORY_FORMAT, complete };
  yield JSON.stringify({ ...head, ...(!isWhole && { late: true }) });
  for (const { process, lives } of recordings)
    for (let life = 1; life < lives.length; life += 1) {
      const [was, is] = [
        names.ofLife(process, lives[life - 1]),
        names.ofLife(process, lives[life]),
      ];
      yield JSON.stringify({ type: "process", process: is, was });
    }
  const next = recordings.map(() => 0);
  for (;;) {
    let first = -1;
    let atMs = Number.POSITIVE_INFINITY;
    for (const [r, { events }] of recordings.entries()) {
      const event = events[next[r] as number];
      if (!event || (first >= 0 && event.atMs >= atMs)) continue;
      first = r;
      ({ atMs } = event);
    }
    if (first < 0) return;
    const recording = recordings[first] as Recording;
    const event = recording.events[next[first] as number] as RecordedEvent;
    next[first] = (next[first] as number) + 1;
    yield JSON.stringify(lineOf(names, recording, event));
  }
}

function lineOf(names: Names, recording: Recording, event: RecordedEvent): object {
  const { type, atMs, heldMs, text, values, snapshot, number = 0, count = 1, group } = event;
  const process = names.ofLife(recording.process, recording.lives[event.life]);
  const line: Record<string, unknown> = { process, type };
  if (type === "send" || type === "receive") {
    line[type === "send" ? "to" : "from"] = names.ofPeer(recording, event);
    line["message"] = number === 0 ? names.unnumbered() : number;
  } else if (group !== undefined) {
    const [shown, message, from] = names.inGroup(recording, event);
    Object.assign(line, { group: shown, message });
    if (type === "deliver" && from !== undefined) line["from"] = from;
    if (type === "multicast") line["order"] = event.order;
    if (type === "multicast" && event.peer !== undefined)
      line["to"] = names.inEpoch(event.peer, recording.lives[event.life]?.epoch);
  }
  if (count > 1) line["count"] = count;
  return {
    ...line,
    ...(event.carries && { carries: event.carries }),
    ...(snapshot !== undefined && { snapshot }),
    atMs: Math.round(atMs * 1000) / 1000,
    ...(heldMs !== undefined && { heldMs: Math.round(heldMs * 1000) / 1000 }),
    ...(text !== undefined && { text }),
    ...(values !== undefined && { values }),
  };
}

type Life = Recording["lives"][number];

/** What is called how. */
class Names {
  /** By process and incarnation. */
  readonly #lives = new Map<string, string>();
  readonly #taken: Set<string>;
  /** By process and epoch: its first life there. */
  readonly #inEpoch = new Map<string, string>();
  /** Which life of a peer was meant, by event, where it had not been met. */
  readonly #meant = new Map<RecordedEvent, number>();
  /** Who multicast what a life of a member of a group did, by group, epoch, member and life. */
  readonly #members = new Map<string, { readonly text: string; readonly process?: string }>();
  readonly #known = new Map<string, number>();
  #firstEpoch = Number.POSITIVE_INFINITY;
  #unnumbered = 0;

  constructor(recordings: readonly Recording[]) {
    this.#taken = new Set(recordings.map(({ process }) => process));
    for (const { process, lives } of recordings)
      for (const life of lives) {
        const name = this.#name(process, life.incarnation);
        const key = `${process} ${life.epoch}`;
        if (!this.#inEpoch.has(key)) this.#inEpoch.set(key, name);
        this.#firstEpoch = Math.min(this.#firstEpoch, life.epoch);
      }
    for (const recording of recordings) this.#look(recording);
    for (const type of ["multicast", "deliver"] as const)
      for (const recording of recordings)
        for (const event of recording.events)
          if (event.type === type) this.#member(recording, event);
  }

  /** How that life of a process is called. */
  ofLife(process: ProcessId, life: Life | undefined): string {
    return this.#name(process, life?.incarnation ?? 0);
  }

  /** How a process is called in an epoch. */
  inEpoch(process: ProcessId, epoch: number | undefined): string {
    return this.#inEpoch.get(`${process} ${epoch}`) ?? process;
  }

  ofPeer(recording: Recording, event: RecordedEvent): string {
    const { peer = "", peerLife = 0 } = event;
    const life = peerLife === 0 ? this.#meant.get(event) : peerLife;
    if (life !== undefined) return this.#name(peer, life);
    return this.inEpoch(peer, recording.lives[event.life]?.epoch);
  }

  /** The group, the message and who multicast it, if that is known. */
  inGroup(
    recording: Recording,
    event: RecordedEvent,
  ): readonly [group: string, message: string, from: string | undefined] {
    const { group = "", number } = event;
    const { epoch = 0 } = recording.lives[event.life] ?? {};
    const { text, process } = this.#member(recording, event);
    const shown = epoch === this.#firstEpoch ? group : `${group} in epoch ${epoch}`;
    return [shown, `${text}/${number}`, process];
  }

  /** What was in flight in a snapshot has no number any more. */
  unnumbered(): string {
    this.#unnumbered += 1;
    return `in flight ${this.#unnumbered}`;
  }

  /** The first life of a process has its name, others a number behind it. */
  #name(process: ProcessId, incarnation: number): string {
    const key = `${process} ${incarnation}`;
    const known = this.#lives.get(key);
    if (known !== undefined) return known;
    let number = (this.#known.get(process) ?? 0) + 1;
    const named = (): string => (number === 1 ? process : `${process}.${number}`);
    while (number > 1 && this.#taken.has(named())) number += 1;
    this.#known.set(process, number);
    const name = named();
    this.#taken.add(name);
    this.#lives.set(key, name);
    return name;
  }

  /** From the end: a peer that had not been met is who was met next. */
  #look({ events }: Recording): void {
    const met = new Map<string, number>();
    for (let i = events.length - 1; i >= 0; i -= 1) {
      const event = events[i] as RecordedEvent;
      const { type, life, peer, peerLife = 0, group } = event;
      if (peer === undefined || group !== undefined) continue;
      const key = `${life} ${peer}`;
      if (peerLife !== 0) met.set(key, peerLife);
      else if (type === "send") this.#meant.set(event, met.get(key) ?? 0);
      if (this.#meant.get(event) === 0) this.#meant.delete(event);
    }
  }

  #member(
    recording: Recording,
    event: RecordedEvent,
  ): { readonly text: string; readonly process?: string } {
    const { type, group, peer = "", peerLife } = event;
    const life = recording.lives[event.life];
    const own = type === "multicast";
    const from = own ? recording.process : peer;
    const place = `${JSON.stringify(group)} ${life?.epoch} ${from}`;
    const key = `${place} ${peerLife}`;
    const known = this.#members.get(key);
    if (known) return known;
    const number = (this.#known.get(place) ?? 0) + 1;
    this.#known.set(place, number);
    const member = {
      text: number === 1 ? from : `${from}~${number}`,
      ...(own && { process: this.ofLife(from, life) }),
    };
    this.#members.set(key, member);
    return member;
  }
}
