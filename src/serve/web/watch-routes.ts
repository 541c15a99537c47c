/** What becomes true of the system that runs: standing detectors. */

import type { FastifyInstance } from "fastify";
import { TidemarkError } from "../../core/error.ts";
import type { WatchRequest } from "./api.ts";
import type { PageBackend } from "./backend.ts";
import type { Topics } from "./event-stream.ts";
import { answers, list, object, text } from "./schema.ts";
import { DETECTORS_MAX, EVERY_MS_MAX, EVERY_MS_MIN, Watching } from "./watching.ts";

const LOOK_MS = 500;

export function watchingOf({ watch }: PageBackend): Watching | undefined {
  return watch && new Watching(watch);
}

export function watchTopics(watching: Watching | undefined): Topics {
  if (!watching) return {};
  return { watch: { everyMs: LOOK_MS, look: async () => watching.now } };
}

export function watchRoutes(app: FastifyInstance, watching: Watching | undefined): void {
  const there = (): Watching => {
    if (watching) return watching;
    throw new TidemarkError("NOT_RUNNING", "no system runs here: tidemark up starts one");
  };
  app.addHook("onClose", async () => watching?.stop());

  app.get(
    "/api/detectors",
    {
      schema: {
        tags: ["properties"],
        summary:
          "What can be detected in the system that runs, as far as its applications declare it",
        response: answers(200, object({ detectors: list(text("as tidemark watch takes it")) })),
      },
    },
    async () => ({ detectors: await there().offers }),
  );

  app.put<{ Body: WatchRequest }>(
    "/api/watch",
    {
      schema: {
        tags: ["properties"],
        summary:
          "Watch the system that runs, instead of what was watched; the topic watch tells what is found",
        body: object({
          detectors: {
            ...list({ ...text("as tidemark watch takes it: deadlock, sum=money"), maxLength: 256 }),
            ...{ minItems: 1, maxItems: DETECTORS_MAX },
          },
          everyMs: {
            ...{ type: "number", minimum: EVERY_MS_MIN, maximum: EVERY_MS_MAX },
            description: "from one look to the next",
          },
        }),
        response: answers(200, object({})),
      },
    },
    async ({ body }) => {
      await there().start(body);
      return {};
    },
  );

  app.delete(
    "/api/watch",
    {
      schema: {
        tags: ["properties"],
        summary: "Watch nothing more; what was found stays",
        response: answers(200, object({})),
      },
    },
    async () => {
      there().stop();
      return {};
    },
  );
}
