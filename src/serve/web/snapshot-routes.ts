/** The snapshots of a directory: as a list, and each of them as the bytes that it is, so that a page reads and proves them by itself. */

import { Readable } from "node:stream";
import type { FastifyInstance } from "fastify";
import { TidemarkError, textOf } from "../../core/error.ts";
import { parseSnapshotId, type SnapshotId } from "../../core/id.ts";
import { exportedManifest, exportSnapshot } from "../../runtime/snapshot-file.ts";
import { distinctParts, folderOf } from "../../snapshot/archive.ts";
import type { PartReference } from "../../snapshot/manifest.ts";
import type { PageCloneRequest, PageSnapshotsKind } from "./api.ts";
import type { PageBackend, SnapshotsBackend } from "./backend.ts";
import { answers, anything, list, number, object, type Schema, text, truth } from "./schema.ts";

const LIMIT_MAX = 500;
const PARTS_MAX = 2_048;
const TIMEOUT_MS = 30_000;
const TIMEOUT_MS_MAX = 600_000;
/** So many parts are read before the one before them was taken. */
const AHEAD = 16;
const AHEAD_BYTES_MAX = 4 << 20;
/** Set in the length of a part: behind it are the words that say why it cannot be read. */
const PROBLEM_BIT = 0x8000_0000;

interface Params {
  readonly process: string;
  readonly count: string;
}

const params = object({
  process: text("the initiator: what stands before the slash of an id"),
  count: text("what stands behind it"),
});
const timeoutMs: Schema = {
  type: "number",
  minimum: 1,
  maximum: TIMEOUT_MS_MAX,
  default: TIMEOUT_MS,
};
const binary = ["application/octet-stream"];
const tags = ["snapshots"];

/** @throws TidemarkError `NOT_FOUND` */
function snapshotsIn({ snapshots }: PageBackend): SnapshotsBackend {
  if (snapshots) return snapshots;
  throw new TidemarkError(
    "NOT_FOUND",
    "no directory of snapshots is served: tidemark ui DIR serves one",
  );
}

/** @throws TidemarkError `BAD_ID` */
const idOf = ({ process, count }: Params): SnapshotId => parseSnapshotId(`${process}/${count}`).id;

