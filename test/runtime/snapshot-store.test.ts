import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { isTidemarkError, TidemarkError } from "../../src/core/error.ts";
import { type DirectoryStoreOptions, directoryStore } from "../../src/runtime/directory-store.ts";
import { memoryStore } from "../../src/runtime/memory-store.ts";
import {
  checkEpochRecord,
  type EpochRecord,
  type SnapshotStore,
} from "../../src/runtime/snapshot-store.ts";
import {
  type SnapshotStoreFixture,
  snapshotStoreContract,
} from "../../src/runtime/snapshot-store-contract.ts";
import { verifySnapshot } from "../../src/snapshot/verify.ts";

describe("the memory store", () => {
  for (const { name, run } of snapshotStoreContract(inMemory)) test(name, run);
});

describe("the directory store", () => {
  for (const { name, run } of snapshotStoreContract(() => inDirectory(true))) test(name, run);
});

describe("the directory store without flushing", () => {
  for (const { name, run } of snapshotStoreContract(() => inDirectory(false))) test(name, run);
});

const KEY = new Uint8Array(32).fill(7);

for (const [what, options] of Object.entries<DirectoryStoreOptions>({
  "that compresses": { compressLevel: 1 },
  "that encrypts": { key: KEY },
  "that compresses and encrypts": { compressLevel: 3, key: KEY },
}))
  describe(`the directory store ${what}`, () => {
    for (const { name, run } of snapshotStoreContract(() => inDirectory(false, options)))
      test(name, run);
  });

test("the snapshots that the contract writes are consistent", async () => {
  const verdicts: unknown[] = [];
  const cases = snapshotStoreContract(async () => {
    const { store } = await inMemory();
    const verified: SnapshotStore = {
      ...forward(store),
      writeManifest: async (manifest) => {
        await store.writeManifest(manifest);
        const stored = await store.get(manifest.id);
        const parts = new Map<string, Uint8Array>();
        for (const { state, incoming } of manifest.pieces)
          for (const part of [...state.parts, ...incoming.flatMap((from) => from.part ?? [])])
            parts.set(part.sha256, (await stored?.part(part)) as Uint8Array);
        verdicts.push(verifySnapshot(manifest, ({ sha256 }) => parts.get(sha256)));
      },
    };
    return { store: verified, dispose: async () => {} };
  });
  for (const { run } of cases) await run();
  expect(verdicts.length).toBeGreaterThan(20);
  expect(verdicts.filter((verdict) => !(verdict as { consistent: boolean }).consistent)).toEqual(
    [],
  );
});

