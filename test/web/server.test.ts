import { request } from "node:http";
import { connect } from "node:net";
import { describe, expect, test } from "vitest";
import { until } from "../cli/support/command.ts";
import { Served } from "./support/served.ts";

/** What a server answers to a request with headers that `fetch` would not send. */
function answerTo(
  origin: string,
  path: string,
  headers: Readonly<Record<string, string>>,
): Promise<{ readonly status: number; readonly text: string; readonly headers: object }> {
  return new Promise((settle, reject) => {
    request(`${origin}${path}`, { headers }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (more: string) => {
        text += more;
      });
      answer.on("end", () =>
        settle({ status: answer.statusCode ?? 0, text, headers: answer.headers }),
      );
    })
      .on("error", reject)
      .end();
  });
}

test("nobody is answered without the token, from another origin, or by another name", async () => {
  await using served = await Served.start(["up", "--rate", "10"]);
  const { origin, token } = served;
  const authorization = `Bearer ${token}`;
  const about = (headers: Readonly<Record<string, string>>) =>
    answerTo(origin, "/api/about", headers);
  expect((await about({ authorization })).status).toBe(200);
  expect((await about({ authorization, origin })).status).toBe(200);
  expect(await about({})).toMatchObject({
    status: 401,
    text: expect.stringMatching(/UNAUTHORIZED/),
  });
  for (const wrong of ["Bearer ", `Bearer ${"0".repeat(32)}`, `Bearer ${token}0`, `Basic ${token}`])
    expect((await about({ authorization: wrong })).status).toBe(401);
  for (const path of [
    "/%61pi/about",
    "//api/about",
    "/api//about",
    "/API/about",
    "/nothing",
    "/api",
    "/api/snapshots/%zz/1/manifest",
  ])
    expect((await answerTo(origin, path, {})).status, path).toBe(401);
  const { port } = new URL(origin);
  for (const headers of [
    { origin: "http://127.0.0.1:1" },
    { origin: "https://example.org" },
    { origin: "null" },
    { host: "example.org" },
    { host: `example.org:${port}` },
    { host: "127.0.0.1:1" },
  ])
    expect(await about({ authorization, ...headers })).toMatchObject({
      status: 403,
      text: expect.stringMatching(/FORBIDDEN/),
    });
  // The page itself has no secret; but for a stranger's page there is none.
  for (const path of ["/", "/?from=a-link"]) {
    expect((await answerTo(origin, path, {})).status).toBe(200);
    expect((await answerTo(origin, path, { host: "example.org" })).status).toBe(403);
  }
  // What is no page is for those who may ask.
  for (const path of ["//", "/x", "/index.html", "/%2f"])
    expect((await answerTo(origin, path, {})).status).toBe(401);
  expect((await fetch(origin, { method: "POST" })).status).toBe(401);
  expect((await fetch(origin, { method: "HEAD" })).status).toBe(200);
});

test("the page may run nothing but its own script, and is shown in no other page", async () => {
  await using served = await Served.start(["up", "--rate", "10"]);
  const { headers, text } = await answerTo(served.origin, "/", {});
  expect(headers).toMatchObject({
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": expect.stringMatching(
      /^default-src 'none'; script-src 'sha256-[^']*'; style-src 'sha256-[^']*';.*frame-ancestors 'none'$/,
    ),
    "x-content-type-options": "nosniff",
  });
  expect(/<(script|link|img)[^>]* (src|href)=/.test(text), "the page loads something").toBe(false);
  expect(Buffer.byteLength(text)).toBeGreaterThan(50_000);
});

type Wrong = [what: string, method: string, path: string, body: unknown, status: number];

