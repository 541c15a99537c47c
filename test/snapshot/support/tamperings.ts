/**
 * Ways to damage or edit a valid snapshot. Each changes the files and says which place a verifier must
 * name (one of them, where an edit shows at several), or gives `undefined` if this snapshot has
 * nothing to be changed in that way.
 *
 * A "careful" edit writes changed bytes under their own SHA-256, so that only the certificate finds it.
 */
import { emptyChannelHash, formatChannelHash } from "../../../src/core/channel-hash.ts";
import type { Random } from "../../../src/core/random.ts";
import { readRecords, writeRecords } from "../../../src/core/record.ts";
import {
  type Files,
  putFile,
  readerOf,
  sha256,
  takeSnapshot,
  type validSnapshot,
} from "./snapshots.ts";

export type Tampering = (
  snapshot: Files,
  random: Random,
  origin: ReturnType<typeof validSnapshot>,
) => string | readonly string[] | undefined;

type Piece = Files["manifest"]["pieces"][number];
type Incoming = Piece["incoming"][number];
type Outgoing = Piece["outgoing"][number];
type Part = NonNullable<Incoming["part"]>;

/** A channel with both its ends. */
interface Ends {
  readonly channel: string;
  readonly receiver: string;
  readonly sender: string;
  readonly incoming: Incoming;
  readonly outgoing: Outgoing;
}

/** A random channel that fits. */
function someChannel(
  { manifest }: Files,
  random: Random,
  fits: (ends: Ends) => boolean = () => true,
): Ends | undefined {
  const all = manifest.pieces.flatMap((piece) =>
    piece.incoming.map((incoming): Ends => {
      const source = manifest.pieces.find(({ process }) => process === incoming.from) as Piece;
      return {
        channel: `channel ${incoming.from} → ${piece.process}`,
        receiver: `pieces[${piece.process}].incoming[${incoming.from}]`,
        sender: `pieces[${incoming.from}].outgoing[${piece.process}]`,
        incoming,
        outgoing: source.outgoing.find(({ to }) => to === piece.process) as Outgoing,
      };
    }),
  );
  return random.pick(all.filter(fits));
}

const busy =
  (messages: number) =>
  ({ incoming }: Ends): boolean =>
    incoming.inFlight >= messages;

const bytesOf = ({ files }: Files, part: Part): Uint8Array =>
  Uint8Array.from(readerOf(files)(part) as Uint8Array);

const contentsOf = (snapshot: Files, { part }: Incoming): Uint8Array[] =>
  part ? readRecords(bytesOf(snapshot, part)) : [];

