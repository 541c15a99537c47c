import { hash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { writeRecords } from "../../src/core/record.ts";
import {
  type ChannelComparison,
  type Codec,
  type CompareOptions,
  compareSnapshots,
  formatPath,
  GlobalSnapshot,
  Grouped,
  groupedCodecs,
  isDifferent,
  jsonCodec,
  type Manifest,
  type ProcessComparison,
  parsePath,
  Random,
  type Turn,
} from "../../src/index.ts";

/** A channel of a snapshot that is put together by hand. */
interface Made {
  readonly received: number;
  readonly messages: readonly unknown[];
  readonly isOrdered?: boolean;
  /** Instead of `messages`: as they are encoded. */
  readonly records?: readonly Uint8Array[];
}

interface Making {
  readonly epoch?: number;
  /** A list is a sliced state. */
  readonly states: Readonly<Record<string, unknown>>;
  /** By `from→to`. */
  readonly channels?: Readonly<Record<string, Made>>;
  readonly isSliced?: boolean;
  /** What the codecs are called, and how states are encoded. */
  readonly encodings?: { readonly state: Codec<never>; readonly message: string };
  readonly onPart?: () => void;
}

/** A snapshot, without a system that it was taken of. Nothing here looks at hashes of channels. */
function made({
  epoch = 1,
  states,
  channels = {},
  isSliced = false,
  encodings,
  onPart,
}: Making): GlobalSnapshot {
  const parts = new Map<string, Uint8Array>();
  const put = (bytes: Uint8Array): { sha256: string; bytes: number } => {
    const sha256 = hash("sha256", bytes);
    parts.set(sha256, new Uint8Array(bytes));
    return { sha256, bytes: bytes.length };
  };
  const json = jsonCodec<unknown>();
  const encode = encodings
    ? (value: unknown) => encodings.state.encode(value as never)
    : json.encode;
  const processes = Object.keys(states).sort();
  const pairs = Object.entries(channels).map(([name, made]) => {
    const [from = "", to = ""] = name.split("→");
    const records = made.records ?? made.messages.map(json.encode);
    const hash = made.isOrdered === false ? `${"0".repeat(32)}s` : "0".repeat(33);
    return { from, to, hash, received: made.received, records };
  });
  const manifest: Manifest = {
    ...{ format: "tidemark-snapshot/1", id: `p/${epoch}`, system: "test", epoch, initiator: "p" },
    ...{ startedAtMs: 0, cutMs: 0, processes },
    channels: pairs.map(({ from, to }) => ({ from, to })),
    pieces: processes.map((process) => ({
      ...{ snapshot: `p/${epoch}`, process, epoch, messageEncoding: encodings?.message ?? "json" },
      state: {
        encoding: encodings?.state.name ?? "json",
        sliced: isSliced,
        parts: (isSliced ? (states[process] as unknown[]) : [states[process]]).map((one) =>
          put(encode(one)),
        ),
      },
      incoming: pairs
        .filter(({ to }) => to === process)
        .map(({ from, received, hash, records }) => ({
          ...{ from, received, hash, inFlight: records.length },
          ...(records.length > 0 ? { part: put(writeRecords(records)) } : {}),
        })),
      outgoing: pairs
        .filter(({ from }) => from === process)
        .map(({ to, received, hash, records }) => ({ to, sent: received + records.length, hash })),
      timing: { recordedAtMs: 10 * epoch, recordingMs: 0, captureMs: 0 },
    })),
  };
  const part = async ({ sha256 }: { readonly sha256: string }): Promise<Uint8Array> => {
    onPart?.();
    return parts.get(sha256) as Uint8Array;
  };
  return new GlobalSnapshot({ manifest, part });
}

type All = Record<string, ProcessComparison | ChannelComparison>;

/** By the name of the process or channel. */
async function compare(
  before: GlobalSnapshot,
  after: GlobalSnapshot,
  options?: CompareOptions,
): Promise<All> {
  const all: All = {};
  for await (const one of compareSnapshots(before, after, options))
    all[one.type === "process" ? one.process : `${one.from}→${one.to}`] = one;
  return all;
}

function told(one: ProcessComparison | ChannelComparison | undefined): string[] {
  if (one?.type !== "process") throw new Error("that is no process");
  return one.differences.map(({ kind, path }) => `${kind} ${formatPath(path)}`);
}

/** One channel before and after, compared. */
async function channel(before: Made, after: Made, epoch: number = 1): Promise<ChannelComparison> {
  const states = { p: 1, q: 2 };
  const all = await compare(
    made({ states, channels: { "p→q": before } }),
    made({ states, channels: { "p→q": after }, epoch }),
  );
  return all["p→q"] as ChannelComparison;
}

describe("two snapshots", () => {
  test("are compared process by process and channel by channel", async () => {
    const channels = { "p→q": { received: 3, messages: ["a"] } };
    const before = made({ states: { p: { a: 1 }, q: 2 }, channels });
    const idle = await compare(before, before);
    expect(Object.keys(idle)).toEqual(["p", "q", "p→q"]);
    expect(Object.values(idle).filter(isDifferent)).toEqual([]);
    const all = await compare(
      before,
      made({ states: { p: { a: 1, b: 2 }, q: 2 }, channels, epoch: 2 }),
    );
    expect(told(all["p"])).toEqual(["added $.b"]);
    expect(all["p"]).toMatchObject({ presence: "both", added: 1, apartMs: 10 });
    expect(Object.values(all).filter(isDifferent)).toHaveLength(1);
  });

  test("say of each message in flight whether it is gone, new or still there, however alike they are", async () => {
    const same = (many: number): string[] => new Array<string>(many).fill("the same");
    const [was, is] = [
      { received: 7, messages: same(3) },
      { received: 9, messages: same(5) },
    ];
    expect(await channel(was, is)).toMatchObject({
      before: { sent: 10, received: 7, inFlight: 3 },
      after: { sent: 14, received: 9, inFlight: 5 },
      ...{ comparable: true, gone: 2, still: 1, come: 4 },
      goneMessages: [8, 9].map((number) => ({ number, message: "the same" })),
      comeMessages: [11, 12, 13, 14].map((number) => ({ number, message: "the same" })),
    });
    expect(await channel(is, was)).toMatchObject({ comparable: true, gone: 4, still: 1, come: 2 });
    // None of them was in flight at the same time.
    const later = { received: 10, messages: same(1) };
    expect(await channel(was, later)).toMatchObject({ gone: 3, still: 0, come: 1 });
    // What passed between is a difference, too.
    const passed = await channel({ received: 1, messages: [] }, { received: 2, messages: [] });
    expect(passed).toMatchObject({ comparable: true, gone: 0, still: 0, come: 0 });
    expect(isDifferent(passed)).toBe(true);
  });

  test.each<[string, Made, Made, number]>([
    [
      "another epoch",
      { received: 0, messages: ["a", "b", "b"] },
      { received: 1, messages: ["b", "b", "c"] },
      2,
    ],
    [
      "a channel that began again",
      { received: 0, messages: ["a", "b", "b"] },
      { received: 0, messages: ["b", "b", "c"] },
      1,
    ],
  ])("of %s have their messages compared by what they are", async (_name, before, after, epoch) => {
    expect(await channel(before, after, epoch)).toMatchObject({
      ...{ comparable: false, gone: 1, still: 2, come: 1 },
      goneMessages: [{ number: 1, message: "a" }],
      comeMessages: [{ message: "c" }],
    });
  });

  test("take of messages that are equal the first ones for the same", async () => {
    const before = { received: 0, messages: ["b", "a", "b"] };
    const compared = await channel(before, { received: 0, messages: ["b"] }, 2);
    expect(compared).toMatchObject({ gone: 2, still: 1, come: 0 });
    expect(compared.goneMessages.map(({ number }) => number)).toEqual([2, 3]);
  });

  test("of channels without an order have their messages compared by what they are", async () => {
    const before = { received: 0, messages: ["a", "b", "b"], isOrdered: false };
    const after = { received: 2, messages: ["b", "a"], isOrdered: false };
    const compared = await channel(before, after);
    expect(compared).toMatchObject({ comparable: true, gone: 1, still: 2, come: 0 });
    expect(compared.goneMessages).toEqual([{ message: "b" }]);
  });

  test("tell of what is in one only", async () => {
    const channels = { "p→q": { received: 0, messages: ["a"] } };
    const whole = made({ states: { p: 1, q: 2 }, channels });
    const less = made({ states: { p: 1 } });
    const presence = (all: All): string[] =>
      Object.entries(all).map(([name, { presence }]) => `${name} ${presence}`);
    expect(presence(await compare(less, whole))).toEqual(["p both", "q after", "p→q after"]);
    const gone = await compare(whole, less);
    expect(presence(gone)).toEqual(["p both", "q before", "p→q before"]);
    expect(gone["p→q"]).toMatchObject({ comparable: false, gone: 1, come: 0 });
    expect(Object.values(gone).filter(isDifferent)).toHaveLength(2);
  });

  test("can be compared in part", async () => {
    const orders = (...totals: number[]): object[] => totals.map((total) => ({ total }));
    const channels = { "p→q": { received: 0, messages: [] } };
    const before = made({ states: { p: { note: "a", orders: orders(1, 2) }, q: {} }, channels });
    const after = made({ states: { p: { note: "b", orders: orders(1, 3, 4) }, q: {} }, channels });
    const processes = ["q"];
    expect(Object.keys(await compare(before, after, { processes }))).toEqual(["q", "p→q"]);
    const path = parsePath("$.orders[*].total");
    const some = await compare(before, after, { path });
    expect(Object.keys(some)).toEqual(["p", "q"]);
    expect(told(some["p"])).toEqual(["changed $.orders[1].total", "added $.orders[2].total"]);
    // What lies in something that is selected, too, is told of once.
    const all = await compare(before, after, { path: parsePath("$..*") });
    expect(all["p"]).toMatchObject({ added: 1, removed: 0, changed: 2 });
    await expect(compare(before, after, { processes: ["r"] })).rejects.toMatchObject({
      code: "UNKNOWN_PROCESS",
    });
  });
});

describe("sliced states", () => {
  const slices = Array.from({ length: 50 }, (_, i) => ({ block: i, values: [i] }));
  const other = slices
    .with(7, { block: 7, values: [0] })
    .toSpliced(20, 1)
    .toSpliced(30, 0, { block: -1, values: [] });
  let reads = 0;
  const onPart = (): void => {
    reads += 1;
  };
  const before = made({ states: { p: slices }, isSliced: true, onPart });
  const after = made({ states: { p: other }, isSliced: true, onPart });

  test("are compared slice by slice, and equal slices are not read", async () => {
    reads = 0;
    const progress: string[] = [];
    const onProgress = (done: number, of: number): void => void progress.push(`${done}/${of}`);
    const { p } = await compare(before, after, { onProgress });
    expect(told(p)).toEqual(["changed $[7].values[0]", "removed $[20]", "added $[30]"]);
    expect(reads).toBe(4);
    expect(progress.at(-1)).toBe("50/50");
  });

  test("of which one begins as the other are not the same", async () => {
    const shorter = made({ states: { p: slices.slice(0, 3) }, isSliced: true });
    expect((await compare(shorter, before))["p"]).toMatchObject({ added: 47, changed: 0 });
    expect((await compare(before, shorter))["p"]).toMatchObject({ removed: 47, changed: 0 });
  });

  test("of which only some are selected are read in these", async () => {
    reads = 0;
    const { p } = await compare(before, after, { path: parsePath("$[-1].block") });
    expect(p).toMatchObject({ added: 0, removed: 0, changed: 0 });
    expect(reads).toBe(2);
  });

  test("are not read where nobody wants to know more than that they are other ones", async () => {
    reads = 0;
    const { p } = await compare(before, after, { limit: 0 });
    expect(p).toMatchObject({ added: 1, removed: 1, changed: 1, differences: [] });
    expect(reads).toBe(2);
  });

  test("are compared with plain ones as the list that they are", async () => {
    const { p } = await compare(before, made({ states: { p: other } }));
    expect(told(p)).toEqual(["changed $[7].values[0]", "removed $[20]", "added $[30]"]);
  });

  test("can be read one by one", async () => {
    expect(await before.slice("p", 7)).toEqual({ block: 7, values: [7] });
    await expect(before.slice("p", 50)).rejects.toMatchObject({ code: "BAD_OPTION" });
  });
});

test("what a group keeps, and what is under way, is shown as messages", async () => {
  const codecs = groupedCodecs<string, null>({
    messageCodec: jsonCodec(),
    stateCodec: jsonCodec(),
  });
  const grouped = new Grouped<string, null, string, null>({
    ...{ self: "p", groups: { chat: { members: ["p", "q"] } }, messageCodec: jsonCodec() },
    application: {
      request: (_id, line, turn) => void turn.multicast("chat", line),
      capture: () => null,
      restore: () => {},
    },
  });
  let sent: Uint8Array[] = [];
  const turn: Turn<Uint8Array, null> = {
    ...{
      self: "p",
      nowMs: 0,
      random: new Random(1),
      replays: false,
      peers: ["q"],
      reply: () => {},
      setTimer: () => {},
    },
    send: (_to, bytes) => sent.push(new Uint8Array(bytes)) > 0,
  };
  const taken = (): GlobalSnapshot => {
    const state = grouped.capture();
    return made({
      states: { p: state, q: state },
      channels: { "p→q": { received: 0, messages: [], records: sent } },
      encodings: { state: codecs.stateCodec as Codec<never>, message: codecs.messageCodec.name },
    });
  };
  grouped.start(turn);
  sent = [];
  const before = taken();
  grouped.request?.(1, "is anybody there?", turn);
  const after = taken();
  const messages = async (one: GlobalSnapshot): Promise<string[]> =>
    [...parsePath("$..messages[*]").select(await one.state("p"))].map(({ value }) => String(value));
  expect(await messages(before)).toEqual([]);
  expect(await messages(after)).toEqual(["is anybody there?"]);
  expect((await compare(before, after))["p→q"]).toMatchObject({
    comeMessages: [{ number: 1, message: { kind: "fifo", messages: ["is anybody there?"] } }],
  });
});
