/**
 * The store: what a replica is made of, for whoever builds or checks one. Pure, with no I/O, also in a browser. `tidemark kv` runs it.
 * @module
 */

export { commandTable } from "./kv/commands.ts";
export { slotOf } from "./kv/slot.ts";
