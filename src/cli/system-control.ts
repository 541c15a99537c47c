/** What is asked of a running system, checked, and how what comes of it is told. */

import { TidemarkError } from "../core/error.ts";
import { parseSnapshotId } from "../core/id.ts";
import type { Restoration } from "../runtime/restoration.ts";
import type {
  ApplicationRequest,
  Disturbance,
  RestoreRequest,
  SnapshotRequest,
  SnapshotResult,
  TracePageRequest,
  TraceRequest,
} from "../serve/system-methods.ts";
import { checkRecorderOptions } from "../trace/recorder.ts";
import type { Audit, Proof } from "./audit.ts";
import { checkLabel } from "./store.ts";

const LABEL_CHARACTERS = 256;
/** Nobody records for longer; after that it would end by itself. */
const TRACE_MS_MAX = 86_400_000;
/** The longest delay that timers take. */
const TIMEOUT_MAX_MS = 2 ** 31 - 1;

/** @throws TidemarkError `BAD_OPTION`, `BAD_ID` */
export function checkRestoreRequest(parameter: unknown): RestoreRequest {
  const { snapshot, timeoutMs } = (parameter ?? {}) as Partial<Record<string, unknown>>;
  return { snapshot: parseSnapshotId(String(snapshot)).id, timeoutMs: checkTimeout(timeoutMs) };
}

/** @throws TidemarkError `BAD_OPTION` */
export function checkApplicationRequest(parameter: unknown): ApplicationRequest {
  const { process, request, timeoutMs } = (parameter ?? {}) as Partial<Record<string, unknown>>;
  return { process: String(process), request, timeoutMs: checkTimeout(timeoutMs) };
}

/** @throws TidemarkError `BAD_OPTION` */
export function checkDisturbance(parameter: unknown): Disturbance {
  const { what, process, from, to } = (parameter ?? {}) as Partial<Record<string, unknown>>;
  switch (what) {
    case "kill":
    case "halt":
    case "resume":
      if (typeof process === "string" && from === undefined && to === undefined)
        return { what, process };
      throw new TidemarkError("BAD_OPTION", `${what} needs a process, and nothing else`);
    case "cut":
    case "heal":
      if (typeof from === "string" && typeof to === "string" && process === undefined)
        return { what, from, to };
      throw new TidemarkError("BAD_OPTION", `${what} needs from and to, and nothing else`);
    default:
      throw new TidemarkError("BAD_OPTION", "what is kill, halt, resume, cut or heal");
  }
}

/** @throws TidemarkError `BAD_OPTION` */
export function checkTraceRequest(parameter: unknown): TraceRequest {
  const { options = {}, forMs } = (parameter ?? {}) as Partial<Record<string, unknown>>;
  if (typeof forMs !== "number" || !(forMs >= 0 && forMs <= TRACE_MS_MAX))
    throw new TidemarkError("BAD_OPTION", `forMs is 0 to ${TRACE_MS_MAX}`);
  return { options: checkRecorderOptions(options), forMs };
}

/** @throws TidemarkError `BAD_OPTION` */
export function checkTracePageRequest(parameter: unknown): TracePageRequest {
  const { process, from } = (parameter ?? {}) as Partial<Record<string, unknown>>;
  if (!Number.isSafeInteger(from) || (from as number) < 0)
    throw new TidemarkError("BAD_OPTION", "from is a whole number from 0");
  return { process: String(process), from: from as number };
}

function checkTimeout(timeoutMs: unknown): number {
  if (typeof timeoutMs === "number" && timeoutMs >= 1 && timeoutMs <= TIMEOUT_MAX_MS)
    return timeoutMs;
  throw new TidemarkError("BAD_OPTION", `timeoutMs is 1 to ${TIMEOUT_MAX_MS}`);
}

/** @throws TidemarkError `BAD_OPTION` */
export function checkSnapshotRequest(parameter: unknown): SnapshotRequest {
  const { label, passing } = (parameter ?? {}) as Partial<Record<string, unknown>>;
  if (label === undefined) return passing === true ? { passing } : {};
  if (typeof label === "string" && label.length >= 1 && label.length <= LABEL_CHARACTERS)
    return { label: checkLabel(label) };
  throw new TidemarkError("BAD_OPTION", `a label has 1 to ${LABEL_CHARACTERS} characters`);
}

/** What is told of a snapshot, in this order. */
export function snapshotResult(audit: Audit, expected: number): SnapshotResult {
  const { manifest, problem } = audit;
  return {
    snapshot: manifest.id,
    processes: manifest.processes.length,
    messagesInFlight: audit.messagesInFlight,
    amountInFlight: audit.amountInFlight,
    sum: audit.sum,
    expected,
    consistent: problem === undefined,
    markers: manifest.channels.length,
    durationMs: Math.round(manifest.cutMs * 100) / 100,
    ...(problem === undefined ? {} : { problem }),
  };
}

/** The same of a system that is no bank. */
export function proofResult({ manifest, messagesInFlight, problem }: Proof): SnapshotResult {
  return {
    snapshot: manifest.id,
    processes: manifest.processes.length,
    messagesInFlight,
    consistent: problem === undefined,
    markers: manifest.channels.length,
    durationMs: Math.round(manifest.cutMs * 100) / 100,
    ...(problem === undefined ? {} : { problem }),
  };
}

/** What came of a restore, for people. */
export function restoredText({ snapshot, epoch, absent, reason }: Restoration): string {
  const but = reason === undefined ? "" : `, but ${reason}`;
  const who = absent.length === 0 ? "" : ` without ${absent.join(", ")}`;
  return `the system was restored to ${snapshot}${who}, in epoch ${epoch}${but}`;
}
