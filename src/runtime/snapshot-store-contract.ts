/**
 * What every snapshot store must do, as cases for any test runner. The snapshots that the cases
 * write are whole and consistent: three or more processes, messages in flight, real channel hashes.
 */

import assert from "node:assert/strict";
import { emptyChannelHash, foldChannelHash, formatChannelHash } from "../core/channel-hash.ts";
import { type ErrorCode, isTidemarkError } from "../core/error.ts";
import { type ProcessId, parseSnapshotId, type SnapshotId } from "../core/id.ts";
import { Random } from "../core/random.ts";
import { copyOf, writeRecords } from "../core/record.ts";
import { Topology } from "../core/topology.ts";
import type { AttemptNote } from "../snapshot/attempt.ts";
import {
  MANIFEST_FORMAT,
  type Manifest,
  type PartReference,
  type PieceRecord,
  partsOf,
  type SnapshotSummary,
  summarise,
} from "../snapshot/manifest.ts";
import type { ContractCase } from "./contract-case.ts";
import type { EpochRecord, PieceBodies, SnapshotStore } from "./snapshot-store.ts";

/** What a case works on: an empty store of its own. */
export interface SnapshotStoreFixture {
  readonly store: SnapshotStore;
  /**
   * False: each snapshot has parts of its own, also where they are equal.
   * @default true, what two snapshots have in common is there as long as one of them is
   */
  readonly sharesParts?: boolean;
  /** Opens what `store` wrote a second time, as after a restart. Absent if the store is not durable. */
  reopen?(): Promise<SnapshotStore>;
  /** Called at the end of the case, also when it failed. */
  dispose(): Promise<void>;
}

/**
 * The cases that a `SnapshotStore` must pass. Each makes a fixture of its own, and takes up to a few
 * seconds on a slow disk.
 *
 * @example
 * ```ts
 * import { memoryStore } from "tidemark";
 * import { snapshotStoreContract } from "tidemark/testing";
 * const cases = snapshotStoreContract(async () => ({ store: memoryStore(), dispose: async () => {} }));
 * for (const { run } of cases) await run(); // or, in a test file: test(name, run)
 * ```
 */
export function snapshotStoreContract(
  make: () => Promise<SnapshotStoreFixture>,
): readonly ContractCase[] {
  return Object.entries(CASES).map(([name, check]) => ({
    name,
    run: async () => {
      const fixture = await make();
      try {
        await check(fixture);
      } finally {
        await fixture.dispose();
      }
    },
  }));
}

