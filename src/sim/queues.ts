/** What can be under way in one direction: frames in their order. Each such queue is known by a number, the empty one by 0. */

interface Queue {
  readonly frames: readonly number[];
  /** Without one frame, by its place, once asked for. */
  readonly shorter: number[];
  /** With one more frame behind, by that frame. */
  readonly longer: Map<number, number>;
}

/** See the head of the file. */
export class Queues {
  readonly #queues: Queue[] = [{ frames: [], shorter: [], longer: new Map() }];

  frames(number: number): readonly number[] {
    return this.#queue(number).frames;
  }

  /** Puts a frame behind. */
  longer(number: number, frame: number): number {
    const queue = this.#queue(number);
    let longer = queue.longer.get(frame);
    if (longer === undefined) {
      const frames = [...queue.frames, frame];
      longer = this.#queues.push({ frames, shorter: [], longer: new Map() }) - 1;
      queue.longer.set(frame, longer);
    }
    return longer;
  }

  /** Takes the frame at that place out. */
  without(number: number, place: number): number {
    const { frames, shorter } = this.#queue(number);
    shorter[place] ??= frames
      .toSpliced(place, 1)
      .reduce((rest, frame) => this.longer(rest, frame), 0);
    return shorter[place];
  }

  #queue(number: number): Queue {
    return this.#queues[number] as Queue;
  }
}