export function snapshotRoutes(app: FastifyInstance, backend: PageBackend): void {
  const path = "/api/snapshots/:process/:count";
  const cloneSchema = object({
    snapshot: text("the id of the original"),
    copy: text("the id of the copy"),
    directory: text("where it is, from the root"),
    system: text("the name of the second system"),
    epoch: number("that begins there from it"),
    processes: list(text("a process id")),
    bytes: number("of all parts together"),
  });
  const cloneBody = object({
    directory: {
      type: "string",
      minLength: 1,
      maxLength: 4_096,
      description: "of the second system",
    },
    "rename?": {
      type: "object",
      additionalProperties: { type: "string" },
      description: "new names, by the old ones",
    },
    "system?": {
      type: "string",
      minLength: 1,
      maxLength: 256,
      description: "the name of the second system",
    },
  });

  app.get<{ Querystring: { from: number; limit: number; kind: PageSnapshotsKind; text: string } }>(
    "/api/snapshots",
    {
      schema: {
        tags,
        summary: "Snapshots, and attempts that left none, newest first",
        querystring: object({
          "from?": { type: "integer", minimum: 0, default: 0, description: "leave out so many" },
          "limit?": { type: "integer", minimum: 1, maximum: LIMIT_MAX, default: 50 },
          "kind?": { enum: ["all", "snapshots", "failed"], default: "all" },
          "text?": {
            type: "string",
            maxLength: 256,
            default: "",
            description: "in an id, label, reason or initiator",
          },
        }),
        response: answers(
          200,
          object({
            entries: list(
              object({
                "id?": text("absent if the attempt was refused"),
                initiator: text("a process id"),
                "label?": text("its label"),
                startedAtMs: number("since 1970"),
                outcome: { enum: ["complete", "abandoned", "refused", "open", "damaged"] },
                "reason?": text("why there is nothing to look at"),
                "tookMs?": number("until the cut was made, or it was over"),
                "epoch?": number("in which"),
                "processes?": number("how many"),
                "inFlight?": number("messages"),
                "bytes?": number("of all parts together"),
              }),
            ),
            total: number("that were asked for"),
            snapshots: number("in the directory"),
            read: number("of whose manifests have been read"),
            "inUse?": text("from which the present epoch began: it cannot be deleted"),
            problems: list(text("what could not be read")),
          }),
        ),
      },
    },
    ({ query }) => snapshotsIn(backend).list(query),
  );

  app.get<{ Params: Params }>(
    `${path}/manifest`,
    {
      schema: {
        tags,
        summary: "The manifest, as in an exported snapshot",
        params,
        produces: binary,
      },
    },
    async ({ params: of }, reply) => {
      const { manifest } = await snapshotsIn(backend).get(idOf(of));
      return await reply.type(binary[0] as string).send(Buffer.from(exportedManifest(manifest)));
    },
  );

  app.post<{ Params: Params; Body: { parts: readonly string[] } }>(
    `${path}/parts`,
    {
      schema: {
        tags,
        summary: "The bytes of some parts",
        description:
          "In the order in which they are asked for: of each its length, a little-endian 32-bit number, and its bytes. If one cannot be " +
          "read, its number is 2^31 more than the length of the words that say why, which stand in its place.",
        params,
        body: object({
          parts: {
            ...{ type: "array", minItems: 1, maxItems: PARTS_MAX },
            items: {
              type: "string",
              pattern: "^[0-9a-f]{64}$",
              description: "the SHA-256 of a part",
            },
          },
        }),
        produces: binary,
      },
    },
    async ({ params: of, body }, reply) => {
      const stored = await snapshotsIn(backend).held(idOf(of));
      const wanted = new Set(body.parts);
      const found = new Map<string, PartReference>();
      for (const part of distinctParts(stored.manifest))
        if (wanted.has(part.sha256)) found.set(part.sha256, part);
      const missing = body.parts.find((sha256) => !found.has(sha256));
      if (missing !== undefined)
        throw new TidemarkError("NOT_FOUND", `${stored.manifest.id} has no part ${missing}`);
      const read = (sha256: string): Promise<Uint8Array> =>
        stored.part(found.get(sha256) as PartReference);
      const parts = framed(body.parts, (sha256) => found.get(sha256)?.bytes ?? 0, read);
      return await reply.type(binary[0] as string).send(Readable.from(parts));
    },
  );

  app.get<{ Params: Params }>(
    `${path}/file`,
    {
      schema: {
        tags,
        summary: "The snapshot as one file, as tidemark export writes it",
        params,
        produces: ["application/x-tar"],
      },
    },
    async ({ params: of }, reply) => {
      const stored = await snapshotsIn(backend).get(idOf(of));
      const name = `${folderOf(stored.manifest)}.tar`;
      return await reply
        .type("application/x-tar")
        .header("content-disposition", `attachment; filename="${name}"`)
        .send(Readable.from(exportSnapshot(stored)));
    },
  );

  app.get<{ Params: Params }>(
    `${path}/attempt`,
    {
      schema: {
        tags,
        summary: "What came of the attempt, and where the time went",
        params,
        response: answers(
          200,
          object({
            "attempt?": anything(
              "as tidemark history --json prints it; absent if nothing is noted",
            ),
          }),
        ),
      },
    },
    async ({ params: of }) => {
      const attempt = await snapshotsIn(backend).attempt(idOf(of));
      return attempt ? { attempt } : {};
    },
  );

  app.patch<{ Params: Params; Body: { label: string | null } }>(
    path,
    {
      schema: {
        tags,
        summary: "Give a snapshot another label, or none",
        params,
        body: object({
          label: {
            type: ["string", "null"],
            minLength: 1,
            maxLength: 256,
            description: "null: none",
          },
        }),
        response: answers(200, object({ snapshot: text("its id") })),
      },
    },
    async ({ params: of, body }) => {
      const id = idOf(of);
      await snapshotsIn(backend).label(id, body.label ?? undefined);
      return { snapshot: id };
    },
  );

  app.delete<{ Params: Params }>(
    path,
    {
      schema: {
        tags,
        summary: "Delete a snapshot",
        params,
        response: answers(200, object({ snapshot: text("its id") })),
      },
    },
    async ({ params: of }) => {
      const id = idOf(of);
      await snapshotsIn(backend).delete(id);
      return { snapshot: id };
    },
  );

  app.post<{ Params: Params; Body: { timeoutMs: number } }>(
    `${path}/restore/plan`,
    {
      schema: {
        tags,
        summary: "What a restore would take back",
        description:
          "Proves the snapshot. A running system takes one more, for the comparison; nothing else changes.",
        params,
        body: object({ "timeoutMs?": timeoutMs }),
        response: answers(
          200,
          object({
            snapshot: text("its id"),
            running: truth("whether a system runs"),
            now: text("with what it is compared"),
            isTaken: truth("whether that was taken for it"),
            "reason?": text("why none could be taken"),
            agoMs: number("from the one to the other"),
            snapshotsSince: number("that were begun after it; they stay"),
            processes: list(
              object({
                process: text("a process id"),
                "sent?": number("messages since; absent where the two are not of one history"),
                "received?": number("the same"),
              }),
            ),
            inFlight: number("messages that would be received again"),
          }),
        ),
      },
    },
    ({ params: of, body }) => snapshotsIn(backend).planRestore(idOf(of), body.timeoutMs),
  );

  app.post<{ Params: Params; Body: { timeoutMs: number } }>(
    `${path}/restore`,
    {
      schema: {
        tags,
        summary: "Bring all processes back to a snapshot, now or at the next start",
        params,
        body: object({ "timeoutMs?": timeoutMs }),
        response: answers(
          200,
          object({
            snapshot: text("its id"),
            running: truth("false: the next start goes on from it"),
            epoch: number("that began"),
            absent: list(text("a process that was not there in time")),
            "proof?": text("the snapshot that proves that all go on"),
            "reason?": text("why there is none"),
          }),
        ),
      },
    },
    ({ params: of, body }) => snapshotsIn(backend).restore(idOf(of), body.timeoutMs),
  );

  app.post<{ Params: Params; Body: PageCloneRequest }>(
    `${path}/clone/plan`,
    {
      schema: {
        tags,
        summary: "What a clone would be",
        description: "Proves the snapshot, and looks into the other directory; changes nothing.",
        params,
        body: cloneBody,
        response: answers(200, cloneSchema),
      },
    },
    ({ params: of, body }) => snapshotsIn(backend).planClone(idOf(of), body),
  );

  app.post<{ Params: Params; Body: PageCloneRequest }>(
    `${path}/clone`,
    {
      schema: {
        tags,
        summary: "Copy a snapshot for a second system to begin from",
        params,
        body: cloneBody,
        response: answers(200, cloneSchema),
      },
    },
    ({ params: of, body }) => snapshotsIn(backend).clone(idOf(of), body),
  );
}

