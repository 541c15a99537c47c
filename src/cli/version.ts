/** What package.json says of this program, read when it is started: a later one may lie there by the time somebody asks. */

import { readFileSync } from "node:fs";

const packageFile = JSON.parse(
  readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
) as { readonly version: string; readonly engines: { readonly node: string } };

/** Of Tidemark. */
export const VERSION: string = packageFile.version;

/** Which Node it needs, as in `>=22.18`. */
export const NODE_NEEDED: string = packageFile.engines.node;
