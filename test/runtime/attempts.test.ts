/** What came of attempts at snapshots: what processes note, and what of it is in a directory. */

import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { isTidemarkError } from "../../src/core/error.ts";
import type { ProcessId } from "../../src/core/id.ts";
import { directoryStore } from "../../src/runtime/directory-store.ts";
import { memoryStore } from "../../src/runtime/memory-store.ts";
import { MemoryNetwork } from "../../src/runtime/memory-transport.ts";
import { readAttempts } from "../../src/runtime/read-attempts.ts";
import { startProcess } from "../../src/runtime/running-process.ts";
import type { SnapshotStore } from "../../src/runtime/snapshot-store.ts";
import type { AttemptNote } from "../../src/snapshot/attempt.ts";

const silent = { capture: () => 7, restore: () => {} };

/** Processes that receive by themselves, or not. */
async function systemOf(store: SnapshotStore, receive: Record<ProcessId, "auto" | "manual">) {
  const network = new MemoryNetwork();
  const processes = Object.keys(receive);
  const running = await Promise.all(
    processes.map((id) =>
      startProcess({
        ...{ id, processes, store, application: silent, lostAfterMs: 100 },
        receive: receive[id] ?? "auto",
        transport: network.transport(),
        onProblem: () => {},
      }),
    ),
  );
  onTestFinished(async () => {
    for (const one of running) await one.stop();
  });
  return running;
}

/** A store with other methods in place of some. */
function changed(store: SnapshotStore, methods: Partial<SnapshotStore>): SnapshotStore {
  return new Proxy(store, {
    get: (_, name: keyof SnapshotStore) =>
      name in methods ? methods[name] : store[name].bind(store),
  });
}

