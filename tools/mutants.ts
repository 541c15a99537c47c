// `npm run mutants [-- NAME …]`: plants one mistake at a time in the machines that ship, and counts the seeds of the
// simulator until one of them notices. A mistake that none notices is a hole in what is judged. The two that a snapshot
// algorithm is best known for are explored as well, for a shortest schedule that goes wrong.
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { OrderLevel } from "../src/core/order-level.ts";
import { root, run } from "./run.ts";

interface Mutant {
  readonly file: string;
  readonly from: string;
  readonly to: string;
  /** Where it is looked for. @default "purses" */
  readonly among?:
    | "purses"
    | "unordered purses"
    | "groups"
    | "keepers"
    | "stores"
    | "stores by a log"
    | "groups by a log"
    | "causal stores"
    | "fifo stores";
}

const SEEDS_MAX = 3_000;
const LIMIT_MS = 600_000;

/** What stands in a file once, and what stands there instead. */
export const MUTANTS: Readonly<Record<string, Mutant>> = {
  "what a process does is seen before it is logged": {
    file: "process/journal.ts",
    from: "    return inner;\n",
    to: "    this.#held.length = 0;\n    return effects;\n",
    among: "keepers",
  },
  "an image has no timers": {
    file: "process/process.ts",
    from: "      timers: [...this.#timers],",
    to: "      timers: [],",
    among: "keepers",
  },
  "an image forgets what is not acknowledged": {
    file: "process/process-image.ts",
    from: "queue: state.queue.map((batch) => ({ ...batch, frame: frameOf(batch) })),",
    to: "queue: [],",
    among: "keepers",
  },
  "chance begins anew after a crash": {
    file: "process/process.ts",
    from: "new Random(image?.random ?? options.seed)",
    to: "new Random(options.seed)",
    among: "keepers",
  },
  "what was in flight is not received again": {
    file: "process/process.ts",
    from: "      if (!peer || count < 1) continue;",
    to: "      continue;",
    among: "keepers",
  },
  "what was in flight is received twice": {
    file: "process/process.ts",
    from: "      else this.#received(peer, batch, false);\n    }\n    // Who was told",
    to: "      else for (let i = 0; i < 2; i += 1) this.#received(peer, batch, false);\n    }\n    // Who was told",
    among: "keepers",
  },
  "a restored channel is counted from nothing": {
    file: "process/process.ts",
    from: "      state.outgoing.set(to, { count: sent, hash: { ...begun } });\n",
    to: "",
    among: "keepers",
  },
  "a resend is dropped": {
    file: "link/link.ts",
    from: "if (this.#resendAtMs(batch) <= nowMs) this.#transmit(batch, nowMs, effects);",
    to: "if (this.#resendAtMs(batch) <= nowMs) batch.sentAtMs = nowMs;",
  },
  "nothing is resent after a reconnect": {
    file: "link/link.ts",
    from: "    state.resuming = true;\n    state.sent = 0;",
    to: "    state.resuming = true;",
  },
  "acknowledged too early": {
    file: "link/link.ts",
    from: "acknowledged: state.expected,",
    to: "acknowledged: state.expected + [...state.early.values()].reduce((sum, { count }) => sum + count, 0),",
  },
  "an acknowledged batch too many is forgotten": {
    file: "link/link.ts",
    from: "if (batch.first + batch.count > upTo) break;",
    to: "if (batch.first > upTo) break;",
  },
  "a repeated batch is taken again": {
    file: "link/link.ts",
    from: "if (first + count <= state.expected) {",
    to: "if (first + count < state.expected) {",
  },
  "early batches come out of order": {
    file: "link/link.ts",
    from: "    if (first > state.expected) {\n      this.#early(batch, nowMs, effects);\n      return;\n    }",
    to: "    if (first > state.expected) state.expected = first;",
  },
  "a lent batch is kept": {
    file: "link/link.ts",
    from: "body: copyOf(body) }",
    to: "body }",
  },
  "a new incarnation goes on with the old numbers": {
    file: "link/link.ts",
    from: "        Object.assign(state, freshStream());\n",
    to: "",
  },
  "a marker before what was sent before it": {
    file: "process/process.ts",
    from: "    // What was sent in this turn was sent before the cut, and must have been counted by then.\n    this.#flush();\n",
    to: "",
  },
  "captured late": {
    file: "process/process.ts",
    from: "    this.#shares.set(snapshot, { state, incarnation, timers, ...empty });",
    to: "    const { stateCodec } = this.#options;\n    this.#shares.set(snapshot, { get state() { return stateCodec.encode(this.app.capture()); }, app: this.#application, incarnation, timers, ...empty } as never);",
  },
  "a channel is forgotten": {
    file: "snapshot/recordings.ts",
    from: "if (recording.open > 0) return;",
    to: "if (recording.open > 1) return;",
  },
  "the first marker's channel stays open": {
    file: "snapshot/chandy-lamport.ts",
    from: "      this.#recordings.close(recording, channel, nowMs, effects);\n",
    to: '      if (met !== "new") this.#recordings.close(recording, channel, nowMs, effects);\n',
  },
  "a closed channel goes on being recorded": {
    file: "snapshot/recordings.ts",
    from: "if (!channel?.open) continue;",
    to: "if (!channel) continue;",
  },
  "a message in flight is recorded twice": {
    file: "snapshot/recordings.ts",
    from: "channel.messages.push(copy.bytes);",
    to: "channel.messages.push(copy.bytes, copy.bytes);",
  },
  "a late marker begins an ended snapshot again": {
    file: "snapshot/recordings.ts",
    from: "if (count < over.live || over.ended.has(count)) return undefined;",
    to: "if (count < over.live) return undefined;",
  },
  "one batch counts as one message": {
    file: "snapshot/recordings.ts",
    from: "progress.count += count;",
    to: "progress.count += Math.min(1, count);",
  },
  "the manifest is written before all pieces are stored": {
    file: "snapshot/collector.ts",
    from: "if (collection.unstored.size > 0) return [];",
    to: "if (collection.unstored.size > 1) return [];",
  },
  "a tape is erased before its piece is stored": {
    file: "process/process.ts",
    from: "share.channels = effect.recorded;",
    to: "share.channels = effect.recorded; effect.recorded.tape.erase();",
  },
  "nobody is told how a snapshot was settled": {
    file: "process/process.ts",
    from: "for (const peer of this.#peers.values()) this.#sendControl(peer, word);",
    to: "",
  },
  "a snapshot has no end of time": {
    file: "snapshot/collector.ts",
    from: ".filter(([, { startedAtMs, timeoutMs }]) => startedAtMs + timeoutMs <= input.nowMs)",
    to: ".filter(([, { startedAtMs, timeoutMs }]) => startedAtMs + timeoutMs < 0 * input.nowMs)",
  },
  "channels of a peer that came back go on": {
    file: "snapshot/recordings.ts",
    from: "    if (this.state.incoming.has(peer)) this.state.incoming.set(peer, this.#begun());\n",
    to: "",
  },
  "what came early comes again": {
    file: "link/link.ts",
    from: "      state.early.set(first, { count, bytes });\n",
    to: "",
    among: "unordered purses",
  },
  "a red message does not make record": {
    file: "snapshot/lai-yang.ts",
    from: 'if (this.#recordings.meet(marker, effects) === "new") this.#record(marker, nowMs, effects);',
    to: "this.#recordings.meet(marker, effects);",
    among: "unordered purses",
  },
  "a red message is recorded": {
    file: "snapshot/lai-yang.ts",
    from: "(recording) => !colour.some((marker) => isOf(marker, recording.marker)),",
    to: "() => colour.length >= 0,",
    among: "unordered purses",
  },
  "a white message is not recorded": {
    file: "snapshot/lai-yang.ts",
    from: "this.#recordings.keep(white, from, count, body, effects)",
    to: "this.#recordings.keep(white.slice(1), from, count, body, effects)",
    among: "unordered purses",
  },
  "a count closes its channel at once": {
    file: "snapshot/lai-yang.ts",
    from: "if (came < sent) return;",
    to: "if (came < sent) this.#recordings.close(recording, channel, nowMs, effects);",
    among: "unordered purses",
  },
  "a packet taken twice is delivered twice": {
    file: "multicast/group.ts",
    from: "if (packet.number <= origin.received || origin.early.has(packet.number)) {",
    to: "if (packet.number < origin.received || origin.early.has(packet.number)) {",
    among: "groups",
  },
  "forgotten once most have it": {
    file: "multicast/group.ts",
    from: "    let stable = this.#origin(index).received;\n    for (const has of this.state.have) stable = Math.min(stable, has[index] ?? 0);\n    return stable;",
    to: "    const { have } = this.state;\n    return have.map((has) => has[index] ?? 0).sort((a, b) => b - a)[have.length >> 1] ?? 0;",
    among: "groups",
  },
  "a gap is passed over": {
    file: "multicast/group.ts",
    from: "const isNext = packet.number === origin.received + 1;",
    to: "const isNext = packet.number <= origin.received + 2;",
    among: "groups",
  },
  "uniform before a majority has it": {
    file: "multicast/group.ts",
    from: "if (owners.length * 2 <= members.length) return false;",
    to: "if (owners.length * 2 < members.length - 2) return false;",
    among: "groups",
  },
  "a stamp brings nothing of what went before": {
    file: "multicast/group.ts",
    from: "      if (last > (now[of] ?? 0)) now[of] = last;\n",
    to: "",
    among: "groups",
  },
  "a causal packet waits for nothing": {
    file: "multicast/group.ts",
    from: "if (of !== origin && number > this.#origin(of)[there])",
    to: "if (of !== origin && number > this.#origin(of).received)",
    among: "groups",
  },
  "other levels bring no stamp": {
    file: "multicast/group.ts",
    from: "    if (own > (now[origin] ?? 0)) now[origin] = own;\n",
    to: "    if (isCausal(kind) && own > (now[origin] ?? 0)) now[origin] = own;\n",
    among: "groups",
  },
  "FIFO packets do not wait for ordered ones": {
    file: "multicast/group.ts",
    from: "if (isFifo(first.kind)) origin.line.push(first);",
    to: 'if (first.kind === "fifo") this.#deliver(first);\n    else if (isFifo(first.kind)) origin.line.push(first);',
    among: "groups",
  },
  "ordered before it is accepted": {
    file: "multicast/group.ts",
    from: "    if (isTotal(first.kind)) this.#order.accepted(first);\n    return true;",
    to: "    return true;",
    among: "groups",
  },
  "what is for one goes to all": {
    file: "multicast/group.ts",
    from: "    if (to !== ALL && to !== this.#self) return;\n",
    to: "",
    among: "groups",
  },
  "what is for one counts for nobody else": {
    file: "multicast/group.ts",
    from: "    const { stamp: now, members } = this.state;\n    stamp.forEach(",
    to: "    const { stamp: now, members } = this.state;\n    if (to !== ALL && to !== this.#self) return;\n    stamp.forEach(",
    among: "groups",
  },
  "everybody orders": {
    file: "multicast/total-order.ts",
    from: "this.#sequencer = sequencer;",
    to: "this.#sequencer = self < 2 ? self : sequencer;",
    among: "groups",
  },
  "a proposal is not later than what was agreed": {
    file: "multicast/total-order.ts",
    from: "    state.clock = Math.max(state.clock, place);\n",
    to: "",
    among: "groups",
  },
  "the smallest place is agreed": {
    file: "multicast/total-order.ts",
    from: "one.place = Math.max(one.place, place);",
    to: "one.place = Math.min(one.place || place, place);",
    among: "groups",
  },
  "delivered before it is agreed": {
    file: "multicast/total-order.ts",
    from: "return first?.agreed ? first : undefined;",
    to: "return first;",
    among: "groups",
  },
  "two of the same place, in any order": {
    file: "multicast/total-order.ts",
    from: "return a.origin === b.origin ? a.number < b.number : a.origin < b.origin;",
    to: "return false;",
    among: "groups",
  },
  "a place in a log of what was sent behind the cut": {
    file: "multicast/log-order.ts",
    from: "    state.line.splice(missing);\n",
    to: "",
    among: "stores by a log",
  },
  "the shortest past counts": {
    file: "multicast/log-order.ts",
    from: "if (!longest || endOf(past) > endOf(longest)) longest = past;",
    to: "if (!longest || endOf(past) < endOf(longest)) longest = past;",
    among: "stores by a log",
  },
  "a place in a log before those of what a packet depends on": {
    file: "multicast/log-order.ts",
    from: "    for (const place of state.accepted) {\n",
    to: "    for (const place of state.accepted.filter(({ origin }) => origin === this.#self)) {\n",
    among: "groups by a log",
  },
  "what is written to a log twice has two places": {
    file: "multicast/log-order.ts",
    from: "      if (this.#hasPlace(place)) continue;\n      state.line.push(place);",
    to: "      state.line.push(place);",
    among: "stores by a log",
  },
  "what a log has lost is not written anew": {
    file: "multicast/log-order.ts",
    from: "    state.underWay = false;\n    if",
    to: "    if",
    among: "stores by a log",
  },
  "of what was delivered nothing is remembered": {
    file: "multicast/log-order.ts",
    from: "    if (many > 0) past.splice(0, many);\n",
    to: "    past.length = 0;\n",
    among: "stores by a log",
  },
  "store: one replica leaves out a write": {
    file: "kv/replica.ts",
    from: "    if (!command || !(isOwn || command.isEverywhere)) return;\n",
    to: '    if (!command || !(isOwn || command.isEverywhere)) return;\n    if (this.#self === "p2" && this.#applied % 50 === 0) return;\n',
    among: "stores",
  },
  "store: replicas agree on no order": {
    file: "kv/replica.ts",
    from: '{ order: "fifo-total" }',
    to: '{ order: "fifo" }',
    among: "stores",
  },
  "store: what a client asks is not in its order": {
    file: "kv/record.ts",
    from: "    const message = this.#bytes.slice(0, this.#at);\n    this.#at = HEADER_BYTES;\n    this.#submit(message);",
    to: "    const message = this.#bytes.slice(0, this.#at);\n    this.#at = HEADER_BYTES;\n    const late = (this as unknown as { late?: Uint8Array }).late;\n    (this as unknown as { late?: Uint8Array }).late = late ? undefined : message;\n    if (late) { this.#submit(message); this.#submit(late); }",
    among: "stores",
  },
  "store: replies do not wait for the log": {
    file: "process/journal.ts",
    from: "    return inner;\n",
    to: "    this.#held.length = 0;\n    return effects;\n",
    among: "stores",
  },
  "store: a client is answered before its write is ordered": {
    file: "kv/replica.ts",
    from: "      this.#sayRoom(turn.multicast(GROUP, message,",
    to: `    const early = new Replica({ self: this.#self, table: this.#table });
    const { capture } = this;
    const frozen = capture.call(this);
    const slices: unknown[] = [];
    for (let one = frozen.next(); one !== undefined; one = frozen.next()) slices.push(one);
    frozen.release();
    early.restore(slices as never);
    early.attach(this.#server as ReplicaServer, this.#stream);
    early.deliver(GROUP, { from: this.#self, message: message.slice() } as never, turn);
    this.deliver = (group, delivery, later) =>
      Replica.prototype.deliver.call(this, group, delivery, { reply() {}, replays: later.replays } as never);
    this.#sayRoom(turn.multicast(GROUP, message,`,
    among: "stores",
  },
  "store: what clients watch is not in the state": {
    file: "kv/replica.ts",
    from: "      watches: [...this.#watches].map(",
    to: "      watches: [...this.#watches].slice(1).map(",
    among: "stores",
  },
  "store: who waits for keys is not in the state": {
    file: "kv/replica.ts",
    from: "blocked: [...this.#blocked],",
    to: "blocked: [],",
    among: "stores",
  },
  "store: each replica has a time of its own": {
    file: "kv/replica.ts",
    from: "const atMs = Math.floor(view.getFloat64(0, true));",
    to: "const atMs = Math.floor(turn.nowMs);",
    among: "stores",
  },
  "store: chance is not in the state": {
    file: "kv/replica.ts",
    from: "random: [...this.#random.state],",
    to: 'random: [...new Random("other").state],',
    among: "stores",
  },
  "store: who was served waits on": {
    file: "kv/replica.ts",
    from: "        if (!this.#serves(command, blocked.args, key)) continue;\n        this.#forgetBlocked(session);\n",
    to: "        if (!this.#serves(command, blocked.args, key)) continue;\n",
    among: "stores",
  },
  "store: a transaction does not care what was changed": {
    file: "kv/replica.ts",
    from: "const isDirty = this.#isDirty(call.name);",
    to: "const isDirty = false;",
    among: "stores",
  },
  "store: half a record is not in the state": {
    file: "kv/replica.ts",
    from: "stream, joined(rest)]),",
    to: "stream, new Uint8Array(0)]),",
    among: "stores",
  },
  "store: clients of a server that is gone are remembered": {
    file: "kv/replica.ts",
    from: "      this.#forgetSessions(from);\n",
    to: "",
    among: "stores",
  },
  "store: a slot is changed while it is written": {
    file: "kv/keyspace.ts",
    from: "if (!isShared || slot.version === this.#keyspace.version) return slot;",
    to: "return slot;",
    among: "stores",
  },
  "store: a slot comes or goes while all are written": {
    file: "kv/keyspace.ts",
    from: "    if (isShared) this.#keyspace.keep(this.slots, index, position);\n",
    to: "",
    among: "stores",
  },
  "store: a key that is over is there when it is changed": {
    file: "kv/keyspace.ts",
    from: "    if (this.deadlines > 0 && this.#isPast(shared, key)) {\n      this.#remove(index, key);\n      return undefined;\n    }\n",
    to: "",
    among: "stores",
  },
  "store: what depends on a write comes before it": {
    file: "kv/replica.ts",
    from: "{ order: side.level }",
    to: '{ order: "fifo" }',
    among: "causal stores",
  },
  "store: of what one replica has written the second comes before the first": {
    file: "kv/replica.ts",
    from: "    const number = this.#replicas.indexOf(from);\n",
    to: `    const number = this.#replicas.indexOf(from);
    const late = ((this as unknown as { late: Map<ProcessId, Uint8Array | null> }).late ??= new Map());
    const first = late.get(from);
    if (first === undefined) {
      late.set(from, piece.slice());
      return;
    }
    if (first !== null) {
      late.set(from, null);
      for (const one of [piece, first]) this.#hearAside(group, from, one, turn);
      late.delete(from);
      return;
    }
`,
    among: "fifo stores",
  },
  "store: of two writes at the same time the one that comes last wins": {
    file: "kv/convergence.ts",
    from: "one.time > other.time || (one.time === other.time && one.origin > other.origin);",
    to: "one.time > other.time;",
    among: "fifo stores",
  },
  "store: effects are forgotten that others may not have seen": {
    file: "kv/convergence.ts",
    from: "time <= (this.#stable[origin] as number);",
    to: "time <= (this.#seen[origin] as number);",
    among: "causal stores",
  },
  "store: what is kept of effects is not in the state": {
    file: "kv/convergence.ts",
    from: "    const keys = [...this.#kept];",
    to: "    const keys = [...this.#kept].slice(1);",
    among: "fifo stores",
  },
  "store: a write in a namespace is answered when others are heard": {
    file: "kv/replica.ts",
    from: "    const told = convergence.end();\n    this.#say(turn);\n",
    to: "    const told = convergence.end();\n",
    among: "causal stores",
  },
};

