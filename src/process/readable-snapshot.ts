/** A global snapshot to look into: the manifest at hand, the bodies read from where they are when asked for. Runs in a browser, too. */

import { TidemarkError, textOf } from "../core/error.ts";
import type { ProcessId, SnapshotId } from "../core/id.ts";
import { countRecords, readRecords } from "../core/record.ts";
import {
  type Manifest,
  type PartReference,
  type PieceRecord,
  partsOf,
} from "../snapshot/manifest.ts";
import { type Verdict, verifySnapshot } from "../snapshot/verify.ts";
import { bytesCodec, type Codec, jsonCodec } from "./codec.ts";
import { shownCodec } from "./grouped.ts";

/** The codecs that need nothing but the language; others are given beside them. */
const KNOWN_CODECS: readonly Codec<unknown>[] = [jsonCodec(), bytesCodec as Codec<unknown>];

/** Where what a snapshot holds is read from. */
export interface SnapshotSource {
  readonly manifest: Manifest;
  /** The bytes of one part, checked against its SHA-256. */
  part(reference: PartReference): Promise<Uint8Array>;
}

/**
 * Every process' state and every message in flight, at one consistent cut.
 *
 * @typeParam State what `Application.capture` gives
 * @typeParam M messages
 */
export class ReadableSnapshot<State = unknown, M = unknown> {
  readonly manifest: Manifest;
  readonly #part: (reference: PartReference) => Promise<Uint8Array>;
  readonly #codecs: readonly Codec<unknown>[];

  /** @param codecs tried before the known ones by name */
  constructor(source: SnapshotSource, codecs: readonly Codec<unknown>[] = []) {
    this.manifest = source.manifest;
    this.#part = (reference) => source.part(reference);
    this.#codecs = [...codecs, ...KNOWN_CODECS];
  }

  get id(): SnapshotId {
    return this.manifest.id;
  }

  /**
   * What the manifest says of one process.
   * @throws TidemarkError `UNKNOWN_PROCESS`
   */
  piece(process: ProcessId): PieceRecord {
    const piece = this.manifest.pieces.find((one) => one.process === process);
    if (piece) return piece;
    const names = this.manifest.processes.join(", ");
    throw new TidemarkError("UNKNOWN_PROCESS", `${this.id} has no ${process}, only ${names}`);
  }

  /**
   * The state that a process recorded: the value it captured, or the list of slices of a frozen state.
   * @throws TidemarkError `UNKNOWN_PROCESS`, `DAMAGED`, `STORE_FAILED`, `BAD_MESSAGE` when no codec reads it
   */
  async state(process: ProcessId): Promise<State> {
    const { state } = this.piece(process);
    const values: unknown[] = [];
    for (const i of state.parts.keys()) values.push(await this.slice(process, i));
    return (state.sliced ? values : values[0]) as State;
  }

  /**
   * One slice of a state, without the others; of a state that is not sliced, the whole, as slice 0.
   *
   * @param index from 0; `manifest` says how many parts the state of a piece has
   * @throws TidemarkError as `state`; `BAD_OPTION` if there is no such slice
   */
  async slice(process: ProcessId, index: number): Promise<unknown> {
    const { state, messageEncoding } = this.piece(process);
    const part = state.parts[index];
    const what = `the state of ${process} in ${this.id}`;
    if (!part) throw new TidemarkError("BAD_OPTION", `${what} has no slice ${index}`);
    const codec = this.#codec(state.encoding, "state", messageEncoding);
    return decode(codec, await this.#part(part), what);
  }

  /**
   * The messages in flight on a channel, in the order in which they came in.
   * @throws TidemarkError as `state`
   */
  async inFlight(from: ProcessId, to: ProcessId): Promise<M[]> {
    const piece = this.piece(to);
    const channel = piece.incoming.find((incoming) => incoming.from === from);
    if (!channel)
      throw new TidemarkError("NO_CHANNEL", `${this.id} has no channel ${from} → ${to}`);
    if (!channel.part) return [];
    const codec = this.#codec(piece.messageEncoding, "message");
    const body = await this.#part(channel.part);
    const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
    if (countRecords(view, 0, body.length) !== channel.inFlight)
      throw new TidemarkError(
        "DAMAGED",
        `what ${this.id} holds of channel ${from} → ${to} is not ${channel.inFlight} messages`,
      );
    return readRecords(body).map((bytes, i) => {
      const what = `message ${i + 1} in flight from ${from} to ${to} in ${this.id}`;
      return decode(codec, bytes, what) as M;
    });
  }

  /** Proves the snapshot consistent from its certificate and bodies alone (snapshot/verify.ts). */
  async verify(): Promise<Verdict> {
    const parts = new Map<string, Uint8Array>();
    for (const part of partsOf(this.manifest))
      if (!parts.has(part.sha256)) parts.set(part.sha256, await this.#part(part));
    return verifySnapshot(this.manifest, ({ sha256 }) => parts.get(sha256));
  }

  /** @param messages the encoding of the messages that a state of groups holds */
  #codec(name: string, use: "state" | "message", messages: string = name): Codec<unknown> {
    const find = (known: string) => this.#codecs.find((one) => one.name === known);
    const codec = find(name) ?? shownCodec(use, name, find, messages);
    if (codec) return codec;
    throw new TidemarkError(
      "BAD_MESSAGE",
      `${this.id} is encoded as ${name}, for which there is no codec`,
    );
  }
}

function decode(codec: Codec<unknown>, bytes: Uint8Array, what: string): unknown {
  try {
    return codec.decode(bytes);
  } catch (cause) {
    throw new TidemarkError(
      "BAD_MESSAGE",
      `${codec.name} cannot decode the ${bytes.length} bytes of ${what}: ${textOf(cause)}`,
      { cause },
    );
  }
}
