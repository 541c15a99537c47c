/**
 * Makes the frames of a peer that wants to do harm: nonsense, good ones with one thing changed, old ones, and such that are
 * well formed in every field but what they mean. It knows what its victim expects, so that much of it gets far.
 */

import type { ProcessId } from "../../src/core/id.ts";
import { Random } from "../../src/core/random.ts";
import { writeRecords } from "../../src/core/record.ts";
import { encodeUtf8 } from "../../src/core/utf8.ts";
import {
  acknowledgement,
  BATCH_HEADER_BYTES,
  type FrameHeader,
  writeBatchHeader,
} from "../../src/link/frame.ts";
import type { LinkState } from "../../src/link/link.ts";
import {
  KIND_COLOURED,
  KIND_CONTROL,
  KIND_MARKER,
  KIND_MESSAGES,
  STREAM_CHANNEL,
  STREAM_CONTROL,
} from "../../src/process/wire.ts";

/** What the victim knows of the forger. */
export interface Victim {
  readonly incarnation: number;
  readonly view: number;
  readonly channel: LinkState;
  readonly control: LinkState;
}

/** Names and lives that words may be about. */
export interface Cast {
  /** The forger itself first. */
  readonly lives: ReadonlyMap<ProcessId, number>;
}

const NUMBERS = [
  ...[
    0,
    -0,
    1,
    2,
    7,
    255,
    256,
    1_000,
    65_535,
    2 ** 31,
    2 ** 32 - 1,
    2 ** 32,
    2 ** 53 - 2,
    2 ** 53 - 1,
  ],
  ...[2 ** 53, 1e300, -1, 0.5, 1e-300, Number.NaN, Number.POSITIVE_INFINITY],
];
const OLD_FRAMES = 64;

/** See the head of the file. */
export class Forger {
  readonly #random: Random;
  readonly #cast: Cast;
  readonly #old: Uint8Array[] = [];

  readonly #mostBytes: number;

  /** @param mostBytes what a transport lets through */
  constructor(seed: number | string, cast: Cast, mostBytes: number) {
    this.#random = new Random(seed);
    this.#cast = cast;
    this.#mostBytes = mostBytes;
  }

