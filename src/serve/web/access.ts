/**
 * Who may ask a server that listens for browsers.
 *
 * Assumptions. Other people have accounts on this machine, and the user's browser shows pages of strangers. Both can open connections to
 * this server; neither knows its token, which is in the URL that its owner was told, behind the `#`, so that no browser sends it anywhere.
 *
 * Theory of operation. A page of a stranger is kept away three times: its browser says its origin, which is not ours; a name of its own
 * that it has made mean this machine (DNS rebinding) is not one that this server goes by; and it has no token. Other users are kept away
 * by the token. It is compared in constant time.
 */

import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { networkInterfaces } from "node:os";

const TOKEN_BYTES = 16;
const LOOPBACK: readonly string[] = ["127.0.0.1", "localhost", "[::1]"];

/** With every answer: for this page alone, kept by nobody, and nothing but what it says it is. */
export const GUARDS: Readonly<Record<string, string>> = {
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cache-control": "no-store",
  "cross-origin-resource-policy": "same-origin",
};

/** Why a request is refused. */
export interface Refusal {
  readonly status: 401 | 403;
  readonly code: "UNAUTHORIZED" | "FORBIDDEN";
  readonly message: string;
}

/** Whether who listens there is reached from this machine alone. */
export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);

/** See the head of the file. */
export class Access {
  readonly token: string = randomBytes(TOKEN_BYTES).toString("hex");
  readonly #hosts: ReadonlySet<string>;

  constructor(host: string, port: number) {
    const named = host.includes(":") ? `[${host}]` : host;
    // Who listens everywhere goes by every address that this machine has.
    const isEverywhere = named === "0.0.0.0" || named === "[::]";
    const addresses = Object.values(networkInterfaces()).flatMap((one) => one ?? []);
    const every = addresses.map(({ address, family }) =>
      family === "IPv6" ? `[${address}]` : address,
    );
    const names = [...LOOPBACK, ...(isEverywhere ? every : [named])];
    this.#hosts = new Set(names.map((name) => `${name}:${port}`));
  }

  /** Why a request may not come in at all: from the page of somebody else, or by a name that is not ours. */
  refuseStranger({ headers }: IncomingMessage): Refusal | undefined {
    const { host = "", origin } = headers;
    const forbidden = (message: string): Refusal => ({ status: 403, code: "FORBIDDEN", message });
    if (!this.#hosts.has(host.toLowerCase()))
      return forbidden("this server does not go by the name that the request is for");
    if (origin !== undefined && origin.toLowerCase() !== `http://${host.toLowerCase()}`)
      return forbidden("the request is from a page of another origin");
    return undefined;
  }

  /** Why a request may not ask: it does not know the token. */
  refuseUnknown({ headers }: IncomingMessage): Refusal | undefined {
    const [, given = ""] = /^Bearer (.+)$/i.exec(headers.authorization ?? "") ?? [];
    if (timingSafeEqual(digest(given), digest(this.token))) return undefined;
    return {
      status: 401,
      code: "UNAUTHORIZED",
      message: "this server wants the token that is in the URL it printed when it was started",
    };
  }
}

const digest = (text: string): Uint8Array => createHash("sha256").update(text).digest();
