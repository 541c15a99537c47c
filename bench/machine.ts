/** The composite machine alone: three processes in one operating-system process, frames by the memory transport. */

import {
  type Application,
  lentBytesCodec,
  MemoryNetwork,
  memoryStore,
  startProcess,
  type Turn,
} from "tidemark";
import { median, type Result } from "./result.ts";

const ROUNDS = 5;
const SECONDS = 1;
const PROCESSES = ["p1", "p2", "p3"];

class Load implements Application<Uint8Array, null> {
  received = 0;
  readonly #message: Uint8Array;

  constructor(bytes: number) {
    this.#message = new Uint8Array(bytes).fill(7);
  }

  start(turn: Turn<Uint8Array>): void {
    turn.setTimer("fill", 0);
  }

  timer(_name: string, turn: Turn<Uint8Array>): void {
    this.#fill(turn);
  }

  writable(_to: string, turn: Turn<Uint8Array>): void {
    this.#fill(turn);
  }

  receive(): void {
    this.received += 1;
  }

  capture(): null {
    return null;
  }

  restore(): void {}

  #fill(turn: Turn<Uint8Array>): void {
    for (let i = 0; i < 1200; i += 1) if (!turn.send(turn.peers, this.#message)) return;
    turn.setTimer("fill", 0);
  }
}

async function rate(bytes: number): Promise<number> {
  const network = new MemoryNetwork();
  const store = memoryStore();
  const loads = PROCESSES.map(() => new Load(bytes));
  const running = await Promise.all(
    PROCESSES.map((id, i) =>
      startProcess({
        id,
        processes: PROCESSES,
        application: loads[i] as Load,
        messageCodec: lentBytesCodec,
        transport: network.transport(),
        store,
      }),
    ),
  );
  const sum = (): number => loads.reduce((total, { received }) => total + received, 0);
  const pause = (seconds: number): Promise<void> =>
    new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  await pause(SECONDS / 2);
  const [before, startMs] = [sum(), performance.now()];
  await pause(SECONDS);
  const value = ((sum() - before) * 1000) / (performance.now() - startMs);
  await Promise.all(running.map((one) => one.stop()));
  return value;
}

export async function* machine(): AsyncGenerator<Result> {
  for (const bytes of [100, 1024]) {
    const values: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) values.push(await rate(bytes));
    yield {
      bench: "machine",
      case: `3 processes, mesh, ${bytes} B`,
      value: median(values),
      unit: "messages/s",
    };
  }
}
