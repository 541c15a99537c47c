// `--tls` of commands, with certificates made as docs/operate/tls.md says.
import { execFileSync } from "node:child_process";
import { chmodSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { root } from "../docs/printed.ts";
import { freePorts } from "../support/ports.ts";
import { Started, temporaryDirectory, tidemark, until } from "./support/command.ts";
import { clientWhenServed } from "./support/store-clients.ts";

const home = mkdtempSync(join(tmpdir(), "tidemark-tls-"));
const folder = join(home, "certificates");

afterAll(() => rmSync(home, { recursive: true }));
beforeAll(() => {
  const page = readFileSync(join(root, "docs/operate/tls.md"), "utf8");
  const blocks = [...page.matchAll(/```sh\n(.*?)```/gs)].map(([, commands]) => commands as string);
  const making = blocks.filter((commands) => commands.includes("openssl"));
  expect(making).toHaveLength(2);
  for (const commands of making)
    execFileSync("bash", ["-euc", commands], { cwd: home, stdio: "pipe" });
}, 60_000);

/** The folder with something done to it. */
function spoiled(spoil: (folder: string) => void): string {
  const copy = join(temporaryDirectory(), "certificates");
  cpSync(folder, copy, { recursive: true });
  spoil(copy);
  return copy;
}

test("a store one by one, each with its certificate, and one whose certificate is another's", {
  timeout: 120_000,
}, async () => {
  const [port, at] = [await freePorts(3), await freePorts(3)];
  const names = ["a", "b", "c"];
  const start = (id: string, tls: string[]): Started => {
    const i = names.indexOf(id);
    const peers = names.flatMap((name, k) =>
      name === id ? [] : ["--peer", `${name}=127.0.0.1:${at + k}`],
    );
    const listen = ["--listen", `127.0.0.1:${at + i}`, "--port", String(port + i)];
    const dir = ["--dir", temporaryDirectory(), "--log", "none"];
    return new Started(["kv", "--join", id, ...listen, ...peers, ...dir, ...tls]);
  };
  const [a, b] = [start("a", ["--tls", folder]), start("b", ["--tls", folder])];
  const c = start("c", []);
  const one = await clientWhenServed(port);
  await until("c to be refused", async () => c.stderr.includes("it speaks TLS, and"));
  await until(
    "a to tell of c",
    async () => a.stderr.includes("c at 127.0.0.1:") && a.stderr.includes("it does not speak TLS"),
  );
  c.child.kill("SIGTERM");
  await c.ended;
  const better = start("c", ["--tls", folder]);
  expect(await one.ask("SET", "k", "v")).toBe("+OK");
  const three = await clientWhenServed(port + 2);
  await until("c to have it", async () => (await three.ask("GET", "k")) === "$v");
  for (const one of [a, b, better]) one.child.kill("SIGTERM");
  for (const one of [a, b, better]) expect((await one.ended).status).toBe(0);
});

test("a system of one machine, whose processes each show their own", {
  timeout: 60_000,
}, async () => {
  const names = ["p1", "p2", "p3"];
  const page = readFileSync(join(root, "docs/operate/tls.md"), "utf8");
  const made = /for name in a b c; do\n.*?\ndone/s.exec(page)?.[0] as string;
  execFileSync("bash", ["-euc", made.replace("a b c", names.join(" "))], {
    cwd: home,
    stdio: "pipe",
  });
  const args = [
    "up",
    "--processes",
    "3",
    "--count",
    "2",
    "--interval",
    "100ms",
    "--json",
    "--no-ui",
  ];
  const done = await tidemark([...args, "--tls", folder, "--dir", temporaryDirectory()]);
  expect(done).toMatchObject({ status: 0, stderr: "" });
  expect(JSON.parse(done.stdout.trim().split("\n").at(-1) as string)).toMatchObject({
    snapshots: 2,
    consistent: 2,
  });
});

describe("what is wrong with the files is told before anything starts", () => {
  const wrong: readonly (readonly [string, (folder: string) => void, RegExp])[] = [
    ["no folder", (at) => rmSync(at, { recursive: true }), /a has no ca\.pem .*ENOENT/],
    ["no key", (at) => rmSync(join(at, "a.key")), /a has no a\.key .*ENOENT/],
    [
      "no certificate in it",
      (at) => writeFileSync(join(at, "a.pem"), ""),
      /tls\.cert is not a cert/,
    ],
    [
      "the key of another",
      (at) => cpSync(join(at, "b.key"), join(at, "a.key")),
      /tls\.key is not the/,
    ],
    [
      "the certificate of another",
      (at) => {
        for (const end of ["pem", "key"]) cpSync(join(at, `b.${end}`), join(at, `a.${end}`));
      },
      /a cannot show who it is: the certificate is that of b, and not of a/,
    ],
  ];
  test.each(wrong)("%s", async (_, spoil, words) => {
    const tls = ["--tls", spoiled(spoil)];
    for (const command of [
      ["kv", "--join", "a", "--listen", "127.0.0.1:1", "--peer", "b=127.0.0.1:2"],
      ["chat", "--id", "a"],
    ]) {
      const done = await tidemark([...command, ...tls, "--dir", temporaryDirectory()]);
      expect(done.stderr).toMatch(words);
      expect(done).toMatchObject({ status: 2, stdout: "" });
      expect(done.stderr).not.toContain("PRIVATE KEY");
    }
  });

  test("a folder that cannot be entered", async () => {
    if (process.getuid?.() === 0) return;
    const at = spoiled((copy) => chmodSync(copy, 0));
    const done = await tidemark(["chat", "--id", "a", "--tls", at, "--dir", temporaryDirectory()]);
    expect(done.stderr).toMatch(/a has no ca\.pem .*EACCES/);
  });
});
