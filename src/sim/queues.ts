/** What can be under way in one direction: frames in their order. Each such queue is known by a number, the empty one by 0. */

interface Queue {
  readonly frames: readonly number[];
  /** Without its first frame, once asked for. */
  rest: number;
  /** With one more frame behind, by that frame. */
  readonly longer: Map<number, number>;
}

/** See the head of the file. */
export class Queues {
  readonly #queues: Queue[] = [{ frames: [], rest: -1, longer: new Map() }];

  frames(number: number): readonly number[] {
    return this.#queue(number).frames;
  }

  /** Puts a frame behind. */
  longer(number: number, frame: number): number {
    const queue = this.#queue(number);
    let longer = queue.longer.get(frame);
    if (longer === undefined) {
      longer =
        this.#queues.push({ frames: [...queue.frames, frame], rest: -1, longer: new Map() }) - 1;
      queue.longer.set(frame, longer);
    }
    return longer;
  }

  /** Takes the first frame off. */
  rest(number: number): number {
    const queue = this.#queue(number);
    if (queue.rest < 0) {
      let rest = 0;
      for (const frame of queue.frames.slice(1)) rest = this.longer(rest, frame);
      queue.rest = rest;
    }
    return queue.rest;
  }

  #queue(number: number): Queue {
    return this.#queues[number] as Queue;
  }
}
