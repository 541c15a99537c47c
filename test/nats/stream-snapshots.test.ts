/** Processes that pass money through streams of a real server at full load, and snapshots of all of it, also while some of them die. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { jetstream, jetstreamManager, type StreamConfig } from "@nats-io/jetstream";
import { headers } from "@nats-io/transport-node";
import { describe, expect, onTestFinished, test } from "vitest";
import { isTidemarkError } from "../../src/core/error.ts";
import { recordNatsPositions, type StreamPosition } from "../../src/nats/nats-positions.ts";
import {
  forgetNatsProcess,
  type NatsProcessOptions,
  type RunningNatsProcess,
  startNatsProcess,
} from "../../src/nats/nats-process.ts";
import { restoreNatsSnapshot, takeNatsSnapshot } from "../../src/nats/nats-snapshot.ts";
import type { StreamState } from "../../src/nats/stream-control.ts";
import type { Checkpoint } from "../../src/nats/stream-ledger.ts";
import { ReadableSnapshot } from "../../src/process/readable-snapshot.ts";
import { memoryStore } from "../../src/runtime/memory-store.ts";
import type { SnapshotStore } from "../../src/runtime/snapshot-store.ts";
import {
  type Account,
  beginTransfers,
  moneyIn,
  NEW,
  receiveTransfer,
  type Transfer,
} from "./stream-bank.ts";
import { lacksNats, NatsServer, until, withNats } from "./support.ts";

const CHILD = fileURLToPath(new URL("./stream-account-child.ts", import.meta.url));
const ACCOUNTS = ["p1", "p2", "p3"];
const STREAMS = ["east", "west"];
const MONEY = ACCOUNTS.length * NEW.balance;
const LONG = { timeout: 150_000 };

async function serverWithStreams(config: Partial<StreamConfig> = {}): Promise<NatsServer> {
  const server = await NatsServer.start();
  onTestFinished(() => server.stop());
  await withNats(server.url, async (connection) => {
    const manager = await jetstreamManager(connection);
    for (const name of STREAMS)
      await manager.streams.add({ name, subjects: [`${name}.>`], ...config });
  });
  return server;
}

async function startAccount(
  servers: string,
  id: string,
  more: Partial<NatsProcessOptions<Account, Transfer>> = {},
): Promise<RunningNatsProcess<Account>> {
  const running = await startNatsProcess<Account, Transfer>({
    ...{ servers, id, prefix: "bank", reads: STREAMS, writes: STREAMS, initial: NEW },
    receive: receiveTransfer(ACCOUNTS, STREAMS),
    ...more,
  });
  onTestFinished(() => running.stop());
  return running;
}

async function startAll(servers: string, transfers = 30): Promise<RunningNatsProcess<Account>[]> {
  const running = await Promise.all(ACCOUNTS.map((id) => startAccount(servers, id)));
  for (const one of running)
    await one.turn((state, turn) => beginTransfers(state, turn, ACCOUNTS, STREAMS, transfers));
  return running;
}

/** In an OS process of its own, which can be killed. */
async function fork1(servers: string, id: string): Promise<ChildProcess> {
  const child = fork(CHILD, [servers, id, ACCOUNTS.join(","), STREAMS.join(","), "20"], {
    ...{ execArgv: [], stdio: ["ignore", "inherit", "inherit", "ipc"] },
  });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  const ended = once(child, "exit").then(() => {
    throw new Error(`${id} has ended`);
  });
  // Later it is killed.
  ended.catch(() => {});
  await Promise.race([once(child, "message"), ended]);
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}

async function take(
  servers: string,
  store: SnapshotStore,
  timeoutMs = 60_000,
  onProgress = (): void => {},
): Promise<ReadableSnapshot> {
  const { id } = await takeNatsSnapshot({
    ...{ servers, prefix: "bank", streams: STREAMS, store, timeoutMs, onProgress },
  });
  const stored = await store.get(id);
  if (!stored) throw new Error(`${id} is not in the store`);
  return new ReadableSnapshot(stored);
}

async function expectRight(snapshot: ReadableSnapshot): Promise<void> {
  expect(await snapshot.verify()).toMatchObject({ consistent: true });
  expect(await moneyIn(snapshot)).toBe(MONEY);
}

async function checkpointIn(servers: string, id: string): Promise<Checkpoint> {
  return await withNats(servers, async (connection) => {
    const manager = await jetstreamManager(connection);
    const query = { last_by_subj: `$KV.bank-streams.process.${id}` };
    return (await manager.streams.getMessage("KV_bank-streams", query))?.json() as Checkpoint;
  });
}

