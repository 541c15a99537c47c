/**
 * What a link puts into a frame: a fixed header and, in a batch, the records of its messages.
 *
 * | offset | type | field |
 * |---|---|---|
 * | 0 | u8 | form: 1 batch, 2 acknowledgement |
 * | 1 | u8 | stream: which of the links to that peer |
 * | 2 | u8 | batch: its kind, what the records are, the link does not look; acknowledgement: 1 asks for one, 2 is one that was asked for |
 * | 3 | u8 | 0 |
 * | 4 | u32 | epoch |
 * | 8 | u32 | incarnation of the sender |
 * | 12 | u32 | incarnation of the receiver, as the sender knows it |
 * | 16 | f64 | acknowledged: the number of the next record that the sender expects of the receiver |
 * | 24 | f64 | credit: a batch may be sent back that begins before so many bytes of bodies |
 * | 32 | f64 | batch: the number of its first record; acknowledgement: the number of the oldest record that the sender could send again |
 * | 40 | u32 | count: how many records (batch only) |
 * | 44 | | records (batch only) |
 *
 * Little-endian. Whole numbers up to 2^53 travel as f64.
 */

/** Bytes before the records of a batch. */
export const BATCH_HEADER_BYTES = 44;
const ACK_BYTES = 40;
const FORM_BATCH = 1;
const FORM_ACK = 2;
const ASKS = 1;
const ANSWERS = 2;

/** The fields that every frame has. */
export interface FrameHeader {
  readonly stream: number;
  readonly epoch: number;
  readonly from: number;
  readonly to: number;
  readonly acknowledged: number;
  readonly credit: number;
}

/** A run of records that travels as one: the unit of everything below the application. */
export interface Batch {
  readonly kind: number;
  /** The number of the first record, from 0. */
  readonly first: number;
  readonly count: number;
  /** The records. */
  readonly body: Uint8Array;
}

/** A frame taken apart. */
export interface ParsedFrame extends FrameHeader {
  /** The sender wants to know what has arrived and been taken. */
  readonly asks: boolean;
  /** The receiver wanted to know. */
  readonly answers: boolean;
  /** Of an acknowledgement: what comes before has been acknowledged, by whom it is for. In a batch nothing is said: 0. */
  readonly oldest: number;
  /** Absent in an acknowledgement. */
  readonly batch?: Batch;
}

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function writeHeader(view: DataView, form: number, kind: number, header: FrameHeader): void {
  view.setUint8(0, form);
  view.setUint8(1, header.stream);
  view.setUint8(2, kind);
  view.setUint8(3, 0);
  view.setUint32(4, header.epoch, true);
  view.setUint32(8, header.from, true);
  view.setUint32(12, header.to, true);
  view.setFloat64(16, header.acknowledged, true);
  view.setFloat64(24, header.credit, true);
}

/** Fills in the header of a batch, whose records already stand behind it in `frame`. */
export function writeBatchHeader(
  frame: Uint8Array,
  header: FrameHeader,
  kind: number,
  first: number,
  count: number,
): void {
  const view = viewOf(frame);
  writeHeader(view, FORM_BATCH, kind, header);
  view.setFloat64(32, first, true);
  view.setUint32(40, count, true);
}

/** A frame that only acknowledges; it may ask for the peer's acknowledgement in return, or be what was asked for. */
export function acknowledgement(
  header: FrameHeader,
  oldest: number,
  word?: "asks" | "answers",
): Uint8Array {
  const frame = new Uint8Array(ACK_BYTES);
  const kind = word === undefined ? 0 : word === "asks" ? ASKS : ANSWERS;
  const view = viewOf(frame);
  writeHeader(view, FORM_ACK, kind, header);
  view.setFloat64(32, oldest, true);
  return frame;
}

const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;

/** Takes a frame apart; gives a text that says what is wrong with it if it is not well formed. */
export function parseFrame(frame: Uint8Array): ParsedFrame | string {
  if (frame.length < ACK_BYTES) return `a frame of ${frame.length} bytes is too short`;
  const view = viewOf(frame);
  const form = view.getUint8(0);
  const header: FrameHeader = {
    stream: view.getUint8(1),
    epoch: view.getUint32(4, true),
    from: view.getUint32(8, true),
    to: view.getUint32(12, true),
    acknowledged: view.getFloat64(16, true),
    credit: view.getFloat64(24, true),
  };
  if (!isCount(header.acknowledged) || !isCount(header.credit))
    return "a frame acknowledges or allows what is not a count";
  if (form === FORM_ACK) {
    if (frame.length !== ACK_BYTES)
      return `an acknowledgement of ${frame.length} bytes is too long`;
    const kind = view.getUint8(2);
    const oldest = view.getFloat64(32, true);
    if (!isCount(oldest)) return "an acknowledgement names as the oldest what is not a count";
    return { ...header, asks: kind === ASKS, answers: kind === ANSWERS, oldest };
  }
  if (form !== FORM_BATCH) return `a frame has the unknown form ${form}`;
  if (frame.length < BATCH_HEADER_BYTES) return `a batch of ${frame.length} bytes is too short`;
  const first = view.getFloat64(32, true);
  const count = view.getUint32(40, true);
  if (!isCount(first) || !isCount(first + count))
    return "a batch is numbered by what is not a count";
  const body = frame.subarray(BATCH_HEADER_BYTES);
  return {
    ...header,
    asks: false,
    answers: false,
    oldest: 0,
    batch: { kind: view.getUint8(2), count, body, first },
  };
}