describe("the contract fails a store that", () => {
  const mistakes: Record<
    string,
    { readonly fails: RegExp; readonly mistake: (store: SnapshotStore) => Partial<SnapshotStore> }
  > = {
    "lists a snapshot before its manifest": {
      fails: /not there before its manifest/,
      mistake: (store) => {
        const early = new Set<string>();
        return {
          writePiece: async (bodies) => {
            early.add(bodies.snapshot);
            return await store.writePiece(bodies);
          },
          async *list() {
            yield* store.list();
            for (const id of early) yield { id: id as never } as never;
          },
        };
      },
    },
    "does not look for the parts that a manifest names": {
      fails: /names a part which is not there is refused/,
      mistake: (store) => ({
        writeManifest: async (manifest) => {
          const pieces = manifest.pieces.map((piece) => ({
            ...piece,
            state: { ...piece.state, parts: [] },
          }));
          await store.writeManifest({ ...manifest, pieces });
        },
      }),
    },
    "replaces a manifest": {
      fails: /not replaced by another of the same id/,
      mistake: (store) => ({
        writeManifest: async (manifest) => {
          await store.delete(manifest.id);
          await store.writeManifest(manifest);
        },
      }),
    },
    "lists the oldest first": {
      fails: /in order, newest first/,
      mistake: (store) => ({
        async *list() {
          yield* (await all(store.list())).reverse();
        },
      }),
    },
    "loses labels": {
      fails: /with its label if it has one/,
      mistake: (store) => ({
        async *list() {
          for await (const { label: _, ...summary } of store.list()) yield summary;
        },
      }),
    },
    "takes the last count from the list": {
      fails: /a count stays used/,
      mistake: (store) => ({
        lastCount: async (initiator) => {
          const ids = (await all(store.list())).map(({ id }) => id.split("/"));
          return Math.max(
            0,
            ...ids.filter(([name]) => name === initiator).map(([, count]) => Number(count)),
          );
        },
      }),
    },
    "keeps its labels as they are": {
      fails: /a label can be given/,
      mistake: () => ({ label: async () => true }),
    },
    "prunes what has a label": {
      fails: /spares what has one/,
      mistake: (store) => ({ delete: (id) => store.delete(id) }),
    },
    "mixes up initiators": {
      fails: /highest of that initiator alone/,
      mistake: (store) => ({
        lastCount: async (initiator) => {
          const ids = (await all(store.list())).map(({ id }) => id);
          const counts = ids.filter((id) => id.startsWith(initiator)).map((id) => id.split("/")[1]);
          return Math.max(0, await store.lastCount(initiator), ...counts.map(Number));
        },
      }),
    },
    "says of every delete that it did something": {
      fails: /deleted once/,
      mistake: (store) => ({
        delete: async (id) => {
          await store.delete(id);
          return true;
        },
      }),
    },
    "abandons a snapshot that has its manifest": {
      fails: /abandoning a snapshot that has its manifest/,
      mistake: (store) => ({
        abandon: async (id) => {
          await store.abandon(id);
          await store.delete(id);
        },
      }),
    },
    "goes on with an abandoned piece": {
      fails: /abandoned meanwhile is refused/,
      mistake: () => ({ abandon: async () => {} }),
    },
    "takes all slices for one": {
      fails: /many slices/,
      mistake: (store) => ({
        writePiece: async (bodies) => {
          const slices = await all(bodies.state);
          return await store.writePiece({ ...bodies, state: [Buffer.concat(slices)] });
        },
      }),
    },
    "keeps what it was lent, and no copy": {
      fails: /byte for byte/,
      mistake: (store) => {
        const kept = new Map<string, readonly Uint8Array[]>();
        return {
          writePiece: async (bodies) => {
            const slices = await all(bodies.state);
            const stored = await store.writePiece({ ...bodies, state: slices });
            for (const [i, { sha256 }] of stored.state.entries())
              kept.set(sha256, [slices[i] as Uint8Array]);
            for (const [from, { sha256 }] of stored.channels)
              kept.set(sha256, bodies.channels.get(from) ?? []);
            return stored;
          },
          get: async (id) => {
            const stored = await store.get(id);
            const part = async ({ sha256 }: { readonly sha256: string }) =>
              new Uint8Array(Buffer.concat(kept.get(sha256) ?? []));
            return stored && { ...stored, part };
          },
        };
      },
    },
    "gives other bytes": {
      fails: /byte for byte/,
      mistake: (store) => ({
        get: async (id) => {
          const stored = await store.get(id);
          return (
            stored && {
              ...stored,
              part: async (reference) => (await stored.part(reference)).fill(0, 0, 1),
            }
          );
        },
      }),
    },
    "begins an epoch twice": {
      fails: /begins once, and none after a later one/,
      mistake: (store) => {
        let newest: EpochRecord | undefined;
        return {
          beginEpoch: async (record) => {
            await store.beginEpoch(record).catch((error: unknown) => {
              if (!isTidemarkError(error, "EPOCH_TAKEN")) throw error;
            });
            newest = { ...record };
          },
          epoch: async () => newest && { ...newest },
        };
      },
    },
    "looks first and writes later": {
      fails: /exactly one does/,
      mistake: (store) => {
        let newest: EpochRecord | undefined;
        return {
          beginEpoch: async (record) => {
            if ((newest?.epoch ?? 0) >= record.epoch) throw new TidemarkError("EPOCH_TAKEN", "no");
            if (!(await store.get(record.snapshot))) throw new TidemarkError("NOT_FOUND", "no");
            newest = checkEpochRecord(record);
          },
          epoch: async () => newest && { ...newest },
        };
      },
    },
    "does not look for the snapshot of an epoch": {
      fails: /from a snapshot that is not there/,
      mistake: () => {
        let newest: EpochRecord | undefined;
        return {
          beginEpoch: async (record) => {
            if ((newest?.epoch ?? 0) >= record.epoch) throw new TidemarkError("EPOCH_TAKEN", "no");
            newest = checkEpochRecord(record);
          },
          epoch: async () => newest && { ...newest },
        };
      },
    },
    "takes any record of an epoch": {
      fails: /not well formed is refused/,
      mistake: (store) => ({
        beginEpoch: async ({ epoch, snapshot }) =>
          await store.beginEpoch({ epoch, snapshot, atMs: 1, by: "somebody" }),
      }),
    },
    "keeps the record that it was given": {
      fails: /as its record was/,
      mistake: (store) => {
        let newest: EpochRecord | undefined;
        return {
          beginEpoch: async (record) => {
            await store.beginEpoch(record);
            newest = record;
          },
          epoch: async () => newest,
        };
      },
    },
    "deletes what the newest epoch began from": {
      fails: /is not deleted, what an older one did is/,
      mistake: (store) => {
        let newest: EpochRecord | undefined;
        return {
          beginEpoch: async (record) => {
            if ((newest?.epoch ?? 0) >= record.epoch) throw new TidemarkError("EPOCH_TAKEN", "no");
            if (!(await store.get(record.snapshot))) throw new TidemarkError("NOT_FOUND", "no");
            newest = checkEpochRecord(record);
          },
          epoch: async () => newest,
        };
      },
    },
    "never deletes what any epoch began from": {
      fails: /is not deleted, what an older one did is/,
      mistake: (store) => {
        const used = new Set<string>();
        return {
          beginEpoch: async (record) => {
            await store.beginEpoch(record);
            used.add(record.snapshot);
          },
          delete: async (id) => {
            if (used.has(id)) throw new TidemarkError("IN_USE", "no");
            return await store.delete(id);
          },
        };
      },
    },
  };

  for (const [name, { fails, mistake }] of Object.entries(mistakes)) {
    test(name, async () => {
      const cases = snapshotStoreContract(async () => {
        const { store } = await inMemory();
        return { store: { ...forward(store), ...mistake(store) }, dispose: async () => {} };
      });
      const failed: string[] = [];
      for (const { name, run } of cases) await run().catch(() => failed.push(name));
      expect(failed.join("\n")).toMatch(fails);
    });
  }

  test("drops the parts of others when it deletes", async () => {
    // A directory store whose delete takes the files with it, whoever needs them.
    const cases = snapshotStoreContract(async () => {
      const fixture = await inDirectory(false);
      const { store, directory } = fixture;
      const mistake: Partial<SnapshotStore> = {
        delete: async (id) => {
          const parts = (await store.get(id))?.manifest.pieces.flatMap(({ state }) => state.parts);
          for (const { sha256, pack = sha256 } of parts ?? [])
            await rm(join(directory, "parts", pack.slice(0, 2), pack), { force: true });
          return await store.delete(id);
        },
      };
      return { ...fixture, store: { ...forward(store), ...mistake } };
    });
    const failed: string[] = [];
    for (const { name, run } of cases) await run().catch(() => failed.push(name));
    expect(failed).toContain("deleting keeps the parts that another snapshot needs");
    expect(failed.length).toBeLessThan(cases.length / 4);
  });
});