const sha256 = "0".repeat(64);
/** Of each route of one snapshot: one that there is not, and a name that none has. */
const snapshotRoutes: readonly Wrong[] = [
  ["a list from before its beginning", "GET", "/api/snapshots?from=-1", undefined, 400],
  ["a list from nowhere", "GET", "/api/snapshots?from=1.5", undefined, 400],
  ["a list of nothing", "GET", "/api/snapshots?limit=0", undefined, 400],
  ["a list of too much", "GET", "/api/snapshots?limit=501", undefined, 400],
  ["a list of another kind", "GET", "/api/snapshots?kind=good", undefined, 400],
  ["a list by another field", "GET", "/api/snapshots?label=x", undefined, 400],
  ["a list by a text too long", "GET", `/api/snapshots?text=${"x".repeat(257)}`, undefined, 400],
  ["parts that are no names", "POST", "/api/snapshots/p1/999/parts", { parts: ["../x"] }, 400],
  ["no parts", "POST", "/api/snapshots/p1/999/parts", { parts: [] }, 400],
  [
    "too many parts",
    "POST",
    "/api/snapshots/p1/9/parts",
    { parts: Array(2_049).fill(sha256) },
    400,
  ],
  ["an empty label", "PATCH", "/api/snapshots/p1/999", { label: "" }, 400],
  ["a label too long", "PATCH", "/api/snapshots/p1/999", { label: "x".repeat(257) }, 400],
  ["no label", "PATCH", "/api/snapshots/p1/999", {}, 400],
  ["no time", "POST", "/api/snapshots/p1/999/restore", { timeoutMs: 0 }, 400],
  ["no time", "POST", "/api/snapshots/p1/999/restore/plan", { timeoutMs: "soon" }, 400],
  ["no directory", "POST", "/api/snapshots/p1/999/clone", {}, 400],
  ["an empty directory", "POST", "/api/snapshots/p1/999/clone/plan", { directory: "" }, 400],
  [
    ...(["names that are none", "POST", "/api/snapshots/p1/999/clone"] as const),
    ...([{ directory: "x", rename: { p1: ["a", "b"] } }, 400] as const),
  ],
  ...(
    [
      ["GET", "/manifest"],
      ["POST", "/parts", { parts: [sha256] }],
      ["GET", "/file"],
      ["PATCH", "", { label: "x" }],
      ["DELETE", ""],
      ["POST", "/restore", {}],
      ["POST", "/restore/plan", {}],
      ["POST", "/clone", { directory: "/nowhere/to/be/made" }],
      ["POST", "/clone/plan", { directory: "/nowhere/to/be/made" }],
    ] as const
  ).flatMap(([method, below, body]): Wrong[] => [
    ["a snapshot that there is not", method, `/api/snapshots/p1/999${below}`, body, 404],
    ["what is no count", method, `/api/snapshots/p1/x${below}`, body, 400],
    [
      "what is no process",
      method,
      `/api/snapshots/${encodeURIComponent("../p1")}/1${below}`,
      body,
      400,
    ],
  ]),
  ["what is no count", "GET", "/api/snapshots/p1/0/attempt", undefined, 400],
  ["what is no path", "GET", "/api/snapshots/%zz/1/manifest", undefined, 400],
  ["an id without an end", "GET", `/api/snapshots/${"x".repeat(999)}/1/manifest`, undefined, 400],
  ["a file", "POST", "/api/snapshots/p1/999/clone", { directory: "package.json" }, 400],
];

