/**
 * A store that runs: its replicas, what the page asks of them, consoles, and what clients ask live.
 *
 * Keys, values and words are bytes. In JSON they are texts with one character for each byte, U+0000 to U+00FF, as the store itself has
 * them.
 */

import type { FastifyInstance } from "fastify";
import { isTidemarkError, TidemarkError, textOf } from "../../core/error.ts";
import type { ProcessId } from "../../core/id.ts";
import { CONVERGING } from "../../kv/namespaces.ts";
import type { TypedReply } from "../../kv/reply-reader.ts";
import type { PageReplica, PageStore, ReplicaFigures, StoreAnswer } from "./api.ts";
import type { PageBackend } from "./backend.ts";
import type { Topics } from "./event-stream.ts";
import { PrivateStream } from "./private-stream.ts";
import { answers, anything, list, number, object, type Schema, text, truth } from "./schema.ts";
import { StoreClients, type StoreRequests } from "./store-clients.ts";

const LOOK_MS = 1_000;
/** A replica that has not answered by then is shown as one that does not. */
const LOOK_TIMEOUT_MS = 2_000;
const ASK_TIMEOUT_MS = 10_000;
const [REQUESTS_MAX, WORDS_MAX, PROCESSES_MAX] = [2_000, 20_000, 64];
const FILTER_CHARACTERS = 200;
const DATABASES = 16;

const bytes = (description: string): Schema => ({
  ...{ type: "string", pattern: "^[\\u0000-\\u00ff]*$" },
  description: `${description}; a character for each byte`,
});
const request: Schema = {
  ...list(bytes("the name of a command, or what it is given")),
  ...{ minItems: 1, maxItems: WORDS_MAX },
};
const reply = anything(
  'as {"type": "bulk", "text": …}: type is status, error, integer, bulk, double, boolean, big or verbatim; null has no ' +
    "text; array, map, set and push have items",
);

/** The connections to the store that is served; undefined: nothing served here could be one. */
export function storeClients({ store }: PageBackend): StoreClients | undefined {
  return store && new StoreClients(store);
}

export function storeTopics(clients: StoreClients | undefined): Topics {
  return clients ? { store: { everyMs: LOOK_MS, look: () => lookAt(clients) } } : {};
}

/** @throws TidemarkError `NOT_FOUND` */
function storeIn(clients: StoreClients | undefined): StoreClients {
  if (clients) return clients;
  throw new TidemarkError("NOT_FOUND", "what runs here is no store: tidemark kv starts one");
}

