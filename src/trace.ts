/**
 * Traces: what happened, in which other orders it could have happened, and which promises were kept. Pure, with no I/O, also in
 * a browser.
 * @module
 */

export type {
  ObservedBodies,
  ObservedLife,
  ObservedPacket,
  ObservedRange,
  ProcessObserver,
  Valued,
} from "./core/observer.ts";
export { ORDER_LEVELS, type OrderLevel, type OrderPromise } from "./core/order-level.ts";
export { CausalOrder, type Frontier } from "./trace/causal-order.ts";
export {
  type Consistency,
  type ConsistencyOptions,
  type ConsistencyVerdict,
  type Contradiction,
  checkClients,
  type Operation,
} from "./trace/consistency.ts";
export {
  type Access,
  type ConvergenceOptions,
  checkConvergence,
  storeAccesses,
} from "./trace/convergence.ts";
export { compareTraces, type DifferenceOptions, type TraceDifference } from "./trace/difference.ts";
export { dotLines, itfLines, mermaidLines } from "./trace/drawings.ts";
export {
  History,
  type HistoryCounts,
  type HistoryEvent,
  type HistoryLine,
  type NumberedEvent,
  parseHistory,
} from "./trace/history.ts";
export {
  type Crossing,
  cutCaption,
  eventsOf,
  type LaidArrow,
  type LaidCut,
  type LaidRow,
  type Layout,
  type LayoutOptions,
  layOut,
  type Mark,
  type MarkKind,
  type NotShown,
  notShownText,
  type Stub,
} from "./trace/layout.ts";
export { drawOperations } from "./trace/operation-bars.ts";
export { type OtlpImport, parseOtlp } from "./trace/otlp.ts";
export {
  type ChannelEvent,
  type ChannelState,
  type Cut,
  type Flaw,
  findFlaw,
  inFlight,
  type MessageId,
  type Permutation,
  permute,
} from "./trace/permute.ts";
export {
  type CountOptions,
  countCuts,
  cutsWhere,
  type DefinitelyVerdict,
  definitely,
  firstObserved,
  type PossiblyOptions,
  type PossiblyVerdict,
  possibly,
  type Way,
} from "./trace/possibly.ts";
export type { GlobalState, Predicate, ProcessValues } from "./trace/predicate.ts";
export {
  type CheckOptions,
  checkHistory,
  type Omission,
  type PromiseName,
  type Verdict,
  type Witness,
} from "./trace/promises.ts";
export {
  type RecordedEvent,
  Recorder,
  type RecorderMark,
  type RecorderOptions,
  type Recording,
  type Values,
} from "./trace/recorder.ts";
export { traceLines } from "./trace/recording.ts";
export {
  type FindAll,
  parseShiviz,
  SHIVIZ_PARSER,
  type ShivizExecution,
  type ShivizOptions,
  shivizLines,
} from "./trace/shiviz.ts";
export { type DrawOptions, drawSpaceTime, type SpaceTime } from "./trace/space-time.ts";
export { type MessagesInFlight, StateIndex } from "./trace/state-index.ts";
export {
  type Asked,
  type Model,
  type Reply,
  type StoreState,
  storeModel,
} from "./trace/store-model.ts";
export { drawSvg } from "./trace/svg-diagram.ts";
export { drawText, type TextOptions, type Tone } from "./trace/text-diagram.ts";
export {
  type Arrow,
  type EventDetails,
  type EventType,
  jsonLines,
  messagesOf,
  parseTrace,
  type Trace,
  TraceBuilder,
  type TraceEvent,
  TraceReader,
} from "./trace/trace.ts";
