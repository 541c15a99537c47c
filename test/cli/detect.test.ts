/** `tidemark detect`, on snapshots of a bank and of a system that a file defines. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Account } from "../../src/bank/account.ts";
import { type Application, directoryStore, MemoryNetwork, startProcess } from "../../src/index.ts";
import { parseLines, temporaryDirectory, tidemark } from "./support/command.ts";

const IDS = ["p1", "p2"];

/** Takes a snapshot of two processes after each request to the first one, with labels s0, s1 and so on. */
async function record<M, State, Request>(
  system: string,
  application: () => Application<M, State, Request, unknown>,
  requests: readonly Request[],
): Promise<string> {
  const directory = temporaryDirectory();
  const network = new MemoryNetwork();
  const store = directoryStore(directory, { sync: false });
  const running = await Promise.all(
    IDS.map((id) =>
      startProcess<M, State, Request, unknown>({
        ...{ id, processes: IDS, system, application: application(), store },
        transport: network.transport(),
      }),
    ),
  );
  await running[0]?.snapshot({ label: "s0" });
  for (const [i, request] of requests.entries()) {
    await running[0]?.request(request);
    await running[0]?.snapshot({ label: `s${i + 1}` });
  }
  await Promise.all(running.map((one) => one.stop()));
  await store.close();
  return directory;
}

describe("of a bank", () => {
  test("sums need no file", async () => {
    const transfer = { type: "transfer", to: "p2", amount: 30 } as const;
    const directory = await record("bank", () => new Account({ money: 100 }), [transfer]);
    const detect = (...args: string[]) => tidemark(["detect", ...args, "--dir", directory]);

    const all = await detect("s1", "sum=money:200,termination,deadlock");
    expect(all.stderr).toBe("");
    expect(all.stdout.split("\n").slice(1)).toEqual([
      "· sum=money    all 200 are there",
      "? termination  unknown: the application of p1 does not declare isPassive",
      "? deadlock     unknown: no application declares waits",
      "",
    ]);
    expect(all.stdout).toMatch(
      /^p1\/2 {2}system bank, 2 processes, [01] messages in flight, proven\n/,
    );
    expect(all.status).toBe(3);

    expect((await detect("s1", "sum=money:200")).status).toBe(0);
    const since = await detect("s1", "sum=money", "--since", "s0");
    expect([since.status, since.stderr]).toEqual([0, ""]);
    const wrong = await detect("latest", "sum=money:199,token=lock", "--json");
    expect(wrong.status).toBe(1);
    expect(parseLines(wrong.stdout)).toMatchObject([
      {
        ...{ snapshot: "p1/2", detector: "sum=money", detected: true },
        sentence: "there are 200 and not 199: 1 is too many",
        evidence: { sum: 200, expected: 199 },
      },
      { snapshot: "p1/2", detector: "token=lock", detected: true },
    ]);
  });

  test("what is no detector, no snapshot or no bank is a mistake", async () => {
    const application = () => ({ capture: () => 1, restore: () => {} });
    const directory = await record("other", application, []);
    const detect = (...args: string[]) => tidemark(["detect", ...args, "--dir", directory]);
    const none = await detect("s0", "peace");
    expect(none.status).toBe(2);
    expect(none.stderr).toMatch(/there is no detector "peace": use deadlock, termination/);
    const other = await detect("s0", "deadlock");
    expect(other.status).toBe(2);
    expect(other.stderr).toBe(
      "tidemark: p1/1 is not of a bank, but of other: name the file that defines it with --module\n",
    );
    expect((await detect("s7", "deadlock")).status).toBe(1);
  });
});

describe("of a system that a file defines", () => {
  const source = `
class Locks {
  state = { waitsFor: null };
  request(id, waitsFor, turn) {
    this.state = { waitsFor };
    turn.send(turn.peers, { wait: true });
    turn.reply(id, null);
  }
  receive(from) { this.state = { waitsFor: from }; }
  capture() { return this.state; }
  restore(state) { this.state = state; }
  waits() {
    const { waitsFor } = this.state;
    return waitsFor ? [{ for: [waitsFor], request: "the lock" }] : [];
  }
  grants(message) { return !message.wait; }
  isPassive(message) { return message === undefined; }
}
export default { processes: ["p1", "p2"], application: () => new Locks() };
`;

  test("its applications are asked", async () => {
    const file = join(temporaryDirectory(), "system.mjs");
    writeFileSync(file, source);
    const { default: system } = await import(file);
    const directory = await record("locks", system.application, ["p2"]);
    const detect = (...args: string[]) =>
      tidemark(["detect", ...args, "--dir", directory, "--module", file]);

    const before = await detect("s0", "deadlock,termination");
    expect(before.stderr).toBe("");
    expect(before.stdout.split("\n").slice(1)).toEqual([
      "· deadlock     nobody waits",
      "! termination  all of 2 processes are passive, and no work is in flight",
      "",
    ]);
    const after = await detect("s1", "deadlock, garbage");
    expect(after.status).toBe(1);
    expect(after.stdout.split("\n").slice(1)).toEqual([
      "! deadlock  p1 waits for p2 (the lock); p2 waits for p1 (the lock)",
      "? garbage   unknown: the application of p1 does not declare references",
      "",
    ]);
  });

  test("a file that defines none, or whose application cannot be restored, is named", async () => {
    const directory = await record("x", () => ({ capture: () => 1, restore: () => {} }), []);
    const file = join(temporaryDirectory(), "system.mjs");
    const detect = () =>
      tidemark(["detect", "s0", "deadlock", "--dir", directory, "--module", file]);
    const none = await detect();
    expect([none.status, none.stderr]).toEqual([2, `tidemark: there is no file ${file}\n`]);
    writeFileSync(
      file,
      "export default { processes: 2, application: () => ({ capture() {}, restore() { throw new Error('too old'); } }) };",
    );
    const old = await detect();
    expect(old.status).toBe(1);
    expect(old.stderr).toBe(
      "tidemark: an application of p1 cannot be restored from what was recorded: too old\n",
    );
  });
});
