/**
 * Traces: what happened, and in which other orders it could have happened. Pure, with no I/O, also in a browser.
 * @module
 */

export {
  type ChannelState,
  type Cut,
  type Flaw,
  findFlaw,
  inFlight,
  type MessageId,
  type Permutation,
  permute,
  type TraceEvent,
} from "./trace/permute.ts";