describe("a process notes", () => {
  test("of a snapshot that is complete how long each took", async () => {
    const store = memoryStore();
    const [a] = await systemOf(store, { a: "auto", b: "auto" });
    const snapshot = await a?.snapshot({ label: "noon" });
    await expect.poll(async () => (await readAttempts(store)).at(0)?.outcome).toBe("complete");
    const [attempt] = await readAttempts(store);
    expect(attempt).toMatchObject({ snapshot: "a/1", label: "noon", processes: 2, epoch: 1 });
    expect(attempt?.shares.map(({ process }) => process)).toEqual(["a", "b"]);
    for (const { process, storedMs, recordingMs, stateBytes } of attempt?.shares ?? []) {
      expect(storedMs).toBeGreaterThanOrEqual(0);
      expect(recordingMs).toBeGreaterThanOrEqual(0);
      expect(stateBytes).toBe(1);
      expect(snapshot?.piece(process).timing.storedMs).toBe(storedMs);
    }
    expect(attempt?.tookMs).toBeGreaterThan(0);
  });

  test("of one that was abandoned what it waited for; whoever took no part notes nothing", async () => {
    const store = memoryStore();
    const [a, b] = await systemOf(store, { a: "auto", b: "auto", c: "manual" });
    await expect(a?.snapshot({ timeoutMs: 50 })).rejects.toThrow("timeout");
    const waits = async () => (await readAttempts(store))[0]?.waits;
    await expect.poll(async () => (await waits())?.length).toBe(2);
    expect(await readAttempts(store)).toMatchObject([
      {
        ...{ snapshot: "a/1", outcome: "abandoned", timeoutMs: 50, unstored: [] },
        reason: "timeout: channels are not closed at a, b, c",
        unclosed: ["a", "b", "c"],
        waits: [
          { process: "a", waitsFor: ["the marker of c"] },
          { process: "b", waitsFor: ["the marker of c"] },
        ],
        shares: [{ process: "a" }, { process: "b" }],
      },
    ]);
    await b?.stop();
  });

  test("that it refused, and that it stopped in the middle", async () => {
    const store = memoryStore();
    const [a, b, c] = await systemOf(store, { a: "auto", b: "auto", c: "manual" });
    const taken = b?.snapshot();
    taken?.catch(() => {});
    await b?.stop();
    await expect(taken).rejects.toThrow("b stops");
    await c?.stop();
    const refusals = async () =>
      (await readAttempts(store)).filter(({ outcome }) => outcome === "refused");
    const refused = async () => {
      await a?.snapshot({ label: "noon" }).catch(() => {});
      return (await refusals())[0];
    };
    await expect.poll(refused, { timeout: 5_000 }).toMatchObject({ initiator: "a", label: "noon" });
    expect((await refusals())[0]?.reason).toContain("process lost");
    const [stopped] = (await readAttempts(store)).filter(({ initiator }) => initiator === "b");
    expect(stopped).toMatchObject({ snapshot: "b/1", outcome: "abandoned", reason: "b stops" });
  });

  test("that the system was restored meanwhile", async () => {
    const store = memoryStore();
    const [a, b] = await systemOf(store, { a: "auto", b: "auto" });
    const { id } = (await a?.snapshot()) ?? { id: "a/1" };
    const [c, d] = [a, b];
    const taken = c?.snapshot({ onRecorded: () => void d?.restore(id).catch(() => {}) });
    const outcome = await taken?.then(String, (error: Error) => error.message);
    await expect.poll(async () => (await store.epoch())?.epoch).toBe(2);
    // Either it was complete before, or it ended with that life.
    const [attempt] = (await readAttempts(store)).filter(({ snapshot }) => snapshot === "a/2");
    if (outcome?.includes("restored")) expect(attempt?.reason).toContain("restored to a/1");
    else expect(attempt?.outcome).toBe("complete");
  });

  test("and what cannot be noted costs no snapshot, and is told once", async () => {
    const store = memoryStore();
    const told: string[] = [];
    let asked = 0;
    const full = changed(store, {
      note: async () => {
        asked += 1;
        if (asked <= 2 || asked > 4) throw new Error("no room");
      },
    });
    await using a = await startProcess({
      ...{
        id: "a",
        processes: ["a"],
        application: silent,
        transport: new MemoryNetwork().transport(),
      },
      store: full,
      onProblem: ({ message }) => told.push(message),
    });
    expect((await a.snapshot()).id).toBe("a/1");
    await expect.poll(() => asked).toBe(2);
    const once = "what comes of attempts at snapshots cannot be noted: no room";
    expect(told).toEqual([once]);
    await a.snapshot();
    await expect.poll(() => asked).toBe(4);
    await a.snapshot();
    await expect.poll(() => asked).toBe(6);
    expect(told).toEqual([once, once]);
  });

  test("and a store that hangs, or takes no notes, keeps nobody from stopping", async () => {
    for (const note of [() => new Promise<void>(() => {}), null]) {
      const told: string[] = [];
      const a = await startProcess({
        ...{ id: "a", processes: ["a"], application: silent },
        transport: new MemoryNetwork().transport(),
        store: changed(memoryStore(), { note } as Partial<SnapshotStore>),
        onProblem: ({ message }) => told.push(message),
      });
      // More than may wait.
      for (let i = 0; i < 200; i += 1) await a.snapshot();
      await a.stop();
      expect(told).toHaveLength(1);
      expect(told[0]).toContain(note ? "256 notes wait for the store" : "the store takes no notes");
    }
  });

  test("and of the notes that a store did not take before the end it is told", async () => {
    const told: string[] = [];
    const a = await startProcess({
      ...{ id: "a", processes: ["a"], application: silent },
      transport: new MemoryNetwork().transport(),
      store: changed(memoryStore(), { note: () => new Promise<void>(() => {}) }),
      onProblem: ({ message }) => told.push(message),
    });
    await a.snapshot();
    await a.stop();
    expect(told).toEqual([expect.stringContaining("the store has not taken 2 note(s)")]);
  });
});

test("an initiator that dies after it has written the manifest need note nothing more", async () => {
  const store = memoryStore();
  const [a] = await systemOf(store, { a: "auto", b: "auto" });
  await a?.snapshot();
  const begun: AttemptNote[] = [];
  for await (const note of store.notes()) if (note.note === "begun") begun.push(note);
  const forgetful = changed(store, {
    notes: async function* () {
      yield* begun;
    },
  });
  expect(await readAttempts(forgetful)).toMatchObject([{ snapshot: "a/1", outcome: "complete" }]);
});

