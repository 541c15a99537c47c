// What comes in over HTTP: requests made of the server's own description, and bytes that are none.
import { connect } from "node:net";
import fc from "fast-check";
import { expect, test } from "vitest";
import { freePorts } from "../support/ports.ts";
import { cases, fuzzed } from "../support/soak.ts";
import { Served } from "../web/support/served.ts";

interface Described {
  readonly paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

const json = fc.oneof(
  { weight: 3, arbitrary: fc.jsonValue({ maxDepth: 2 }) },
  { weight: 1, arbitrary: fc.constantFrom("p1", "p1/1", "", "../..", 0, -1, 1e308, null, [], {}) },
);
/** Names that the routes know, so that some of it gets past the first check. */
const NAMES = [
  "process",
  "kind",
  "label",
  "timeoutMs",
  "parts",
  "command",
  "words",
  "request",
  "predicate",
  "forMs",
  "options",
  "db",
  "key",
  "pattern",
  "x",
];
const body = fc.oneof(
  json,
  fc.dictionary(fc.constantFrom(...NAMES), json, { maxKeys: 4 }),
  fc.string({ maxLength: 60 }),
);
const query = fc.dictionary(
  fc.constantFrom("from", "limit", "kind", "text", "db", "cursor", "pattern", "topics", "x"),
  fc.oneof(fc.string({ maxLength: 20 }), fc.integer().map(String)),
  { maxKeys: 3 },
);
/** No snapshot is called so, and no process: what would change something finds nothing to change. */
const part = fc.oneof(
  fc.constantFrom("nobody", "nobody/1", "0", "%00", "%2e%2e", "a".repeat(300)),
  fc.string({ minLength: 1, maxLength: 12 }).map((text) => `nobody-${encodeURIComponent(text)}`),
);
/** What they do is not undone. */
const LEFT_OUT = /disturb/;

test("whatever is asked, the answer says what is wrong, and the server goes on", async () => {
  const port = await freePorts(1);
  await using served = await Served.start(["kv", "--processes", "1", "--port", String(port)]);
  const { origin, token } = served;
  const described = (await served.ask("GET", "/api/openapi.json")).body as unknown as Described;
  const routes = Object.entries(described.paths).flatMap(([path, methods]) =>
    Object.keys(methods)
      .filter((method) => !LEFT_OUT.test(path) && method !== "head")
      .map((method) => [method.toUpperCase(), path] as const),
  );
  expect(routes.length).toBeGreaterThan(20);
  const headers = { authorization: `Bearer ${token}` };
  const ask = async (path: string, init: RequestInit): Promise<void> => {
    const answer = await fetch(`${origin}${path}`, {
      ...init,
      signal: AbortSignal.timeout(30_000),
    });
    // Some answers go on for as long as they are listened to.
    if (answer.headers.get("content-type")?.startsWith("text/event-stream")) {
      await answer.body?.cancel();
      return;
    }
    const text = await answer.text();
    // 500 is an error that nobody thought of.
    expect(answer.status, `${init.method} ${path} ${String(init.body)}: ${text}`).not.toBe(500);
    if (answer.status >= 400 && text !== "") expect(JSON.parse(text)).toHaveProperty("code");
  };
  const asked = fc.record({
    route: fc.constantFrom(...routes),
    parts: fc.array(part, { minLength: 4, maxLength: 4 }),
    query,
    body,
    type: fc.constantFrom("application/json", "application/json", "text/plain", "x"),
    raw: fc.boolean(),
  });
  const runs = cases("http-fuzz", 300, 30_000);
  await fc.assert(
    fc.asyncProperty(asked, async ({ route, parts, query: given, body: content, type, raw }) => {
      const [method, path] = route;
      let at = 0;
      const filled = path.replaceAll(/\{[^}]*\}/g, () => parts[at++ % parts.length] as string);
      const search = new URLSearchParams(given).toString();
      const hasBody = method !== "GET" && method !== "DELETE";
      await ask(`${filled}${search === "" ? "" : `?${search}`}`, {
        method,
        headers: { ...headers, ...(hasBody ? { "content-type": type } : {}) },
        ...(hasBody
          ? { body: raw && typeof content === "string" ? content : JSON.stringify(content) }
          : {}),
      });
    }),
    { numRuns: runs, endOnFailure: true },
  );
  const { hostname, port: own } = new URL(origin);
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc
      .tuple(
        fc.constantFrom("GET /api/about HTTP/1.1\r\n", "POST /api/snapshots HTTP/1.1\r\n", "GET"),
        fc.string({ maxLength: 80 }),
        fc.constantFrom("\r\n\r\n", "\r\n", ""),
      )
      .map((texts) => new Uint8Array(Buffer.from(texts.join(""), "latin1"))),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(bytes, { maxLength: 4 }), async (pieces) => {
      const socket = connect(Number(own), hostname);
      const over = new Promise((resolve) => socket.on("close", resolve));
      socket.on("error", () => undefined).resume();
      for (const piece of pieces) socket.write(piece);
      socket.end();
      await over;
    }),
    { numRuns: runs, endOnFailure: true },
  );
  fuzzed("HTTP", 2 * runs);
  expect((await served.ask("GET", "/api/about")).status).toBe(200);
}, 3_600_000);
