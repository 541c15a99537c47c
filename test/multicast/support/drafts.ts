import type { OrderLevel } from "../../../src/core/order-level.ts";
import { Slab } from "../../../src/core/slab.ts";
import { encodeUtf8 } from "../../../src/core/utf8.ts";
import { ALL, Draft } from "../../../src/multicast/packet.ts";

/** Those texts, to be multicast as one packet in a group of so many members, or to one of them. */
export function draftOf(
  level: OrderLevel,
  members: number,
  texts: readonly string[],
  to: number = ALL,
): Draft {
  const draft = new Draft(level, to, members, new Slab());
  for (const text of texts) draft.append(encodeUtf8(text));
  return draft;
}
