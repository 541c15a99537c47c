/** A worker thread that has a store open, and writes a piece of a snapshot that is never finished. */

import { parentPort, workerData } from "node:worker_threads";
import { directoryStore } from "../../src/runtime/directory-store.ts";
import { writePieces } from "../../src/runtime/snapshot-store-contract.ts";

await writePieces(directoryStore(workerData as string), { id: "w/1" });
parentPort?.on("message", () => undefined);
parentPort?.postMessage("there");
