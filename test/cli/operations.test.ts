import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { createConnection } from "node:net";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { METRICS } from "../../src/serve/metrics.ts";
import { isLoopback } from "../../src/serve/web/access.ts";
import { type Family, readMetrics } from "../serve/prometheus.ts";
import { freePorts } from "../support/ports.ts";
import { Served } from "../web/support/served.ts";
import { parseLines, Started, temporaryDirectory, tidemark, until } from "./support/command.ts";

/** A system whose metrics are served apart. */
async function watched(
  args: readonly string[],
): Promise<{ readonly started: Started; readonly origin: string; readonly at: readonly string[] }> {
  const at = ["--dir", temporaryDirectory()];
  const started = new Started([...args, ...at, "--metrics", "127.0.0.1:0"]);
  const said = (): string | undefined =>
    /metrics, health and readiness are at (\S+)/.exec(started.stderr)?.[1];
  await until("metrics are served", () => said() !== undefined);
  return { started, origin: String(said()), at };
}

const scrape = async (origin: string): Promise<ReadonlyMap<string, Family>> =>
  readMetrics(await (await fetch(`${origin}/metrics`)).text());

const valuesOf = (
  families: ReadonlyMap<string, Family>,
  name: string,
  label = "process",
): Readonly<Record<string, number>> =>
  Object.fromEntries(
    families.get(name)?.series.map(({ labels, value }) => [labels[label] ?? "", value]) ?? [],
  );

interface Probe {
  readonly status: number;
  readonly reasons: readonly string[];
}

async function probe(origin: string, path: string): Promise<Probe> {
  const answer = await fetch(`${origin}${path}`);
  const { reasons } = (await answer.json()) as Probe;
  return { status: answer.status, reasons };
}

const becomesReady = (origin: string): Promise<void> =>
  until("the system is ready", async () => (await probe(origin, "/readyz")).status === 200);

/** What a server answers to a request for another name. */
const statusFor = (origin: string, path: string, host: string): Promise<number> =>
  new Promise((settle, reject) => {
    get(`${origin}${path}`, { headers: { host } }, (answer) => {
      answer.resume();
      settle(answer.statusCode ?? 0);
    }).on("error", reject);
  });

/** Sends commands to a store, and waits for so many replies. */
async function command(port: number, text: string, replies: number): Promise<void> {
  const socket = createConnection(port, "127.0.0.1");
  onTestFinished(() => void socket.destroy());
  let heard = "";
  socket.setEncoding("utf8").on("data", (more) => {
    heard += more;
  });
  socket.write(text);
  await until("the store answers", () => heard.split("\r\n").length > replies);
  socket.destroy();
}

/** What the dashboard asks for: of its panels, and of the choice above them. */
function dashboardExpressions(): readonly string[] {
  const file = new URL("../../deploy/grafana/tidemark.json", import.meta.url);
  const { panels, templating } = JSON.parse(readFileSync(file, "utf8")) as {
    readonly panels: readonly { readonly targets?: readonly { readonly expr: string }[] }[];
    readonly templating: { readonly list: readonly { readonly query: { query?: string } }[] };
  };
  const asked = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
  const chosen = templating.list.flatMap(({ query }) => query.query ?? []);
  expect(asked.length).toBeGreaterThan(40);
  return [...asked, ...chosen];
}

/** Labels that Prometheus adds when it scrapes. */
const ADDED = ["instance", "job"];

/** Names of metrics and labels that are in no scrape; what only detectors have is in the table. */
function wrongIn(
  expressions: readonly string[],
  families: ReadonlyMap<string, Family>,
): readonly string[] {
  const labelsOf = new Map<string, ReadonlySet<string>>();
  for (const { series } of families.values())
    for (const { name, labels } of series)
      labelsOf.set(name, new Set([...(labelsOf.get(name) ?? []), ...Object.keys(labels)]));
  for (const { name, labels } of METRICS)
    if (name.startsWith("tidemark_detector_")) labelsOf.set(name, new Set(labels));
  return expressions.flatMap((expression) => {
    const names = expression.match(/\btidemark_\w+/g) ?? [];
    const known = new Set([...ADDED, ...names.flatMap((name) => [...(labelsOf.get(name) ?? [])])]);
    const labels = [
      ...[...expression.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list = ""]) =>
        list.split(/,\s*/),
      ),
      ...[...expression.matchAll(/[{,]\s*(\w+)\s*(?:=~|!=|!~|=)/g)].map(([, label = ""]) => label),
    ];
    return [
      ...names.filter((name) => !labelsOf.has(name)).map((name) => `${expression}: no ${name}`),
      ...labels.filter((label) => !known.has(label)).map((label) => `${expression}: no ${label}`),
      ...(names.length === 0 ? [`${expression}: of no metric`] : []),
    ];
  });
}

