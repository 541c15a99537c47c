/**
 * The one error type of Tidemark. Match on `code`: it is stable, and it survives two copies of the
 * package being installed, which `instanceof` does not.
 */

/** Whose fault: `local` means this side misused something; `remote` means a peer, a file or the world did. */
export type Fault = "local" | "remote";

/** A stable error code; `ERROR_CODES` says what each one means. */
export type ErrorCode =
  | "BAD_OPTION"
  | "BAD_ID"
  | "UNKNOWN_PROCESS"
  | "UNKNOWN_GROUP"
  | "NO_CHANNEL"
  | "CHANNEL_FULL"
  | "MESSAGE_TOO_LARGE"
  | "BAD_MESSAGE"
  | "APPLICATION_THREW"
  | "CAPTURE_THREW"
  | "RESTORED"
  | "DIVERGED"
  | "UNREACHABLE"
  | "UNSUITABLE_TRANSPORT"
  | "STOPPED"
  | "ABORTED"
  | "BUSY"
  | "SNAPSHOT_ABANDONED"
  | "GROUP_STALLED"
  | "MALFORMED_FRAME"
  | "UNREADABLE_MESSAGE"
  | "FRAME_TOO_LARGE"
  | "PEER_RESTARTED"
  | "PEER_UNREACHABLE"
  | "HANDSHAKE_REFUSED"
  | "SERVER_REFUSED"
  | "STRANGER"
  | "UNTRUSTED"
  | "DUPLICATE_ID"
  | "VERSION_MISMATCH"
  | "EPOCH_MISMATCH"
  | "CONFIGURATION_DIFFERS"
  | "ADDRESS_IN_USE"
  | "STORE_FAILED"
  | "EPOCH_TAKEN"
  | "IN_USE"
  | "DAMAGED"
  | "LOG_FAILED"
  | "LOG_RESUMED"
  | "LOG_CUT"
  | "LOG_DAMAGED"
  | "LOG_LOCKED"
  | "LOG_BEHIND"
  | "ORDER_LOG_FAILED"
  | "KEY_REQUIRED"
  | "WRONG_KEY"
  | "NOT_FOUND"
  | "NOT_RUNNING"
  | "ALREADY_RUNNING";

/**
 * Every code that can appear, with whose fault it is and what it means. `docs/operate/errors.md` is
 * checked against this table.
 */
