import { expect, onTestFinished, test } from "vitest";
import { OperationsServer, type OperationsSource } from "../../src/serve/operations.ts";
import { until } from "../cli/support/command.ts";
import { readMetrics } from "./prometheus.ts";

const system = { version: "1", kind: "bank", processes: [] } as const;
const well = { isWell: true, reasons: [] };

async function serve(source: Partial<OperationsSource>): Promise<string> {
  const server = await OperationsServer.start(
    {
      measures: async () => system,
      health: async () => well,
      readiness: async () => well,
      ...source,
    },
    { host: "127.0.0.1", port: 0 },
  );
  onTestFinished(() => server.close());
  expect(server.warning).toBeUndefined();
  return server.url;
}

test("who asks while somebody is being answered gets that answer, and who asks later another", async () => {
  let looks = 0;
  let answer = (): void => {};
  const url = await serve({
    async measures() {
      looks += 1;
      await new Promise<void>((settle) => {
        answer = settle;
      });
      return system;
    },
  });
  let answered = 0;
  const asked = Array.from({ length: 10 }, async () => {
    const text = await (await fetch(`${url}/metrics`)).text();
    answered += 1;
    return text;
  });
  await until("somebody has asked", () => looks === 1);
  // Probes do not wait for a scrape.
  expect((await fetch(`${url}/healthz`)).status).toBe(200);
  // Some may be late enough to be the first of a second look; no more than that.
  while (answered < asked.length) {
    answer();
    await new Promise((settle) => setImmediate(settle));
  }
  const texts = await Promise.all(asked);
  expect(looks).toBeLessThan(asked.length);
  expect(new Set(texts).size).toBe(1);
  expect(readMetrics(texts[0] ?? "").has("tidemark_build_info")).toBe(true);
  const before = looks;
  const again = fetch(`${url}/metrics`);
  await until("it is looked at again", () => looks === before + 1);
  answer();
  expect((await again).status).toBe(200);
});

test("that it cannot be looked at is told, and is not for ever", async () => {
  const state: { isBroken: boolean } = { isBroken: true };
  const fail = async (): Promise<never> => {
    throw new Error("nobody knows");
  };
  const url = await serve({
    measures: () => (state.isBroken ? fail() : Promise.resolve(system)),
    health: () => (state.isBroken ? fail() : Promise.resolve(well)),
    readiness: async () => ({ isWell: false, reasons: ["it is a test"] }),
  });
  for (const path of ["/metrics", "/healthz"]) {
    const answer = await fetch(`${url}${path}`);
    expect(answer.status).toBe(500);
    expect(await answer.json()).toEqual({ code: "INTERNAL", message: "nobody knows" });
  }
  state.isBroken = false;
  for (const path of ["/metrics", "/healthz?verbose", "/metrics?x=/readyz"])
    expect((await fetch(`${url}${path}`)).status, path).toBe(200);
  const ready = await fetch(`${url}/readyz`);
  expect(ready.status).toBe(503);
  expect(ready.headers.get("cache-control")).toBe("no-store");
  expect(await ready.json()).toEqual({ status: "failing", reasons: ["it is a test"] });
});

test("a place that is taken is told", async () => {
  const { port } = new URL(await serve({}));
  const source = {
    measures: async () => system,
    health: async () => well,
    readiness: async () => well,
  };
  await expect(
    OperationsServer.start(source, { host: "127.0.0.1", port: Number(port) }),
  ).rejects.toMatchObject({
    code: "ADDRESS_IN_USE",
    message: `metrics cannot be served on 127.0.0.1:${port}: something else listens there`,
  });
});
