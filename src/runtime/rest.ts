/**
 * For work that comes in many short pieces, so that others have their turns between. What can wait, such as encoding a large state, rests:
 * while there is nothing else to do it goes on at once, and while there is it takes a small share of the time.
 */

import { setImmediate as nextTurn } from "node:timers/promises";

/** A turn of the event loop that took less had nothing to do. */
const IDLE_TURN_MS = 0.03;
/** So many times as long as a piece took, what else there is has its turn, … */
const OTHERS_SHARE = 12;
/** … but no longer than this: a piece may have taken long for reasons of its own, and the work is to be done some time. */
const REST_MS_MAX = 2;

/** Between two pieces, of which the first took so long: lets others go first. */
export async function rest(workedMs: number): Promise<void> {
  const enoughMs = Math.min(REST_MS_MAX, OTHERS_SHARE * workedMs);
  const startMs = performance.now();
  let beganMs = startMs;
  for (;;) {
    await nextTurn();
    const nowMs = performance.now();
    if (nowMs - beganMs < IDLE_TURN_MS || nowMs - startMs >= enoughMs) return;
    beganMs = nowMs;
  }
}

/** Does such work to its end, with a turn for others after each step: it is short, and somebody waits for it. */
export async function inTurns<T>(steps: Iterator<void, T>): Promise<T> {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    await nextTurn();
  }
}