  /** Keeps a frame that somebody sent, to use it later. */
  remember(frame: Uint8Array): void {
    if (this.#old.length < OLD_FRAMES) this.#old.push(frame.slice());
    else this.#old[this.#random.below(OLD_FRAMES)] = frame.slice();
  }

  /** Any of them; or only such as a link drops, nearly always, so that the true ones go on. */
  forge(victim: Victim, clumsy: boolean): Uint8Array {
    return this.#any(victim, this.#random.below(clumsy ? 4 : 12)).subarray(0, this.#mostBytes);
  }

  #any(victim: Victim, kind: number): Uint8Array {
    const random = this.#random;
    switch (kind) {
      case 0:
        return this.#bytes(random.pick([0, 1, 31, 32, 43, 44, 45, 100, 3_000]) as number);
      case 1: {
        // A form that is known, then anything.
        const frame = this.#bytes(random.between(2, 200));
        frame[0] = random.between(1, 2);
        return frame;
      }
      case 2:
        return this.#bend((random.pick(this.#old) ?? this.#bytes(50)).slice());
      case 3:
        return random.pick(this.#old) ?? this.#bytes(50);
      case 4:
        return acknowledgement(
          this.#header(victim, random.below(2)),
          random.chance(0.9)
            ? 0
            : (random.pick([victim.channel.expected, this.#count()]) as number),
          random.pick(["asks", "answers", undefined]),
        );
      case 5:
        return this.#bend(this.#batch(victim));
      default: {
        const frame = this.#batch(victim);
        this.remember(frame);
        return frame;
      }
    }
  }

  /** A header that the victim takes, or one with a number that may be anything. */
  #header(victim: Victim, stream: number): FrameHeader {
    const random = this.#random;
    const link = stream === STREAM_CONTROL ? victim.control : victim.channel;
    const { next, peerIncarnation, queue } = link;
    const acknowledged = random.chance(0.9)
      ? random.pick([0, queue[0]?.first ?? next, next])
      : random.pick([next + 1, this.#count()]);
    return {
      stream: random.chance(0.02) ? random.below(256) : stream,
      epoch: random.chance(0.02) ? random.bits() : 1,
      from: random.chance(0.02) ? random.bits() : peerIncarnation,
      to: random.chance(0.02) ? random.bits() : victim.incarnation,
      acknowledged: acknowledged as number,
      credit: random.pick([0, 1_000, 1e9, this.#count()]) as number,
    };
  }

  #count(): number {
    return this.#random.pick(NUMBERS) as number;
  }

  #batch(victim: Victim): Uint8Array {
    const random = this.#random;
    const stream = random.pick([STREAM_CHANNEL, STREAM_CONTROL]) as number;
    const kinds =
      stream === STREAM_CHANNEL
        ? [KIND_MESSAGES, KIND_MARKER, KIND_MARKER, KIND_COLOURED]
        : [KIND_CONTROL];
    const kind = random.chance(0.03) ? random.below(256) : (random.pick(kinds) as number);
    const contents = Array.from({ length: random.pick([0, 1, 1, 1, 2, 5]) as number }, () =>
      this.#content(kind, victim),
    );
    if (kind === KIND_COLOURED && random.chance(0.95)) contents.unshift(this.#colour(victim));
    const body = writeRecords(contents);
    const frame = new Uint8Array(BATCH_HEADER_BYTES + body.length);
    frame.set(body, BATCH_HEADER_BYTES);
    const { expected } = stream === STREAM_CONTROL ? victim.control : victim.channel;
    const first = random.chance(0.85)
      ? expected
      : (random.pick([
          expected + 1,
          expected + random.below(3_000),
          expected - 1,
          this.#count(),
        ]) as number);
    const count = random.chance(0.95) ? contents.length : this.#count() >>> 0;
    writeBatchHeader(frame, this.#header(victim, stream), kind, first, count);
    return frame;
  }

  #content(kind: number, victim: Victim): Uint8Array {
    const random = this.#random;
    if (random.chance(0.05)) return this.#bytes(random.below(200));
    if (random.chance(0.05)) return encodeUtf8(this.#hostileJson());
    let word: Record<string, unknown>;
    if (kind === KIND_MARKER) word = this.#marker(victim);
    else if (kind === KIND_CONTROL) word = this.#control(victim);
    else word = { n: random.bits(), amount: random.below(9) };
    if (random.chance(0.2)) {
      const field = random.pick(Object.keys(word)) as string;
      word[field] = this.#anything();
    }
    return encodeUtf8(JSON.stringify(word));
  }

  #snapshot(): { readonly snapshot: string; readonly incarnation: number; readonly count: number } {
    const random = this.#random;
    const names = [...this.#cast.lives.keys()];
    const initiator = random.chance(0.1) ? "nobody" : (random.pick([names[0], ...names]) as string);
    const count = random.chance(0.9) ? random.between(1, 5_000) : 10 ** random.below(15);
    const incarnation = random.chance(0.9) ? this.#cast.lives.get(initiator) : random.bits();
    return { snapshot: `${initiator}/${count}`, incarnation: incarnation ?? 5, count };
  }

  #marker({ view }: Victim): Record<string, unknown> {
    const random = this.#random;
    const { snapshot, incarnation, count } = this.#snapshot();
    return {
      snapshot,
      incarnation,
      view: random.chance(0.95) ? view : random.bits(),
      live: random.chance(0.8) ? random.below(Math.min(count, 3) + 1) : random.below(count + 2),
      timeoutMs: random.pick([0, 1, 100, 30_000, 1e300]),
    };
  }

  #colour(victim: Victim): Uint8Array {
    const random = this.#random;
    if (random.chance(0.1)) return this.#bytes(random.below(200));
    const length = random.pick([0, 0, 1, 1, 2, 32, 40]) as number;
    const colour: unknown[] = Array.from({ length }, () => this.#marker(victim));
    if (random.chance(0.1)) colour.push(this.#anything());
    return encodeUtf8(length === 0 ? "" : JSON.stringify(colour));
  }

  #control(victim: Victim): Record<string, unknown> {
    const random = this.#random;
    const type = random.pick([
      ...["complete", "stored", "failed", "settled", "settled", "started", "count", "count"],
    ]);
    if (type === "count") {
      const before = { sent: random.pick([0, 1, 5, this.#count()]), hash: `${"0".repeat(32)}s` };
      return { type, marker: this.#marker(victim), before };
    }
    const { snapshot, incarnation } = this.#snapshot();
    const reason = random.chance(0.8) ? "because" : "x".repeat(random.below(5_000));
    if (type === "settled") return { type, snapshot, ...(random.chance(0.5) ? { reason } : {}) };
    if (type === "failed") return { type, snapshot, incarnation, reason };
    return type === "stored"
      ? { type, incarnation, piece: this.#piece(snapshot) }
      : { type, snapshot, incarnation };
  }

  #piece(snapshot: string): Record<string, unknown> {
    const random = this.#random;
    const part = { sha256: "0".repeat(64), bytes: 3 };
    const hash = "0".repeat(33);
    const names = [...this.#cast.lives.keys()].sort();
    const piece: Record<string, unknown> = {
      snapshot,
      process: names[0],
      epoch: 1,
      state: { encoding: "json", sliced: false, parts: [part] },
      messageEncoding: "json",
      incoming: names.map((from) => ({ from, received: 0, hash, inFlight: 0 })),
      outgoing: names.map((to) => ({ to, sent: 0, hash })),
      timing: { recordedAtMs: 0, recordingMs: 0, captureMs: 0 },
    };
    if (random.chance(0.5)) piece[random.pick(Object.keys(piece)) as string] = this.#anything();
    return piece;
  }

  /** A value that no field expects. */
  #anything(): unknown {
    const random = this.#random;
    return random.pick([
      null,
      true,
      "",
      "p1/1",
      "p1/0",
      "__proto__",
      "x".repeat(random.below(3_000)),
      random.pick(NUMBERS),
      -random.bits(),
      [],
      [[]],
      {},
      { length: 1e9 },
      { toString: null, valueOf: 5 },
      JSON.parse('{"__proto__": {"polluted": true}, "constructor": {"prototype": 1}}'),
    ]);
  }

  #hostileJson(): string {
    const random = this.#random;
    const deep = random.between(1, 20_000);
    return random.pick([
      "[".repeat(deep),
      "[".repeat(deep) + "]".repeat(deep),
      `${'{"a":'.repeat(deep)}1${"}".repeat(deep)}`,
      '{"__proto__":{"snapshot":"h/1","view":0,"live":0,"timeoutMs":1,"type":"settled"}}',
      '{"constructor":{"prototype":{"polluted":true}}}',
      '{"snapshot":"h/1","snapshot":"h/2","view":1e999,"live":-0,"timeoutMs":1e999}',
      '{"type":"stored","piece":{"__proto__":null,"toJSON":1}}',
      "null",
      "1e400",
      '"\\ud800"',
      "",
      "NaN",
      '{"type":"settled","snapshot":"h/1","reason":{"toString":1}}',
    ]) as string;
  }

  /** One thing is changed: a field of the header, a byte anywhere, or where it ends. */
  #bend(frame: Uint8Array): Uint8Array {
    const random = this.#random;
    const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
    const fields = [0, 1, 2, 3, 4, 8, 12, 16, 24, 32, 40];
    const at = random.pick(fields) as number;
    switch (random.below(4)) {
      case 0:
        return frame.subarray(0, random.below(frame.length + 1));
      case 1: {
        const longer = new Uint8Array(frame.length + random.between(1, 50));
        longer.set(frame);
        return longer;
      }
      case 2:
        if (frame.length > 0) frame[random.below(frame.length)] = random.below(256);
        return frame;
      default:
        if (at < 4 && at < frame.length) frame[at] = random.below(256);
        else if ((at < 16 || at === 40) && at + 4 <= frame.length)
          view.setUint32(at, this.#count() >>> 0, true);
        else if (at >= 16 && at + 8 <= frame.length) view.setFloat64(at, this.#count(), true);
        return frame;
    }
  }

  #bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.#random.below(256));
  }
}