const CASES: Readonly<Record<string, (fixture: SnapshotStoreFixture) => Promise<void>>> = {
  "an empty store lists nothing, holds nothing and has no count": async ({ store }) => {
    assert.deepEqual(await list(store), []);
    assert.equal(await store.get("p1/1"), undefined);
    assert.equal(await store.delete("p1/1"), false);
    assert.equal(await store.lastCount("p1"), 0);
    await store.abandon("p1/1");
  },

  "a snapshot is not there before its manifest": async ({ store }) => {
    const snapshot = await writePieces(store, { id: "p1/1" });
    assert.deepEqual(await list(store), []);
    assert.equal(await store.get("p1/1"), undefined);
    assert.equal(await store.delete("p1/1"), false);
    await store.writeManifest(snapshot.manifest);
    assert.deepEqual(await list(store), ["p1/1"]);
    await expectWhole(store, snapshot);
  },

  "states of many slices, small and large, come back byte for byte": async ({ store }) => {
    const lengths = [0, 1, 65_535, 65_536, 65_537, 0, 3_000_000, 7];
    const small = Array.from({ length: 40 }, (_, i) => 30_000 + i);
    const snapshot = await commit(store, {
      id: "p1/1",
      states: {
        p1: lengths.map((length) => bytes(length)),
        p2: small.map((length) => bytes(length)),
        p3: [bytes(200_000), bytes(200_000)],
      },
    });
    assert.deepEqual(
      snapshot.manifest.pieces.map(({ state }) => state.parts.map((part) => part.bytes)),
      [lengths, small, [200_000, 200_000]],
    );
    await expectWhole(store, snapshot);
  },

  "states without a slice, empty slices and equal slices come back": async ({ store }) => {
    const same = bytes(100_000);
    const snapshot = await commit(store, {
      id: "p1/1",
      states: { p1: [], p2: [new Uint8Array()], p3: [same, new Uint8Array(), same], p4: [same] },
      inFlight: 0,
    });
    assert.equal(summarise(snapshot.manifest).bytes, 300_000);
    await expectWhole(store, snapshot);
  },

  "slices may come one by one, later": async ({ store }) => {
    const slices = [bytes(10), bytes(70_000), bytes(20), bytes(1_000_000)];
    let given = 0;
    async function* later(): AsyncGenerator<Uint8Array> {
      for (const slice of slices) {
        await new Promise((resolve) => setImmediate(resolve));
        given += 1;
        yield slice;
      }
    }
    const stored = await store.writePiece({ ...piece("p1/1", "p1"), state: later() });
    assert.equal(given, slices.length);
    assert.deepEqual(
      stored.state.map((part) => part.bytes),
      slices.map(({ length }) => length),
    );
    const others = { id: "p1/1", states: { p1: slices, p2: [bytes(5)] } } as const;
    await expectWhole(store, await commit(store, others));
  },

  "an error of the state's own encoder is passed on, and the store goes on": async ({ store }) => {
    const trouble = new Error("cannot encode");
    let ended = false;
    function* broken(): Generator<Uint8Array> {
      try {
        yield bytes(100_000);
        throw trouble;
      } finally {
        ended = true;
      }
    }
    await assert.rejects(
      store.writePiece({ ...piece("p1/1", "p1"), state: broken() }),
      (error) => error === trouble,
    );
    assert.ok(ended);
    assert.deepEqual(await list(store), []);
    await store.abandon("p1/1");
    await expectWhole(store, await commit(store, { id: "p1/2" }));
  },

  "a manifest that names a part which is not there is refused": async ({ store }) => {
    const { manifest } = await writePieces(store, { id: "p1/1" });
    const missing: PartReference = { sha256: "5".repeat(64), bytes: 5 };
    const pieces = manifest.pieces.map((piece, i) => {
      const parts = i === 0 ? [...piece.state.parts, missing] : piece.state.parts;
      return { ...piece, state: { ...piece.state, sliced: true, parts } };
    });
    const bad = store.writeManifest({ ...manifest, pieces });
    await assert.rejects(bad, (error) => isTidemarkError(error, "DAMAGED"));
    assert.deepEqual(await list(store), []);
    assert.equal(await store.get("p1/1"), undefined);
    await store.writeManifest(manifest);
    assert.deepEqual(await list(store), ["p1/1"]);
  },

  "a manifest is not replaced by another of the same id": async ({ store }) => {
    const first = await commit(store, { id: "p1/1", label: "first" });
    const { manifest } = await writePieces(store, { id: "p1/1", label: "second" });
    await assert.rejects(store.writeManifest(manifest), (error) =>
      isTidemarkError(error, "STORE_FAILED"),
    );
    await expectWhole(store, first);
  },

  "the list is in order, newest first, then highest count first": async ({ store }) => {
    for (const [id, startedAtMs] of [
      ["p1/9", 2_000],
      ["p2/1", 3_000],
      ["p1/10", 2_000],
      ["p1/11", 1_000],
      ["p3/7", 2_500],
    ] as const)
      await commit(store, { id, startedAtMs });
    assert.deepEqual(await list(store), ["p2/1", "p3/7", "p1/10", "p1/9", "p1/11"]);
    for await (const { id } of store.list()) {
      assert.equal(id, "p2/1");
      break;
    }
  },

  "a listing says what the manifest says, with its label if it has one": async ({ store }) => {
    const label = 'nightly: "Märkte" \u{1f30a} \n';
    const labelled = await commit(store, { id: "p1/2", startedAtMs: 2, label });
    const plain = await commit(store, { id: "p1/1", startedAtMs: 1 });
    const damaged: Error[] = [];
    const summaries: SnapshotSummary[] = [];
    for await (const summary of store.list((error) => damaged.push(error))) summaries.push(summary);
    assert.deepEqual(summaries, [summarise(labelled.manifest), summarise(plain.manifest)]);
    assert.equal(summaries[0]?.label, label);
    assert.equal("label" in (summaries[1] ?? {}), false);
    assert.ok((summaries[0]?.inFlight ?? 0) > 0);
    assert.deepEqual(damaged, []);
  },

  "the last count is the highest of that initiator alone": async ({ store }) => {
    for (const id of ["p-1/3", "p/12", "p-1-2/1", "p.1/40", "p_1/5", "p/2", "p-1.json/6"] as const)
      await commit(store, { id });
    const counts: Record<string, number> = {};
    for (const initiator of ["p", "p-1", "p-1-2", "p.1", "p_1", "p-1.json", "p-", "1", "p1"])
      counts[initiator] = await store.lastCount(initiator);
    assert.deepEqual(counts, {
      p: 12,
      "p-1": 3,
      "p-1-2": 1,
      "p.1": 40,
      p_1: 5,
      "p-1.json": 6,
      "p-": 0,
      "1": 0,
      p1: 0,
    });
    assert.equal((await store.get("p-1/3"))?.manifest.id, "p-1/3");
    assert.equal(await store.get("p/1"), undefined);
  },

  "a count stays used when its snapshot is deleted or abandoned": async ({ store, reopen }) => {
    await commit(store, { id: "p1/3" });
    await commit(store, { id: "p1/4" });
    await store.delete("p1/4");
    assert.equal(await store.lastCount("p1"), 4);
    await store.delete("p1/3");
    assert.equal(await store.lastCount("p1"), 4);
    await writePieces(store, { id: "p1/6" });
    await store.abandon("p1/6");
    assert.equal(await store.lastCount("p1"), 6);
    await writePieces(store, { id: "p1/5" });
    await store.abandon("p1/5");
    const again = await reopened(store, reopen);
    assert.equal(await again.lastCount("p1"), 6);
    assert.equal(await again.lastCount("p2"), 0);
    assert.deepEqual(await list(again), []);
    await commit(again, { id: "p1/7" });
    assert.equal(await again.lastCount("p1"), 7);
  },

  "a label can be given, replaced and taken away, and nothing else changes": async ({
    store,
    reopen,
  }) => {
    const first = await commit(store, { id: "p1/1", startedAtMs: 1 });
    const second = await commit(store, { id: "p1/2", startedAtMs: 2, label: "second" });
    assert.equal(await store.label("p1/3", "none"), false);
    assert.equal(await store.label("p1/1", 'the "first" \u{1f30a}'), true);
    assert.equal(await store.label("p1/2", undefined), true);
    assert.equal(await store.label("p1/2", undefined), true);
    const { label: _, ...plain } = second.manifest;
    const expected: Snapshot[] = [
      { ...first, manifest: { ...first.manifest, label: 'the "first" \u{1f30a}' } },
      { ...second, manifest: plain },
    ];
    const again = await reopened(store, reopen);
    for (const snapshot of expected) await expectWhole(again, snapshot);
    assert.deepEqual(await list(again), ["p1/2", "p1/1"]);
    for await (const { id, label } of again.list())
      assert.equal(label, id === "p1/1" ? 'the "first" \u{1f30a}' : undefined);
    for (const bad of ["", "x".repeat(257)])
      await assert.rejects(again.label("p1/1", bad), (error) =>
        isTidemarkError(error, "BAD_OPTION"),
      );
    assert.equal(await again.delete("p1/1"), true);
    assert.equal(await again.label("p1/1", "gone"), false);
    await expectWhole(again, expected[1] as Snapshot);
  },

  "deleting what has no label spares what has one by now": async ({ store }) => {
    const kept = await commit(store, { id: "p1/1", label: "kept" });
    await commit(store, { id: "p1/2" });
    await store.label("p1/2", "kept as well");
    assert.equal(await store.delete("p1/1", true), false);
    assert.equal(await store.delete("p1/2", true), false);
    await expectWhole(store, kept);
    assert.equal((await list(store)).length, 2);
    await store.label("p1/2", undefined);
    assert.equal(await store.delete("p1/2", true), true);
    assert.equal(await store.delete("p1/1"), true);
    assert.deepEqual(await list(store), []);
  },

  "a snapshot is deleted once": async ({ store }) => {
    await commit(store, { id: "p1/1" });
    const other = await commit(store, { id: "p1/2" });
    assert.deepEqual((await Promise.all([store.delete("p1/1"), store.delete("p1/1")])).sort(), [
      false,
      true,
    ]);
    assert.equal(await store.delete("p1/1"), false);
    assert.equal(await store.get("p1/1"), undefined);
    assert.deepEqual(await list(store), ["p1/2"]);
    await expectWhole(store, other);
  },

  "what is left to read of a snapshot that is deleted is whole, and the rest is not found": async ({
    store,
    sharesParts = true,
  }) => {
    const shared = bytes(90_000);
    const { parts } = await commit(store, { id: "p1/1", states: { p1: [shared, bytes(80_000)] } });
    await commit(store, { id: "p1/2", states: { p1: [shared] } });
    const stored = await store.get("p1/1");
    await store.delete("p1/1");
    for (const [reference, expected] of parts) {
      const content = await stored?.part(reference).catch((error: unknown) => {
        assert.ok(isTidemarkError(error, "NOT_FOUND"), String(error));
        assert.ok(!sharesParts || expected !== shared);
      });
      if (content) assert.ok(Buffer.compare(content, expected) === 0);
    }
  },

  "deleting keeps the parts that another snapshot needs": async ({ store }) => {
    const [shared, small] = [bytes(500_000), bytes(50)];
    const states = (more: number) => ({ p1: [shared, bytes(more)], p2: [small], p3: [shared] });
    const snapshots = [
      await commit(store, { id: "p1/1", states: states(100_001) }),
      await commit(store, { id: "p2/1", states: states(100_002) }),
      await commit(store, { id: "p1/2", states: states(100_003) }),
    ];
    for (const id of ["p2/1", "p1/1"] as const) {
      assert.equal(await store.delete(id), true);
      for (const snapshot of snapshots)
        if (await store.get(snapshot.manifest.id)) await expectWhole(store, snapshot);
    }
    assert.deepEqual(await list(store), ["p1/2"]);
  },

  "deleting spares what is being written": async ({ store }) => {
    const states = { p1: [bytes(300_000), bytes(9)], p2: [bytes(300_001)], p3: [bytes(8)] };
    await commit(store, { id: "p1/1", states });
    const next = await writePieces(store, { id: "p1/2", states });
    await store.delete("p1/1");
    await store.writeManifest(next.manifest);
    await expectWhole(store, next);
  },

  "an abandoned snapshot is never there, and others are untouched": async ({ store }) => {
    const states = { p1: [bytes(100_000), bytes(10)], p2: [bytes(200_000)], p3: [] };
    const kept = await commit(store, { id: "p1/1", states });
    await writePieces(store, { id: "p1/2", states });
    await store.writePiece(piece("p1/3", "p1", [bytes(100_000), bytes(300_000)]));
    const meanwhile = await writePieces(store, { id: "p2/1", states });
    await store.abandon("p1/2");
    await store.abandon("p1/3");
    await store.abandon("p1/3");
    assert.deepEqual(await list(store), ["p1/1"]);
    await store.writeManifest(meanwhile.manifest);
    await expectWhole(store, kept);
    await expectWhole(store, meanwhile);
  },

  "abandoning a snapshot that has its manifest changes nothing": async ({ store }) => {
    const snapshot = await commit(store, { id: "p1/1" });
    await store.abandon("p1/1");
    assert.deepEqual(await list(store), ["p1/1"]);
    await expectWhole(store, snapshot);
  },

  "a piece whose snapshot is abandoned meanwhile is refused": async ({ store }) => {
    const reached = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    async function* slow(): AsyncGenerator<Uint8Array> {
      yield bytes(100_000);
      reached.resolve();
      await goOn.promise;
      yield bytes(100_001);
    }
    const written = store.writePiece({ ...piece("p1/1", "p1"), state: slow() });
    const refused = assert.rejects(written, (error) =>
      isTidemarkError(error, "SNAPSHOT_ABANDONED"),
    );
    await reached.promise;
    await store.abandon("p1/1");
    goOn.resolve();
    await refused;
    assert.deepEqual(await list(store), []);
    await expectWhole(store, await commit(store, { id: "p1/2" }));
  },

  "pieces and snapshots that are written at the same time do not disturb each other": async ({
    store,
  }) => {
    const shared = bytes(150_000);
    const snapshots = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        commit(store, {
          id: `p${1 + (i % 3)}/${1 + i}`,
          states: { p1: [shared, bytes(i)], p2: [bytes(i), bytes(i)], p3: [bytes(70_000 + i)] },
        }),
      ),
    );
    for (const snapshot of snapshots) await expectWhole(store, snapshot);
    assert.equal((await list(store)).length, 8);
  },

  "a reference to bytes that are not there is refused": async ({ store }) => {
    const { manifest } = await commit(store, { id: "p1/1" });
    const stored = await store.get("p1/1");
    const [first] = partsOf(manifest);
    for (const reference of [
      { sha256: "5".repeat(64), bytes: 5 },
      { sha256: "../p1-1.json", bytes: 5 },
      { ...(first as PartReference), bytes: 1_000_000_000_000 },
    ])
      await assert.rejects(
        async () => stored?.part(reference),
        (error) => isTidemarkError(error, "DAMAGED"),
      );
  },

  "after a restart everything is as it was": async ({ store, reopen }) => {
    const snapshots = [
      await commit(store, { id: "p1/1", startedAtMs: 1, label: "first" }),
      await commit(store, { id: "p2/5", startedAtMs: 2, states: { p1: [bytes(100_000)], p2: [] } }),
    ];
    await writePieces(store, { id: "p2/6" });
    const again = await reopened(store, reopen);
    assert.deepEqual(await list(again), ["p2/5", "p1/1"]);
    for (const snapshot of snapshots) await expectWhole(again, snapshot);
    assert.equal(await again.lastCount("p1"), 1);
    const next = await commit(again, { id: "p2/7", startedAtMs: 3 });
    assert.equal(await again.delete("p1/1"), true);
    assert.deepEqual(await list(again), ["p2/7", "p2/5"]);
    await expectWhole(again, next);
  },

  "in an empty store no epoch has begun": async ({ store }) => {
    assert.equal(await store.epoch(), undefined);
    await assert.rejects(store.beginEpoch(epochRecord(2, "p1/1")), withCode("NOT_FOUND"));
    assert.equal(await store.epoch(), undefined);
  },

  "the newest epoch is the one that began last, as its record was": async ({ store, reopen }) => {
    await commit(store, { id: "p1/1" });
    await commit(store, { id: "p2/5" });
    const by = 'operator: "Märkte" \u{1f30a} \n';
    for (const record of [
      epochRecord(2, "p2/5"),
      { ...epochRecord(3, "p1/1"), by },
      { ...epochRecord(10, "p2/5"), atMs: 1_234.5 },
      epochRecord(2 ** 32 - 1, "p2/5"),
    ]) {
      const given = { ...record };
      await store.beginEpoch(given);
      Object.assign(given, { epoch: 1, by: "written over" });
      assert.deepEqual(await store.epoch(), record);
      Object.assign((await store.epoch()) ?? {}, { by: "written over" });
      assert.deepEqual(await store.epoch(), record);
    }
    const again = await reopened(store, reopen);
    assert.deepEqual(await again.epoch(), epochRecord(2 ** 32 - 1, "p2/5"));
    assert.deepEqual((await list(again)).toSorted(), ["p1/1", "p2/5"]);
  },

  "an epoch begins once, and none after a later one": async ({ store, reopen }) => {
    for (const id of ["p1/1", "p1/2"] as const) await commit(store, { id });
    await store.beginEpoch(epochRecord(9, "p1/1"));
    const refused = async (on: SnapshotStore): Promise<void> => {
      for (const epoch of [9, 8, 2, 1])
        for (const id of ["p1/1", "p1/2", "p1/3"] as const)
          await assert.rejects(on.beginEpoch(epochRecord(epoch, id)), withCode("EPOCH_TAKEN"));
      assert.deepEqual(await on.epoch(), epochRecord(9, "p1/1"));
    };
    await refused(store);
    const again = await reopened(store, reopen);
    await refused(again);
    await again.beginEpoch(epochRecord(10, "p1/2"));
    assert.deepEqual(await again.epoch(), epochRecord(10, "p1/2"));
  },

  "of many that begin an epoch at once exactly one does": async ({ store }) => {
    const ids = ["p1/1", "p2/1", "p3/1"] as const;
    for (const id of ids) await commit(store, { id });
    for (const epoch of [2, 3, 4]) {
      const records = Array.from({ length: 9 }, (_, i) => ({
        ...epochRecord(epoch, ids[i % 3] ?? "p1/1"),
        by: `number ${i}`,
      }));
      const outcomes = await Promise.allSettled(records.map((record) => store.beginEpoch(record)));
      const begun = records.filter((_, i) => outcomes[i]?.status === "fulfilled");
      assert.equal(begun.length, 1, `${begun.length} have begun epoch ${epoch}`);
      for (const outcome of outcomes)
        if (outcome.status === "rejected")
          assert.ok(isTidemarkError(outcome.reason, "EPOCH_TAKEN"), String(outcome.reason));
      assert.deepEqual(await store.epoch(), begun[0]);
    }
  },

  "no epoch begins from a snapshot that is not there": async ({ store }) => {
    await writePieces(store, { id: "p1/1" });
    await writePieces(store, { id: "p1/2" });
    await store.abandon("p1/2");
    await commit(store, { id: "p1/3" });
    await store.delete("p1/3");
    for (const id of ["p1/1", "p1/2", "p1/3", "p1/4", "p2/1"] as const)
      await assert.rejects(store.beginEpoch(epochRecord(2, id)), withCode("NOT_FOUND"));
    assert.equal(await store.epoch(), undefined);
    await commit(store, { id: "p1/5" });
    await store.beginEpoch(epochRecord(2, "p1/5"));
  },

  "a record of an epoch that is not well formed is refused": async ({ store }) => {
    await commit(store, { id: "p1/1" });
    const good = epochRecord(2, "p1/1");
    const bad: readonly Record<string, unknown>[] = [
      ...[0, -1, 1.5, Number.NaN, 2 ** 32, "2", undefined].map((epoch) => ({ epoch })),
      ...[-1, Number.NaN, Number.POSITIVE_INFINITY, "1", undefined].map((atMs) => ({ atMs })),
      ...["", "x".repeat(257), 7, undefined].map((by) => ({ by })),
    ];
    for (const part of bad)
      await assert.rejects(
        async () => await store.beginEpoch({ ...good, ...part } as EpochRecord),
        withCode("BAD_OPTION"),
        JSON.stringify(part),
      );
    for (const snapshot of ["p1", "p1/0", "../p1/1", 7, undefined])
      await assert.rejects(
        async () => await store.beginEpoch({ ...good, snapshot } as unknown as EpochRecord),
        withCode("BAD_ID"),
      );
    assert.equal(await store.epoch(), undefined);
    await store.beginEpoch({ ...good, by: "x".repeat(256), atMs: 0 });
  },

  "what the newest epoch began from is not deleted, what an older one did is": async ({
    store,
    reopen,
  }) => {
    const first = await commit(store, { id: "p1/1" });
    const second = await commit(store, { id: "p1/2" });
    await commit(store, { id: "p1/3" });
    await store.beginEpoch(epochRecord(2, "p1/1"));
    await assert.rejects(store.delete("p1/1"), withCode("IN_USE"));
    await expectWhole(store, first);
    assert.equal(await store.delete("p1/3"), true);
    await store.beginEpoch(epochRecord(3, "p1/2"));
    const again = await reopened(store, reopen);
    await assert.rejects(again.delete("p1/2"), withCode("IN_USE"));
    assert.equal(await again.delete("p1/1"), true);
    assert.deepEqual(await list(again), ["p1/2"]);
    await expectWhole(again, second);
    assert.deepEqual(await again.epoch(), epochRecord(3, "p1/2"));
  },

  "of an epoch that begins and the removal of its snapshot at once only one happens": async ({
    store,
  }) => {
    for (let round = 1; round <= 6; round += 1) {
      const id: SnapshotId = `p1/${round}`;
      const snapshot = await commit(store, { id });
      const record = epochRecord(1 + round, id);
      const begin = () => store.beginEpoch(record);
      const remove = () => store.delete(id);
      const [one, other] = round % 2 === 0 ? [begin, remove] : [remove, begin];
      const outcomes = await Promise.allSettled([one(), other()]);
      const [begun, deleted] = round % 2 === 0 ? outcomes : outcomes.toReversed();
      assert.notEqual(begun?.status, deleted?.status);
      if (begun?.status === "fulfilled") {
        assert.deepEqual(await store.epoch(), record);
        await expectWhole(store, snapshot);
      } else assert.equal(await store.get(id), undefined);
    }
  },

  "notes of attempts come back as they were, those of each process in its order": async ({
    store,
    reopen,
  }) => {
    assert.deepEqual(await notes(store), []);
    const made: AttemptNote[] = [];
    for (let count = 1; count <= 20; count += 1) {
      const snapshot: SnapshotId = `p1/${count}`;
      const by = count % 2 ? "p1" : "p1.jsonl";
      made.push(
        { note: "begun", snapshot, by, atMs: count, epoch: 3, processes: 2, label: "\n\u2028ü" },
        ABANDONED(by, snapshot),
      );
    }
    // At once: the order is that of the calls.
    await Promise.all(made.map((note) => store.note(note)));
    const ofEach = (all: readonly AttemptNote[]): unknown[] =>
      ["p1", "p1.jsonl"].map((id) => all.filter(({ by }) => by === id));
    assert.deepEqual(ofEach(await notes(store)), ofEach(made));
    assert.equal((await notes(store)).length, made.length);
    if (!reopen) return;
    const again = await reopen();
    const last: AttemptNote = { note: "refused", by: "p1", atMs: 99, reason: "p2 is down" };
    await again.note(last);
    assert.deepEqual(ofEach(await notes(store)), ofEach([...made, last]));
  },

  "notes have a bound, and the latest are kept": async ({ store }) => {
    const reason = "x".repeat(1_000);
    for (let i = 0; i < 3_000; i += 1)
      await store.note({ note: "refused", by: i % 3 ? "p1" : "p2", atMs: i, reason });
    const kept = await notes(store);
    for (const process of ["p1", "p2"]) {
      const own = kept.filter(({ by }) => by === process);
      assert.ok(own.length >= 400 && own.length <= 2_000, `${own.length} notes of ${process}`);
      const last = process === "p1" ? 2_999 : 2_997;
      assert.deepEqual(
        own.map(({ atMs }) => atMs),
        Array.from({ length: 3_000 }, (_, i) => i)
          .filter((i) => (i % 3 ? "p1" : "p2") === process && i <= last)
          .slice(-own.length),
      );
    }
  },

  "a note that is not well formed is refused, and what is too long is cut": async ({ store }) => {
    const good = ABANDONED("p1", "p1/1");
    for (const bad of [
      null,
      {},
      { ...good, note: "constructor" },
      { ...good, by: "../p1" },
      { ...good, snapshot: "p1" },
      { ...good, atMs: "now" },
      { ...good, waitsFor: "p2" },
      { ...good, share: { process: "p1" } },
    ])
      await assert.rejects(store.note(bad as unknown as AttemptNote), (error) =>
        isTidemarkError(error, "BAD_OPTION"),
      );
    assert.deepEqual(await notes(store), []);
    const names = Array.from({ length: 1_000 }, (_, i) => `p${i}`);
    const long = { ...good, reason: "y".repeat(100_000), unclosed: names, other: 1 };
    await store.note(long);
    assert.deepEqual(await notes(store), [
      { ...good, reason: "y".repeat(1_024), unclosed: names.slice(0, 256) },
    ]);
  },
};

