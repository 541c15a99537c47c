// `tidemark sim run` and `tidemark explore`, as programs, on the example of the documentation and on files that are no worlds.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { parseLines, Started, temporaryDirectory, tidemark } from "./support/command.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const SHOP = "examples/lost-update.ts";
const read = (file: string): string => readFileSync(join(ROOT, file), "utf8");
const page = read("docs/learn/lost-update.md");
const manual = read("docs/use/command-line.md");

/** A file of its own, which can be imported; `tidemark/sim` is found from where the tests stand. */
function file(name: string, text: string): string {
  const path = join(temporaryDirectory(), name);
  writeFileSync(path, text);
  return path;
}

/** A world of two processes that count what they hear, with some properties. */
const counting = (properties: string): string =>
  file(
    "counting.mjs",
    `export default {
      processes: ["a", "b"],
      application: () => {
        let heard = 0;
        return {
          start: (turn) => turn.send(turn.peers, "hello"),
          receive: () => { heard += 1; },
          capture: () => heard,
          restore: (state) => { heard = state; },
        };
      },
      ${properties}
    };`,
  );

test("the documentation shows the example, and what it really prints", async () => {
  const [, ...code] = read(SHOP).split("\n");
  expect(page).toContain(code.join("\n").trim());
  const seeds = await tidemark(["sim", "run", SHOP, "--faults", "{}"]);
  const schedules = await tidemark(["explore", SHOP]);
  for (const { stdout } of [seeds, schedules])
    for (const line of stdout.split("\n")) {
      const [lasting] = line.split(/ in [\d.]+ m?s|[\d.]+ m?s \(/);
      for (const text of [manual, page]) expect(text).toContain(lasting);
    }
});

describe("tidemark sim run", () => {
  test("finds the lost update, and the same seed again", async () => {
    const { status, stdout, stderr } = await tidemark(["sim", "run", SHOP, "--faults", "{}"]);
    expect({ status, stderr }).toEqual({ status: 1, stderr: "" });
    expect(stdout).toMatch(
      /^SEED=11 {2}eventually: "what was sold has left the shop" does not hold\n/,
    );
    const one = ["sim", "run", SHOP, "--seed", "11", "--faults", "{}", "--trace"];
    const [traced, again] = await Promise.all([tidemark(one), tidemark(one)]);
    const events = (text: string): string => text.split("SEED=")[0] as string;
    expect(traced.status).toBe(1);
    expect(events(traced.stdout)).toMatch(
      / shop {2}receive {2}from 'bob' {2}message \{ get: true \}/,
    );
    expect(events(again.stdout)).toBe(events(traced.stdout));
  });

  test("tells how many seeds, events and snapshots; --json as one line", async () => {
    const world = counting(
      `snapshots: ["a"], sometimes: { "both heard": (view) => view.state("a") === 1 && view.state("b") === 1 }`,
    );
    const { status, stdout } = await tidemark(["sim", "run", world, "--seeds", "1..30"]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^30 seeds, none failed {2}[\d,]+ events in /);
    expect(stdout).toMatch(/sometimes "both heard": in \d+ of them/);
    const [summary] = parseLines((await tidemark(["sim", "run", world, "--json"])).stdout);
    expect(summary).toMatchObject({ seeds: 100, failed: 0, neverHappened: [] });
  });

  test("goes on if told so, and a sometimes that never holds fails", async () => {
    const failing = counting(
      `always: { "silence": (view) => view.state("a") !== 1 || "a heard it" }`,
    );
    const args = ["sim", "run", failing, "--seeds", "1..5", "--faults", "{}", "--json"];
    const all = parseLines((await tidemark([...args, "--keep-going"])).stdout);
    expect(all).toHaveLength(6);
    expect(all[0]).toMatchObject({
      seed: 1,
      failed: 'always: "silence" does not hold: a heard it',
    });
    expect(parseLines((await tidemark(args)).stdout)).toHaveLength(2);
    const never = counting(`sometimes: { "a hears ten": (view) => view.state("a") === 10 }`);
    const { status, stdout } = await tidemark(["sim", "run", never, "--seeds", "1..3"]);
    expect(status).toBe(1);
    expect(stdout).toMatch(/sometimes "a hears ten": never/);
  });
});

describe("tidemark sim run, of worlds that do not go as one would like", () => {
  const run = (...args: readonly string[]) => tidemark(["sim", "run", ...args]);
  /** A world that goes round for ever in a seed that crosses 3. */
  const endless = (): string =>
    file(
      "endless.mjs",
      `let runs = 0;
      export default {
        processes: ["a"],
        application: () => ({
          start() { runs += 1; for (let i = 0; runs > 3; i += 1); },
          capture: () => 0,
          restore() {},
        }),
      };`,
    );

  test("Ctrl-C is heard in a loop without an end, and what was known is told", async () => {
    for (const json of [false, true]) {
      const args = ["--trace", "--faults", "{}"];
      const started = new Started(["sim", "run", endless(), ...(json ? ["--json"] : args)]);
      if (json) await pause(1_500);
      else await started.lines(10);
      started.child.kill("SIGINT");
      started.child.kill("SIGINT");
      const { status, stdout, stderr } = await started.ended;
      expect({ status, stderr }).toEqual({ status: 130, stderr: "" });
      if (json) expect(parseLines(stdout)).toMatchObject([{ interrupted: true, failed: 0 }]);
      else expect(stdout).toMatch(/^interrupted: until then\n3 seeds, none failed {2}/m);
    }
  });

  test("nobody reads on: it ends", async () => {
    const world = counting(`always: { no: () => false }`);
    const started = new Started(["sim", "run", world, "--seeds", "1..10000000", "--keep-going"]);
    await started.lines(1);
    started.child.stdout?.destroy();
    expect((await started.ended).status).toBe(1);
  });

  test("what a world leaves running does not keep the command, nor what it promises", async () => {
    const left = file(
      "left.mjs",
      `setInterval(() => {}, 1000);
      export default {
        processes: ["a", "b"],
        application: () => ({
          start: (turn) => turn.send(turn.peers, 1),
          async receive() { throw new Error("later"); },
          capture: () => 0,
          restore() {},
        }),
      };`,
    );
    const { status, stdout, stderr } = await run(left, "--json");
    expect({ status, stderr }).toEqual({ status: 1, stderr: "" });
    const [failed, summary] = parseLines(stdout);
    expect(failed.failed).toMatch(
      /application's receive is async; its methods must be synchronous/,
    );
    expect(summary).toMatchObject({ seeds: 1, failed: 1, interrupted: false });
    expect(summary.events).toBeGreaterThan(0);
    expect((await tidemark(["explore", left])).status).not.toBe("SIGKILL");
  });

  test("--trace says where a seed begins; names do not drive the terminal, and are quoted", async () => {
    const world = counting(`sometimes: { "\\u001b[31mred": () => false }`);
    const { stdout } = await run(world, "--seeds", "1..2", "--trace");
    expect(stdout.match(/^seed [12], faults: {.*}$/gm)).toHaveLength(2);
    expect(stdout).toContain('sometimes "?[31mred": never');
    const failing = file("it's a world.mjs", readFileSync(counting("always: { p: 1 }"), "utf8"));
    writeFileSync(failing, readFileSync(failing, "utf8").replace("p: 1", "p: () => false"));
    const quoted = `'${failing.replace("'", "'\\''")}'`;
    expect((await run(failing)).stdout).toContain(`tidemark sim run ${quoted} --seed 1 --trace`);
  });
});

describe("tidemark explore", () => {
  test("finds the lost update; what it prints can be gone through again", async () => {
    const { status, stdout } = await tidemark(["explore", SHOP]);
    expect(status).toBe(1);
    const steps = stdout.split("\n").filter((line) => line.startsWith("    "));
    expect(steps).toHaveLength(8);
    const schedule = file("steps.txt", `# as printed\n${steps.join("\n")}\n`);
    const shown = await tidemark(["explore", SHOP, "--replay", schedule]);
    expect(shown.status).toBe(0);
    expect(shown.stdout).toMatch(/^the beginning\n {2}ann {2}0\n {2}bob {2}0\n {2}shop {2}10\n/);
    expect(shown.stdout).toMatch(/ann → shop {2}\{ stock: 9 \}/);
    expect(shown.stdout.trim().split("\n").slice(-3)).toEqual([
      "  ann  1",
      "  bob  1",
      "  shop  9",
    ]);
  });

  test("proves what holds; bounds and --json", async () => {
    const world = counting(
      `eventually: { "both heard": (view) => view.state("a") === 1 && view.state("b") === 1 }`,
    );
    const proved = await tidemark(["explore", world]);
    expect(proved.status).toBe(0);
    expect(proved.stdout).toMatch(/every schedule: all properties hold/);
    const [found] = parseLines(
      (await tidemark(["explore", world, "--json", "--order", "depth"])).stdout,
    );
    expect(found).toMatchObject({ states: 4, ends: 1, complete: true });
    const bounded = await tidemark(["explore", world, "--max-depth", "1"]);
    expect(bounded.status).toBe(1);
    expect(bounded.stdout).toMatch(/the bound of depth was reached/);
    const [shop] = parseLines((await tidemark(["explore", SHOP, "--json"])).stdout);
    expect(shop).toMatchObject({ complete: false, counterexample: { kind: "eventually" } });
  });
});

describe("tidemark explore, where something is wrong", () => {
  /** A world of one process, which has timers and what is given. */
  const one = (application: string, properties = ""): string =>
    file(
      "one.mjs",
      `export default {
        processes: ["a"],
        application: () => {
          let n = 0;
          return { capture: () => n, restore() {}, ${application} };
        },
        ${properties}
      };`,
    );

  test("a problem is shown with its reason, and what is printed replays", async () => {
    const world = one(
      `start: (turn) => turn.setTimer("l1\\nl2", 1), timer() { throw new Error("no \\u001b[31m"); }`,
    );
    const { status, stdout } = await tidemark(["explore", world]);
    expect(status).toBe(1);
    expect(stdout).toContain("\nthe application of a threw: no ?[31m\n  after 1 step:\n");
    const steps = stdout.split("\n").filter((line) => line.startsWith("    "));
    expect(steps).toEqual(['    a timer "l1\\nl2"']);
    const schedule = file("steps.txt", steps.join("\n"));
    const shown = await tidemark(["explore", world, "--replay", schedule]);
    expect(shown.status).toBe(0);
    expect(shown.stdout).toContain('a timer "l1\\nl2"\n  # the application of a threw: no ?[31m\n');
    for (const option of [["--json"], ["--max-depth", "1"], ["--order", "depth"]]) {
      const refused = await tidemark(["explore", world, "--replay", schedule, ...option]);
      expect(refused).toMatchObject({ status: 2, stdout: "" });
      expect(refused.stderr).toMatch(/'--replay <file>' cannot be used with/);
    }
  });

  test("a property that throws; nothing of its name drives the terminal", async () => {
    const property = `"\\u001b[2J": () => { throw new Error("\\u0007"); }`;
    const { status, stdout } = await tidemark(["explore", one("", `always: { ${property} }`)]);
    expect(status).toBe(1);
    expect(stdout).toContain('\nalways "?[2J" does not hold: it threw: ?\n');
    const never = await tidemark(["explore", one("", `sometimes: { "\\u001b[2J": () => false }`)]);
    expect(never.stdout).toContain('\nsometimes "?[2J": in no schedule\n');
  });

  test("an application that there is not is a mistake in the file", async () => {
    const { status, stderr } = await tidemark(["explore", one("capture: undefined")]);
    expect(stderr).toBe("tidemark: the application of a has no capture\n");
    expect(status).toBe(2);
  });

  test("Ctrl-C ends it with what is known, and status 130", async () => {
    // Each process counts to a hundred by itself: a million states, of few states of single processes.
    const endless = file(
      "counting.mjs",
      `export default {
        processes: ["a", "b", "c", "d"],
        application: (id) => {
          let n = 0;
          return {
            start: (turn) => turn.setTimer("x", 1),
            timer: (_, turn) => { n += 1; if (n < 100) turn.setTimer("x", 1); },
            capture: () => n,
            restore() {},
          };
        },
        sometimes: { "shown": () => globalThis.shown ??= (console.log("begun"), true) },
      };`,
    );
    const program = new Started(["explore", endless, "--json"]);
    await program.lines(1);
    program.child.kill("SIGINT");
    const { status, stdout } = await program.ended;
    expect(status).toBe(130);
    const found = JSON.parse(stdout.replace("begun\n", ""));
    expect(found).toMatchObject({ complete: false, interrupted: true });
  });
});

describe("what is no world, or no schedule, is a mistake in the command", () => {
  const bad: readonly (readonly [what: string, make: () => string, reason: RegExp])[] = [
    ["no file", () => "nowhere.ts", /there is no file nowhere\.ts/],
    ["a directory", () => temporaryDirectory(), /is a directory, and not a file/],
    ["not JavaScript", () => file("x.mjs", "this is not"), /cannot be loaded/],
    ["no types of ours", () => file("x.ts", "\nenum E { A }"), /cannot be loaded.*x\.ts:2\)/],
    ["throws", () => file("x.mjs", "\n\nthrow new Error('no')"), /be loaded: no \(at .*x\.mjs:3\)/],
    [
      "waits for ever",
      () => file("x.mjs", "await new Promise(() => {})"),
      /awaits what never comes/,
    ],
    ["ends the program", () => file("x.mjs", "process.exit(0)"), /calls process\.exit/],
    ["a typing error", () => counting("allways: {}"), /"allways"; did you mean "always"\?/],
    ["no list", () => counting("requests: 5"), /counting\.mjs: requests must be a list/],
    ["no property", () => counting("always: { p: true }"), /always "p" must be a function/],
    ["no default", () => file("x.mjs", "export const a = 1"), /exports no world by default/],
    ["an unknown process", () => counting(`snapshots: ["c"]`), /c/],
    [
      "a name that is none",
      () => file("x.mjs", "export default { processes: ['not one'], application: () => ({}) }"),
      /not one/,
    ],
  ];
  for (const [what, make, reason] of bad)
    test(what, async () => {
      const path = make();
      for (const command of [["sim", "run"], ["explore"]]) {
        const { status, stderr } = await tidemark([...command, path]);
        expect(stderr).toMatch(reason);
        expect(status).toBe(2);
        expect(stderr.trim().split("\n")).toHaveLength(1);
      }
    });

  test("a schedule that is none, or is not possible", async () => {
    const replay = (path: string) => tidemark(["explore", SHOP, "--replay", path]);
    for (const [path, reason] of [
      ["nowhere.txt", /nowhere\.txt cannot be read/],
      [file("a.txt", "ann sings"), /line 1, "ann sings"/],
      [file("b.txt", "ann receives from shop"), /step 1 of the schedule/],
    ] as const) {
      const { status, stderr } = await replay(path);
      expect(stderr).toMatch(reason);
      expect(status).toBe(2);
    }
  });

  test.each([
    [["--seeds", "5..1"], /first and the last/],
    [["--seeds", "x"], /first and the last/],
    [["--faults", '{"losses":1}'], /there is no "losses"/],
    [["--faults", '{"loss":2}'], /loss must be a number from 0 to 1/],
    [["--seed", "1", "--seeds", "1..2"], /cannot be used with/],
    [["--trace", "--json"], /'--json' cannot be used with option '--trace'/],
  ])("%o", async (args, reason) => {
    const { status, stderr } = await tidemark(["sim", "run", SHOP, ...args]);
    expect(stderr).toMatch(reason);
    expect(status).toBe(2);
  });
});

test.each([
  [["sim", "run"], "tidemark sim run"],
  [["explore"], "tidemark explore"],
])(
  "%o --help has examples and exit statuses, fits 80 columns, and leaves nothing undocumented",
  async (command, name) => {
    const { status, stdout } = await tidemark([...command, "--help"]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^Exit status: /m);
    expect(stdout).toMatch(new RegExp(`^Examples:\n {2}${name}`, "m"));
    expect(stdout.split("\n").filter((line) => line.length > 80)).toEqual([]);
    for (const [, option] of stdout.matchAll(/^ {2}(?:-., )?(--[a-z-]+)/gm))
      if (option !== "--help") expect(manual).toContain(`\`${option}`);
  },
);
