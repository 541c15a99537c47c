/** Global states for tests, put together by hand. */

import type { GlobalState, LocalState, MessageInFlight } from "../../../src/detect.ts";

type Said<T> = Readonly<Record<string, T>>;

/** What processes declare, by their names; and messages, each from somebody to somebody. */
export function stateOf(
  processes: Said<Omit<LocalState, "process" | "state">>,
  messages: readonly (Omit<MessageInFlight, "message"> & { readonly message?: unknown })[] = [],
): GlobalState {
  return {
    processes: Object.entries(processes).map(([process, said]) => ({
      ...{ process, state: null },
      ...said,
    })),
    messages: messages.map((one) => ({ message: null, ...one })),
    problems: [],
  };
}
