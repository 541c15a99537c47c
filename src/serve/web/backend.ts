/** What the server of the page asks of what it serves; the command line has the answers. */

import type { SystemMethods } from "../system-methods.ts";
import type { PageAbout } from "./api.ts";

/** Asks a running system; what it is asked is checked there. */
export type SystemCaller = <K extends keyof SystemMethods>(
  method: K,
  parameter: SystemMethods[K][0],
) => Promise<SystemMethods[K][1]>;

/** What is served. Absent parts are answered with `NOT_RUNNING` or `NOT_FOUND`, in words. */
export interface PageBackend {
  about(): Promise<PageAbout>;
  /** Asks the system that runs, if one does. */
  readonly system?: SystemCaller;
  /** A trace or an exported snapshot, as it is in its file. */
  readonly file?: { readonly name: string; read(): Promise<Uint8Array> };
}