/** A mistake that is explored, in a world of two accounts. */
interface ExploredMutant {
  readonly mutants: readonly Mutant[];
  /** What is other in the world. */
  readonly world: { readonly order?: "none"; readonly algorithm?: "chandy-lamport" };
}

export const EXPLORED: Readonly<Record<string, ExploredMutant>> = {
  "explored: captured when the piece is complete": {
    mutants: [
      {
        file: "process/process.ts",
        from: 'this.#effects.push({ ...effect, type: "piece", state, timers });',
        to: `const late = encodeApart(this.#options.stateCodec, this.#application.capture());
        void state;
        this.#effects.push({ ...effect, type: "piece", state: late, timers });`,
      },
    ],
    world: {},
  },
  "explored: Chandy-Lamport where frames overtake each other": {
    mutants: [
      {
        file: "process/process.ts",
        from: 'if (algorithm === "chandy-lamport" && order === "none")',
        to: "if (algorithm === undefined)",
      },
    ],
    world: { order: "none", algorithm: "chandy-lamport" },
  },
};

const PURSES = `
import { runWorld } from "./src/sim.ts";
import { purseWorld } from "./test/sim/purses.ts";
const run = (seed) => void runWorld({ ...purseWorld(seed), order: process.argv[3] }, { seed });
`;
const GROUPS = `
import { drawGroup } from "./test/multicast/support/members.ts";
import { wrongIn } from "./test/multicast/support/verdict.ts";
const run = (seed) => {
  const [, reason] = wrongIn(drawGroup(seed))?.split("\\n") ?? [];
  if (reason) throw new Error(reason);
};
`;
const KEEPERS = `
import { runWorld } from "./src/sim.ts";
import { deadly, deposited, keepers } from "./test/sim/keepers.ts";
const run = (seed) => {
  const world = keepers(seed);
  const restored = seed % 2 === 0 ? 0.7 : 0;
  const eventually = { ...world.eventually, ...(restored === 0 && { "what was acknowledged is there, once": deposited }) };
  runWorld({ ...world, eventually }, { seed, faults: deadly(seed, restored) });
};
`;
const LOGGED_GROUPS = `
import { History, checkHistory } from "./src/trace.ts";
import { drawFaults, runWorld } from "./src/sim.ts";
import { historyOf, talkWorld } from "./test/multicast/support/world.ts";
const run = (seed) => {
  const { world, setup: { members } } = talkWorld(seed, "goes on", "log");
  const kept = (view) => {
    const history = new History();
    history.add({ type: "group", group: "g", members });
    for (const line of historyOf(new Map(members.map((id) => [id, view.state(id).state])))) history.add(line);
    return checkHistory(history).find(({ holds }) => holds === false)?.reason ?? true;
  };
  runWorld({ ...world, eventually: { kept } }, { seed, faults: { ...drawFaults(seed), crashes: 0 } });
};
`;
const storesIn = (order: "total" | "causal" | "fifo", engine = "sequencer"): string => `
import { runStoreWorld } from "./test/kv/worlds/store-world.ts";
const run = (seed) => void runStoreWorld(seed, "${order}", "${engine}");
`;
const SCRIPTS = {
  purses: [PURSES, "sim/purses.ts"],
  "unordered purses": [PURSES, "sim/purses.ts"],
  groups: [GROUPS, "multicast/support"],
  keepers: [KEEPERS, "sim/keepers.ts"],
  stores: [storesIn("total"), "kv/worlds"],
  "stores by a log": [storesIn("total", "log"), "kv/worlds"],
  "groups by a log": [LOGGED_GROUPS, "multicast/support"],
  "causal stores": [storesIn("causal"), "kv/worlds"],
  "fifo stores": [storesIn("fifo"), "kv/worlds"],
} as const;
const UNTIL_FOUND = `
let found = "none";
for (let seed = 1; seed <= Number(process.argv[2]) && found === "none"; seed += 1)
  try {
    run(seed);
  } catch (error) {
    found = "found " + seed + " " + String(error.message).replaceAll(/\\s+/g, " ").slice(0, 100);
  }
console.log(found);
`;