test("a dashboard that asks for what there is not is found out", () => {
  const families = readMetrics(
    '# TYPE tidemark_epoch gauge\n# HELP tidemark_epoch x.\ntidemark_epoch{process="a"} 1\n',
  );
  const right = ['max by (process) (tidemark_epoch{instance=~"x"})', "tidemark_detector_true"];
  expect(wrongIn(right, families)).toEqual([]);
  for (const wrong of [
    "tidemark_epochs",
    "rate(tidemark_epoch_total[1m])",
    "sum by (peer) (tidemark_epoch)",
    'tidemark_epoch{process="a",peer="b"}',
    "up",
  ])
    expect(wrongIn([wrong], families), wrong).toHaveLength(1);
});

test("a store is watched: every metric has its place, and says what was done", async () => {
  const port = await freePorts(2);
  const store = ["kv", "--no-ui", "--processes", "2", "--port", String(port), "--interval", "50ms"];
  const { started, origin, at } = await watched([...store, "--no-sync", "--json"]);
  await becomesReady(origin);
  await started.lines(3);
  const keys = Array.from({ length: 30 }, (_, i) => `SET key:${i} secret-value PX 600000\r\n`);
  await command(port, keys.join(""), keys.length);
  await command(port, "SET gone secret-value PX 1\r\n", 1);
  await until("the key that is over is gone at both", async () => {
    const found = valuesOf(await scrape(origin), "tidemark_store_expired_keys_total");
    return found["p1"] === 1 && found["p2"] === 1;
  });
  // Some of what is there comes only after the first look.
  await until("event loops are measured", async () =>
    (await scrape(origin)).has("tidemark_event_loop_delay_seconds"),
  );
  const text = await (await fetch(`${origin}/metrics`)).text();
  expect(text).not.toMatch(/secret|key:/);
  const families = readMetrics(text);
  const names = METRICS.map(({ name }) => name).filter((name) => !name.includes("detector"));
  expect([...families.keys()]).toEqual(names);
  for (const { name, type, help } of METRICS)
    if (families.has(name)) expect(families.get(name)).toMatchObject({ type, help });
  expect(valuesOf(families, "tidemark_store_keys")).toEqual({ p1: 30, p2: 30 });
  expect(valuesOf(families, "tidemark_store_keys_with_deadline")).toEqual({ p1: 30, p2: 30 });
  expect(valuesOf(families, "tidemark_store_commands_total")).toEqual({ p1: 31, p2: 0 });
  expect(valuesOf(families, "tidemark_process_up")).toEqual({ p1: 1, p2: 1 });
  expect(valuesOf(families, "tidemark_peer_up", "peer")).toEqual({ p1: 1, p2: 1 });
  expect(Object.values(valuesOf(families, "tidemark_log_appended_bytes_total"))).not.toContain(0);
  const complete = families
    .get("tidemark_snapshots_ended_total")
    ?.series.reduce((sum, { value }) => sum + value, 0);
  expect(complete).toBeGreaterThanOrEqual(3);

  expect(wrongIn(dashboardExpressions(), families)).toEqual([]);

  // As a scraper asks that knows OpenMetrics; and many at once.
  const accept = "application/openmetrics-text;version=1.0.0;q=0.9,text/plain;q=0.5";
  const open = await fetch(`${origin}/metrics`, { headers: { accept } });
  expect(open.headers.get("content-type")).toMatch(/^application\/openmetrics-text; version=1.0.0/);
  expect(readMetrics(await open.text(), true).size).toBe(families.size);
  const many = await Promise.all(Array.from({ length: 20 }, () => scrape(origin)));
  expect(many.every((one) => one.size === families.size)).toBe(true);

  // Nothing else is served, and to nobody who asks for another name.
  expect((await fetch(`${origin}/metrics`, { method: "POST" })).status).toBe(405);
  expect((await fetch(`${origin}/metrics`, { method: "HEAD" })).status).toBe(200);
  for (const path of ["/", "/api/about", "/metrics/", "/constructor"])
    expect((await fetch(`${origin}${path}`)).status, path).toBe(404);
  for (const path of ["/metrics", "/healthz", "/readyz"])
    expect(await statusFor(origin, path, "example.org"), path).toBe(403);
  expect(await tidemark(["status", "--ready", ...at])).toMatchObject({
    ...{ status: 0, stdout: "ready\n", stderr: "" },
  });
  started.child.kill("SIGINT");
  expect((await started.ended).status).toBe(0);
});

