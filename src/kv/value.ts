/**
 * What a key can have. Short and whole texts are texts of the language; what is changed in place is an `Aggregate`.
 *
 * Aggregates are copied on write while somebody still needs them as they were (keyspace.ts says when). A copy is cheap: `clone` gives
 * another top over the same parts, and a part is copied when it is first changed in the new one. For that every part carries the version
 * of the aggregate that may change it: **a part is changed in place only if its version is that of its aggregate; else it is replaced
 * by a copy with that version, which is changed.**
 */

import type { Item } from "./items.ts";
import type { ByteString } from "./values/byte-string.ts";
import type { Hash } from "./values/hash.ts";
import type { List } from "./values/list.ts";
import type { SetValue } from "./values/set-value.ts";
import type { SortedSet } from "./values/sorted-set.ts";

/** As `TYPE` says it. */
export type TypeName = "string" | "list" | "set" | "zset" | "hash";

export interface Aggregate {
  readonly type: TypeName;
  /** As `OBJECT ENCODING` says it: what Redis would have chosen. */
  readonly encoding: string;
  /** Of the keyspace, when it was made or cloned. */
  readonly version: number;
  /** Another one with the same content, which can be changed without this one being changed. */
  clone(version: number): Aggregate;
  /** How many it has; of a string, how many pieces. */
  readonly elements: number;
  /** What it is stored as, and `decode` of its class makes the same of: the same content, in the same order, in the same parts. */
  items(): Iterable<Item>;
  /** About how many bytes it takes. */
  readonly memoryBytes: number;
}

export type Value = string | ByteString | List | Hash | SetValue | SortedSet;

export function typeOf(value: Value): TypeName {
  return typeof value === "string" ? "string" : value.type;
}
