/** What happens in the running system for a while, as a trace. */

import { Readable } from "node:stream";
import type { FastifyInstance } from "fastify";
import { traceLines } from "../../trace/recording.ts";
import { recordSystem } from "../record-trace.ts";
import type { PageBackend } from "./backend.ts";
import { object } from "./schema.ts";
import { runningIn } from "./system-routes.ts";

const CHUNK_CHARACTERS = 1 << 16;
/** Of each process; what is recorded is held here, and then in the page. */
const EVENTS = 65_536;

interface Body {
  readonly forMs: number;
  readonly text?: boolean;
  readonly snapshot?: boolean;
  readonly events?: number;
}

export function traceRoutes(app: FastifyInstance, backend: PageBackend): void {
  app.post<{ Body: Body }>(
    "/api/trace",
    {
      schema: {
        tags: ["space-time"],
        summary: "Record what all processes do for a while",
        description:
          "Answers when that time is over, with a trace, line by line. BUSY: somebody else is recording. Whoever goes away ends it.",
        produces: ["application/jsonl"],
        body: object({
          forMs: { type: "number", minimum: 10, maximum: 60_000, description: "for how long" },
          "text?": { type: "boolean", description: "with messages as short text" },
          "snapshot?": { type: "boolean", description: "take a snapshot in the middle of it" },
          "events?": {
            ...{ type: "integer", minimum: 1, maximum: EVENTS, default: EVENTS },
            description: "how many events of each process are kept, the newest",
          },
        }),
      },
    },
    async ({ body }, reply) => {
      const { forMs, text = false, snapshot = false, events = EVENTS } = body;
      const gone = new AbortController();
      reply.raw.on("close", () => gone.abort());
      const request = { options: { events, text }, forMs, snapshot };
      const { recordings } = await recordSystem(runningIn(backend), request, gone.signal);
      const lines = Readable.from(chunksOf(traceLines(recordings)));
      return await reply.type("application/jsonl; charset=utf-8").send(lines);
    },
  );
}

/** Many lines at a time. */
function* chunksOf(lines: Iterable<string>): Generator<string> {
  let some = "";
  for (const line of lines) {
    some += `${line}\n`;
    if (some.length < CHUNK_CHARACTERS) continue;
    yield some;
    some = "";
  }
  yield some;
}
