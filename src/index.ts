/**
 * Tidemark: inspect, back up, check and restore a running distributed Node.js system without stopping it.
 * @module
 */

export {
  compareStamps,
  LamportClock,
  type Relation,
  VectorClock,
  type VectorStamp,
} from "./core/clock.ts";
export {
  ERROR_CODES,
  type ErrorCode,
  type ErrorDetails,
  type Fault,
  isTidemarkError,
  TidemarkError,
} from "./core/error.ts";
export {
  checkProcessId,
  isProcessId,
  isSnapshotId,
  type ProcessId,
  parseSnapshotId,
  type SnapshotId,
  snapshotId,
} from "./core/id.ts";
export type { OrderLevel } from "./core/order-level.ts";
export { Random, type RandomState } from "./core/random.ts";
export { type Channel, Topology } from "./core/topology.ts";
export {
  describeGroup,
  type Gap,
  type GroupExplanation,
  type HeldPacket,
  type Unstable,
} from "./multicast/explanation.ts";
export {
  type Application,
  FrozenState,
  type PeerChange,
  type Renamed,
  type Turn,
  UNASKED,
} from "./process/application.ts";
export {
  CAUSES,
  type Cause,
  type CauseCode,
  type ExplainOptions,
  explainSystem,
  type ProcessReport,
  type SystemExplanation,
} from "./process/causes.ts";
export { bytesCodec, type Codec, jsonCodec, lentBytesCodec } from "./process/codec.ts";
export {
  type ChannelComparison,
  type ChannelCounts,
  type CompareOptions,
  compareSnapshots,
  isDifferent,
  type NumberedMessage,
  type Presence,
  type ProcessComparison,
} from "./process/compare-snapshots.ts";
export type { Declarations, Goods, Grant, References, Wait } from "./process/declarations.ts";
export {
  type Delivery,
  type GroupApplication,
  type GroupEvent,
  Grouped,
  type GroupedOptions,
  type GroupedSlice,
  type GroupedState,
  type GroupSetup,
  type GroupStall,
  type GroupTurn,
  groupedCodecs,
  type MessageInGroup,
} from "./process/grouped.ts";
export type {
  Explanation,
  PeerMeasures,
  ProcessCounters,
  ProcessMeasures,
  Received,
} from "./process/process.ts";
export { ReadableSnapshot, type SnapshotSource } from "./process/readable-snapshot.ts";
export { type CloneOptions, cloneSnapshot } from "./runtime/clone-snapshot.ts";
export {
  type DirectoryStore,
  type DirectoryStoreOptions,
  directoryStore,
} from "./runtime/directory-store.ts";
export { GlobalSnapshot } from "./runtime/global-snapshot.ts";
export {
  type CaptureWriter,
  type InputLog,
  type InputLogOptions,
  type LogCapture,
  type LogPolicy,
  openInputLog,
} from "./runtime/input-log.ts";
export { type InspectOptions, inspectSnapshot } from "./runtime/inspect-snapshot.ts";
export { memoryStore } from "./runtime/memory-store.ts";
export { MemoryNetwork, type MemoryOptions } from "./runtime/memory-transport.ts";
export { msgpackCodec } from "./runtime/msgpack-codec.ts";
export {
  MemoryOrderLog,
  type OpenedOrderLog,
  type OrderLog,
  type OrderLogEvents,
  type OrderLogReader,
} from "./runtime/order-log.ts";
export { readAttempts } from "./runtime/read-attempts.ts";
export type { Restoration } from "./runtime/restoration.ts";
export {
  type ProcessConfiguration,
  type RecordedHere,
  type RunningMeasures,
  type RunningProcess,
  type SnapshotOptions,
  startProcess,
} from "./runtime/running-process.ts";
export type {
  AbandonCause,
  HistogramMeasures,
  SnapshotMeasures,
} from "./runtime/snapshot-counts.ts";
export { exportSnapshot, type ImportOptions, importSnapshot } from "./runtime/snapshot-file.ts";
export type {
  EpochRecord,
  PieceBodies,
  SnapshotStore,
  StoredPiece,
  StoredSnapshot,
} from "./runtime/snapshot-store.ts";
export { type SpoiledOptions, spoiledTransport } from "./runtime/spoiled-transport.ts";
export type { StreamOptions } from "./runtime/stream-transport.ts";
export {
  type Closing,
  defineSystem,
  type RestartRule,
  type ServedSystem,
  type SystemDefinition,
  type SystemView,
} from "./runtime/system-definition.ts";
export { type TcpOptions, tcpTransport } from "./runtime/tcp-transport.ts";
export type { TlsIdentity } from "./runtime/tls.ts";
export type {
  Frame,
  Transport,
  TransportEvents,
  TransportGuarantees,
  TransportIdentity,
} from "./runtime/transport.ts";
export {
  quiescent,
  type WatchEvent,
  type WatchOptions,
  watchSystem,
} from "./runtime/watch-system.ts";
export {
  WorkerNetwork,
  type WorkerNetworkOptions,
  workerTransport,
} from "./runtime/worker-transport.ts";
export type { Attempt, AttemptNote, AttemptShare } from "./snapshot/attempt.ts";
export {
  compareValues,
  type Difference,
  type DifferenceCounts,
  type Differences,
} from "./snapshot/diff.ts";
export type { Manifest, PieceRecord, SnapshotSummary } from "./snapshot/manifest.ts";
export {
  type Found,
  formatPath,
  type Path,
  type PathExpression,
  parsePath,
  type Step,
} from "./snapshot/value-path.ts";
export { type Verdict, verifySnapshot } from "./snapshot/verify.ts";
