// Groups whose total order is a stream on NATS: on one server and on three, through deaths of processes and servers, and restores.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { jetstreamManager } from "@nats-io/jetstream";
import { describe, expect, onTestFinished, test } from "vitest";
import { type NatsOrderLogOptions, natsOrderLog } from "../../src/nats/nats-order-log.ts";
import { jsonCodec } from "../../src/process/codec.ts";
import {
  type Delivery,
  type GroupApplication,
  Grouped,
  type GroupedState,
  type GroupTurn,
  groupedCodecs,
} from "../../src/process/grouped.ts";
import { memoryStore } from "../../src/runtime/memory-store.ts";
import { MemoryNetwork } from "../../src/runtime/memory-transport.ts";
import { type RunningProcess, startProcess } from "../../src/runtime/running-process.ts";
import type { SnapshotStore } from "../../src/runtime/snapshot-store.ts";
import { LosingProxy, lacksNats, NatsCluster, NatsServer, until, withNats } from "./support.ts";

const IDS = ["a", "b", "c"];
const STREAM = `tidemark-order-${Buffer.from("talk").toString("base64url")}`;
type Lines = readonly string[];
type Running = RunningProcess<Uint8Array, GroupedState<Lines>, string, null>;

/** Multicasts what it is asked to, and writes down what it delivers. */
class Speaker implements GroupApplication<string, Lines, string, null> {
  lines: string[] = [];

  request(id: number, line: string, turn: GroupTurn<string, null>): void {
    turn.multicast("talk", line, { order: "fifo-total" });
    turn.reply(id, null);
  }

  deliver(_group: string, { message }: Delivery<string>): void {
    this.lines.push(message);
  }

  capture(): Lines {
    return [...this.lines];
  }

  restore(lines: Lines): void {
    this.lines = [...lines];
  }
}