test("one that comes back by its log notes what it had no time to note", async () => {
  const store = memoryStore();
  const log = { directory: fs.mkdtempSync(join(tmpdir(), "tidemark-attempts-")) };
  onTestFinished(() => fs.rmSync(log.directory, { recursive: true }));
  const start = (store: SnapshotStore) =>
    startProcess({
      ...{ id: "a", processes: ["a"], application: silent, log, store },
      transport: new MemoryNetwork().transport(),
    });
  let written = () => {};
  const isWritten = new Promise<void>((resolve) => {
    written = resolve;
  });
  const first = await start(
    changed(store, {
      writeManifest: async (manifest) => {
        await store.writeManifest(manifest);
        written();
        await new Promise(() => {});
      },
    }),
  );
  first.snapshot({ label: "noon" }).catch(() => {});
  await isWritten;
  await first.stop();
  await (await start(store)).stop();
  const noted: string[] = [];
  for await (const { note } of store.notes()) noted.push(note);
  expect(noted).toEqual(["begun", "abandoned", "complete"]);
  await store.delete("a/1");
  expect(await readAttempts(store)).toMatchObject([
    { snapshot: "a/1", outcome: "complete", label: "noon" },
  ]);
});

test("of those for which somebody was late no manifest is looked for", async () => {
  const store = memoryStore();
  const asked: string[] = [];
  const common = { by: "a", atMs: 1, waitsFor: [], reason: "x" };
  const all = [{ unclosed: ["b"] }, { unstored: ["b"] }, { unclosed: [], unstored: [] }];
  for (const [i, late] of all.entries()) {
    const snapshot = `a/${i + 1}` as const;
    await store.note({ note: "abandoned", ...common, snapshot, ...late });
  }
  const watched = changed(store, {
    get: (id) => {
      asked.push(id);
      return store.get(id);
    },
  });
  expect(await readAttempts(watched)).toHaveLength(3);
  expect(asked).toEqual(["a/3"]);
});

test("a store that keeps no notes says so", async () => {
  const old = changed(memoryStore(), { notes: null } as unknown as Partial<SnapshotStore>);
  await expect(readAttempts(old)).rejects.toThrow("this store keeps no notes of attempts");
});