async function all<T>(items: Iterable<T> | AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

async function inMemory(): Promise<SnapshotStoreFixture> {
  return { store: memoryStore(), dispose: async () => {} };
}

async function inDirectory(
  sync: boolean,
  options: DirectoryStoreOptions = {},
): Promise<SnapshotStoreFixture & { readonly directory: string }> {
  const directory = await mkdtemp(join(tmpdir(), "tidemark-store-"));
  const stores = [directoryStore(directory, { sync, ...options })];
  return {
    directory,
    store: stores[0] as SnapshotStore,
    reopen: async () => {
      const again = directoryStore(directory, { sync, ...options });
      stores.push(again);
      return again;
    },
    dispose: async () => {
      for (const store of stores) await store.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** The methods of a store as plain properties, so that some can be put in place of others. */
function forward(store: SnapshotStore): SnapshotStore {
  return {
    writePiece: (bodies) => store.writePiece(bodies),
    writeManifest: (manifest) => store.writeManifest(manifest),
    abandon: (id) => store.abandon(id),
    get: (id) => store.get(id),
    list: (damaged) => store.list(damaged),
    lastCount: (initiator) => store.lastCount(initiator),
    epoch: () => store.epoch(),
    beginEpoch: (record) => store.beginEpoch(record),
    label: (id, label) => store.label(id, label),
    delete: (id, unlabelled) => store.delete(id, unlabelled),
    note: (note) => store.note(note),
    notes: (damaged) => store.notes(damaged),
    close: () => store.close(),
  };
}
