/**
 * Detectors: what is true of a whole system, found in a global snapshot, or by direct algorithms among its processes. Pure, with no I/O,
 * also in a browser; `inspectSnapshot` of `tidemark` makes a global state of a stored snapshot.
 * @module
 */

export {
  type AndDeadlockEffect,
  type AndDeadlockInput,
  type AndDeadlockState,
  ChandyMisraHaasAnd,
  type Probe,
} from "./detect/chandy-misra-haas-and.ts";
export {
  ChandyMisraHaasOr,
  type OrDeadlockEffect,
  type OrDeadlockInput,
  type OrDeadlockState,
  type Query,
} from "./detect/chandy-misra-haas-or.ts";
export {
  type Blocked,
  type DeadlockEvidence,
  detectDeadlock,
  type OpenWait,
} from "./detect/deadlock.ts";
export {
  type Detector,
  detectPredicate,
  detectTermination,
  parseDetector,
  type TerminationEvidence,
} from "./detect/detection.ts";
export {
  DijkstraScholten,
  type DijkstraScholtenEffect,
  type DijkstraScholtenInput,
  type DijkstraScholtenState,
  type Signal,
} from "./detect/dijkstra-scholten.ts";
export { detectGarbage, type GarbageEvidence, type GarbageObject } from "./detect/garbage.ts";
export {
  type Declaration,
  type GlobalState,
  type GlobalStateOptions,
  globalState,
  type LocalState,
  type MessageInFlight,
  type Problem,
} from "./detect/global-state.ts";
export type { ControlInput, DirectEffect } from "./detect/members.ts";
export {
  Safra,
  type SafraEffect,
  type SafraInput,
  type SafraState,
  type Token,
} from "./detect/safra.ts";
export { detectSum, detectToken, type Sum, type SumEvidence, sumOf } from "./detect/sums.ts";
export {
  Terminating,
  type TerminatingApplication,
  type TerminatingMessage,
  type TerminatingOptions,
  type TerminatingSlice,
  type TerminatingState,
  type TerminationState,
} from "./detect/terminating.ts";
export type { Detection, Place } from "./detect/verdict.ts";
export type { Declarations, Goods, Grant, References, Wait } from "./process/declarations.ts";