async function oneServer(): Promise<NatsServer> {
  const server = await NatsServer.start();
  onTestFinished(() => server.stop());
  return server;
}

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), "tidemark-order-"));
  onTestFinished(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

interface Talk {
  readonly network: MemoryNetwork;
  readonly store: SnapshotStore;
  readonly place: NatsOrderLogOptions;
  readonly problems: string[];
  readonly logs?: string;
}

interface Spoken {
  readonly speaker: Speaker;
  readonly running: Running;
}

async function speak(id: string, { network, store, place, problems, logs }: Talk): Promise<Spoken> {
  const speaker = new Speaker();
  const codecs = { messageCodec: jsonCodec<string>(), stateCodec: jsonCodec<unknown>() };
  const application = new Grouped<string, Lines, string, null>({
    ...{ self: id, application: speaker, messageCodec: codecs.messageCodec },
    groups: { talk: { members: IDS, total: "log" } },
  });
  const running = await startProcess({
    ...{ id, processes: IDS, application, store, transport: network.transport() },
    ...groupedCodecs<string, Lines>(codecs),
    ...(logs && { log: { directory: join(logs, id), policy: "always" as const } }),
    orderLog: natsOrderLog(place),
    onProblem: ({ code, message }) => void problems.push(`${code}: ${message}`),
  });
  onTestFinished(() => running.stop());
  return { speaker, running };
}

const talkOn = (
  servers: string | readonly string[],
  more: Partial<NatsOrderLogOptions> = {},
): Talk => ({
  ...{ network: new MemoryNetwork(), store: memoryStore(), problems: [] },
  place: { servers, patienceMs: 20_000, ...more },
});

async function say(members: readonly Spoken[], from: number, to: number): Promise<void> {
  for (let i = from; i < to; i += 1)
    await Promise.all(members.map(({ running }) => running.request(`${running.id}${i}`)));
}

const haveAll = (members: readonly Spoken[], many: number) => (): boolean =>
  members.every(({ speaker }) => speaker.lines.length === many);

/** All have the same, in the same order, and each one's own in the order that it said them. */
function mustAgree(members: readonly Spoken[]): void {
  const [first] = members;
  for (const { speaker } of members) expect(speaker.lines).toEqual(first?.speaker.lines);
  for (const id of IDS) {
    const own = (first?.speaker.lines ?? []).filter((line) => line.startsWith(id));
    expect(own).toEqual([...new Set(own)]);
    expect(own).toEqual(own.toSorted((x, y) => Number(x.slice(1)) - Number(y.slice(1))));
  }
}

describe.skipIf(lacksNats)("the order of a group on NATS", () => {
  test("is the same for all, and goes on when a server is killed and comes back", async () => {
    const server = await oneServer();
    const talk = talkOn(server.url);
    const members = await Promise.all(IDS.map((id) => speak(id, talk)));
    await say(members, 0, 50);
    await until("all have all", haveAll(members, 150));
    await server.kill();
    await say(members, 50, 100);
    expect(members.some(({ speaker }) => speaker.lines.length === 300)).toBe(false);
    await server.restart();
    await until("all have all", haveAll(members, 300));
    mustAgree(members);
  }, 90_000);

  test("on three servers goes on when any one of them is gone", async () => {
    const cluster = await NatsCluster.start();
    onTestFinished(() => cluster.stop());
    const talk = talkOn(cluster.urls, { replicas: 3 });
    const members = await Promise.all(IDS.map((id) => speak(id, talk)));
    await say(members, 0, 20);
    await until("all have all", haveAll(members, 60));
    await (await cluster.leaderOf(STREAM)).kill();
    await say(members, 20, 60);
    await until("all have all", haveAll(members, 180));
    mustAgree(members);
  }, 150_000);

  test("whoever dies comes back where it was, and the others went on meanwhile, the first member too", async () => {
    const server = await oneServer();
    const talk = { ...talkOn(server.url), logs: folder() };
    const members = await Promise.all(IDS.map((id) => speak(id, talk)));
    await say(members, 0, 20);
    await until("all have all", haveAll(members, 60));
    await members[0]?.running.stop();
    const others = members.slice(1);
    await say(others, 20, 40);
    await until("the others have all", haveAll(others, 100));
    const back = await speak("a", talk);
    const all = [back, ...others];
    await say(all, 40, 50);
    await until("all have all", haveAll(all, 130));
    mustAgree(all);
    expect(talk.problems).toEqual([]);
  }, 90_000);

  test("after a restore all go on from one order, and nothing of before comes", async () => {
    const server = await oneServer();
    const talk = talkOn(server.url);
    const members = await Promise.all(IDS.map((id) => speak(id, talk)));
    for (let round = 0; round < 5; round += 1) {
      // While it is being said.
      const saying = say(members, round * 100, round * 100 + 30);
      const snapshot = await (members[round % 3] as Spoken).running.snapshot();
      await saying;
      await (members[(round + 1) % 3] as Spoken).running.restore(snapshot.id);
      await say(members, round * 100 + 30, round * 100 + 40);
      await until("all have the last ones", () =>
        members.every(({ speaker }) =>
          IDS.every((id) => speaker.lines.includes(`${id}${round * 100 + 39}`)),
        ),
      );
      await until("all have the same", () =>
        members.every(({ speaker }) => speaker.lines.length === members[0]?.speaker.lines.length),
      );
      mustAgree(members);
    }
  }, 90_000);

  test("who needs what is not kept any more is told, and ends", async () => {
    const server = await oneServer();
    const talk = { ...talkOn(server.url), logs: folder() };
    const members = await Promise.all(IDS.map((id) => speak(id, talk)));
    await say(members, 0, 10);
    await until("all have all", haveAll(members, 30));
    await members[2]?.running.stop();
    await say(members.slice(0, 2), 10, 20);
    await until("the others have all", haveAll(members.slice(0, 2), 50));
    await withNats(server.url, async (connection) => {
      const manager = await jetstreamManager(connection);
      await manager.streams.purge(STREAM);
    });
    const { running } = await speak("c", talk);
    const error = await running.stopped;
    expect(error?.code).toBe("ORDER_LOG_FAILED");
    expect(error?.message).toContain("restore a snapshot");
  }, 120_000);

  test("who is behind when the stream is emptied ends, and so do all when it is gone", async () => {
    const server = await oneServer();
    const proxy = await LosingProxy.before(server.port);
    onTestFinished(() => proxy[Symbol.asyncDispose]());
    const talk = talkOn(server.url);
    const far = { ...talk, place: { ...talk.place, servers: proxy.url } };
    const members = await Promise.all(IDS.map((id) => speak(id, id === "c" ? far : talk)));
    const others = members.slice(0, 2);
    await say(members, 0, 10);
    await until("all have all", haveAll(members, 30));
    proxy.cut();
    await say(others, 10, 20);
    await until("the others have all", haveAll(others, 50));
    await withNats(server.url, async (connection) => {
      const manager = await jetstreamManager(connection);
      await manager.streams.purge(STREAM);
    });
    proxy.resume();
    await say(others, 20, 22);
    expect((await members[2]?.running.stopped)?.code).toBe("ORDER_LOG_FAILED");
    expect(members[2]?.speaker.lines.length).toBe(30);
    await until("the others go on", haveAll(others, 54));
    await withNats(server.url, async (connection) => {
      const manager = await jetstreamManager(connection);
      await manager.streams.delete(STREAM);
    });
    for (const { running } of others)
      expect((await running.stopped)?.message).toContain("is not there any more");
  }, 120_000);

  test("the stream of other members with the same names is refused", async () => {
    const server = await oneServer();
    const talk = talkOn(server.url);
    const members = await Promise.all(IDS.map((id) => speak(id, talk)));
    await say(members, 0, 3);
    await until("all have all", haveAll(members, 9));
    const next = { ...talkOn(server.url), place: talk.place };
    const strangers = await Promise.all(IDS.map((id) => speak(id, next)));
    for (const { running, speaker } of strangers) {
      expect((await running.stopped)?.message).toContain("its log has the order of another system");
      expect(speaker.lines).toEqual([]);
    }
    await say(members, 3, 5);
    await until("the first ones go on", haveAll(members, 15));
  }, 60_000);

  test("a group without a log, a stream with other settings, and a server that is not there are told", async () => {
    const server = await oneServer();
    const name = STREAM;
    await withNats(server.url, async (connection) => {
      const manager = await jetstreamManager(connection);
      await manager.streams.add({
        name,
        subjects: ["tidemark.order.x.*"],
        max_msgs_per_subject: 3,
      });
    });
    const talk = talkOn(server.url);
    await speak("a", talk);
    await until("it is told", () => talk.problems.length > 0);
    expect(talk.problems[0]).toContain("has other settings");
    const nowhere = talkOn("nats://127.0.0.1:1", { patienceMs: 0 });
    await speak("a", nowhere);
    await until("it is told", () => nowhere.problems.length > 0);
    expect(nowhere.problems[0]).toContain("ORDER_LOG_FAILED");
    expect(() => natsOrderLog({ servers: "nats://127.0.0.1", prefix: "a.b" })).toThrow("prefix");
    expect(() => natsOrderLog({ servers: "what is this" })).toThrow("is not the address");
    expect(() => natsOrderLog({ servers: "nats://127.0.0.1", maxBytes: 5 })).toThrow("maxBytes");
  }, 60_000);
});