/** Prints the states, the schedule as it replays, and what the property says of its last state. */
const EXPLORING = `
import { explore, replay } from "./src/sim.ts";
import { twoAccounts } from "./test/sim/two-accounts.ts";
const world = { ...twoAccounts, ...JSON.parse(process.argv[2]) };
const { states, counterexample } = explore(world);
const steps = [];
let last;
if (counterexample)
  for (const { text, view } of replay(world, counterexample.schedule)) {
    steps.push(text);
    last = view;
  }
const broken = counterexample?.property;
const breaksAgain = last !== undefined && world.always[broken]?.(last) !== true;
console.log(JSON.stringify({ states, broken, steps, breaksAgain }));
`;

/** Prints which promises are broken in all schedules of a group, and in those that it is enough to look at; or what is amiss. */
const SCHEDULES = `
import { allSchedules } from "./test/multicast/support/schedules.ts";
import { brokenBy } from "./test/multicast/support/verdict.ts";
const [level, total, counts] = JSON.parse(process.argv[2]);
const levels = counts.map((count) => Array(count).fill(level));
const broken = (reduced) => {
  try {
    return brokenBy(allSchedules(levels, total, { reduced }).ends, level);
  } catch (error) {
    return [error.message];
  }
};
console.log(JSON.stringify({ all: broken(false), reduced: broken(true) }));
`;

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));