/** Careful: the part gets its own name. The counters stay. */
function setContents({ files }: Files, incoming: Incoming, contents: Uint8Array[]): void {
  if (contents.length > 0) incoming.part = putFile(files, writeRecords(contents));
  else delete incoming.part;
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

/** Two messages in flight on one channel that are not alike: their channel, contents and indices. */
function twoMessages(
  snapshot: Files,
  random: Random,
): [ends: Ends, contents: Uint8Array[], i: number, j: number] | undefined {
  const ends = someChannel(snapshot, random, busy(2));
  if (!ends) return undefined;
  const contents = contentsOf(snapshot, ends.incoming);
  const j = random.between(1, contents.length - 1);
  const i = random.below(j);
  return same(contents[i] as Uint8Array, contents[j] as Uint8Array)
    ? undefined
    : [ends, contents, i, j];
}

/** A part of any piece, with the path to it. */
function somePart({ manifest }: Files, random: Random, state: boolean): [Part, string] | undefined {
  return random.pick(
    manifest.pieces.flatMap(({ process, state: { parts }, incoming }): [Part, string][] =>
      state
        ? parts.map((part, i) => [part, `pieces[${process}].state.parts[#${i}]`])
        : incoming.flatMap(({ from, part }): [Part, string][] =>
            part ? [[part, `pieces[${process}].incoming[${from}].part`]] : [],
          ),
    ),
  );
}

/** Changes a file in place, under its name. `undefined` if nobody would read what is changed. */
function spoil(
  { files }: Files,
  { sha256, pack = sha256, offset = 0, bytes }: Part,
  change: (file: Uint8Array, at: number) => Uint8Array,
): string | undefined {
  if (bytes === 0) return undefined;
  files.set(pack, change(Uint8Array.from(files.get(pack) as Uint8Array), offset + bytes - 1));
  return `part ${sha256}`;
}

const flip = (bytes: Uint8Array, at: number): Uint8Array => {
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  return bytes;
};

const other = (digit: string): string => (digit === "0" ? "1" : "0");
const changeDigit = (hash: string, at: number): string =>
  hash.slice(0, at) + other(hash[at] as string) + hash.slice(at + 1);

/** A part that is alone in its file becomes one in a pack. */
function packed(files: Map<string, Uint8Array>, bytes: Uint8Array): Part {
  const pack = putFile(files, Buffer.concat([Buffer.from("before"), bytes, Buffer.from("after")]));
  return { sha256: sha256(bytes), bytes: bytes.length, pack: pack.sha256, offset: 6 };
}

/** A whole number changed by one, in a place that may show it in several ways. */
function shift(
  field: "sent" | "received" | "inFlight",
  by: 1 | -1,
): (ends: Ends) => string | readonly string[] {
  return ({ incoming, outgoing, receiver, sender, channel }) => {
    if (field === "sent") outgoing.sent += by;
    else incoming[field] += by;
    if (incoming.inFlight < 0) return `${receiver}.inFlight`;
    if (outgoing.sent < 0) return `${sender}.sent`;
    if (incoming.received < 0) return `${receiver}.received`;
    // From or to zero, the hash tells.
    if (field === "sent" && outgoing.sent === (by > 0 ? 1 : 0)) return `${sender}.hash`;
    if (field === "received" && incoming.received === (by > 0 ? 1 : 0)) return `${receiver}.hash`;
    return incoming.received > outgoing.sent ? channel : `${receiver}.inFlight`;
  };
}

/** Every tampering that must be found, by name. */
export const TAMPERINGS: Readonly<Record<string, Tampering>> = {
  "a message in flight is changed, carefully": (snapshot, random) => {
    const ends = someChannel(snapshot, random, busy(1));
    if (!ends) return undefined;
    const contents = contentsOf(snapshot, ends.incoming);
    const message = random.pick(contents.filter(({ length }) => length > 0));
    if (!message) return undefined;
    flip(message, random.below(message.length));
    setContents(snapshot, ends.incoming, contents);
    return ends.channel;
  },
  "a message in flight gets longer by one byte, carefully": (snapshot, random) => {
    const ends = someChannel(snapshot, random, busy(1));
    if (!ends) return undefined;
    const [first, ...rest] = contentsOf(snapshot, ends.incoming) as [Uint8Array, ...Uint8Array[]];
    setContents(snapshot, ends.incoming, [Uint8Array.of(...first, 0), ...rest]);
    return ends.channel;
  },
  "a message in flight is changed in its file": (snapshot, random) => {
    const [part] = somePart(snapshot, random, false) ?? [];
    return part && spoil(snapshot, part, flip);
  },
  "a state is changed in its file": (snapshot, random) => {
    const [part] = somePart(snapshot, random, true) ?? [];
    return part && spoil(snapshot, part, flip);
  },
  "a file is cut short": (snapshot, random) => {
    const [part] = somePart(snapshot, random, random.chance(0.5)) ?? [];
    return part && spoil(snapshot, part, (file, last) => file.subarray(0, last));
  },
  "a file is emptied": (snapshot, random) => {
    const [part] = somePart(snapshot, random, random.chance(0.5)) ?? [];
    if (part?.pack !== undefined) return undefined;
    return part && spoil(snapshot, part, () => new Uint8Array());
  },
  "a file has a byte more": (snapshot, random) => {
    const [part] = somePart(snapshot, random, random.chance(0.5)) ?? [];
    if (part?.pack !== undefined) return undefined;
    return part && spoil(snapshot, part, (file) => Uint8Array.of(...file, 0));
  },
  "a file is missing": (snapshot, random) => {
    const [part] = somePart(snapshot, random, random.chance(0.5)) ?? [];
    if (!part) return undefined;
    const file = part.pack ?? part.sha256;
    snapshot.files.delete(file);
    const needing = snapshot.manifest.pieces.flatMap(({ state, incoming }) =>
      [...state.parts, ...incoming.map((one) => one.part)].filter(
        (one) => one && (one.pack ?? one.sha256) === file,
      ),
    );
    return needing.map((one) => `part ${one?.sha256}`);
  },
  "the states of two processes are swapped in their files": (snapshot, random) => {
    const [one] = somePart(snapshot, random, true) ?? [];
    const [two] = somePart(snapshot, random, true) ?? [];
    const files = snapshot.files;
    if (!one || !two || one.sha256 === two.sha256 || one.pack || two.pack) return undefined;
    const first = files.get(one.sha256) as Uint8Array;
    files.set(one.sha256, files.get(two.sha256) as Uint8Array);
    files.set(two.sha256, first);
    return [`part ${one.sha256}`, `part ${two.sha256}`];
  },
  "a message in flight is dropped, carefully": (snapshot, random) => {
    const ends = someChannel(snapshot, random, busy(2));
    if (!ends) return undefined;
    const contents = contentsOf(snapshot, ends.incoming);
    contents.splice(random.below(contents.length), 1);
    setContents(snapshot, ends.incoming, contents);
    return ends.channel;
  },
  "a message in flight is dropped, and inFlight follows": (snapshot, random) => {
    const ends = someChannel(snapshot, random, busy(1));
    if (!ends) return undefined;
    const contents = contentsOf(snapshot, ends.incoming);
    contents.splice(random.below(contents.length), 1);
    setContents(snapshot, ends.incoming, contents);
    ends.incoming.inFlight -= 1;
    return `${ends.receiver}.inFlight`;
  },
  "a message in flight is dropped, and inFlight and sent follow": (snapshot, random) => {
    const ends = someChannel(snapshot, random, busy(1));
    if (!ends) return undefined;
    const contents = contentsOf(snapshot, ends.incoming);
    contents.splice(random.below(contents.length), 1);
    setContents(snapshot, ends.incoming, contents);
    ends.incoming.inFlight -= 1;
    ends.outgoing.sent -= 1;
    return ends.outgoing.sent === 0 ? `${ends.sender}.hash` : ends.channel;
  },
  "a message in flight is dropped, and inFlight and received follow": (snapshot, random) => {
    const ends = someChannel(snapshot, random, busy(1));
    if (!ends) return undefined;
    const contents = contentsOf(snapshot, ends.incoming);
    contents.splice(random.below(contents.length), 1);
    setContents(snapshot, ends.incoming, contents);
    ends.incoming.inFlight -= 1;
    ends.incoming.received += 1;
    return ends.incoming.received === 1 ? `${ends.receiver}.hash` : ends.channel;
  },
  "a message in flight is added, and inFlight and sent follow": (snapshot, random) => {
    const ends = someChannel(snapshot, random, ({ outgoing }) => outgoing.sent > 0);
    if (!ends) return undefined;
    const contents = contentsOf(snapshot, ends.incoming);
    contents.splice(random.between(0, contents.length), 0, Uint8Array.of(1, 2, 3));
    setContents(snapshot, ends.incoming, contents);
    ends.incoming.inFlight += 1;
    ends.outgoing.sent += 1;
    return ends.channel;
  },
  "an empty message in flight is added, and inFlight and sent follow": (snapshot, random) => {
    const ends = someChannel(snapshot, random, ({ outgoing }) => outgoing.sent > 0);
    if (!ends) return undefined;
    setContents(snapshot, ends.incoming, [
      ...contentsOf(snapshot, ends.incoming),
      new Uint8Array(),
    ]);
    ends.incoming.inFlight += 1;
    ends.outgoing.sent += 1;
    return ends.channel;
  },
  "two messages in flight change places": (snapshot, random) => {
    const found = twoMessages(snapshot, random);
    if (!found) return undefined;
    const [{ incoming, channel }, contents, i, j] = found;
    [contents[i], contents[j]] = [contents[j] as Uint8Array, contents[i] as Uint8Array];
    setContents(snapshot, incoming, contents);
    return channel;
  },
  "the messages in flight are in reverse": (snapshot, random) => {
    const found = twoMessages(snapshot, random);
    if (!found) return undefined;
    const [{ incoming, channel }, contents] = found;
    const reversed = contents.toReversed();
    if (reversed.every((message, i) => same(message, contents[i] as Uint8Array))) return undefined;
    setContents(snapshot, incoming, reversed);
    return channel;
  },
  "a message in flight is there twice, another is not there": (snapshot, random) => {
    const found = twoMessages(snapshot, random);
    if (!found) return undefined;
    const [{ incoming, channel }, contents, i, j] = found;
    contents[i] = contents[j] as Uint8Array;
    setContents(snapshot, incoming, contents);
    return channel;
  },
  "two messages in flight become one of the same bytes": (snapshot, random) => {
    const ends = someChannel(snapshot, random, busy(2));
    if (!ends) return undefined;
    const [first, second, ...rest] = contentsOf(snapshot, ends.incoming);
    // Their records stand one behind the other: the length of the first now covers both.
    const both = writeRecords([first as Uint8Array, second as Uint8Array]);
    new DataView(both.buffer).setUint32(0, both.length - 4, true);
    const bytes = Buffer.concat([both, writeRecords(rest)]);
    ends.incoming.part = putFile(snapshot.files, Uint8Array.from(bytes));
    return ends.channel;
  },
  "a message in flight moves to another channel, and all counters follow": (snapshot, random) => {
    const from = someChannel(snapshot, random, busy(1));
    const to = someChannel(snapshot, random, ({ outgoing }) => outgoing.sent > 0);
    if (!from || !to || from.channel === to.channel) return undefined;
    const [first, ...rest] = contentsOf(snapshot, from.incoming);
    setContents(snapshot, to.incoming, [...contentsOf(snapshot, to.incoming), first as Uint8Array]);
    setContents(snapshot, from.incoming, rest);
    from.incoming.inFlight -= 1;
    from.outgoing.sent -= 1;
    to.incoming.inFlight += 1;
    to.outgoing.sent += 1;
    return [from.channel, to.channel, `${from.sender}.hash`];
  },
  "two channels swap their messages in flight": (snapshot, random) => {
    const one = someChannel(snapshot, random, busy(1));
    const two = someChannel(snapshot, random, busy(1));
    if (!one?.incoming.part || !two?.incoming.part) return undefined;
    if (one.incoming.part.sha256 === two.incoming.part.sha256) return undefined;
    [one.incoming.part, two.incoming.part] = [two.incoming.part, one.incoming.part];
    return [one.channel, two.channel];
  },
  "the messages in flight of a channel are not referred to": (snapshot, random) => {
    const ends = someChannel(snapshot, random, busy(1));
    if (!ends) return undefined;
    delete ends.incoming.part;
    return `${ends.receiver}.part`;
  },
  "a part is given for a channel without messages in flight": (snapshot, random) => {
    const ends = someChannel(snapshot, random, ({ incoming }) => incoming.inFlight === 0);
    if (!ends) return undefined;
    ends.incoming.part = putFile(snapshot.files, new Uint8Array());
    return `${ends.receiver}.part`;
  },
  "padding behind a message in flight is not zero": (snapshot, random) => {
    const ends = someChannel(snapshot, random, busy(1));
    if (!ends?.incoming.part) return undefined;
    const bytes = bytesOf(snapshot, ends.incoming.part);
    const length = new DataView(bytes.buffer).getUint32(0, true);
    if (length % 4 === 0) return undefined;
    bytes[4 + length + random.below(4 - (length % 4))] = 1;
    ends.incoming.part = putFile(snapshot.files, bytes);
    return ends.channel;
  },
  "the last message in flight breaks off": (snapshot, random) => {
    const ends = someChannel(snapshot, random, busy(1));
    if (!ends?.incoming.part) return undefined;
    const bytes = bytesOf(snapshot, ends.incoming.part);
    const less = bytes.subarray(0, bytes.length - random.between(1, 4));
    ends.incoming.part = putFile(snapshot.files, less);
    return ends.channel;
  },
  "a message in flight is said to be longer than its file": (snapshot, random) => {
    const ends = someChannel(snapshot, random, busy(1));
    if (!ends?.incoming.part) return undefined;
    const bytes = bytesOf(snapshot, ends.incoming.part);
    new DataView(bytes.buffer).setUint32(
      0,
      random.pick([2 ** 32 - 1, 2 ** 31, 2 ** 20]) ?? 0,
      true,
    );
    ends.incoming.part = putFile(snapshot.files, bytes);
    return ends.channel;
  },
  "a piece is of another snapshot": (snapshot, random) => {
    const piece = random.pick(snapshot.manifest.pieces) as Piece;
    piece.snapshot = `${snapshot.manifest.initiator}/2`;
    return `pieces[${piece.process}].snapshot`;
  },
  "a piece is of another snapshot, and its id is rewritten": (snapshot, random, { run, cut }) => {
    const later = new Map(cut);
    const piece = random.pick(snapshot.manifest.pieces) as Piece;
    const { process } = piece;
    later.set(process, run.deeds.get(process)?.length ?? 0);
    const foreign = takeSnapshot(run, later, random);
    const other = foreign.manifest.pieces.find((one) => one.process === process) as Piece;
    // Unless it sent something in between, that is no other cut for anybody else.
    if (other.outgoing.every(({ sent }, i) => sent === piece.outgoing[i]?.sent)) return undefined;
    for (const [name, bytes] of foreign.files) snapshot.files.set(name, bytes);
    const index = snapshot.manifest.pieces.indexOf(piece);
    snapshot.manifest.pieces[index] = { ...other, snapshot: snapshot.manifest.id };
    return [
      ...piece.outgoing.map(({ to }) => `pieces[${to}].incoming[${process}].inFlight`),
      ...piece.incoming.flatMap(({ from }) => [
        `channel ${from} → ${process}`,
        `pieces[${process}].incoming[${from}].inFlight`,
      ]),
    ];
  },
  "a piece is missing": ({ manifest }, random) => {
    const [piece] = manifest.pieces.splice(random.below(manifest.pieces.length), 1);
    return `pieces[${piece?.process}]`;
  },
  "a piece is there twice": ({ manifest }, random) => {
    const index = random.below(manifest.pieces.length);
    const piece = manifest.pieces[index] as Piece;
    manifest.pieces.splice(index, 0, piece);
    return `pieces[${piece.process}]`;
  },
  "a piece is there twice instead of another": ({ manifest }, random) => {
    const index = random.between(1, manifest.pieces.length - 1);
    const missing = manifest.pieces[index]?.process;
    manifest.pieces[index] = manifest.pieces[index - 1] as Piece;
    return [`pieces[${missing}]`, `pieces[${manifest.pieces[index]?.process}]`];
  },
  "the pieces are not in order": ({ manifest }) => {
    const first = manifest.pieces[0]?.process;
    manifest.pieces.reverse();
    return `pieces[${first}]`;
  },
  "two pieces swap their processes": ({ manifest }) => {
    const [one, two] = manifest.pieces as [Piece, Piece];
    [one.process, two.process] = [two.process, one.process];
    return `pieces[${two.process}]`;
  },
  "a process is not listed": ({ manifest }, random) => {
    const [process] = manifest.processes.splice(random.below(manifest.processes.length), 1);
    const first = manifest.channels.findIndex(({ from, to }) => from === process || to === process);
    if (process === manifest.initiator) return "initiator";
    return first < 0 ? `pieces[${process}]` : `channels[#${first}]`;
  },
  "a process is listed twice": ({ manifest }, random) => {
    const index = random.below(manifest.processes.length);
    const process = manifest.processes[index] as string;
    manifest.processes.splice(index, 0, process);
    return `processes[${process}]`;
  },
  "a process more is listed": ({ manifest }) => {
    manifest.processes.push("zz");
    return "pieces[zz]";
  },
  "a channel is not listed": ({ manifest }, random) => {
    const [gone] = manifest.channels.splice(random.below(manifest.channels.length), 1);
    return (
      gone && [
        `pieces[${gone.from}].outgoing[${gone.to}]`,
        `pieces[${gone.to}].incoming[${gone.from}]`,
      ]
    );
  },
  "a channel is listed that is not there": ({ manifest }) => {
    const { processes, channels } = manifest;
    for (const from of processes)
      for (const to of processes) {
        if (from === to || channels.some((one) => one.from === from && one.to === to)) continue;
        channels.push({ from, to });
        channels.sort((a, b) => (`${a.from} ${a.to}` < `${b.from} ${b.to}` ? -1 : 1));
        return [`pieces[${from}].outgoing[${to}]`, `pieces[${to}].incoming[${from}]`];
      }
    return undefined;
  },
  "a channel is listed twice": ({ manifest }, random) => {
    const index = random.below(manifest.channels.length);
    const channel = manifest.channels[index];
    if (!channel) return undefined;
    manifest.channels.splice(index, 0, channel);
    return `channel ${channel.from} → ${channel.to}`;
  },
  "a channel leads back to its own process": ({ manifest }) => {
    const [channel] = manifest.channels;
    if (!channel) return undefined;
    channel.to = channel.from;
    return "channels[#0]";
  },
  "both ends of a channel are gone from the pieces": ({ manifest }, random) => {
    const gone = random.pick(manifest.channels);
    for (const piece of manifest.pieces) {
      if (piece.process === gone?.from)
        piece.outgoing = piece.outgoing.filter(({ to }) => to !== gone.to);
      if (piece.process === gone?.to)
        piece.incoming = piece.incoming.filter(({ from }) => from !== gone.from);
    }
    return (
      gone && [
        `pieces[${gone.from}].outgoing[${gone.to}]`,
        `pieces[${gone.to}].incoming[${gone.from}]`,
      ]
    );
  },
  ...Object.fromEntries(
    (["sent", "received", "inFlight"] as const).flatMap((field) =>
      ([1, -1] as const).map((by): [string, Tampering] => [
        `${field} is ${by > 0 ? "higher" : "lower"} by one`,
        (snapshot, random) => {
          const ends = someChannel(snapshot, random);
          return ends && shift(field, by)(ends);
        },
      ]),
    ),
  ),
  "received is higher and inFlight lower by one": (snapshot, random) => {
    const ends = someChannel(snapshot, random, busy(1));
    if (!ends) return undefined;
    ends.incoming.received += 1;
    ends.incoming.inFlight -= 1;
    if (ends.incoming.received === 1) return `${ends.receiver}.hash`;
    return ends.incoming.inFlight === 0 ? `${ends.receiver}.part` : ends.channel;
  },
  "sent and inFlight are both higher by one": (snapshot, random) => {
    const ends = someChannel(snapshot, random, ({ outgoing }) => outgoing.sent > 0);
    if (!ends) return undefined;
    ends.outgoing.sent += 1;
    ends.incoming.inFlight += 1;
    return ends.incoming.inFlight === 1 ? `${ends.receiver}.part` : ends.channel;
  },
  "sent and received are both higher by one than nothing": (snapshot, random) => {
    const ends = someChannel(snapshot, random, ({ incoming }) => incoming.received === 0);
    if (!ends) return undefined;
    ends.outgoing.sent += 1;
    ends.incoming.received += 1;
    return ends.outgoing.sent === 1 ? `${ends.sender}.hash` : `${ends.receiver}.hash`;
  },
  "sent and received are both lowered until nothing is received": (snapshot, random) => {
    const ends = someChannel(snapshot, random, ({ incoming }) => incoming.received > 0);
    if (!ends) return undefined;
    ends.outgoing.sent -= ends.incoming.received;
    ends.incoming.received = 0;
    return ends.outgoing.sent === 0 ? `${ends.sender}.hash` : `${ends.receiver}.hash`;
  },
  "a digit of the receiver's hash is changed": (snapshot, random) => {
    const ends = someChannel(snapshot, random);
    if (!ends) return undefined;
    ends.incoming.hash = changeDigit(ends.incoming.hash, random.below(33));
    return ends.incoming.received === 0 ? `${ends.receiver}.hash` : ends.channel;
  },
  "a digit of the sender's hash is changed": (snapshot, random) => {
    const ends = someChannel(snapshot, random);
    if (!ends) return undefined;
    ends.outgoing.hash = changeDigit(ends.outgoing.hash, random.below(33));
    return ends.outgoing.sent === 0 ? `${ends.sender}.hash` : ends.channel;
  },
  "a channel begins afresh at its receiver": (snapshot, random) => {
    const ends = someChannel(snapshot, random, ({ incoming }) => incoming.received > 0);
    if (!ends) return undefined;
    ends.incoming.hash = formatChannelHash(emptyChannelHash());
    return `${ends.receiver}.hash`;
  },
  "a hash is in upper case": (snapshot, random) => {
    const ends = someChannel(snapshot, random);
    if (!ends) return undefined;
    const hash = ends.incoming.hash.toUpperCase();
    if (hash === ends.incoming.hash) return undefined;
    ends.incoming.hash = hash;
    return `${ends.receiver}.hash`;
  },
  "a digit of a part's SHA-256 is changed": (snapshot, random) => {
    const [part] = somePart(snapshot, random, random.chance(0.5)) ?? [];
    if (!part) return undefined;
    part.sha256 = changeDigit(part.sha256, random.below(64));
    return `part ${part.sha256}`;
  },
  "a part is said to be longer by one byte": (snapshot, random) => {
    const [part] = somePart(snapshot, random, random.chance(0.5)) ?? [];
    if (!part) return undefined;
    part.bytes += 1;
    return `part ${part.sha256}`;
  },
  "a part is said to be shorter by one byte": (snapshot, random) => {
    const [part] = somePart(snapshot, random, random.chance(0.5)) ?? [];
    if (!part || part.bytes === 0) return undefined;
    part.bytes -= 1;
    return `part ${part.sha256}`;
  },
  "a part begins beyond the end of its pack": (snapshot, random) => {
    const [part] = somePart(snapshot, random, random.chance(0.5)) ?? [];
    if (!part) return undefined;
    Object.assign(part, packed(snapshot.files, bytesOf(snapshot, part)));
    part.offset = random.pick([12 + part.bytes, 2 ** 32, Number.MAX_SAFE_INTEGER]) as number;
    return `part ${part.sha256}`;
  },
  "a part begins one byte further on in its pack": (snapshot, random) => {
    const [part] = somePart(snapshot, random, random.chance(0.5)) ?? [];
    if (!part || new Set(bytesOf(snapshot, part)).size < 2) return undefined;
    Object.assign(part, packed(snapshot.files, bytesOf(snapshot, part)));
    part.offset = 7;
    return `part ${part.sha256}`;
  },
  "a part has a pack and no offset": (snapshot, random) => {
    const [part, path] = somePart(snapshot, random, random.chance(0.5)) ?? [];
    if (!part) return undefined;
    Object.assign(part, packed(snapshot.files, bytesOf(snapshot, part)));
    delete part.offset;
    return `${path}.offset`;
  },
  "a part has an offset and no pack": (snapshot, random) => {
    const [part, path] = somePart(snapshot, random, random.chance(0.5)) ?? [];
    if (!part) return undefined;
    part.offset = 0;
    delete part.pack;
    return `${path}.pack`;
  },
  "a piece is of another epoch": ({ manifest }, random) => {
    const piece = random.pick(manifest.pieces) as Piece;
    piece.epoch += 1;
    return `pieces[${piece.process}].epoch`;
  },
  "the snapshot is said to be of another epoch": ({ manifest }) => {
    manifest.epoch += 1;
    return `pieces[${manifest.processes[0]}].epoch`;
  },
  "the snapshot has another id": ({ manifest }) => {
    manifest.id = `${manifest.initiator}/77`;
    return `pieces[${manifest.processes[0]}].snapshot`;
  },
  "the snapshot has another initiator": ({ manifest }) => {
    manifest.initiator = manifest.processes.find((id) => id !== manifest.initiator) as string;
    return "initiator";
  },
  "the initiator is no process of the snapshot": ({ manifest }) => {
    manifest.initiator = "stranger";
    manifest.id = "stranger/1";
    return "initiator";
  },
  "the format is another one": ({ manifest }) => {
    Object.assign(manifest, { format: "tidemark-snapshot/2" });
    return "format";
  },
  "a plain state has two parts": ({ manifest, files }) => {
    const piece = manifest.pieces.find(({ state }) => !state.sliced);
    piece?.state.parts.push(putFile(files, Uint8Array.of(1)));
    return piece && `pieces[${piece.process}].state`;
  },
};