/** The bytes of each part behind its length, or why there are none. Some are read ahead, as long as they are small. */
async function* framed(
  names: readonly string[],
  bytesOf: (name: string) => number,
  read: (name: string) => Promise<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const reading: { readonly bytes: number; readonly frame: Promise<readonly Uint8Array[]> }[] = [];
  let bytes = 0;
  let at = 0;
  while (at < names.length || reading.length > 0) {
    while (at < names.length && reading.length < AHEAD) {
      const name = names[at] as string;
      if (reading.length > 0 && bytes + bytesOf(name) > AHEAD_BYTES_MAX) break;
      reading.push({ bytes: bytesOf(name), frame: frameOf(() => read(name)) });
      bytes += bytesOf(name);
      at += 1;
    }
    const next = reading.shift();
    if (!next) return;
    yield* await next.frame;
    bytes -= next.bytes;
  }
}

async function frameOf(read: () => Promise<Uint8Array>): Promise<readonly Uint8Array[]> {
  const length = Buffer.alloc(4);
  let content: Uint8Array;
  try {
    content = await read();
    if (content.length >= PROBLEM_BIT) throw new Error(`${content.length} bytes are too many`);
    length.writeUInt32LE(content.length);
  } catch (error) {
    content = Buffer.from(textOf(error));
    length.writeUInt32LE(PROBLEM_BIT + content.length);
  }
  return content.length > 0 ? [length, content] : [length];
}