async function main(wanted: readonly string[]): Promise<number> {
  const all = [...Object.keys(MUTANTS), ...Object.keys(EXPLORED)];
  const names = all.filter(
    (name) => wanted.length === 0 || wanted.some((part) => name.includes(part)),
  );
  if (names.length === 0) {
    console.error(`error: no mutant's name has one of these words\n${all.join("\n")}`);
    return 2;
  }
  let missed = 0;
  for (const name of names) if (!(await isFound(name))) missed += 1;
  console.log(`${names.length - missed} of ${names.length} found`);
  return missed === 0 ? 0 : 1;
}

/** Says how it was found, or that it was not. */
async function isFound(name: string): Promise<boolean> {
  const explored = EXPLORED[name];
  if (explored) {
    const { states, broken, steps, breaksAgain } = await exploreWith(explored);
    console.log(
      broken === undefined
        ? `NOT FOUND in ${states} states: ${name}`
        : `${String(states).padStart(6)} states ${name}: "${broken}" does not hold\n${steps.map((step) => `               ${step}`).join("\n")}\n               replayed: ${breaksAgain ? "the same" : "IT HOLDS THERE"}`,
    );
    return broken !== undefined && breaksAgain;
  }
  const { seeds, reason } = await seedsUntilFound(MUTANTS[name] as Mutant, SEEDS_MAX);
  console.log(
    seeds === undefined
      ? `NOT FOUND in ${SEEDS_MAX} seeds: ${name}`
      : `${String(seeds).padStart(6)} ${seeds === 1 ? "seed " : "seeds"}  ${name}: ${reason}`,
  );
  return seeds !== undefined;
}