export function storeRoutes(app: FastifyInstance, clients: StoreClients | undefined): void {
  app.addHook("onClose", async () => clients?.close());

  app.get(
    "/api/store",
    {
      schema: {
        tags: ["store"],
        summary: "The replicas of the store, as each says it is",
        response: answers(200, storeSchema),
      },
    },
    () => lookAt(storeIn(clients)),
  );

  app.post<{ Body: { password: string } }>(
    "/api/store/password",
    {
      schema: {
        tags: ["store"],
        summary: "Tell the server of the page the password of the store",
        description: "It is kept in memory until this server ends, if it is right.",
        body: object({ password: bytes("as AUTH takes it") }),
        response: answers(200, object({ accepted: truth("that it is right") })),
      },
    },
    async ({ body }) => {
      await storeIn(clients).login(body.password);
      return { accepted: true };
    },
  );

  app.post<{ Body: StoreRequests & { processes: readonly ProcessId[] } }>(
    "/api/store/requests",
    {
      schema: {
        tags: ["store"],
        summary: "Ask replicas, each on a connection that all pages share",
        description:
          "All are asked at the same time, and each answers to all requests, in order, in RESP3. What changes a connection, waits, " +
          "or is for " +
          "those who run a server is refused: a console has a connection of its own.",
        body: object({
          processes: {
            ...list(text("a process id")),
            ...{ minItems: 1, maxItems: PROCESSES_MAX, uniqueItems: true },
          },
          db: { type: "integer", minimum: 0, maximum: DATABASES - 1, description: "the database" },
          requests: { ...list(request), ...{ minItems: 1, maxItems: REQUESTS_MAX } },
          "isTransaction?": truth("all at one place of the order, or nothing: MULTI … EXEC"),
          "seen?": {
            ...list(object({ request, reply })),
            maxItems: REQUESTS_MAX,
            description:
              "with isTransaction: requests that only read a key, their second word, and how they were answered; nothing is done if " +
              "that has changed",
          },
        }),
        response: answers(
          200,
          object({
            answers: list(
              object({
                process: text("a process id"),
                "replies?": list(reply),
                "problem?": object({
                  code: text("a code"),
                  message: text("why it did not answer"),
                }),
                tookMs: number("until it had answered"),
              }),
            ),
          }),
        ),
      },
    },
    async ({ body: { processes, ...wanted } }) => {
      const store = storeIn(clients);
      if (wanted.seen && !wanted.isTransaction)
        throw new TidemarkError("BAD_OPTION", "seen is for a transaction: isTransaction is true");
      if (wanted.seen?.some(({ request: { length } }) => length < 2))
        throw new TidemarkError("BAD_OPTION", "what was seen is a request about a key");
      return { answers: await Promise.all(processes.map((one) => answerOf(store, one, wanted))) };
    },
  );

  app.get<{ Querystring: { process: ProcessId } }>(
    "/api/store/console",
    {
      schema: {
        tags: ["store"],
        summary: "Open a console: a connection of its own, as long as this is listened to",
        description:
          "Server-sent events: `opened` with the name of the session, `reply` to each command, `unasked` for what is said on " +
          "channels, `missed` " +
          "with a number of such that were left out, and `closed` with the reason.",
        querystring: object({ process: text("which replica") }),
      },
    },
    async ({ query }, answer) => {
      await storeIn(clients).openConsole(query.process, (gone) => new PrivateStream(answer, gone));
    },
  );

  app.post<{ Params: { session: string }; Body: { words: readonly string[] } }>(
    "/api/store/console/:session",
    {
      schema: {
        tags: ["store"],
        summary: "Send a command of a console; its reply comes on the stream",
        params: object({ session: text("as the stream of the console said") }),
        body: object({ words: request }),
        response: answers(
          200,
          object({ number: number("of the command: its reply has it as well") }),
        ),
      },
    },
    async ({ params, body }) => ({
      number: storeIn(clients).consoleOf(params.session).send(body.words),
    }),
  );

  app.get<{ Querystring: { processes?: readonly ProcessId[]; filter?: string } }>(
    "/api/store/commands",
    {
      schema: {
        tags: ["store"],
        summary: "What clients ask, live, as long as this is listened to",
        description:
          "Server-sent events: `watching` for each replica, `command` for each that a client has asked, and `missed` with the " +
          "number of those " +
          "that were left out, as they came faster than a page can show. What the server of the page asks by itself is not among them.",
        querystring: object({
          "processes?": { ...list(text("a process id")), maxItems: PROCESSES_MAX },
          "filter?": {
            ...{ type: "string", maxLength: FILTER_CHARACTERS },
            description: "only those with this in their line, as MONITOR shows it",
          },
        }),
      },
    },
    async ({ query: { processes = [], filter = "" } }, answer) => {
      await storeIn(clients).watch(processes, filter, (gone) => new PrivateStream(answer, gone));
    },
  );
}

async function answerOf(
  clients: StoreClients,
  process: ProcessId,
  requests: StoreRequests,
  timeoutMs: number = ASK_TIMEOUT_MS,
): Promise<StoreAnswer> {
  const beganMs = performance.now();
  const tookMs = (): number => Math.round(100 * (performance.now() - beganMs)) / 100;
  try {
    const replies = await clients.ask(process, requests, timeoutMs);
    return { process, replies, tookMs: tookMs() };
  } catch (error) {
    // What is wrong with the request itself is so for all of them.
    if (!isTidemarkError(error) || error.code === "BAD_OPTION" || error.code === "UNKNOWN_PROCESS")
      throw error;
    return { process, problem: { code: error.code, message: textOf(error) }, tookMs: tookMs() };
  }
}

const LOOK: StoreRequests = { db: 0, requests: [["INFO"], ["TIDEMARK", "STATUS"]] };

