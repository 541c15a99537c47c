/** A global snapshot in a store, as `snapshot()` gives it. */

import type { Codec } from "../process/codec.ts";
import { ReadableSnapshot } from "../process/readable-snapshot.ts";
import { msgpackCodec } from "./msgpack-codec.ts";
import type { StoredSnapshot } from "./snapshot-store.ts";

/** The codec that everybody has who does not choose one; others that all can read are known to `ReadableSnapshot`. */
const DEFAULT_CODECS: readonly Codec<unknown>[] = [msgpackCodec()];

/**
 * Every process' state and every message in flight, at one consistent cut: the manifest at hand, the bodies read from the store when
 * asked for.
 *
 * @typeParam State what `Application.capture` gives
 * @typeParam M messages
 */
export class GlobalSnapshot<State = unknown, M = unknown> extends ReadableSnapshot<State, M> {
  /** @param codecs an application's own, tried before the well-known ones by name */
  constructor(stored: StoredSnapshot, codecs: readonly Codec<unknown>[] = []) {
    super(stored, [...codecs, ...DEFAULT_CODECS]);
  }
}