/** Runs seed after seed on machines with that mistake. */
export async function seedsUntilFound(
  mutant: Mutant,
  most: number,
): Promise<{ readonly seeds: number | undefined; readonly reason: string }> {
  const { among = "purses" } = mutant;
  const [script, worlds] = SCRIPTS[among];
  const words = [String(most), among === "purses" ? "fifo" : "none"];
  const line = await onMachinesWith([mutant], script + UNTIL_FOUND, worlds, ...words);
  if (line === "none") return { seeds: undefined, reason: "" };
  const [, seeds, reason = ""] = /^found (\d+) (.*)$/.exec(line) ?? [];
  if (seeds === undefined) throw new Error(`the mutant could not be run: ${line}`);
  return { seeds: Number(seeds), reason };
}

/** What exploring machines with those mistakes finds. */
interface Explored {
  readonly states: number;
  /** The property that does not hold. */
  readonly broken?: string;
  /** What happens on the way there, replayed; and whether it is broken there again. */
  readonly steps: readonly string[];
  readonly breaksAgain: boolean;
}

/** Explores a world of two accounts on machines with a mistake. */
export async function exploreWith({ mutants, world }: ExploredMutant): Promise<Explored> {
  const words = JSON.stringify(world);
  return JSON.parse(await onMachinesWith(mutants, EXPLORING, "sim/two-accounts.ts", words));
}