async function lookAt(clients: StoreClients): Promise<PageStore> {
  const addresses = [...(await clients.addresses())];
  const answered = await Promise.all(
    addresses.map(([process]) => answerOf(clients, process, LOOK, LOOK_TIMEOUT_MS)),
  );
  const namespaces = new Set<string>();
  const replicas = addresses.map(([process, { host, port }], i): PageReplica => {
    const { replies, problem } = answered[i] as StoreAnswer;
    const known = { process, address: `${host.includes(":") ? `[${host}]` : host}:${port}` };
    const [info, status] = replies ?? [];
    if (status?.type !== "map" || info?.type !== "verbatim")
      return { ...known, problem: problem?.message ?? "it does not say how it is" };
    const facts = factsIn(status.items);
    for (const one of facts.texts("namespaces")) namespaces.add(one);
    return { ...known, figures: figuresOf(info.text, facts, clients.askedOf(process)) };
  });
  return {
    ...{ atMs: Date.now(), replicas },
    namespaces: [...namespaces].map((text) => {
      const space = text.indexOf(" ");
      const [order, pattern] = [text.slice(0, space), text.slice(space + 1)];
      return { order: CONVERGING.find((level) => level === order) ?? "causal", pattern };
    }),
    wantsPassword: answered.some(({ replies = [], problem }) =>
      isPasswordWanted(problem?.code, replies[0]),
    ),
  };
}

/** The server refuses the greeting, or what comes behind it. */
function isPasswordWanted(code: string | undefined, first: TypedReply | undefined): boolean {
  return code === "HANDSHAKE_REFUSED" || (first?.type === "error" && /^NOAUTH/.test(first.text));
}

interface Facts {
  number(name: string): number;
  texts(name: string): readonly string[];
}

/** The pairs of a map. */
function factsIn(items: readonly TypedReply[]): Facts {
  const found = new Map<string, TypedReply>();
  for (let i = 0; i + 1 < items.length; i += 2) {
    const name = items[i] as TypedReply;
    if ("text" in name) found.set(name.text, items[i + 1] as TypedReply);
  }
  return {
    number(name) {
      const value = found.get(name);
      return value && "text" in value ? Number(value.text) : 0;
    },
    texts(name) {
      const value = found.get(name);
      return value && "items" in value
        ? value.items.flatMap((one) => ("text" in one ? [one.text] : []))
        : [];
    },
  };
}

function figuresOf(info: string, facts: Facts, ownCommands: number): ReplicaFigures {
  const of = (name: string): number =>
    Number(new RegExp(`^${name}:(\\d+)`, "m").exec(info)?.[1] ?? 0);
  const keys = [...info.matchAll(/^db(\d+):keys=(\d+)/gm)].map(([, db, count]) => [
    db,
    Number(count),
  ]);
  return {
    epoch: facts.number("epoch"),
    records: facts.number("records"),
    unsettled: facts.number("unsettled"),
    absent: facts.texts("absent"),
    waits: facts.texts("waits"),
    keys: Object.fromEntries(keys),
    usedBytes: of("used_memory"),
    clients: of("connected_clients"),
    commands: of("total_commands_processed"),
    ownCommands,
    upSeconds: of("uptime_in_seconds"),
  };
}

const storeSchema: Schema = object({
  atMs: number("of the look, since 1970"),
  replicas: list(
    object({
      process: text("a process id"),
      address: text("where clients reach it"),
      "problem?": text("why nothing is known of it"),
      "figures?": object({
        epoch: number("raised by every restore"),
        records: number("that it has done: its place in the order"),
        unsettled: number("effects on keys that converge, not known to be known to all"),
        absent: list(text("a process that it cannot reach")),
        waits: list(text("what waits there, and for what")),
        keys: {
          ...{ type: "object", additionalProperties: { type: "number" } },
          description: "by database, those with keys alone",
        },
        usedBytes: number("of memory"),
        clients: number("that are connected"),
        commands: number("that it has been asked since it started"),
        ownCommands: number("those of them that this server has asked, since it started itself"),
        upSeconds: number("since it started"),
      }),
    }),
  ),
  namespaces: list(
    object({ order: { enum: [...CONVERGING] }, pattern: bytes("of keys not in total order") }),
  ),
  wantsPassword: truth("it has a password, and this server was not told it, or another one"),
});
