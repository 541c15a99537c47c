/**
 * The machines by themselves, for other drivers: pure, with no I/O, also in a browser.
 * @module
 */

export {
  type ChannelHash,
  emptyChannelHash,
  foldChannelHash,
  formatChannelHash,
} from "./core/channel-hash.ts";
export type { Machine } from "./core/machine.ts";
export {
  Link,
  type LinkEffect,
  type LinkInput,
  type LinkOptions,
  type LinkState,
} from "./link/link.ts";
export {
  Process,
  type ProcessEffect,
  type ProcessInput,
  type ProcessOptions,
  type ProcessState,
} from "./process/process.ts";
export {
  ChandyLamport,
  type Marker,
  type SnapshotEffect,
  type SnapshotInput,
  type SnapshotState,
} from "./snapshot/chandy-lamport.ts";
export {
  Collector,
  type CollectorEffect,
  type CollectorInput,
  type CollectorState,
} from "./snapshot/collector.ts";
