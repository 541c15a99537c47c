import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseLines, temporaryDirectory, tidemark } from "./support/command.ts";

const page = (name: string): string =>
  readFileSync(new URL(`../../docs/${name}`, import.meta.url), "utf8");

function written(text: string): string {
  const file = join(temporaryDirectory(), "run.jsonl");
  writeFileSync(file, text);
  return file;
}

/** The run of the page about it, and what is asked of it there. */
const LEARN = page("learn/possibly.md");
const [, RUN = ""] = /\$ cat run\.jsonl\n([^`]*)```/.exec(LEARN) ?? [];
const COMMANDS = [...LEARN.matchAll(/\$ tidemark trace (\w+) run\.jsonl '([^']*)'\n([^`$]*)/g)].map(
  ([, command = "", asked = "", says = ""]) => ({ command, asked, says }),
);

test("docs/learn asks a few things", () => {
  expect(COMMANDS.length).toBeGreaterThan(2);
});

test.for(COMMANDS)("docs/learn: $command $asked", async ({ command, asked, says }) => {
  const { stdout, stderr } = await tidemark(["trace", command, written(RUN), asked]);
  expect({ stdout, stderr }).toEqual({ stdout: says, stderr: "" });
});

/** The one of the reference. */
const [, LEADERS = "", ASKED = "", PRINTED = ""] =
  /\$ cat leaders\.jsonl\n([^$]*)\$ tidemark trace possibly leaders\.jsonl '([^']*)'\n([^`]*)```/.exec(
    page("use/command-line.md"),
  ) ?? [];

describe("tidemark trace possibly", () => {
  test("prints what the reference says", async () => {
    const ended = await tidemark(["trace", "possibly", written(LEADERS), ASKED]);
    expect(ended).toEqual({ status: 0, stdout: PRINTED, stderr: "" });
  });

  test("--json has the cut, the state there, and when it was observed", async () => {
    const file = written(LEADERS);
    const yes = await tidemark(["trace", "possibly", file, ASKED, "--json"]);
    expect(parseLines(yes.stdout)).toEqual([
      {
        ...{ holds: true, ways: ["sum"], explored: 0, cut: { a: 1, b: 1, c: 0 } },
        ...{ values: { a: { leader: true }, b: { leader: true }, c: {} }, inFlight: [] },
        observed: null,
      },
    ]);
    const no = await tidemark(["trace", "possibly", file, "count(leader) > 2", "--json"]);
    expect(parseLines(no.stdout)).toEqual([{ holds: false, ways: ["sum"], explored: 0 }]);
    expect([yes.status, no.status]).toEqual([0, 1]);
  });

  test("says what it does not know, with a status of its own", async () => {
    const apart = Array.from({ length: 80 }, (_, i) => ({
      ...{ process: `p${i % 8}`, type: "internal", values: { x: 2 * i + 2 } },
    }));
    const file = written(apart.map((line) => JSON.stringify(line)).join("\n"));
    const product = Array.from({ length: 8 }, (_, p) => `p${p}.x`).join(" * ");
    const args = ["trace", "possibly", file, `${product} == 3`, "--budget", "500"];
    const { status, stdout } = await tidemark(args);
    expect(stdout).toMatch(
      /^possibly: unknown: 500 cuts were looked at, as many as the budget has; it holds at none of up to [0-9]+ of 80 steps {2}\(lattice\)\n$/,
    );
    expect(status).toBe(3);
  });

  test("an expression may begin with a minus, and a trace be empty", async () => {
    const negative = ["trace", "possibly", written(LEADERS), "--", "-1 < 0"];
    expect((await tidemark(negative)).status).toBe(0);
    expect((await tidemark(["trace", "possibly", written(""), "true"])).stdout).toMatch(
      /^possibly: yes, at the beginning {2}\(/,
    );
    const named = await tidemark(["trace", "possibly", written(""), "a.x == 1"]);
    expect(named.stderr).toContain("there is no process a; the trace has none\n");
  });

  test("an expression that is wrong is told with its place", async () => {
    const ended = await tidemark(["trace", "possibly", written(LEADERS), "a.leader && a.leder"]);
    expect(ended).toEqual({
      ...{ status: 2, stdout: "" },
      stderr:
        "tidemark: the expression is wrong at character 15, leder: a has no value leder; it has leader\n",
    });
    const empty = await tidemark(["trace", "definitely", written(""), "sum(x) > 1"]);
    expect(empty).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/no process has a value x/),
    });
  });
});

describe("tidemark trace definitely", () => {
  test("shows an order in which it never holds", async () => {
    const args = ["trace", "definitely", written(LEADERS), "a.leader && b.leader", "--json"];
    const { status, stdout } = await tidemark(args);
    const [{ holds, order }] = parseLines(stdout);
    expect({ status, holds }).toEqual({ status: 1, holds: false });
    expect([...order].sort()).toEqual(["a:1", "a:2", "b:1", "b:2", "c:1"]);
  });

  test("says yes", async () => {
    const ended = await tidemark(["trace", "definitely", written(LEADERS), "count(leader) > 0"]);
    expect(ended).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^definitely: yes {2}\(/),
    });
  });
});
