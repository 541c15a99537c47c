/** What the server serves, and the system that runs. */

import type { FastifyInstance } from "fastify";
import { TidemarkError } from "../../core/error.ts";
import { explainSystem, type ProcessReport } from "../../process/causes.ts";
import type { Disturbance, SystemStatus } from "../system-methods.ts";
import type { PageTopic } from "./api.ts";
import type { PageBackend, SystemCaller } from "./backend.ts";
import { type EventStream, LISTENERS_MAX, type Topics } from "./event-stream.ts";
import { answers, anything, list, number, object, text, truth } from "./schema.ts";

const STATUS_MS = 500;
const NOTES_MS = 1_000;
/** What an application waits for is late if it waited for it so long ago as well. */
const LATE_MS = 1_000;
const FORGOTTEN_MS = 5_000;

/** @throws TidemarkError `NOT_RUNNING` */
export function runningIn({ system }: PageBackend): SystemCaller {
  if (system) return system;
  throw new TidemarkError("NOT_RUNNING", "no system runs here: tidemark up starts one");
}

/** What a running system tells by itself. */
export function systemTopics(backend: PageBackend): Topics {
  const { system } = backend;
  if (!system) return {};
  /** Oldest first: what waits now and waited then is late. */
  let looks: { readonly atMs: number; readonly reports: readonly ProcessReport[] }[] = [];
  return {
    status: {
      everyMs: STATUS_MS,
      async look() {
        const status = await system("status", null);
        const nowMs = Date.now();
        const reports = reportsOf(status);
        const earlier = looks.findLast(({ atMs }) => nowMs - atMs >= LATE_MS);
        looks = [
          ...looks.filter(({ atMs }) => nowMs - atMs < FORGOTTEN_MS),
          { atMs: nowMs, reports },
        ];
        const causes = explainSystem(reports, { nowMs, ...(earlier && { earlier }) });
        return { ...status, atMs: nowMs, causes };
      },
    },
    notes: { everyMs: NOTES_MS, look: async () => (await system("notes", null)).notes },
  };
}

const reportsOf = ({ processes }: SystemStatus): readonly ProcessReport[] =>
  processes.map(({ process, epoch, explanation }) => ({
    process,
    // Of one that does not answer it is not known.
    ...(explanation && { epoch, explanation }),
  }));

export function systemRoutes(
  app: FastifyInstance,
  backend: PageBackend,
  stream: EventStream,
): void {
  app.get(
    "/api/about",
    {
      schema: {
        tags: ["about"],
        summary: "What is served here",
        response: answers(
          200,
          object({
            kind: { enum: ["bank", "application", "store", "directory", "file"] },
            title: text("the directory, or the file"),
            version: text("of Tidemark"),
            chaos: truth(
              "whether processes may be killed and stopped, and channels cut, from the page",
            ),
            processes: list(text("a process id")),
          }),
        ),
      },
    },
    () => backend.about(),
  );

  app.get<{ Querystring: { topics: readonly string[] } }>(
    "/api/events",
    {
      schema: {
        tags: ["about"],
        summary: "What happens, as server-sent events",
        description:
          'Each event has the name of its topic, and {"value": …} or {"problem": "…"} as JSON. Before what comes after a gap there is an ' +
          `event \`missed\` with the number of events that were left out. At most ${LISTENERS_MAX} may listen.`,
        querystring: object({ topics: list({ enum: ["status", "notes", "watch", "store"] }) }),
      },
    },
    async ({ query }, reply) => {
      if (stream.isFull)
        throw new TidemarkError("BUSY", `${LISTENERS_MAX} pages are listening already: close one`);
      const topics = query.topics.filter((topic): topic is PageTopic =>
        (stream.topics as readonly string[]).includes(topic),
      );
      reply.hijack();
      reply.raw.writeHead(200, {
        ...reply.getHeaders(),
        "content-type": "text/event-stream",
      } as Record<string, string>);
      stream.add(reply.raw, topics);
    },
  );

  app.post<{ Body: { label?: string } }>(
    "/api/snapshots",
    {
      schema: {
        tags: ["system"],
        summary: "Take a snapshot of the running system, now",
        body: object({
          "label?": text("kept with it, and shown in lists; one with a label is never pruned"),
        }),
        response: answers(
          200,
          object({
            snapshot: text("its id"),
            processes: number("how many took part"),
            messagesInFlight: number("in it"),
            "amountInFlight?": number("of a bank: money"),
            "sum?": number("of a bank: all the money in it"),
            "expected?": number("of a bank: what it should be"),
            consistent: truth("whether it has been proven"),
            markers: number("that were sent for it"),
            durationMs: number("until the cut was made"),
            "problem?": text("why it is not consistent"),
          }),
        ),
      },
    },
    ({ body }) => runningIn(backend)("snapshot", body),
  );

  app.post<{ Body: Disturbance }>(
    "/api/disturbances",
    {
      schema: {
        tags: ["system"],
        summary: "Kill, halt or resume a process, or cut or heal a channel; only with --chaos",
        body: object({
          what: { enum: ["kill", "halt", "resume", "cut", "heal"] },
          "process?": text("to kill (SIGKILL), halt (SIGSTOP) or resume (SIGCONT)"),
          "from?": text("the sender of the channel to cut or heal"),
          "to?": text("its receiver: nothing gets through to it until the channel is healed"),
        }),
        response: answers(200, object({})),
      },
    },
    async ({ body }) => {
      await runningIn(backend)("disturb", body);
      return {};
    },
  );

  app.post<{ Body: { process: string; request: unknown; timeoutMs?: number } }>(
    "/api/requests",
    {
      schema: {
        tags: ["system"],
        summary: "Ask the application of one process",
        body: object({
          process: text("which"),
          request: anything("what is asked: as the application takes it"),
          "timeoutMs?": { type: "number", minimum: 1, maximum: 600_000, default: 10_000 },
        }),
        response: answers(200, object({ reply: anything("what the application says") })),
      },
    },
    ({ body }) => runningIn(backend)("request", { timeoutMs: 10_000, ...body }),
  );
}
