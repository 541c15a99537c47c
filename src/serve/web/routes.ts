/** The HTTP API of the page, made of the routes of each of its views; who asks, and how all that goes wrong is answered. */

import type { IncomingMessage, Server } from "node:http";
import swagger from "@fastify/swagger";
import fastify, { type FastifyError, type FastifyInstance, type FastifyReply } from "fastify";
import { type ErrorCode, isTidemarkError, textOf } from "../../core/error.ts";
import type { Handler } from "../web-server.ts";
import { type Access, GUARDS } from "./access.ts";
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
}

interface Routes {
  readonly app: FastifyInstance;
  readonly handler: Handler;
  readonly stream: EventStream;
}

const BODY_BYTES_MAX = 1 << 20;

/** What a browser asks for by itself. */
const ICON = "/favicon.ico";

/** What a fault that has a name is answered with. */
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
  STORE_FAILED: 507,
};
/** It cannot be done, at present at least; 500 is for faults of this server itself, which have no name. */
const STATUS_OTHERWISE = 503;

export async function makeRoutes({ backend, access, server }: RoutesOptions): Promise<Routes> {
  let handler: Handler = () => {};
  const app = fastify({
    serverFactory(own) {
      handler = own as Handler;
      return server;
    },
    bodyLimit: BODY_BYTES_MAX,
    ajv: { customOptions: { removeAdditional: false, coerceTypes: "array" } },
    return503OnClosing: false,
    // Of a path that no route could be looked for no hook hears.
    frameworkErrors(error, { raw }, reply) {
      if (admit(raw, reply, false)) void tell(reply, 400, "BAD_OPTION", textOf(error));
    },
  });
  /** Whether that request may be answered; if not, it is told why. */
  const admit = (request: IncomingMessage, reply: FastifyReply, isOpen: boolean): boolean => {
    void reply.headers(GUARDS);
    const refusal =
      access.refuseStranger(request) ?? (isOpen ? undefined : access.refuseUnknown(request));
    if (!refusal) return true;
    const { status, code, message } = refusal;
    void tell(reply, status, code, message);
    return false;
  };
  const watching = watchingOf(backend);
  const store = storeClients(backend);
  const stream = new EventStream({
    ...systemTopics(backend),
    ...watchTopics(watching),
    ...storeTopics(store),
  });

  app.setErrorHandler<FastifyError>(async (error, _, reply) => {
    const known = isTidemarkError(error);
    const status = known ? (STATUS[error.code] ?? STATUS_OTHERWISE) : (error.statusCode ?? 500);
    const code = known ? error.code : status < 500 ? "BAD_OPTION" : "INTERNAL";
    return await tell(reply, status, code, textOf(error));
  });
  app.setNotFoundHandler(async ({ method, url }, reply) => {
    const message = `there is no ${method} ${url.split("?")[0]}: /api/openapi.json says what there is`;
    return await tell(reply, 404, "NOT_FOUND", message);
  });
  app.addHook("onRequest", async ({ raw, routeOptions }, reply) => {
    // By the route that it comes to, however its path is written. What leads nowhere is for those who may ask, too.
    if (!admit(raw, reply, routeOptions.url === ICON)) return await reply;
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
  app.get(ICON, { schema: { hide: true } }, async (_, reply) => reply.status(204).send());
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

/** What is wrong, as every request is told it. */
const tell = (reply: FastifyReply, status: number, code: string, message: string): FastifyReply =>
  reply.status(status).send({ code, message } satisfies PageProblem);
