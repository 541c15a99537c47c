/**
 * Two ends of a link over a network of its own, driven by a seed in virtual time: frames are lost, repeated, reordered,
 * refused; connections go and come; an end starts again without its state; the takers are slow. What was given is
 * written down, and what comes out is compared with it at once.
 */

import { Random } from "../../src/core/random.ts";
import { batchOf } from "../../src/link/batch-writer.ts";
import { parseFrame } from "../../src/link/frame.ts";
import { type ChannelOrder, Link, type LinkInput } from "../../src/link/link.ts";

export interface PairOptions {
  readonly seed: number;
  readonly reliable: boolean;
  readonly order?: ChannelOrder;
  readonly loss: number;
  readonly repeat: number;
  /** Only if reliable: probability that the transport does not take a frame. */
  readonly refuse: number;
  /** Frames take up to so long; or so long exactly. */
  readonly delayMs: number;
  readonly steadyMs?: number;
  readonly windowBytes: number;
  /** The window of the second end, if it differs. */
  readonly otherWindowBytes?: number;
  /** What is done during the first second: batches sent by each end, cuts, ends that start again. */
  readonly batches: number;
  readonly cuts: number;
  readonly restarts: number;
  /** Bytes of a batch at the most. */
  readonly size: number;
  /** The taker of an end takes everything after so long at the most. */
  readonly takeMs: number;
}

/** One life of one end. */
interface End {
  readonly name: 0 | 1;
  readonly life: number;
  readonly link: Link;
  /** Numbers of the batches given, by life of the peer that they are for; 0 while none is known. */
  given: number[];
  givenFor: number;
  got: number[];
  up: boolean;
  tickAtMs: number;
  untaken: number;
}

interface Event {
  readonly atMs: number;
  readonly act: () => void;
}

/** What came of a run. */
export interface PairOutcome {
  readonly batches: number;
  /** Frames with a batch that were sent, the same one again counted too. */
  readonly sendings: number;
  readonly acknowledgements: number;
  readonly resets: number;
  /** Batches that came out of the link before one that was given earlier. */
  readonly overtook: number;
}

export const BUSY_MS = 1000;
const CALM_MS = 120_000;
const EARLY_MAX = 1024;
/** What a frame is written over with once it was delivered: it was only lent. */
const POISON = 0xee;

/** See the head of the file. */
export class LinkPair {
  readonly options: PairOptions;
  readonly ends: [End, End];
  nowMs = 0;
  connection = 0;
  readonly #random: Random;
  readonly #events: Event[] = [];
  readonly #lastMs = [0, 0];
  #healed: boolean = false;
  #connected: boolean = false;
  #batches = 0;
  #sendings = 0;
  #acknowledgements = 0;
  #resets = 0;
  #overtook = 0;
  #lives = 0;

