/**
 * One member of a group in a process of its own, until its parent sends it "end", is gone, or kills it. Once told to, it multicasts
 * numbered messages as fast as the group lets it. It judges what it delivers, and tells how it stands again and again.
 *
 * usage: node group-member-child.ts TASK, as JSON
 */
import { openSync, writeSync } from "node:fs";
import { ORDER_LEVELS, type OrderLevel } from "../../src/core/order-level.ts";
import {
  type Delivery,
  type GroupApplication,
  Grouped,
  type GroupSetup,
  type GroupTurn,
  groupedCodecs,
  lentBytesCodec,
  memoryStore,
  type PeerChange,
  startProcess,
  tcpTransport,
} from "../../src/index.ts";
import { natsTransport } from "../../src/nats/nats-transport.ts";

/** What a member is to do. */
export interface Task {
  readonly self: string;
  readonly group: GroupSetup;
  readonly level: OrderLevel;
  /** Messages to multicast. */
  readonly most: number;
  readonly lostAfterMs: number;
  /** Where each delivery is written down before the next one: the index of the sender and the number, as two 32-bit words. */
  readonly log?: string;
  /** Over which NATS it talks. @default over TCP */
  readonly nats?: { readonly servers: string; readonly prefix: string };
}

/** What the parent says: where the others are; to begin; to end. */
export type Order = { readonly connect: Readonly<Record<string, string>> } | "go" | "end";

/** What a member tells; the first time with nothing delivered, when it can be reached. */
export interface Standing {
  readonly address: string;
  /** Counts up. */
  readonly tellings: number;
  readonly sent: number;
  /** By index of the member. */
  readonly delivered: readonly number[];
  /** Over all that was delivered, in that order. */
  readonly order: number;
  readonly wrong: readonly string[];
  readonly wrongs: number;
  readonly problems: readonly string[];
  readonly residentBytes: number;
  /** Who was told lost, with what was delivered of it by then. */
  readonly lost: Readonly<Record<string, number>>;
  /** Packets that are held back, and the members whose word they wait for, by their own account. */
  readonly held: number;
  readonly waitsFor: readonly string[];
  /** Who has not said to have all of its own packets; and whether there is room for more. */
  readonly unacknowledgedBy: readonly string[];
  readonly hasRoom: boolean;
  /** Channels on which something waits, or whose peer is not there: by the process' account. */
  readonly behind: readonly string[];
}

const LOG_BYTES = 8;
const MESSAGE_BYTES = 100;
const TELL_EVERY_MS = 200;
const FILL = 500;
const PATIENCE = { handshakeTimeoutMs: 1000, reconnectMaxMs: 100 };

const task = JSON.parse(process.argv[2] ?? "") as Task;
const { self, level, most } = task;
const members = [...task.group.members].sort();
const isFifo = ORDER_LEVELS[level].includes("FIFO order");
const isCausal = ORDER_LEVELS[level].includes("causal order");

/** What was delivered of one member. */
class Heard {
  count = 0;
  readonly #bits: number[] = [];

  /** False if it was there already. */
  add(number: number): boolean {
    const word = number >>> 5;
    while (this.#bits.length <= word) this.#bits.push(0);
    const bit = 1 << (number & 31);
    const bits = this.#bits[word] ?? 0;
    if (bits & bit) return false;
    this.#bits[word] = bits | bit;
    this.count += 1;
    return true;
  }
}

/**
 * A message: its number; of each member, how many messages its sender had delivered; and the number again as often as there is room,
 * in other words, so that bytes of another message are found out.
 */
class Talker implements GroupApplication<Uint8Array, Uint8Array> {
  sent = 0;
  order = 0;
  wrongs = 0;
  readonly wrong: string[] = [];
  readonly heard: readonly Heard[] = members.map(() => new Heard());
  readonly lost: Record<string, number> = {};
  readonly #log = task.log === undefined ? undefined : openSync(task.log, "w");
  readonly #line = Buffer.alloc(LOG_BYTES);
  #going: boolean = false;

  start(turn: GroupTurn<Uint8Array>): void {
    turn.setTimer("fill", 1);
  }

  go(): void {
    this.#going = true;
  }

