/**
 * The machines by themselves, for other drivers: pure, with no I/O, also in a browser.
 * @module
 */

export {
  type ChannelHash,
  emptyChannelHash,
  emptySetHash,
  foldChannelHash,
  formatChannelHash,
} from "./core/channel-hash.ts";
export type { Machine } from "./core/machine.ts";
export {
  type ChannelOrder,
  Link,
  type LinkEffect,
  type LinkInput,
  type LinkOptions,
  type LinkState,
} from "./link/link.ts";
export type { Stall } from "./multicast/explanation.ts";
export {
  Group,
  type GroupEffect,
  type GroupInput,
  type GroupOptions,
  type GroupState,
} from "./multicast/group.ts";
export {
  Process,
  type ProcessEffect,
  type ProcessInput,
  type ProcessOptions,
  type ProcessState,
  type SnapshotAlgorithm,
} from "./process/process.ts";
export { ChandyLamport } from "./snapshot/chandy-lamport.ts";
export {
  Collector,
  type CollectorEffect,
  type CollectorInput,
  type CollectorState,
} from "./snapshot/collector.ts";
export { LaiYang } from "./snapshot/lai-yang.ts";
export type {
  Marker,
  SnapshotEffect,
  SnapshotInput,
  SnapshotMachine,
  SnapshotState,
} from "./snapshot/recordings.ts";