export const ERROR_CODES: Readonly<Record<ErrorCode, readonly [Fault, string]>> = {
  BAD_OPTION: ["local", "An option has a value that cannot be used."],
  BAD_ID: ["local", "A process or snapshot id is not well formed."],
  UNKNOWN_PROCESS: ["local", "The process named is not part of the system."],
  UNKNOWN_GROUP: ["local", "The process named no group that it is a member of."],
  NO_CHANNEL: ["local", "There is no channel from this process to the one named."],
  CHANNEL_FULL: ["local", "More is waiting to be sent on a channel than its limit allows."],
  MESSAGE_TOO_LARGE: ["local", "A message is larger than one frame may be."],
  BAD_MESSAGE: ["local", "A message, state or reply cannot be encoded, or a state not decoded."],
  APPLICATION_THREW: ["local", "The application threw; the process stopped as it was."],
  CAPTURE_THREW: ["local", "The application's capture threw; the snapshot is abandoned."],
  RESTORED: [
    "remote",
    "The system was restored to a snapshot meanwhile; the message says to which.",
  ],
  DIVERGED: [
    "local",
    "In a replay of its input log the application does something else than it did.",
  ],
  UNREACHABLE: ["local", "Some process cannot be reached by channels from the initiator."],
  UNSUITABLE_TRANSPORT: [
    "local",
    "Transport or channels do not guarantee what an algorithm needs.",
  ],
  STOPPED: ["local", "The process is stopped or stopping."],
  ABORTED: ["local", "The caller gave up waiting."],
  BUSY: ["local", "Too many requests are waiting already."],
  SNAPSHOT_ABANDONED: ["remote", "The snapshot was abandoned; the message gives the reason."],
  GROUP_STALLED: [
    "remote",
    "Something in a group has waited for long; the message says what, and for whom.",
  ],
  MALFORMED_FRAME: ["remote", "A peer sent a frame that is not well formed."],
  UNREADABLE_MESSAGE: ["remote", "A peer sent a message that this process cannot decode."],
  FRAME_TOO_LARGE: ["remote", "A peer announced a frame beyond the limit."],
  PEER_RESTARTED: ["remote", "A peer came back without its state; its channels start afresh."],
  PEER_UNREACHABLE: ["remote", "A peer does not answer at its address."],
  HANDSHAKE_REFUSED: ["remote", "The other side refused the connection; the message says why."],
  SERVER_REFUSED: [
    "remote",
    "A server that keys are read from or written to answered with an error; the message has it.",
  ],
  STRANGER: ["remote", "Someone who is not part of this system tried to connect."],
  UNTRUSTED: ["remote", "The certificate of the other side does not show that it is who it says."],
  DUPLICATE_ID: ["remote", "A second process uses an id that is in use."],
  VERSION_MISMATCH: ["remote", "The other side speaks another protocol version."],
  EPOCH_MISMATCH: ["remote", "The other side lives in another epoch."],
  CONFIGURATION_DIFFERS: [
    "local",
    "The process does not agree with the configuration of its system; the message lists how.",
  ],
  ADDRESS_IN_USE: ["remote", "The address to listen on is taken."],
  STORE_FAILED: ["remote", "The snapshot store could not read or write."],
  EPOCH_TAKEN: ["remote", "That epoch, or a later one, has begun already: somebody else restored."],
  IN_USE: [
    "local",
    "The present epoch began from that snapshot: it can be deleted after the next restore.",
  ],
  DAMAGED: ["remote", "A stored file is not what was written; the message names it."],
  LOG_FAILED: [
    "remote",
    "The input log cannot be read, written or flushed; the message says what comes of it.",
  ],
  LOG_RESUMED: ["remote", "The input log can be written again; nothing was lost."],
  LOG_CUT: [
    "remote",
    "The end of the input log was being written when its writer died; it was cut.",
  ],
  LOG_DAMAGED: [
    "remote",
    "A file of an input log is not what was written; the message names the place.",
  ],
  LOG_BEHIND: ["local", "Others know of messages that a process lost with the end of its log."],
  LOG_LOCKED: ["remote", "Another process writes this input log."],
  ORDER_LOG_FAILED: [
    "remote",
    "The log that gives groups their order could not be read or written.",
  ],
  KEY_REQUIRED: [
    "local",
    "Snapshots are encrypted, and no key was given; or some are, and some not.",
  ],
  WRONG_KEY: ["local", "Snapshots are encrypted with another key, or not at all."],
  NOT_FOUND: ["remote", "The snapshot or system named does not exist."],
  NOT_RUNNING: ["remote", "No running system answers in the directory."],
  ALREADY_RUNNING: ["remote", "A system is running there already."],
};

/** What `new TidemarkError` takes beside code and message. */
export interface ErrorDetails {
  /** True (the default): what was asked surely did not happen. False: it may or may not have. */
  readonly definite?: boolean;
  readonly cause?: unknown;
}

/**
 * Thrown, or handed to `onProblem`, for everything that can go wrong in Tidemark.
 *
 * @example
 * ```ts
 * import { isTidemarkError, parseSnapshotId } from "tidemark";
 * try {
 *   parseSnapshotId("not an id");
 * } catch (error) {
 *   if (!isTidemarkError(error, "BAD_ID")) throw error;
 * }
 * ```
 */
export class TidemarkError extends Error {
  static override readonly name = "TidemarkError";
  override readonly name = "TidemarkError";
  readonly code: ErrorCode;
  readonly fault: Fault;
  readonly definite: boolean;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.fault = ERROR_CODES[code][0];
    this.definite = details.definite ?? true;
  }
}

/** True for an error of Tidemark (of any installed copy), and of that code if one is given. */
export function isTidemarkError(error: unknown, code?: ErrorCode): error is TidemarkError {
  return (
    error instanceof Error &&
    error.name === "TidemarkError" &&
    (code === undefined || (error as { code?: unknown }).code === code)
  );
}

/** The text of anything that was thrown. */
export function textOf(thrown: unknown): string {
  try {
    return String(thrown instanceof Error ? thrown.message : thrown);
  } catch {
    // An object that cannot be made text.
    return `a thrown ${typeof thrown}`;
  }
}