const withCode =
  (code: ErrorCode) =>
  (error: unknown): boolean =>
    isTidemarkError(error, code);

/** That an epoch begins from a snapshot. */
export function epochRecord(epoch: number, snapshot: SnapshotId): EpochRecord {
  return { epoch, snapshot, atMs: 1_700_000_000_000 + epoch, by: "the contract" };
}

/** The ids in the order of the listing. */
async function list(store: SnapshotStore): Promise<SnapshotId[]> {
  const ids: SnapshotId[] = [];
  for await (const { id } of store.list()) ids.push(id);
  return ids;
}

/** The same store if it is not durable: then the case still asks what holds without a restart. */
async function reopened(
  store: SnapshotStore,
  reopen: (() => Promise<SnapshotStore>) | undefined,
): Promise<SnapshotStore> {
  await store.close();
  return reopen ? await reopen() : store;
}

/** What to take a snapshot of. */
export interface Plan {
  readonly id: SnapshotId;
  readonly label?: string;
  readonly startedAtMs?: number;
  /** The slices of each process' state; the initiator is added if it is not among them. */
  readonly states?: Readonly<Record<ProcessId, readonly Uint8Array[]>>;
  /** Messages in flight on each second channel. */
  readonly inFlight?: number;
}

/** A snapshot, with every part that it should have. */
export interface Snapshot {
  readonly manifest: Manifest;
  readonly parts: readonly (readonly [PartReference, Uint8Array])[];
}