  timer(_name: string, turn: GroupTurn<Uint8Array>): void {
    if (this.#going) this.#fill(turn);
    else turn.setTimer("fill", 1);
  }

  groupWritable(_group: string, turn: GroupTurn<Uint8Array>): void {
    this.#fill(turn);
  }

  peer(id: string, change: PeerChange): void {
    if (change === "lost") this.lost[id] = this.heard[members.indexOf(id)]?.count ?? 0;
  }

  deliver(_group: string, { from, message }: Delivery<Uint8Array>): void {
    const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
    const sender = members.indexOf(from);
    const heard = this.heard[sender] as Heard;
    const number = view.getUint32(0, true);
    if (this.#log !== undefined) {
      this.#line.writeUInt32LE(sender, 0);
      this.#line.writeUInt32LE(number, 4);
      writeSync(this.#log, this.#line);
    }
    if (message.length !== MESSAGE_BYTES || number >= most) {
      this.#say(`${message.length} bytes with number ${number} of ${from}`);
      return;
    }
    if (isFifo && number !== heard.count)
      this.#say(`${number} of ${from} where ${heard.count} was expected`);
    if (!heard.add(number)) this.#say(`${number} of ${from} again`);
    const rest = 4 + 4 * members.length;
    for (let at = rest; at < MESSAGE_BYTES; at += 4)
      if (view.getUint32(at, true) !== wordOf(sender, number, at)) {
        this.#say(`${number} of ${from} is not as it was sent, at byte ${at}`);
        break;
      }
    if (isCausal)
      this.heard.forEach(({ count }, index) => {
        const before = view.getUint32(4 + 4 * index, true);
        if (count < before)
          this.#say(`${number} of ${from} before ${before - 1} of ${members[index]}`);
      });
    this.order = Math.imul(Math.imul(this.order ^ sender, 0x85ebca6b) ^ number, 0x9e3779b1) | 0;
    this.order ^= this.order >>> 15;
  }

  capture(): Uint8Array {
    return new Uint8Array(0);
  }

  restore(): void {}

  #say(text: string): void {
    this.wrongs += 1;
    if (this.wrong.length < 5) this.wrong.push(text);
  }

  #fill(turn: GroupTurn<Uint8Array>): void {
    for (let i = 0; i < FILL && this.sent < most; i += 1)
      if (!turn.multicast("all", this.#next(), { order: level })) return;
    if (this.sent < most) turn.setTimer("fill", 0);
  }

  #next(): Uint8Array {
    const message = new Uint8Array(MESSAGE_BYTES);
    const view = new DataView(message.buffer);
    const number = this.sent;
    this.sent += 1;
    view.setUint32(0, number, true);
    this.heard.forEach(({ count }, index) => {
      view.setUint32(4 + 4 * index, count, true);
    });
    const sender = members.indexOf(self);
    for (let at = 4 + 4 * members.length; at < MESSAGE_BYTES; at += 4)
      view.setUint32(at, wordOf(sender, number, at), true);
    return message;
  }
}

const wordOf = (sender: number, number: number, at: number): number =>
  (Math.imul(number * members.length + sender + 1, 0x9e3779b1) ^ at) >>> 0;

const talker = new Talker();
const problems: string[] = [];
const application = new Grouped<Uint8Array, Uint8Array, never, never>({
  ...{ self, application: talker, groups: { all: task.group }, messageCodec: lentBytesCodec },
  onIrregular: (reason) => void problems.push(reason),
});
const running = await startProcess({
  ...{ id: self, processes: members, application, store: memoryStore() },
  transport: task.nats ? natsTransport({ ...task.nats, ...PATIENCE }) : tcpTransport(PATIENCE),
  ...groupedCodecs<Uint8Array, Uint8Array>({
    messageCodec: lentBytesCodec,
    stateCodec: lentBytesCodec,
  }),
  lostAfterMs: task.lostAfterMs,
  onProblem: ({ code, message }) => {
    // Of connections that are cut or stalled, and members that are stopped or slow.
    const isExpected = code === "PEER_UNREACHABLE" || /handshake was not done/.test(message);
    if (!isExpected) problems.push(`${code} ${message}`);
  },
});

void running.stopped.then((why) => {
  if (why) throw why;
});

let tellings = 0;
const tell = (): void => {
  const explanation = application.explain("all");
  const held = explanation?.held ?? [];
  const { channels } = running.explain();
  const standing: Standing = {
    ...{ address: running.address, tellings: ++tellings, sent: talker.sent },
    ...{ delivered: talker.heard.map(({ count }) => count), order: talker.order },
    ...{ wrong: talker.wrong, wrongs: talker.wrongs, problems, lost: talker.lost },
    residentBytes: process.memoryUsage.rss(),
    held: held.length,
    waitsFor: [...new Set(held.flatMap(({ members }) => members))].sort(),
    unacknowledgedBy: explanation?.unstable?.by.map(({ member }) => member) ?? [],
    hasRoom: explanation?.unstable?.room ?? true,
    behind: channels
      .filter(({ from, up, waiting }) => from === self && (!up || waiting.messages > 0))
      .map(({ to }) => to),
  };
  process.send?.(standing);
};
tell();
const telling = setInterval(tell, TELL_EVERY_MS);

process.on("message", (order: Order) => {
  if (order === "go") talker.go();
  else if (order !== "end")
    for (const [peer, address] of Object.entries(order.connect)) running.connect(peer, address);
  else {
    clearInterval(telling);
    void running.stop().then(() => process.exit(0));
  }
});
// The parent is gone.
process.on("disconnect", () => process.exit(1));
