// The store under its supervisor, whose processes are killed one after another while many clients write through all of them.
import { setTimeout as pause } from "node:timers/promises";
import { expect, test } from "vitest";
import type { SnapshotId } from "../../src/core/id.ts";
import { ControlClient } from "../../src/runtime/control-socket.ts";
import type { SystemMethods } from "../../src/serve/system-methods.ts";
import { freePorts } from "../support/ports.ts";
import { cases } from "../support/soak.ts";
import { Started, temporaryDirectory, until } from "./support/command.ts";
import { expectMoney, Load } from "./support/load.ts";
import { clientWhenServed, savedIds, savedStore } from "./support/store-clients.ts";

const PROCESSES = 3;
const KILL_EVERY_MS = 3_000;
const SNAPSHOT_EVERY_MS = 1_000;

test("what was answered is there once at every replica, whoever was killed", {
  timeout: 300_000,
}, async () => {
  const seconds = cases("kv-kills", 5, 60);
  const first = await freePorts(PROCESSES);
  const ports = Array.from({ length: PROCESSES }, (_, i) => first + i);
  const dir = temporaryDirectory();
  const args = ["kv", "--port", String(first), "--dir", dir, "--log", "always", "--json"];
  const rules = ["--restarts", "1000", "--interval", "1h", "--keep", "0"];
  const store = new Started([...args, ...rules], {}, "ignore", 280_000);
  for (const port of ports) (await clientWhenServed(port)).socket.destroy();
  const load = new Load(ports);
  await load.begin();
  load.visit(0, async (client) => {
    const heard = await client.ask("BGSAVE");
    load.isAnswer(heard, /^\+Background saving started|in progress/.test(String(heard)));
    await pause(SNAPSHOT_EVERY_MS);
  });

  const control = await ControlClient.connect<SystemMethods>(dir);
  const backs = (): number => store.stderr.split("runs again").length - 1;
  const beganMs = performance.now();
  const hasTime = (): boolean => performance.now() - beganMs < 1_000 * seconds;
  let kills = 0;
  await pause(KILL_EVERY_MS / 3);
  while (hasTime()) {
    const { processes } = await control.call("status", null, { timeoutMs: 10_000 });
    const victim = load.random.pick(processes.filter(({ up }) => up));
    if (victim) {
      process.kill(victim.pid, "SIGKILL");
      kills += 1;
    }
    await pause(KILL_EVERY_MS);
  }
  await until(`all to run again (SEED=${load.seed})`, () => backs() >= kills, 30_000);
  const [client] = await load.end();
  const id = String(await client?.ask("TIDEMARK", "SNAPSHOT", "the end")).slice(1) as SnapshotId;
  load.expectIn((await savedStore(dir, id)).replicas);
  const ids = await savedIds(dir);
  for (const one of ids) expectMoney((await savedStore(dir, one)).replicas, one);

  const { processes } = await control.call("status", null, { timeoutMs: 5_000 });
  expect(processes.reduce((sum, { restarts = 0 }) => sum + restarts, 0)).toBe(kills);
  control.close();
  for (const { answered } of load.counts)
    expect(answered, `SEED=${load.seed}`).toBeGreaterThan(seconds);
  expect(ids.length).toBeGreaterThan(seconds / 6);
  store.child.kill("SIGINT");
  expect((await store.ended).status).toBe(0);
  if (seconds > 5)
    process.stderr.write(`kv-kills: ${kills} kills, ${ids.length} snapshots, ${load}\n`);
});