test("probes are told of a process that hangs, and of one that died and is back", async () => {
  const store = ["kv", "--no-ui", "--processes", "2", "--port", String(await freePorts(2))];
  const { started, origin, at } = await watched([...store, "--interval", "1h"]);
  await becomesReady(origin);
  const statuses = parseLines((await tidemark(["status", "--json", ...at])).stdout);
  const { pid } = statuses[0].processes[1];

  process.kill(pid, "SIGSTOP");
  onTestFinished(() => {
    try {
      process.kill(pid, "SIGCONT");
    } catch {
      // It has ended.
    }
  });
  expect(await probe(origin, "/healthz")).toEqual({
    status: 503,
    reasons: ["p2 does not answer: its event loop does not turn"],
  });
  const { status, reasons } = await probe(origin, "/readyz");
  expect([status, reasons[0]]).toEqual([503, "p2 does not answer"]);
  // What the others say is there all the same.
  const families = await scrape(origin);
  expect(valuesOf(families, "tidemark_process_up")).toEqual({ p1: 1, p2: 0 });
  expect(Object.keys(valuesOf(families, "tidemark_store_keys"))).toEqual(["p1"]);
  const ready = await tidemark(["status", "--ready", "--json", ...at]);
  expect(ready.status).toBe(1);
  expect(parseLines(ready.stdout)[0].reasons).toContain("p2 does not answer");
  process.kill(pid, "SIGCONT");
  await becomesReady(origin);
  expect((await probe(origin, "/healthz")).status).toBe(200);

  process.kill(pid, "SIGKILL");
  await until("it is missed", async () => (await probe(origin, "/readyz")).status === 503);
  // Who is being started again is no reason to end all.
  expect((await probe(origin, "/healthz")).status).toBe(200);
  await becomesReady(origin);
  const back = await scrape(origin);
  expect(valuesOf(back, "tidemark_process_restarts_total")).toEqual({ p1: 0, p2: 1 });
  expect(valuesOf(back, "tidemark_process_up")).toEqual({ p1: 1, p2: 1 });
  started.child.kill("SIGINT");
  expect((await started.ended).status).toBe(0);
});

test("one process of several machines is ready while it reaches a majority", async () => {
  const first = await freePorts(6);
  const names = ["a", "b", "c"];
  const peerOf = (name: string): string => `127.0.0.1:${first + names.indexOf(name)}`;
  const start = (name: string): Promise<Awaited<ReturnType<typeof watched>>> =>
    watched([
      ...["kv", "--join", name, "--listen", peerOf(name)],
      ...["--port", String(first + 3 + names.indexOf(name))],
      ...names.flatMap((peer) => (peer === name ? [] : ["--peer", `${peer}=${peerOf(peer)}`])),
    ]);
  const a = await start("a");
  await until("it says that it is alone", async () => {
    const { status, reasons } = await probe(a.origin, "/readyz");
    return (
      status === 503 && reasons.filter((one) => /^a does not reach [bc]/.test(one)).length === 2
    );
  });
  expect((await probe(a.origin, "/healthz")).status).toBe(200);
  const b = await start("b");
  await becomesReady(a.origin);
  await becomesReady(b.origin);
  const { reasons } = await probe(a.origin, "/readyz");
  expect(reasons).toEqual([expect.stringMatching(/^a does not reach c/)]);
  expect(valuesOf(await scrape(a.origin), "tidemark_peer_up", "peer")).toEqual({ b: 1, c: 0 });
  expect(valuesOf(await scrape(a.origin), "tidemark_process_up")).toEqual({ a: 1 });
  for (const { started } of [a, b]) started.child.kill("SIGTERM");
  expect((await a.started.ended).status).toBe(0);
  expect((await b.started.ended).status).toBe(0);
});

