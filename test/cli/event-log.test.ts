import { readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { EVENTS, type EventName, openEventLog } from "../../src/cli/event-log.ts";
import { TidemarkError } from "../../src/core/error.ts";
import { freePorts } from "../support/ports.ts";
import { parseLines, Started, temporaryDirectory, tidemark, until } from "./support/command.ts";

const json = { logLevel: "info", logFormat: "json" } as const;

test("no secret is in a line of JSON, whatever stands around it", async () => {
  const secret = fc.oneof(
    fc.string({ unit: "grapheme-ascii", minLength: 8, maxLength: 20 }),
    fc.constantFrom("hunter2", 'a"b\\c', "p\n", "0123456789abcdef".repeat(4)),
  );
  const beside = fc.constantFrom("", " ", "\n", "\t", '"', "\\", ":", "@", "=", "#token=");
  await fc.assert(
    fc.asyncProperty(secret, beside, beside, async (one, before, after) => {
      // What is a part of the words themselves is none.
      fc.pre(
        !/^[\s{}[\],:"]*$/.test(one) &&
          !"timeleveleventtextpidprocess_problemwhyinfoand".includes(one),
      );
      const lines: string[] = [];
      const log = await openEventLog(json, [one], (line) => lines.push(line));
      const text = `and${before === "" ? " " : before}${one}${after === "" ? " " : after}and`;
      const tell = log.through(() => {});
      tell(text, { event: "process_problem", why: text, list: [text], parts: { text } });
      log.fail(new TidemarkError("BAD_OPTION", text));
      expect(lines).toHaveLength(2);
      for (const line of lines) {
        const said = JSON.stringify(JSON.parse(line));
        expect(said).not.toContain(JSON.stringify(one).slice(1, -1));
      }
    }),
    { numRuns: 500, seed: 3 },
  );
});

test("a short secret is not taken out of words, and the token of a page never stays", async () => {
  const lines: string[] = [];
  const log = await openEventLog(json, ["is"], (line) => lines.push(line));
  const token = "0123456789abcdef0123456789abcdef";
  log.through(() => {})(`this is http://127.0.0.1:1/#token=${token}`, { event: "page_served" });
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({
    ...{
      level: "info",
      event: "page_served",
      text: "this [secret] http://127.0.0.1:1/#token=[secret]",
    },
  });
});

test("what is below the level is not told, in either form", async () => {
  for (const logFormat of ["text", "json"] as const)
    for (const [logLevel, told] of [
      ["debug", 3],
      ["info", 3],
      ["warn", 2],
      ["error", 1],
      ["silent", 0],
    ] as const) {
      const lines: string[] = [];
      const log = await openEventLog({ logLevel, logFormat }, [], (line) => lines.push(line));
      const tell = log.through((text) => lines.push(text));
      const events: readonly EventName[] = ["restored", "disturbed", "process_given_up"];
      for (const event of events) tell(event, { event });
      expect(lines, `${logFormat} ${logLevel}`).toHaveLength(told);
    }
});

test("a store tells what happens as lines of JSON, with names and fields that stay", async () => {
  const directory = temporaryDirectory();
  const at = ["--dir", directory];
  const password = "correct-horse-battery";
  const port = String(await freePorts(2));
  const set = ["--set", `requirepass=${password}`, "--metrics", "127.0.0.1:0", "--ui-port", "0"];
  const store = new Started([
    ...["kv", ...at, "--processes", "2", "--port", port, "--log-format", "json", ...set],
  ]);
  const events = (): ReadonlyMap<string, Record<string, unknown>> =>
    new Map(
      store.stderr
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line))
        .map((one) => [one.event, one]),
    );
  await until("it has begun", () => events().has("system_began"));
  const [{ processes }] = parseLines((await tidemark(["status", "--json", ...at])).stdout);
  process.kill(processes[1].pid, "SIGKILL");
  await until("it is back", () => events().has("process_restarted"));
  store.child.kill("SIGINT");
  const { status, stdout, stderr } = await store.ended;
  expect(status).toBe(0);
  const all = events();
  for (const [event, one] of all) {
    expect(one).toMatchObject({
      level: EVENTS[event as EventName][0],
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      text: expect.any(String),
    });
  }
  expect(all.get("page_served")?.["url"]).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  expect(all.get("system_began")).toMatchObject({
    epoch: 1,
    began: { p1: "nothing", p2: "nothing" },
  });
  expect(all.get("process_ended")).toMatchObject({ process: "p2", ends: 1, restarts: 5 });
  expect(all.get("process_restarted")).toMatchObject({ process: "p2", beganWith: "log" });
  expect(stdout + stderr).not.toMatch(/token=|correct-horse/);
});

test("what ends the command is told so, too, with its exit status", async () => {
  const at = ["--dir", temporaryDirectory()];
  const args = ["up", ...at, "--log-format", "json", "--no-ui", "--port", "65535"];
  const { status, stderr } = await tidemark(args);
  expect(status).toBe(2);
  expect(parseLines(stderr)).toEqual([
    expect.objectContaining({ level: "error", event: "failed", code: "BAD_OPTION" }),
  ]);
  const text = await tidemark(["up", ...at, "--no-ui", "--port", "65535"]);
  expect(text).toMatchObject({
    status: 2,
    stderr: "tidemark: there are no 4 ports from 65535 on\n",
  });
});

test("docs/operate/logs.md has exactly the events there are", () => {
  const page = readFileSync(new URL("../../docs/operate/logs.md", import.meta.url), "utf8");
  const rows = page
    .split("\n")
    .filter((line) => /^\| `[a-z_]+` \| (debug|info|warn|error) \|/.test(line));
  const expected = Object.entries(EVENTS).map(
    ([event, [level, meaning]]) => `| \`${event}\` | ${level} | ${meaning} |`,
  );
  expect(rows).toEqual(expected);
});