describe("in a directory", () => {
  function folder(): string {
    const made = fs.mkdtempSync(join(tmpdir(), "tidemark-attempts-"));
    onTestFinished(() => fs.rmSync(made, { recursive: true }));
    return made;
  }
  const note = (i: number, by = "p1"): AttemptNote => ({
    ...{ note: "refused", by, atMs: i, reason: "p2 is down" },
  });
  async function read(store: SnapshotStore) {
    const notes: AttemptNote[] = [];
    const damaged: string[] = [];
    for await (const one of store.notes(({ message }) => damaged.push(message))) notes.push(one);
    return { times: notes.map(({ atMs }) => atMs), damaged };
  }

  test("a line that was cut off is passed over, and the next is on a line of its own", async () => {
    const directory = folder();
    const path = join(directory, "attempts", "p1.jsonl");
    const whole = directoryStore(directory, { sync: false });
    await whole.note(note(1));
    const line = fs.readFileSync(path, "utf8");
    // Wherever it was cut.
    for (let length = 1; length < line.length; length += 1) {
      fs.writeFileSync(path, line + line.slice(0, length));
      expect(await read(whole)).toEqual({ times: [1], damaged: [] });
      await whole.note(note(3));
      const { times, damaged } = await read(whole);
      // All but the newline: then nothing is missing.
      expect(times).toEqual(length === line.length - 1 ? [1, 1, 3] : [1, 3]);
      expect(damaged).toHaveLength(length === line.length - 1 ? 0 : 1);
    }
    await whole.close();
  });

  test("what is no note is told, and the others are read", async () => {
    const directory = folder();
    const store = directoryStore(directory, { sync: false });
    await store.note(note(1));
    const path = join(directory, "attempts", "p1.jsonl");
    const others = [`{"note":"refused","by":"p2","atMs":2,"reason":"x"}`, "\u0000", "[]", "7", ""];
    fs.appendFileSync(path, `${others.join("\n")}\n${JSON.stringify(note(5))}\n`);
    fs.writeFileSync(join(directory, "attempts", "notes.txt"), "somebody else's");
    const { times, damaged } = await read(store);
    expect(times).toEqual([1, 5]);
    expect(damaged).toEqual([`${path}: 5 line(s) are no notes of p1`]);
    fs.truncateSync(path, 20 * 1024 * 1024);
    expect((await read(store)).damaged[0]).toContain("too many");
    await store.close();
  });

  test("what somebody removes while a process runs is made again, and nothing is lost", async () => {
    const directory = folder();
    const store = directoryStore(directory, { sync: false });
    await store.note(note(1));
    fs.rmSync(join(directory, "attempts"), { recursive: true });
    await store.note(note(2));
    expect(await read(store)).toEqual({ times: [2], damaged: [] });
    fs.rmSync(join(directory, "attempts"), { recursive: true });
    fs.writeFileSync(join(directory, "attempts"), "");
    await expect(store.note(note(3))).rejects.toThrow("ENOTDIR");
    fs.rmSync(join(directory, "attempts"));
    await store.note(note(4));
    expect(await read(store)).toEqual({ times: [4], damaged: [] });
    await store.close();
  });

  test("a file that cannot be read is told, and the others are read", async () => {
    const directory = folder();
    const store = directoryStore(directory, { sync: false });
    for (const by of ["p1", "p3"]) await store.note(note(1, by));
    const path = join(directory, "attempts", "p2.jsonl");
    fs.mkdirSync(path);
    const { times, damaged } = await read(store);
    expect(times).toEqual([1, 1]);
    expect(damaged).toEqual([expect.stringContaining(path)]);
    await store.close();
  });

  test("a directory that was read only, or without notes, has none", async () => {
    const directory = folder();
    expect(await read(directoryStore(directory))).toEqual({ times: [], damaged: [] });
    expect(fs.readdirSync(directory)).toEqual([]);
  });

  test("with a key notes are encrypted, and only with that key they are read", async () => {
    const directory = folder();
    const store = directoryStore(directory, { sync: false, key: new Uint8Array(32).fill(1) });
    await store.note(note(1));
    await store.note(note(2));
    const path = join(directory, "attempts", "p1.jsonl");
    expect(fs.readFileSync(path, "utf8")).not.toContain("down");
    expect((await read(store)).times).toEqual([1, 2]);
    const codeOf = async (key?: Uint8Array): Promise<string> =>
      await read(directoryStore(directory, key ? { key } : {})).then(
        () => "read",
        (error: unknown) => (isTidemarkError(error) ? error.code : String(error)),
      );
    expect(await codeOf()).toBe("KEY_REQUIRED");
    const other = new Uint8Array(32).fill(2);
    expect(await codeOf(other)).toBe("WRONG_KEY");
    await expect(read(directoryStore(directory, { key: other }))).rejects.toThrow(path);
    // A line that was changed is damaged, also where it says by which key it is sealed.
    const text = fs.readFileSync(path, "utf8");
    for (let at = 0; at < text.indexOf("\n"); at += 7) {
      const changed = text[at] === "A" ? "B" : "A";
      fs.writeFileSync(path, text.slice(0, at) + changed + text.slice(at + 1));
      const { times, damaged } = await read(store);
      expect(times).toEqual([2]);
      expect(damaged).toEqual([`${path}: 1 line(s) are no notes of p1`]);
    }
    fs.writeFileSync(path, text);
    // What somebody put there without the key, or of another process, is no note.
    const [line] = fs.readFileSync(path, "utf8").split("\n");
    fs.appendFileSync(path, `${JSON.stringify(note(3))}\n`);
    fs.writeFileSync(join(directory, "attempts", "p2.jsonl"), `${line}\n`);
    const { times, damaged } = await read(store);
    expect(times).toEqual([1, 2]);
    expect(damaged).toHaveLength(2);
    await store.close();
  });

  test("whoever reads while a file becomes the old one sees each note once", async () => {
    const directory = folder();
    const store = directoryStore(directory, { sync: false });
    const reason = "x".repeat(1_000);
    let last = 0;
    const written = (async () => {
      for (let i = 1; i <= 2_500; i += 1) {
        await store.note({ note: "refused", by: "p1", atMs: i, reason });
        last = i;
      }
    })();
    let reads = 0;
    while (last < 2_500) {
      const before = last;
      const { times, damaged } = await read(store);
      expect(damaged).toEqual([]);
      const [first = 1] = times;
      expect(times).toEqual(Array.from({ length: times.length }, (_, i) => first + i));
      expect(times.at(-1) ?? 0).toBeGreaterThanOrEqual(before);
      reads += 1;
    }
    await written;
    expect(reads).toBeGreaterThan(5);
    const size = (name: string) => fs.statSync(join(directory, "attempts", name)).size;
    expect(size("p1.jsonl") + size("p1.jsonl.old")).toBeLessThan(2 * 524_288 + 4_096);
    await store.close();
  });
});
