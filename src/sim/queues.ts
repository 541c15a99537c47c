/** What can be under way in one direction: frames in their order. Each such queue is known by a number, the empty one by 0. */

interface Queue {
  readonly frames: readonly number[];
  /** Without one frame, by its place, once asked for. */
  readonly shorter: number[];
  /** With one more frame behind, by that frame. */
  readonly longer: Map<number, number>;
}

/** What a queue takes beside its frames, and each frame in it, as number and as text. */
const QUEUE_BYTES = 400;
const FRAME_BYTES = 16;

/** See the head of the file. */
export class Queues {
  readonly #queues: Queue[] = [];
  readonly #numbers = new Map<string, number>();
  /** Memory that they take, about. */
  bytes = 0;

  constructor() {
    this.of([]);
  }

  frames(number: number): readonly number[] {
    return this.#queue(number).frames;
  }

  /** Puts a frame behind. */
  longer(number: number, frame: number): number {
    const { frames, longer } = this.#queue(number);
    let known = longer.get(frame);
    if (known === undefined) {
      known = this.of([...frames, frame]);
      longer.set(frame, known);
    }
    return known;
  }

  /** Takes the frame at that place out. */
  without(number: number, place: number): number {
    const { frames, shorter } = this.#queue(number);
    shorter[place] ??= this.of(frames.toSpliced(place, 1));
    return shorter[place];
  }

  #queue(number: number): Queue {
    return this.#queues[number] as Queue;
  }

  /** The queue of just these. */
  of(frames: readonly number[]): number {
    const key = frames.join();
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    const number = this.#queues.push({ frames, shorter: [], longer: new Map() }) - 1;
    this.#numbers.set(key, number);
    this.bytes += QUEUE_BYTES + FRAME_BYTES * frames.length;
    return number;
  }
}