/** What is in the checkpoints, and what is in the streams behind their positions up to those given. */
async function moneyUpTo(
  servers: string,
  checkpoints: readonly Checkpoint[],
  positions: readonly StreamPosition[],
): Promise<number> {
  let sum = checkpoints.reduce((n, { state }) => n + (state as Account).balance, 0);
  await withNats(servers, async (connection) => {
    const manager = await jetstreamManager(connection);
    for (const { stream, last } of positions) {
      const begun = checkpoints.map(({ reads }) => reads.find((one) => one.stream === stream));
      const there = new Map<string, number>();
      for (let seq = 1; seq <= last; seq += 1) {
        const message = await manager.streams.getMessage(stream, { seq });
        if (!message) continue;
        const { to, amount } = message.json<Transfer>();
        const [, from = "", , count] = message.header.get("Tidemark-Stamp").split(" ");
        there.set(from, Number(count));
        const reader = checkpoints.findIndex(({ process }) => process === to);
        if (seq > Number(begun[reader]?.position)) sum += amount;
      }
      for (const { unpublished } of checkpoints)
        for (const one of unpublished)
          if (one.stream === stream && one.stamp.count > (there.get(one.stamp.process) ?? 0))
            sum += (JSON.parse(one.text) as Transfer).amount;
    }
  });
  return sum;
}

const inFlightOf = ({ manifest }: ReadableSnapshot): number =>
  manifest.pieces.flatMap(({ incoming }) => incoming).reduce((n, one) => n + one.inFlight, 0);

const codeOf = (error: unknown): string => (isTidemarkError(error) ? error.code : String(error));

async function moved(running: readonly RunningNatsProcess<Account>[]): Promise<void> {
  const before = running.map(({ state }) => state.received);
  await until("money has moved", () =>
    running.every(({ state }, p) => state.received > Number(before[p])),
  );
}

/** So many times as a stream holds, with the same stamps. */
async function repeatAll(servers: string): Promise<void> {
  await withNats(servers, async (connection) => {
    const manager = await jetstreamManager(connection);
    for (const stream of STREAMS) {
      const { state } = await manager.streams.info(stream);
      for (
        let seq = Math.max(state.first_seq, state.last_seq - 20);
        seq <= state.last_seq;
        seq += 1
      ) {
        const message = await manager.streams.getMessage(stream, { seq });
        if (!message) continue;
        const own = headers();
        own.set("Tidemark-Stamp", message.header.get("Tidemark-Stamp"));
        await jetstream(connection).publish(message.subject, message.data, { headers: own });
      }
      // And one of somebody who is no process.
      await jetstream(connection).publish(`${stream}.outside`, "no JSON");
    }
  });
}

