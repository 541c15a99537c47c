/**
 * NATS JetStream: the snapshots of a system on servers that several machines share. Nobody who does not import this
 * loads the client of NATS.
 * @module
 */

export type { NatsOptions } from "./nats/connection.ts";
export { type NatsOrderLogOptions, natsOrderLog } from "./nats/nats-order-log.ts";
export {
  type ConsumerPosition,
  type NatsPositions,
  type NatsPositionsOptions,
  type PositionRound,
  recordNatsPositions,
  type StreamPosition,
} from "./nats/nats-positions.ts";
export {
  forgetNatsProcess,
  type NatsProcessOptions,
  type RunningNatsProcess,
  type StreamMessage,
  type StreamTurn,
  startNatsProcess,
} from "./nats/nats-process.ts";
export {
  type NatsRestoreOptions,
  type NatsSnapshotOptions,
  type NatsSnapshotProgress,
  restoreNatsSnapshot,
  takeNatsSnapshot,
} from "./nats/nats-snapshot.ts";
export { type NatsStoreOptions, natsStore } from "./nats/nats-store.ts";
export { type NatsTransportOptions, natsAddress, natsTransport } from "./nats/nats-transport.ts";