/** The promises that machines with that mistake break, in all schedules of such a group, and in those that it is enough to look at. */
export async function schedulesWith(
  mutant: Mutant,
  group: readonly [level: OrderLevel, total: "sequencer" | "agreed", messages: readonly number[]],
): Promise<{ readonly all: readonly string[]; readonly reduced: readonly string[] }> {
  const words = JSON.stringify(group);
  return JSON.parse(await onMachinesWith([mutant], SCHEDULES, "multicast/support", words));
}

/** Runs a script on a copy of the machines with those mistakes; gives the last line that it prints. */
async function onMachinesWith(
  mutants: readonly Mutant[],
  script: string,
  world: string,
  ...words: readonly string[]
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "tidemark-mutant-"));
  try {
    await cp(join(root, "src"), join(folder, "src"), { recursive: true });
    await cp(join(root, "test", world), join(folder, "test", world), { recursive: true });
    await cp(join(root, "package.json"), join(folder, "package.json"));
    for (const { file, from, to } of mutants) {
      const path = join(folder, "src", file);
      const text = await readFile(path, "utf8");
      if (text.split(from).length !== 2) throw new Error(`${file} does not have "${from}" once`);
      await writeFile(
        path,
        text.replace(from, () => to),
      );
    }
    await writeFile(join(folder, "child.ts"), script);
    const { status, output } = await run(process.execPath, [join(folder, "child.ts"), ...words], {
      cwd: folder,
      output: "capture",
      limitMs: LIMIT_MS,
    });
    if (status !== 0) throw new Error(`the mutant could not be run: ${output}`);
    return output.trim().split("\n").at(-1) ?? "";
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
