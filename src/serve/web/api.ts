/**
 * What the page and its server say to each other, in JSON: types alone, which both import. Which routes there are, and which input is
 * right, is said where the routes are, and served as `/api/openapi.json`.
 *
 * Theory of operation. What a page shows is either asked for by a route, or told on the one stream of events, `/api/events`: what a topic
 * tells is looked at again and again while somebody listens, and told when it has changed. A page that does not keep up misses looks, but
 * never what there is at last: each event has the whole of what it tells.
 */

import type { ProcessId } from "../../core/id.ts";
import type { SystemExplanation } from "../../process/causes.ts";
import type { SystemNote, SystemStatus } from "../system-methods.ts";

/** What the server serves. */
export interface PageAbout {
  /** A bank, an application of one's own, or a store that runs; a directory in which nothing runs; a file. */
  readonly kind: "bank" | "application" | "store" | "directory" | "file";
  /** What people call it: the directory, or the file. */
  readonly title: string;
  /** Of Tidemark. */
  readonly version: string;
  /** Whether processes may be killed and stopped, and channels cut, from the page. */
  readonly chaos: boolean;
  readonly processes: readonly ProcessId[];
}

/** What every request that fails is answered. */
export interface PageProblem {
  /** One of `ERROR_CODES`, or `UNAUTHORIZED`, `FORBIDDEN`. */
  readonly code: string;
  readonly message: string;
}

/** The topics of `/api/events`, and what each tells. */
export interface PageTopics {
  /** Of a system that runs, twice a second. */
  readonly status: PageStatus;
  /** The last that were said, when there is a new one. */
  readonly notes: readonly SystemNote[];
}

export type PageTopic = keyof PageTopics;

/** What there is to know about a running system, and what holds it up. */
export interface PageStatus extends SystemStatus {
  readonly atMs: number;
  readonly causes: SystemExplanation;
}
