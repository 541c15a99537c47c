/**
 * The server of the page: one HTML file, a documented HTTP API, and a stream of events.
 *
 * Assumptions. It listens on loopback unless it was told otherwise; who may ask is said in web/access.ts. What is asked comes from outside:
 * every route says what right input is, and everything else is answered with what is wrong.
 *
 * Theory of operation. A socket is opened at once, so that the address can be told. The page is a file, sent as it is; all else, Fastify
 * and the routes, is loaded once somebody has the page, while a browser is still reading it: a system that nobody looks at does not pay
 * for it. Nor does one that is only scraped and probed: operations.ts answers that without them.
 */

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { TidemarkError, textOf } from "../core/error.ts";
import { isForMetrics, Operations, refuse } from "./operations.ts";
import { Access, GUARDS } from "./web/access.ts";
import type { PageBackend } from "./web/backend.ts";

/** How a page is served. */
export interface WebServerOptions {
  readonly backend: PageBackend;
  /** @default "127.0.0.1" */
  readonly host?: string;
  /** 0: any that is free. @default 0 */
  readonly port?: number;
}

export type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** Built, the page lies beside this file's folder; from its source, in dist. */
const PAGE_FILES: readonly URL[] = [
  new URL("../page/index.html", import.meta.url),
  new URL("../../dist/page/index.html", import.meta.url),
];
const HEADER_BYTES_MAX = 16_384;
const HEADERS_TIMEOUT_MS = 10_000;
/** More are closed at once, so that whoever opens them does not take what the system beside it needs: a process has so many files. */
const CONNECTIONS_MAX = 512;

/** See the head of the file. */
export class WebServer {
  readonly #server: Server;
  readonly #backend: PageBackend;
  readonly #host: string;
  readonly #operations: Operations | undefined;
  #access: Access | undefined;
  #page: Promise<Page> | undefined;
  #loading: Promise<Handler> | undefined;
  #unload: () => Promise<void> = async () => {};

  private constructor({ backend, host = "127.0.0.1" }: WebServerOptions) {
    this.#backend = backend;
    this.#host = host;
    this.#operations = backend.operations && new Operations(backend.operations);
    this.#server = createServer(
      { maxHeaderSize: HEADER_BYTES_MAX, headersTimeout: HEADERS_TIMEOUT_MS },
      (request, response) => void this.#take(request, response),
    );
    this.#server.maxConnections = CONNECTIONS_MAX;
  }

  /** @throws TidemarkError `ADDRESS_IN_USE`, `BAD_OPTION` if it cannot listen there */
  static async start(options: WebServerOptions): Promise<WebServer> {
    const one = new WebServer(options);
    const { port = 0 } = options;
    await new Promise<void>((settle, reject) => {
      one.#server.once("error", (error: NodeJS.ErrnoException) => {
        const isUsed = error.code === "EADDRINUSE";
        const why = isUsed ? "something else listens there" : textOf(error);
        reject(
          new TidemarkError(
            isUsed ? "ADDRESS_IN_USE" : "BAD_OPTION",
            `the page cannot be served on ${one.#host}:${port}: ${why}`,
          ),
        );
      });
      one.#server.listen(port, one.#host, settle);
    });
    // An error from now on is one of accepting, which whoever was to be accepted sees.
    one.#server.on("error", () => {});
    one.#access = new Access(one.#host, one.port);
    return one;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Where the page is, with what it needs to ask. */
  get url(): string {
    const isEverywhere = this.#host === "0.0.0.0" || this.#host === "::";
    const host = isEverywhere ? "127.0.0.1" : this.#host;
    return `http://${host.includes(":") ? `[${host}]` : host}:${this.port}/#token=${this.#access?.token}`;
  }

  /** Ends every connection. */
  async close(): Promise<void> {
    const closed = new Promise<void>((settle) => this.#server.close(() => settle()));
    await this.#unload();
    this.#server.closeAllConnections();
    await closed;
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      if (this.#operations?.isFor(request)) {
        await this.#operate(this.#operations, request, response);
        return;
      }
      // Who may not come in is told so like everybody else.
      if (isForPage(request) && !this.#access?.refuseStranger(request)) await this.#send(response);
      else (await this.#routes())(request, response);
    } catch (error) {
      response.writeHead(500, { "content-type": "text/plain; charset=utf-8" });
      response.end(`the page cannot be served: ${textOf(error)}\n`);
    }
  }

  /** Probes have no token; what they are told has no figures. */
  async #operate(
    operations: Operations,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const access = this.#access as Access;
    const refusal =
      access.refuseStranger(request) ??
      (isForMetrics(request) ? access.refuseUnknown(request) : undefined);
    if (refusal) refuse(response, refusal);
    else await operations.answer(request, response);
  }

  async #send(response: ServerResponse): Promise<void> {
    this.#page ??= readPage();
    const { html, securityPolicy } = await this.#page.catch((error) => {
      this.#page = undefined;
      throw error;
    });
    // It will ask soon; whoever asks is told what went wrong.
    response.once("close", () => void this.#routes().catch(() => {}));
    response.writeHead(200, {
      ...GUARDS,
      "content-security-policy": securityPolicy,
      "content-type": "text/html; charset=utf-8",
      "content-length": html.length,
    });
    response.end(html);
  }

  #routes(): Promise<Handler> {
    this.#loading ??= this.#load().catch((error) => {
      this.#loading = undefined;
      throw error;
    });
    return this.#loading;
  }

  async #load(): Promise<Handler> {
    const { makeRoutes } = await import("./web/routes.ts");
    const { app, handler, stream } = await makeRoutes({
      backend: this.#backend,
      access: this.#access as Access,
      server: this.#server,
    });
    this.#unload = async () => {
      stream.close();
      // Fastify would close the server, and wait for who is listening.
      this.#server.closeAllConnections();
      await app.close();
    };
    return handler;
  }
}

/** The page, and the rule by which a browser runs nothing but its own script. */
interface Page {
  readonly html: Uint8Array;
  readonly securityPolicy: string;
}

/** What anybody may have, for it knows nothing. */
const isForPage = ({ method = "", url = "" }: IncomingMessage): boolean =>
  /^\/(?:$|\?)/.test(url) && ["GET", "HEAD"].includes(method);

async function readPage(): Promise<Page> {
  for (const file of PAGE_FILES) {
    const html = await readFile(file, "utf8").catch(() => undefined);
    if (html !== undefined)
      return { html: new TextEncoder().encode(html), securityPolicy: policyOf(html) };
  }
  throw new TidemarkError("NOT_FOUND", "it has not been built: npm run build");
}

/** Scripts and styles are in the file itself, and named by their hashes. A script may speak of others, which are none. */
function policyOf(html: string): string {
  const found = [...html.matchAll(/<(script|style)\b[^>]*>([\s\S]*?)<\/\1>/g)];
  const hashes = (element: string): string =>
    found
      .filter(([, tag]) => tag === element)
      .map(
        ([, , content = ""]) => `'sha256-${createHash("sha256").update(content).digest("base64")}'`,
      )
      .join(" ");
  return [
    "default-src 'none'",
    `script-src ${hashes("script")}`,
    `style-src ${hashes("style")}`,
    "img-src 'self' data: blob:",
    "connect-src 'self'",
    "worker-src blob:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
}
