/** The HTTP API of the page, made of the routes of each of its views; who asks, and how all that goes wrong is answered. */

import type { Server } from "node:http";
import swagger from "@fastify/swagger";
import fastify, { type FastifyError, type FastifyInstance } from "fastify";
import { type ErrorCode, isTidemarkError, textOf } from "../../core/error.ts";
import type { Handler, ServedPage } from "../web-server.ts";
import type { Access } from "./access.ts";
import type { PageProblem } from "./api.ts";
import type { PageBackend } from "./backend.ts";
import { EventStream } from "./event-stream.ts";
import { fileRoutes } from "./file-routes.ts";
import { problemSchema } from "./schema.ts";
import { snapshotRoutes } from "./snapshot-routes.ts";
import { storeClients, storeRoutes, storeTopics } from "./store-routes.ts";
import { systemRoutes, systemTopics } from "./system-routes.ts";
import { traceRoutes } from "./trace-routes.ts";
import { watchingOf, watchRoutes, watchTopics } from "./watch-routes.ts";

interface RoutesOptions {
  readonly backend: PageBackend;
  readonly access: Access;
  readonly server: Server;
  readonly page: ServedPage;
}

interface Routes {
  readonly app: FastifyInstance;
  readonly handler: Handler;
  readonly stream: EventStream;
}

const BODY_BYTES_MAX = 1 << 20;

/** What anybody may have: the page itself, which knows nothing. */
const OPEN: readonly string[] = ["/", "/favicon.ico"];

/** What a fault that has another status than 500 is answered with. */
const STATUS: Readonly<Partial<Record<ErrorCode, number>>> = {
  BAD_OPTION: 400,
  BAD_ID: 400,
  BAD_MESSAGE: 400,
  UNKNOWN_PROCESS: 404,
  NO_CHANNEL: 404,
  NOT_FOUND: 404,
  BUSY: 409,
  IN_USE: 409,
  EPOCH_TAKEN: 409,
  ALREADY_RUNNING: 409,
  DAMAGED: 422,
  KEY_REQUIRED: 403,
  WRONG_KEY: 403,
  HANDSHAKE_REFUSED: 403,
  NOT_RUNNING: 503,
  PEER_UNREACHABLE: 503,
  STOPPED: 503,
};

export async function makeRoutes({
  backend,
  access,
  server,
  page,
}: RoutesOptions): Promise<Routes> {
  let handler: Handler = () => {};
  const app = fastify({
    serverFactory(own) {
      handler = own as Handler;
      return server;
    },
    bodyLimit: BODY_BYTES_MAX,
    ajv: { customOptions: { removeAdditional: false, coerceTypes: "array" } },
    return503OnClosing: false,
  });
  const watching = watchingOf(backend);
  const store = storeClients(backend);
  const stream = new EventStream({
    ...systemTopics(backend),
    ...watchTopics(watching),
    ...storeTopics(store),
  });

  app.setErrorHandler<FastifyError>(async (error, _, reply) => {
    const known = isTidemarkError(error);
    const status = known ? (STATUS[error.code] ?? 500) : (error.statusCode ?? 500);
    const code = known ? error.code : status < 500 ? "BAD_OPTION" : "INTERNAL";
    return await reply.status(status).send({ code, message: textOf(error) } satisfies PageProblem);
  });
  app.setNotFoundHandler(async ({ method, url }, reply) => {
    const message = `there is no ${method} ${url.split("?")[0]}: /api/openapi.json says what there is`;
    return await reply.status(404).send({ code: "NOT_FOUND", message } satisfies PageProblem);
  });
  app.addHook("onRequest", async (request, reply) => {
    void reply.headers({
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "cache-control": "no-store",
      "cross-origin-resource-policy": "same-origin",
    });
    const { raw, routeOptions } = request;
    // By the route that it comes to, however its path is written. What leads nowhere is for those who may ask, too.
    const isOpen = OPEN.includes(routeOptions.url ?? "");
    const refusal = access.refuseStranger(raw) ?? (isOpen ? undefined : access.refuseUnknown(raw));
    if (!refusal) return;
    const { status, code, message } = refusal;
    await reply.status(status).send({ code, message } satisfies PageProblem);
  });

  const { version } = await backend.about();
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: { title: "Tidemark", version, description: "What the page asks, and anybody may." },
      components: { securitySchemes: { token: { type: "http", scheme: "bearer" } } },
      security: [{ token: [] }],
    },
  });
  app.addSchema(problemSchema);
  app.get("/", { schema: { hide: true } }, async (_, reply) =>
    reply
      .headers({ "content-security-policy": page.securityPolicy })
      .type("text/html; charset=utf-8")
      .send(page.html),
  );
  app.get("/favicon.ico", { schema: { hide: true } }, async (_, reply) => reply.status(204).send());
  app.get(
    "/api/openapi.json",
    { schema: { tags: ["about"], summary: "This description" } },
    async () => app.swagger(),
  );
  systemRoutes(app, backend, stream);
  snapshotRoutes(app, backend);
  watchRoutes(app, watching);
  fileRoutes(app, backend);
  traceRoutes(app, backend);
  storeRoutes(app, store);
  await app.ready();
  return { app, handler, stream };
}