  constructor(options: PairOptions) {
    this.options = options;
    this.#random = new Random(options.seed);
    this.ends = [this.#end(0), this.#end(1)];
  }

  /** Everything that the seed says, then time to recover. Throws an `Error` that says what is wrong. */
  run(): PairOutcome {
    const { batches, cuts, restarts } = this.options;
    const random = this.#random;
    const during = (): number => random.below(BUSY_MS);
    this.at(0, () => this.connect());
    for (const name of [0, 1] as const)
      for (let i = 0; i < batches; i += 1) this.at(during(), () => this.give(name));
    for (let i = 0; i < cuts; i += 1)
      this.at(during(), () => {
        this.cut();
        this.at(this.nowMs + random.below(200), () => this.connect());
      });
    for (let i = 0; i < restarts; i += 1)
      this.at(during(), () => this.restart(random.below(2) as 0 | 1));
    this.pass(BUSY_MS);
    this.heal();
    this.pass(BUSY_MS + CALM_MS);
    this.check();
    return this.outcome;
  }

  get outcome(): PairOutcome {
    return {
      batches: this.#batches,
      sendings: this.#sendings,
      acknowledgements: this.#acknowledgements,
      resets: this.#resets,
      overtook: this.#overtook,
    };
  }

  at(atMs: number, act: () => void): void {
    // Few events are open at a time.
    let index = this.#events.length;
    while (index > 0 && (this.#events[index - 1] as Event).atMs <= atMs) index -= 1;
    this.#events.splice(index, 0, { atMs, act });
  }

  pass(untilMs: number): void {
    for (let steps = 0; ; steps += 1) {
      if (steps > 200_000) throw new Error("it does not come to rest");
      const event = this.#events.at(-1);
      if (!event || event.atMs > untilMs) break;
      this.#events.pop();
      this.nowMs = Math.max(this.nowMs, event.atMs);
      event.act();
    }
    this.nowMs = untilMs;
  }

  heal(): void {
    this.#healed = true;
    // A connection that stands must recover by itself.
    if (this.#connected) return;
    this.cut();
    this.at(this.nowMs + 20, () => this.connect());
  }

  check(): void {
    for (const end of this.ends) {
      const other = this.ends[1 - end.name] as End;
      const { state } = end.link;
      const where = `end ${end.name}`;
      const got = this.options.order === "none" ? other.got.toSorted((a, b) => a - b) : other.got;
      must(String(got) === String(end.given), `${where}: not everything has arrived`);
      must(
        state.queue.length === 0,
        `${where}: ${state.queue.length} batches are not acknowledged`,
      );
      must(state.early.size === 0 && state.earlyBytes === 0, `${where}: early batches are left`);
      must(end.link.waitingBytes === 0, `${where}: ${end.link.waitingBytes} bytes wait`);
      must(end.link.deadlineMs === Number.POSITIVE_INFINITY, `${where}: it still wants a tick`);
    }
    must(this.#events.length === 0, `${this.#events.length} things are still to be done`);
  }

  give(name: 0 | 1, size?: number): void {
    const end = this.ends[name];
    const { size: most } = this.options;
    this.#batches += 1;
    const number = this.#batches;
    const length = size ?? (this.#random.chance(0.2) ? 0 : this.#random.below(most));
    const content = new Uint8Array(8 + length);
    new DataView(content.buffer).setFloat64(0, number);
    end.given.push(number);
    this.step(end, { type: "send", batch: batchOf(1, content), nowMs: this.nowMs });
  }

  connect(): void {
    this.connection += 1;
    this.#connected = true;
    const { connection } = this;
    const [a, b] = this.ends;
    // Each notices at another time; which first is left to chance.
    for (const [end, other] of [
      [a, b],
      [b, a],
    ] as const) {
      const atMs = this.nowMs + this.#random.below(20);
      this.#lastMs[end.name] = atMs;
      this.at(atMs, () => {
        if (this.connection !== connection || this.ends[end.name] !== end) return;
        end.up = true;
        // What it gave and got before it knew whom it spoke to counts for the first one; not for another.
        if (end.givenFor !== 0 && end.givenFor !== other.life) {
          end.given = [];
          end.got = [];
          end.untaken = 0;
        }
        end.givenFor = other.life;
        this.step(end, { type: "up", incarnation: other.life, nowMs: this.nowMs });
      });
    }
  }

  cut(): void {
    this.#connected = false;
    this.connection += 1;
    for (const end of this.ends) {
      if (!end.up) continue;
      end.up = false;
      this.step(end, { type: "down" });
    }
  }

  restart(name: 0 | 1): void {
    this.ends[name] = this.#end(name);
    const other = this.ends[1 - name] as End;
    if (other.up) {
      other.up = false;
      this.step(other, { type: "down" });
    }
    this.#connected = false;
    this.connection += 1;
    this.at(this.nowMs + this.#random.below(50), () => this.connect());
  }

  step(end: End, input: LinkInput): void {
    if (this.ends[end.name] !== end) return;
    for (const effect of end.link.step(input)) {
      if (effect.type === "transmit") this.#transmit(end, effect.frame);
      else if (effect.type === "batch") this.#got(end, effect.batch.body);
      else if (effect.type === "reset") this.#resets += 1;
      else throw new Error(`end ${end.name}: ${JSON.stringify(effect)}`);
    }
    const { state, deadlineMs } = end.link;
    const window = this.#window(end.name);
    const largest = this.options.size + 64;
    must(state.early.size <= EARLY_MAX, "too many early batches are kept");
    must(state.earlyBytes <= 2 * window + largest, "too many early bytes are kept");
    must(end.untaken < window + largest, `${end.untaken} bytes are not taken`);
    if (deadlineMs < end.tickAtMs) {
      end.tickAtMs = deadlineMs;
      this.at(Math.max(this.nowMs, deadlineMs), () => {
        if (end.tickAtMs > this.nowMs) return;
        end.tickAtMs = Number.POSITIVE_INFINITY;
        this.step(end, { type: "tick", nowMs: this.nowMs });
      });
    }
  }

  #window(name: 0 | 1): number {
    const { windowBytes, otherWindowBytes = windowBytes } = this.options;
    return name === 0 ? windowBytes : otherWindowBytes;
  }

  #end(name: 0 | 1): End {
    this.#lives += 1;
    const { reliable, order } = this.options;
    const windowBytes = this.#window(name);
    const life = this.#lives;
    return {
      name,
      life,
      link: new Link({
        stream: 0,
        epoch: 7,
        incarnation: life,
        reliable,
        windowBytes,
        ackDelayMs: 5,
        order,
      }),
      given: [],
      givenFor: 0,
      got: [],
      up: false,
      tickAtMs: Number.POSITIVE_INFINITY,
      untaken: 0,
    };
  }

  #transmit(end: End, bytes: Uint8Array): void {
    must(end.up, "a frame is sent while the peer is down");
    const frame = bytes.slice();
    const { connection } = this;
    const { reliable, loss, repeat, refuse, delayMs, steadyMs } = this.options;
    const to = (1 - end.name) as 0 | 1;
    const happens = (probability: number): boolean =>
      !this.#healed && this.#random.chance(probability);
    const parsed = parseFrame(frame);
    must(typeof parsed !== "string", `a frame that is not well formed is sent: ${String(parsed)}`);
    if (typeof parsed !== "string" && parsed.batch) this.#sendings += 1;
    else this.#acknowledgements += 1;
    if (reliable && happens(refuse)) {
      this.at(this.nowMs, () => this.step(end, { type: "dropped", nowMs: this.nowMs }));
      return;
    }
    if (happens(loss)) return;
    const arrive = (mostMs: number): void => {
      let atMs = this.nowMs + (steadyMs ?? this.#random.below(mostMs + 1));
      if (reliable) {
        atMs = Math.max(atMs, this.#lastMs[to] ?? 0);
        this.#lastMs[to] = atMs;
      }
      this.at(atMs, () => {
        const other = this.ends[to];
        // Without a promise, what was sent on an earlier connection may still come.
        if (!other.up || (reliable && this.connection !== connection)) return;
        const lent = frame.slice();
        const again = parseFrame(lent);
        if (typeof again !== "string")
          this.step(other, { type: "frame", frame: again, nowMs: this.nowMs });
        lent.fill(POISON);
      });
    };
    arrive(delayMs);
    if (happens(repeat)) arrive(delayMs * 3);
  }

  #got(end: End, body: Uint8Array): void {
    const other = this.ends[1 - end.name] as End;
    const number = new DataView(body.buffer, body.byteOffset).getFloat64(4);
    const expected = other.given[end.got.length];
    if (this.options.order === "none") {
      must(
        other.given.includes(number),
        `end ${end.name} got batch ${number}, which was not given`,
      );
      must(!end.got.includes(number), `end ${end.name} got batch ${number} twice`);
      if (number !== expected) this.#overtook += 1;
    } else must(number === expected, `end ${end.name} got batch ${number} instead of ${expected}`);
    end.got.push(number);
    const bytes = body.length;
    end.untaken += bytes;
    const { got } = end;
    this.at(this.nowMs + this.#random.below(this.options.takeMs + 1), () => {
      // What came before the peer started again is nobody's any more.
      if (end.got !== got) return;
      end.untaken -= bytes;
      this.step(end, { type: "taken", bytes, nowMs: this.nowMs });
    });
  }
}

function must(condition: boolean, otherwise: string): void {
  if (!condition) throw new Error(otherwise);
}
