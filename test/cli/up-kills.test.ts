// A system of a user's own under its supervisor, whose processes are killed again and again while it is asked at a good rate.
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { isTidemarkError } from "../../src/core/error.ts";
import { Random } from "../../src/core/random.ts";
import { ControlClient } from "../../src/runtime/control-socket.ts";
import type { SystemMethods } from "../../src/serve/system-methods.ts";
import { cases } from "../support/soak.ts";
import { Started, temporaryDirectory, tidemark, until } from "./support/command.ts";

const PROCESSES = ["a", "b", "c"];
/** Who asks, for each process. */
const CLIENTS = 3;

/** Every deposit is made at one process, which tells another: both remember its number for ever. */
const SYSTEM = `
import { type Application, defineSystem, type Turn } from "tidemark";
type Deposit = { readonly number: number; readonly to: string };
class Ledger implements Application<number, unknown, Deposit | "all", unknown> {
  made: number[] = [];
  told: number[] = [];
  request(id: number, request: Deposit | "all", turn: Turn<number, unknown>) {
    if (request === "all") { turn.reply(id, { made: this.made, told: this.told }); return; }
    this.made.push(request.number);
    turn.send(request.to, request.number);
    turn.reply(id, request.number);
  }
  receive(_from: string, number: number) { this.told.push(number); }
  capture() { return { made: this.made, told: this.told }; }
  restore(state: { made: number[]; told: number[] }) { this.made = state.made; this.told = state.told; }
}
export default defineSystem({
  processes: ${JSON.stringify(PROCESSES)},
  application: () => new Ledger(),
  snapshots: { everyMs: 300 },
});
`;

type Ledger = { readonly made: readonly number[]; readonly told: readonly number[] };

test("every deposit that was answered is there once, whoever was killed", {
  timeout: 300_000,
}, async () => {
  const kills = cases("up-kills", 3, 40);
  const seed = Number(process.env["SEED"] ?? Date.now() % 1_000_000);
  const random = new Random(seed);
  const home = temporaryDirectory();
  mkdirSync(join(home, "node_modules"));
  symlinkSync(
    fileURLToPath(new URL("../..", import.meta.url)),
    join(home, "node_modules/tidemark"),
  );
  const file = join(home, "system.ts");
  writeFileSync(file, SYSTEM);
  const dir = join(home, "data");
  const args = ["up", file, "--json", "--no-sync", "--log", "everysec", "--dir", dir];
  const up = new Started([...args, "--restarts", "1000"], {}, "ignore", 280_000);
  await up.lines(1);

  const client = await ControlClient.connect<SystemMethods>(dir);
  const ask = async (at: string, request: unknown): Promise<unknown> =>
    (await client.call("request", { process: at, request, timeoutMs: 5_000 }, { timeoutMs: 6_000 }))
      .reply;
  const answered = new Map<number, string>();
  const open = new Map<number, string>();
  let number = 0;
  const over = new AbortController();
  const asking = PROCESSES.flatMap((at) =>
    Array.from({ length: CLIENTS }, async () => {
      while (!over.signal.aborted) {
        number += 1;
        const own = number;
        const to = PROCESSES[(PROCESSES.indexOf(at) + 1 + (own % 2)) % 3] as string;
        try {
          await ask(at, { number: own, to });
          answered.set(own, at);
        } catch (error) {
          if (!isTidemarkError(error)) throw error;
          // It may or may not have been made; nobody asks twice.
          open.set(own, at);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      }
    }),
  );

  const backs = (): number => up.stderr.split("runs again").length - 1;
  for (let i = 1; i <= kills; i += 1) {
    const { processes } = await client.call("status", null, { timeoutMs: 5_000 });
    const living = processes.filter((one) => one.up);
    const victim = living[random.below(living.length)] ?? expect.fail("nobody is up");
    process.kill(victim.pid, "SIGKILL");
    await until(`${victim.process} to run again (SEED=${seed})`, () => backs() >= i, 30_000);
    const before = answered.size;
    await until("deposits to go on", () => answered.size >= before + 50, 30_000);
  }
  over.abort();
  await Promise.all(asking);

  const ledgers = async (): Promise<Ledger[]> =>
    (await Promise.all(PROCESSES.map((at) => ask(at, "all")))) as Ledger[];
  const sorted = (all: readonly number[]): number[] => [...all].sort((a, b) => a - b);
  await until("all that was sent to be received", async () => {
    const all = await ledgers();
    return all.flatMap(({ made }) => made).length <= all.flatMap(({ told }) => told).length;
  });
  const all = await ledgers();
  const made = sorted(all.flatMap((one) => one.made));
  expect(new Set(made).size).toBe(made.length);
  expect(sorted(all.flatMap((one) => one.told))).toEqual(made);
  const there = new Set(made);
  expect([...answered.keys()].filter((one) => !there.has(one))).toEqual([]);
  for (const one of made) expect(answered.has(one) || open.has(one)).toBe(true);
  expect(answered.size).toBeGreaterThan(50 * kills);

  const { processes } = await client.call("status", null, { timeoutMs: 5_000 });
  expect(processes.reduce((sum, { restarts = 0 }) => sum + restarts, 0)).toBe(kills);
  client.close();
  const { stdout } = await tidemark(["history", "--json", "--limit", "100000", "--dir", dir]);
  const outcomes = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line).outcome);
  expect(outcomes).toContain("complete");
  up.child.kill("SIGINT");
  expect((await up.ended).status).toBe(0);
  if (kills > 3)
    process.stderr.write(
      `up-kills: ${kills} kills: ${answered.size} deposits, ${open.size} without an answer; SEED=${seed}\n`,
    );
});