/** Bytes that depend on their number alone. */
export function bytes(length: number): Uint8Array {
  const random = new Random(length);
  const words = Uint32Array.from({ length: Math.ceil(length / 4) }, () => random.bits());
  return new Uint8Array(words.buffer, 0, length);
}

const ABANDONED = (by: ProcessId, snapshot: SnapshotId): AttemptNote => ({
  ...{ note: "abandoned", snapshot, by, atMs: 7.5, reason: "timeout" },
  share: { process: by, recordedAtMs: 5.25, captureMs: 0.5 },
  waitsFor: ["the marker of p2"],
  unclosed: ["p2"],
  unstored: ["p3"],
});

async function notes(store: SnapshotStore): Promise<AttemptNote[]> {
  const all: AttemptNote[] = [];
  for await (const note of store.notes(assert.fail)) all.push(note);
  return all;
}

/** One process' piece, with nothing in flight. */
function piece(
  snapshot: SnapshotId,
  process: ProcessId,
  state: readonly Uint8Array[] = [],
): PieceBodies {
  return { snapshot, process, state, channels: new Map() };
}

/** Writes the pieces of a consistent snapshot of a mesh, all at the same time. */
export async function writePieces(store: SnapshotStore, plan: Plan): Promise<Snapshot> {
  const { id, label, startedAtMs = 1_000, inFlight = 2 } = plan;
  const { initiator } = parseSnapshotId(id);
  const states = new Map(
    Object.entries(plan.states ?? { p1: [bytes(11)], p2: [bytes(12)], p3: [bytes(70_000)] }),
  );
  if (!states.has(initiator)) states.set(initiator, [bytes(13)]);
  const topology = new Topology([...states.keys()]);
  const channels = topology.channels();

  // Three messages went through each channel, and more are in flight on each second one.
  const history = new Map(
    channels.map(({ from, to }, index) => {
      const messages = Array.from({ length: 3 + (index % 2 ? inFlight : 0) }, (_, i) =>
        new TextEncoder().encode(`message ${i + 1} of ${from} to ${to}: ${"~".repeat(i)}`),
      );
      return [`${from} ${to}`, messages];
    }),
  );
  const through = (from: ProcessId, to: ProcessId): readonly Uint8Array[] =>
    history.get(`${from} ${to}`) ?? [];

  const parts: [PartReference, Uint8Array][] = [];
  const pieces = await Promise.all(
    topology.processes.map(async (process): Promise<PieceRecord> => {
      const slices = states.get(process) ?? [];
      const waiting = topology.incoming(process).flatMap((from) => {
        const messages = through(from, process).slice(3);
        return messages.length > 0 ? [[from, messages] as const] : [];
      });
      const lent: Uint8Array[] = [];
      const lend = (one: Uint8Array): Uint8Array => {
        const copy = copyOf(one);
        lent.push(copy);
        return copy;
      };
      const stored = await store.writePiece({
        snapshot: id,
        process,
        state: slices.map(lend),
        channels: new Map(
          waiting.map(([from, messages]) => [from, messages.map((m) => lend(writeRecords([m])))]),
        ),
      });
      for (const one of lent) one.fill(0xee);
      assert.equal(stored.state.length, slices.length);
      assert.deepEqual([...stored.channels.keys()].sort(), waiting.map(([from]) => from).sort());
      stored.state.forEach((reference, i) => {
        parts.push([reference, slices[i] as Uint8Array]);
      });
      for (const [from, messages] of waiting)
        parts.push([stored.channels.get(from) as PartReference, writeRecords(messages)]);
      return {
        snapshot: id,
        process,
        epoch: 1,
        state: { encoding: "bytes", sliced: slices.length !== 1, parts: stored.state },
        messageEncoding: "bytes",
        incoming: topology.incoming(process).map((from) => {
          const part = stored.channels.get(from);
          return {
            from,
            received: 3,
            hash: channelHash(through(from, process).slice(0, 3)),
            inFlight: through(from, process).length - 3,
            ...(part ? { part } : {}),
          };
        }),
        outgoing: topology.outgoing(process).map((to) => ({
          to,
          sent: through(process, to).length,
          hash: channelHash(through(process, to)),
        })),
        timing: { recordedAtMs: startedAtMs + 1, recordingMs: 2.5, captureMs: 0.25 },
      };
    }),
  );
  return {
    manifest: {
      format: MANIFEST_FORMAT,
      id,
      ...(label === undefined ? {} : { label }),
      system: "contract",
      epoch: 1,
      initiator,
      startedAtMs,
      cutMs: 3.75,
      processes: topology.processes,
      channels,
      pieces,
    },
    parts,
  };
}

export async function commit(store: SnapshotStore, plan: Plan): Promise<Snapshot> {
  const snapshot = await writePieces(store, plan);
  await store.writeManifest(snapshot.manifest);
  return snapshot;
}

/** The store gives back the manifest and every part as they were. */
export async function expectWhole(
  store: SnapshotStore,
  { manifest, parts }: Snapshot,
): Promise<void> {
  const stored = await store.get(manifest.id);
  assert.ok(stored, `${manifest.id} is not there`);
  assert.deepEqual(stored.manifest, manifest);
  for (const [reference, expected] of parts) {
    const content = await stored.part(reference);
    assert.ok(
      Buffer.compare(content, expected) === 0,
      `${manifest.id}: part ${reference.sha256} has other bytes`,
    );
  }
}

function channelHash(messages: readonly Uint8Array[]): string {
  const hash = emptyChannelHash();
  const records = writeRecords(messages);
  foldChannelHash(hash, new DataView(records.buffer), 0, records.length);
  return formatChannelHash(hash);
}