test("on the page's server probes need no token, and metrics do", async () => {
  await using served = await Served.start(["up", "--rate", "10"]);
  const { origin, token } = served;
  const authorization = `Bearer ${token}`;
  await becomesReady(origin);
  expect((await fetch(`${origin}/healthz`)).status).toBe(200);
  expect((await fetch(`${origin}/metrics`)).status).toBe(401);
  for (const path of ["/metrics", "/healthz", "/readyz"])
    expect(await statusFor(origin, path, "example.org"), path).toBe(403);
  const scraped = async () =>
    readMetrics(await (await fetch(`${origin}/metrics`, { headers: { authorization } })).text());
  const families = await scraped();
  expect(Object.keys(valuesOf(families, "tidemark_process_up"))).toHaveLength(4);
  expect(families.has("tidemark_store_keys")).toBe(false);
  expect(families.has("tidemark_detector_true")).toBe(false);
  // Detectors of the page are told of once they have looked.
  const body = { detectors: ["sum=money:4000", "termination"], everyMs: 100 };
  const watch = await fetch(`${origin}/api/watch`, {
    ...{ method: "PUT", body: JSON.stringify(body) },
    headers: { authorization, "content-type": "application/json" },
  });
  expect(watch.status).toBe(200);
  await until("detectors have looked", async () => (await scraped()).has("tidemark_detector_true"));
  const found = valuesOf(await scraped(), "tidemark_detector_true", "detector");
  expect(found).toEqual({ sum: 0, termination: 0 });
});

test("spans are made by what Node is told to import, in the process of each", async () => {
  const directory = temporaryDirectory();
  const told = join(directory, "spans");
  const telemetry = join(directory, "telemetry.mjs");
  writeFileSync(
    telemetry,
    `import { appendFileSync } from "node:fs";
import { trace } from ${JSON.stringify(import.meta.resolve("@opentelemetry/api"))};
const span = new Proxy({}, { get: () => () => span });
trace.setGlobalTracerProvider({
  getTracer: () => ({
    startSpan(name, { attributes }) {
      appendFileSync(${JSON.stringify(told)}, JSON.stringify({ name, ...attributes }) + "\\n");
      return span;
    },
  }),
});
`,
  );
  const args = ["up", "--dir", join(directory, "bank"), "--count", "2", "--no-ui", "--no-sync"];
  const env = { NODE_OPTIONS: `--import ${telemetry}` };
  expect((await tidemark(args, env)).status).toBe(0);
  expect(existsSync(told)).toBe(false);
  expect((await tidemark([...args, "--spans"], env)).status).toBe(0);
  const spans = parseLines(readFileSync(told, "utf8"));
  const roots = spans.filter(({ name }) => name === "tidemark.snapshot");
  expect(roots).toHaveLength(2);
  for (const one of roots)
    expect(one["tidemark.snapshot"]).toMatch(new RegExp(`^${one["tidemark.process"]}/`));
});

test("who can be reached from elsewhere is told from who cannot", () => {
  for (const host of ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
    expect(isLoopback(host)).toBe(true);
  for (const host of [
    "0.0.0.0",
    "::",
    "10.0.0.1",
    "127.0.0.1.example.org",
    "localhost.example.org",
  ])
    expect(isLoopback(host)).toBe(false);
});

test("the table of metrics in the documentation is the one there is", () => {
  const page = readFileSync(new URL("../../docs/operate/metrics.md", import.meta.url), "utf8");
  const rows = page.split("\n").filter((line) => line.startsWith("| `tidemark_"));
  const expected = METRICS.map(
    ({ name, type, labels, help }) => `| \`${name}\` | ${type} | ${labels.join(", ")} | ${help} |`,
  );
  expect(rows).toEqual(expected);
});
