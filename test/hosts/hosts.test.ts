// A store on three hosts, with certificates: hosts are cut off and come back, and the clock of one is wrong.
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { temporaryDirectory, until } from "../cli/support/command.ts";
import { Authority } from "../support/certificates.ts";
import { type Host, lacksHosts, Network } from "./hosts.ts";
import { add, agree, listAt, NAMES, PATIENCE_MS, PORT, type Three, writes } from "./three.ts";

/** @param clocks how far ahead the clock of a host is, by name */
async function start(clocks: Readonly<Record<string, string>> = {}): Promise<Three> {
  const network = new Network(3);
  onTestFinished(() => network.close());
  const authority = new Authority();
  onTestFinished(() => authority.close());
  const hosts = Object.fromEntries(NAMES.map((name, i) => [name, network.hosts[i] as Host]));
  for (const name of NAMES) {
    const directory = temporaryDirectory();
    const tls = join(directory, "certificates");
    mkdirSync(tls);
    writeFileSync(join(tls, "ca.pem"), authority.ca);
    const { certPath, keyPath } = authority.sign(name);
    cpSync(certPath, join(tls, `${name}.pem`));
    cpSync(keyPath, join(tls, `${name}.key`));
    const peers = NAMES.filter((other) => other !== name).flatMap((other) => [
      "--peer",
      `${other}=${hosts[other]?.address}:7400`,
    ]);
    const listen = ["--listen", `${hosts[name]?.address}:7400`];
    hosts[name]?.tidemark(
      ["kv", "--join", name, ...listen, ...peers, "--tls", tls, "--dir", directory],
      clocks[name],
    );
  }
  const three = hosts as unknown as Three;
  for (const host of Object.values(three)) await writes(host);
  return three;
}

test.skipIf(lacksHosts)(
  "hosts are cut off, one and then another, and come back",
  {
    timeout: 240_000,
  },
  async () => {
    const three = await start();
    const { a, b, c } = three;
    const answered: string[] = [];
    for (const [host, who] of [
      [a, "a"],
      [b, "b"],
      [c, "c"],
    ] as const)
      answered.push(...(await add(host, who, 0, 3)));
    expect(answered).toHaveLength(9);
    await agree(three, answered);

    // A minority: the two others go on, and who is alone is not answered.
    c.cut();
    const alone = add(c, "c", 100, 1);
    const going = await add(b, "b", 100, 3);
    expect(going).toHaveLength(3);
    expect(await alone).toEqual([]);
    expect(await c.redis(PORT, "GET", "begun")).toBe("yes");
    c.heal();
    answered.push(...going);
    await until(
      "c to write again",
      async () => (await add(c, "c", 200, 1)).length === 1,
      PATIENCE_MS,
    ).catch(() => undefined);

    // Who gives the order: nobody is answered until it is back, and then all is done.
    a.cut();
    const waiting = add(b, "b", 300, 1);
    expect(await waiting).toEqual([]);
    a.heal();
    await writes(b);
    answered.push(...(await add(b, "b", 400, 2)));
    const list = await listAt(b);
    // What nobody was told of was done all the same, for it lay waiting.
    expect(list).toContain("b300");
    expect(list).toContain("c100");
    await agree(three, answered);
  },
);

test.skipIf(lacksHosts)(
  "the clock of one host is an hour ahead, and of another an hour behind",
  {
    timeout: 240_000,
  },
  async () => {
    const three = await start({ b: "+1h", c: "-1h" });
    const { a, b, c } = three;
    const year = Number(await b.redis(PORT, "TIME").then((text) => text.split("\n")[0]));
    expect(Math.abs(year - Date.now() / 1000 - 3_600)).toBeLessThan(60);
    const answered: string[] = [];
    for (let round = 0; round < 3; round += 1)
      for (const [host, who] of [
        [a, "a"],
        [b, "b"],
        [c, "c"],
      ] as const)
        answered.push(...(await add(host, who, 10 * round, 2)));
    expect(answered).toHaveLength(18);
    await agree(three, answered);
    // A deadline is a time that is fixed where it was asked for; the replicas have the same.
    for (const [host, key] of [
      [a, "of-a"],
      [b, "of-b"],
      [c, "of-c"],
    ] as const)
      expect(await host.redis(PORT, "SET", key, "v", "EX", "36000")).toBe("OK");
    for (const key of ["of-a", "of-b", "of-c"]) {
      await until("all to have the deadline", async () => {
        const all = await Promise.all(
          [a, b, c].map((host) => host.redis(PORT, "PEXPIRETIME", key)),
        );
        return new Set(all).size === 1 && Number(all[0]) > Date.now();
      });
    }
  },
);
