/** A store that takes every snapshot and keeps none: shows what taking snapshots costs without keeping them. */

import type { SnapshotStore } from "tidemark";

const NAME = "0".repeat(64);

export function forgetfulStore(): SnapshotStore {
  const part = (bytes: number) => ({ sha256: NAME, bytes });
  return {
    async writePiece({ state, channels }) {
      const parts = [];
      for await (const slice of state) parts.push(part(slice.length));
      return {
        state: parts,
        channels: new Map(
          [...channels].map(([from, runs]) => [
            from,
            part(runs.reduce((sum, { length }) => sum + length, 0)),
          ]),
        ),
      };
    },
    async writeManifest() {},
    async abandon() {},
    async get() {
      return undefined;
    },
    async *list() {},
    async lastCount() {
      return 0;
    },
    async label() {
      return false;
    },
    async delete() {
      return false;
    },
    async epoch() {
      return undefined;
    },
    async beginEpoch() {},
    async note() {},
    async *notes() {},
    async close() {},
  };
}