describe("bad input", () => {
  const wrong: readonly Wrong[] = [
    ["no such route", "GET", "/api/nothing", undefined, 404],
    ["another method", "DELETE", "/api/about", undefined, 404],
    ["no JSON", "POST", "/api/snapshots", "{", 400],
    ["another field", "POST", "/api/snapshots", { labels: "x" }, 400],
    ["an empty label", "POST", "/api/snapshots", { label: "" }, 400],
    ["a label that is no text", "POST", "/api/snapshots", { label: { a: 1 } }, 400],
    ["a topic that there is not", "GET", "/api/events?topics=nothing", undefined, 400],
    ["no topics", "GET", "/api/events", undefined, 400],
    ["a process that there is not", "POST", "/api/requests", { process: "x", request: 1 }, 404],
    ["no request", "POST", "/api/requests", { process: "p1" }, 400],
    ["no time", "POST", "/api/requests", { process: "p1", request: 1, timeoutMs: 0 }, 400],
    ["a recording of no time", "POST", "/api/trace", { forMs: 0 }, 400],
    ["a recording of a day", "POST", "/api/trace", { forMs: 86_400_000 }, 400],
    ["a recording of too much", "POST", "/api/trace", { forMs: 10, events: 1e9 }, 400],
    ["a recording of what there is not", "POST", "/api/trace", { forMs: 10, states: true }, 400],
    ["no such disturbance", "POST", "/api/disturbances", { what: "burn", process: "p1" }, 400],
    ["a kill of nobody", "POST", "/api/disturbances", { what: "kill" }, 400],
    ["a cut of a process", "POST", "/api/disturbances", { what: "cut", process: "p1" }, 400],
    [
      "chaos that is not allowed",
      "POST",
      "/api/disturbances",
      { what: "kill", process: "p1" },
      400,
    ],
    ["no detector", "PUT", "/api/watch", { detectors: [], everyMs: 1000 }, 400],
    ["a detector that there is not", "PUT", "/api/watch", { detectors: ["x"], everyMs: 1000 }, 400],
    [
      "a detector twice",
      "PUT",
      "/api/watch",
      { detectors: ["sum=a", "sum=a:1"], everyMs: 1000 },
      400,
    ],
    [
      "too many detectors",
      "PUT",
      "/api/watch",
      { detectors: Array(17).fill("deadlock"), everyMs: 1000 },
      400,
    ],
    ["looks without a rest", "PUT", "/api/watch", { detectors: ["deadlock"], everyMs: 0 }, 400],
    ["no password", "POST", "/api/store/password", {}, 400],
    ["a password where there is no store", "POST", "/api/store/password", { password: "x" }, 404],
    ["no requests", "POST", "/api/store/requests", { processes: ["p1"], db: 0 }, 400],
    ["a console where there is no store", "GET", "/api/store/console?process=p1", undefined, 404],
    ["no replica for a console", "GET", "/api/store/console", undefined, 400],
    ["no command", "POST", "/api/store/console/1", { words: [] }, 400],
    ["a command for nobody", "POST", "/api/store/console/1", { words: ["PING"] }, 404],
    ["commands where there is no store", "GET", "/api/store/commands?filter=x", undefined, 404],
    ["a store where there is none", "GET", "/api/store", undefined, 404],
    ["a file where there is none", "GET", "/api/file", undefined, 404],
    ...snapshotRoutes,
    ["more than it takes", "POST", "/api/snapshots", { label: "x".repeat(2 ** 20) }, 413],
  ];

  test("is told what is wrong with it", { timeout: 60_000 }, async () => {
    await using served = await Served.start(["up", "--rate", "10"]);
    for (const [what, method, path, body, status] of wrong) {
      const answer = await served.ask(method, path, body);
      expect(answer.status, what).toBe(status);
      expect(answer.body, what).toEqual({
        code: expect.stringMatching(/^[A-Z_]+$/),
        message: expect.stringMatching(/./),
      });
    }
    expect((await served.ask("POST", "/api/snapshots", { label: "after" })).status).toBe(200);
  });

  test("of every route that takes some is among these", async () => {
    await using served = await Served.start(["up", "--rate", "10"]);
    const { paths } = (await served.ask("GET", "/api/openapi.json")).body as {
      paths: Record<string, Record<string, { parameters?: unknown; requestBody?: unknown }>>;
    };
    const takes = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods)
        .filter(([, { parameters, requestBody }]) => parameters ?? requestBody)
        .map(([method]) => `${method.toUpperCase()} ${path}`),
    );
    const tried = wrong.map(([, method, path]) => `${method} ${path.split("?")[0]}`);
    // A part of a path in braces stands for any.
    const isTried = (route: string): boolean => {
      const pattern = new RegExp(`^${route.replaceAll(/\{[^}]*\}/g, "[^/]+")}$`);
      return tried.some((one) => pattern.test(one));
    };
    expect(takes.filter((route) => !isTried(route))).toEqual([]);
    expect(takes.length).toBeGreaterThan(2);
  });
});

test("what cannot be done is no fault of the server", async () => {
  await using served = await Served.start(["up", "--rate", "10"]);
  const { snapshot } = (await served.ask("POST", "/api/snapshots", { label: "x" })).body;
  const clone = { directory: "no\0directory" };
  expect(await served.ask("POST", `/api/snapshots/${snapshot}/clone/plan`, clone)).toMatchObject({
    status: 507,
    body: { code: "STORE_FAILED", message: expect.stringMatching(/cannot read/) },
  });
});

test("who opens more connections than any browser is not let in", async () => {
  await using served = await Served.start(["up", "--rate", "10"]);
  const { port } = new URL(served.origin);
  const sockets = Array.from({ length: 540 }, () => connect(Number(port), "127.0.0.1"));
  let ended = 0;
  for (const socket of sockets) {
    socket.on("error", () => {});
    socket.once("close", () => {
      ended += 1;
    });
  }
  await until("the last ones are closed", () => ended >= 28);
  expect(ended, "the others stay").toBe(28);
  for (const socket of sockets) socket.destroy();
  await until("others are let in", async () => {
    const answer = await served.ask("GET", "/api/about").catch(() => undefined);
    return answer?.status === 200;
  });
});

test("the stream tells what happens, to many at once", async () => {
  await using served = await Served.start(["up", "--rate", "100"]);
  const heard = async (): Promise<string> => {
    const answer = await fetch(`${served.origin}/api/events?topics=status&topics=notes`, {
      headers: { authorization: `Bearer ${served.token}` },
    });
    let text = "";
    const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
    while (reader && text.split("event: status").length < 4)
      text += (await reader.read()).value ?? "";
    await reader?.cancel();
    return text;
  };
  for (const text of await Promise.all([heard(), heard(), heard()])) {
    expect(text).toContain("event: notes\ndata: {");
    const [, json = ""] = /event: status\ndata: (.*)/.exec(text) ?? [];
    expect(JSON.parse(json).value).toMatchObject({
      kind: "bank",
      causes: { late: expect.any(Array) },
    });
  }
});