describe.skipIf(lacksNats)("processes whose only channels are streams", () => {
  test(
    "every snapshot at full load is proven, and has all the money; several at once, too",
    LONG,
    async () => {
      const server = await serverWithStreams();
      const running = await startAll(server.url);
      const store = memoryStore();
      let inFlight = 0;
      for (let i = 0; i < 8; i += 1) {
        const all = await Promise.all([take(server.url, store), take(server.url, store)]);
        for (const snapshot of all) {
          await expectRight(snapshot);
          inFlight += inFlightOf(snapshot);
        }
        await moved(running);
      }
      expect(inFlight).toBeGreaterThan(0);
    },
  );

  test(
    "states and positions that are read one after the other have the wrong sum",
    LONG,
    async () => {
      const server = await serverWithStreams();
      const running = await startAll(server.url);
      const sums: number[] = [];
      while (sums.length < 20 && sums.every((sum) => sum === MONEY)) {
        // Each checkpoint is right for itself, with its positions and what its process sent; so is each stream.
        const checkpoints: Checkpoint[] = [];
        for (const id of ACCOUNTS) {
          checkpoints.push(await checkpointIn(server.url, id));
          await moved(running);
        }
        const { rounds, atOnce, notProven } = await recordNatsPositions({
          ...{ servers: server.url, streams: STREAMS, rounds: 2 },
        });
        if (!atOnce) expect(notProven[0]).toMatch(/east and west were read up to [0-9.]+ ms apart/);
        sums.push(await moneyUpTo(server.url, checkpoints, rounds.at(-1)?.streams ?? []));
      }
      expect(sums.some((sum) => sum !== MONEY)).toBe(true);
    },
  );

  test(
    "messages that are in a stream again, and such from outside, change nothing",
    LONG,
    async () => {
      const server = await serverWithStreams();
      const running = await startAll(server.url, 5);
      const store = memoryStore();
      for (let i = 0; i < 4; i += 1) {
        await repeatAll(server.url);
        await moved(running);
        await expectRight(await take(server.url, store));
      }
    },
  );

  test(
    "processes are killed at any moment, and started again, while snapshots are taken",
    LONG,
    async () => {
      const server = await serverWithStreams();
      const children = new Map<string, ChildProcess>();
      for (const id of ACCOUNTS) children.set(id, await fork1(server.url, id));
      const store = memoryStore();
      for (let round = 0; round < 6; round += 1) {
        const victim = ACCOUNTS[round % ACCOUNTS.length] as string;
        const taking = take(server.url, store);
        await kill(children.get(victim) as ChildProcess);
        children.set(victim, await fork1(server.url, victim));
        await expectRight(await taking);
        await expectRight(await take(server.url, store));
      }
    },
  );

  test("the server is killed and started again", LONG, async () => {
    const server = await serverWithStreams();
    const running = await startAll(server.url);
    const store = memoryStore();
    for (let round = 0; round < 3; round += 1) {
      await moved(running);
      // Not before it has begun: the first connection of all is not waited for.
      const { promise: begun, resolve: hasBegun } = Promise.withResolvers<void>();
      const taking = take(server.url, store, 60_000, hasBegun);
      await begun;
      await server.kill();
      await server.restart();
      await expectRight(await taking);
    }
    await moved(running);
    await expectRight(await take(server.url, store));
  });

  test(
    "a restore: running processes end, and all go on from the snapshot, twice over",
    LONG,
    async () => {
      const server = await serverWithStreams();
      const store = memoryStore();
      let running = await startAll(server.url);
      for (let epoch = 2; epoch <= 3; epoch += 1) {
        await moved(running);
        const snapshot = await take(server.url, store);
        await expectRight(snapshot);
        await moved(running);
        const stored = await store.get(snapshot.id);
        if (!stored) throw new Error("it is there");
        const where = { servers: server.url, prefix: "bank" };
        expect(await restoreNatsSnapshot({ ...where, snapshot: stored })).toBe(epoch);
        for (const one of running)
          expect(await one.ended.then(() => "ended", codeOf)).toBe("RESTORED");
        running = await Promise.all(ACCOUNTS.map((id) => startAccount(server.url, id)));
        await moved(running);
        const after = await take(server.url, store);
        await expectRight(after);
        expect(after.manifest.epoch).toBe(epoch);
      }
    },
  );

  test(
    "who does not record is named, and who is gone for good is not waited for",
    LONG,
    async () => {
      const server = await serverWithStreams();
      const where = { servers: server.url, prefix: "bank" };
      const store = memoryStore();
      const none = await take(server.url, store).catch((error) => error);
      expect(codeOf(none)).toBe("NOT_FOUND");
      const [p1, p2] = [await startAccount(server.url, "p1"), await startAccount(server.url, "p2")];
      await p2.stop();
      const late = await take(server.url, store, 1_500).catch((error) => error);
      expect([codeOf(late), late.message]).toEqual([
        "SNAPSHOT_ABANDONED",
        expect.stringContaining("p2 did not record within 1500 ms"),
      ]);
      for (const [streams, what] of [
        [["east"], "p1 uses the stream west as well"],
        [["east", "west", "north"], "uses the stream north: leave it out"],
      ] as const) {
        const wrong = await takeNatsSnapshot({ ...where, streams, store }).catch((error) => error);
        expect([codeOf(wrong), wrong.message]).toEqual([
          "BAD_OPTION",
          expect.stringContaining(what),
        ]);
      }
      await forgetNatsProcess({ ...where, id: "p2" });
      const again = await forgetNatsProcess({ ...where, id: "p2" }).catch((error) => error);
      expect(codeOf(again)).toBe("UNKNOWN_PROCESS");
      const snapshot = await take(server.url, store);
      expect(snapshot.manifest.processes).toEqual(["p1", "stream.east", "stream.west"]);
      const { sequence } = (await snapshot.state("stream.east")) as StreamState;
      expect(sequence).toBe(0);
      await p1.leave();
      expect(codeOf(await take(server.url, store).catch((error) => error))).toBe("NOT_FOUND");
    },
  );

  test("what cannot be is refused in words", LONG, async () => {
    const server = await serverWithStreams();
    const bad = (id: string, more: object): Promise<unknown> =>
      startAccount(server.url, id, more).then(
        () => "started",
        (error) => `${codeOf(error)} ${error.message}`,
      );
    expect(await bad("p1", { reads: ["north"] })).toContain("NOT_FOUND there is no stream north");
    expect(await bad("stream.x", {})).toContain("BAD_ID");
    expect(await bad("p1", { writes: ["a.b"] })).toContain("BAD_OPTION");
    expect(await bad("p1", { initial: undefined })).toContain("BAD_MESSAGE");
    expect(await bad("p1", { initial: "x".repeat(2_000_000) })).toContain("MESSAGE_TOO_LARGE");
    await withNats(server.url, async (connection) => {
      const manager = await jetstreamManager(connection);
      await manager.streams.add({ name: "work", subjects: ["work"], retention: "workqueue" });
    });
    expect(await bad("p1", { reads: ["work"] })).toContain("retention limits");

    const p1 = await startAccount(server.url, "p1");
    const refused = async (stream: string, subject: string, value: unknown): Promise<string> =>
      await p1
        .turn((state, turn) => {
          turn.publish(stream, subject, value);
          return state;
        })
        .then(() => "stored", codeOf);
    expect(await refused("north", "north.x", 1)).toBe("NO_CHANNEL");
    expect(await refused("east", "west.x", 1)).toBe("BAD_OPTION");
    expect(await refused("east", "east.*", 1)).toBe("BAD_OPTION");
    expect(await refused("east", "east.x", undefined)).toBe("BAD_MESSAGE");
    expect(await refused("east", "east.x", 1)).toBe("stored");

    const second = await startAccount(server.url, "p1");
    await p1.turn((state) => state).catch(() => undefined);
    expect(await p1.ended.then(() => "ended", codeOf)).toBe("DUPLICATE_ID");
    await second.stop();

    const thrower = await startAccount(server.url, "p1", {
      receive() {
        throw new Error("not today");
      },
    });
    await thrower.turn((state, turn) => {
      turn.publish("east", "east.p1", { to: "p1", amount: 0 });
      return state;
    });
    expect(await thrower.ended.then(() => "ended", codeOf)).toBe("APPLICATION_THREW");
  });

  test("users need the permissions that the documentation names, and no more", LONG, async () => {
    const server = await serverWithStreams();
    const api = ["STREAM.INFO.*", "STREAM.CREATE.*", "STREAM.MSG.GET.*", "STREAM.PURGE.*"];
    const subjects = [
      ...[...api, "CONSUMER.CREATE.>", "CONSUMER.MSG.NEXT.>"].map((one) => `$JS.API.${one}`),
      ...["$KV.bank-streams.>", "east.>", "west.>"],
    ];
    const user = (name: string, publish: readonly string[]): string =>
      `{ user: ${name}, password: x, permissions: { publish: ${JSON.stringify(publish)}, subscribe: "_INBOX.>" } }`;
    const looking = ["$JS.API.STREAM.INFO.*", "$JS.API.CONSUMER.LIST.*"];
    await server.kill();
    await server.restart(
      `authorization { users: [${user("bank", subjects)}, ${user("looks", looking)}] }\n`,
    );
    const at = (name: string): string => server.url.replace("//", `//${name}:x@`);
    const running = await startAll(at("bank"));
    await moved(running);
    await expectRight(await take(at("bank"), memoryStore()));
    const { rounds } = await recordNatsPositions({ servers: at("looks"), streams: STREAMS });
    expect(rounds.length).toBeGreaterThan(1);
  });

  test(
    "who has missed something does not go on, and a restore that would is refused",
    LONG,
    async () => {
      const server = await serverWithStreams({ max_msgs: 5 });
      const store = memoryStore();
      const p1 = await startAccount(server.url, "p1");
      const { manifest } = await take(server.url, store);
      await p1.stop();
      await withNats(server.url, async (connection) => {
        for (let i = 0; i < 20; i += 1) await jetstream(connection).publish("east.x", String(i));
      });
      const where = { servers: server.url, prefix: "bank" };
      const missed = await startAccount(server.url, "p1").catch((error) => error);
      expect([codeOf(missed), missed.message]).toEqual([
        "DAMAGED",
        "the stream east begins at 16, but p1 has had it up to 0 only: its limits removed the rest",
      ]);
      const snapshot = await store.get(manifest.id);
      if (!snapshot) throw new Error("it is there");
      const refused = await restoreNatsSnapshot({ ...where, snapshot }).catch((error) => error);
      expect([codeOf(refused), refused.message]).toEqual([
        "DAMAGED",
        expect.stringContaining("begins at 16, and p1 goes on from 1"),
      ]);
      await withNats(server.url, async (connection) => {
        const manager = await jetstreamManager(connection);
        await manager.streams.delete("east");
        await manager.streams.add({ name: "east", subjects: ["east.>"] });
      });
      const other = await restoreNatsSnapshot({ ...where, snapshot }).catch((error) => error);
      expect(other.message).toContain("was made anew since");
    },
  );
});
