/** The file that `tidemark ui FILE` was told to show: a page reads it by itself, as one that is dropped onto it. */

import type { FastifyInstance } from "fastify";
import { TidemarkError } from "../../core/error.ts";
import type { PageBackend } from "./backend.ts";

export function fileRoutes(app: FastifyInstance, { file }: PageBackend): void {
  app.get(
    "/api/file",
    {
      schema: {
        tags: ["about"],
        summary: "The bytes of the file that is shown",
        produces: ["application/octet-stream"],
      },
    },
    async (_, reply) => {
      if (!file)
        throw new TidemarkError("NOT_FOUND", "no file was named: tidemark ui FILE shows one");
      return await reply.type("application/octet-stream").send(Buffer.from(await file.read()));
    },
  );
}
