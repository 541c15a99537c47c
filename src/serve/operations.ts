/**
 * What a system says to whoever operates it, over HTTP: `/metrics`, `/healthz` and `/readyz`; on the server of the page, or on one of
 * its own.
 *
 * Assumptions. What is said here is no secret of the system's users, but tells what runs and how much. On the server of the page metrics
 * are for whoever has its token; a server of their own has none, and its owner says where it listens.
 *
 * Theory of operation. Nothing is looked at until somebody asks, and all who ask at the same time get what the first one asked for.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { TidemarkError, textOf } from "../core/error.ts";
import type { Verdict } from "./health.ts";
import { CONTENT_TYPES, formatFor, metricsText, type SystemMeasures } from "./metrics.ts";
import { Access, GUARDS, isLoopback, type Refusal } from "./web/access.ts";

/** What is asked of the system. */
export interface OperationsSource {
  measures(): Promise<SystemMeasures>;
  health(): Promise<Verdict>;
  readiness(): Promise<Verdict>;
}

const HEADER_BYTES_MAX = 16_384;
const HEADERS_TIMEOUT_MS = 10_000;
const CONNECTIONS_MAX = 64;

/** Answers what is asked of the three. */
export class Operations {
  readonly #measures: () => Promise<SystemMeasures>;
  readonly #verdicts: Readonly<Record<string, () => Promise<Verdict>>>;

  constructor(source: OperationsSource) {
    this.#measures = shared(() => source.measures());
    this.#verdicts = {
      "/healthz": shared(() => source.health()),
      "/readyz": shared(() => source.readiness()),
    };
  }

  /** Whether a request is for one of them. */
  isFor({ url = "" }: IncomingMessage): boolean {
    return pathOf(url) === METRICS_PATH || Object.hasOwn(this.#verdicts, pathOf(url));
  }

  /** Never throws. */
  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "", url = "", headers } = request;
    if (method !== "GET" && method !== "HEAD") {
      response.setHeader("allow", "GET, HEAD");
      tell(response, 405, { code: "BAD_OPTION", message: `${pathOf(url)} is read, with GET` });
      return;
    }
    try {
      const verdict = this.#verdicts[pathOf(url)];
      if (verdict) {
        const { isWell, reasons } = await verdict();
        tell(response, isWell ? 200 : 503, { status: isWell ? "ok" : "failing", reasons });
        return;
      }
      const format = formatFor(headers.accept);
      const text = metricsText(await this.#measures(), format);
      response.writeHead(200, { ...GUARDS, "content-type": CONTENT_TYPES[format] });
      response.end(text);
    } catch (error) {
      tell(response, 500, { code: "INTERNAL", message: textOf(error) });
    }
  }
}

/** Serves the three, and nothing else. */
export class OperationsServer {
  readonly #server: Server;
  readonly #operations: Operations;
  readonly #host: string;
  #access: Access | undefined;

  private constructor(source: OperationsSource, host: string) {
    this.#operations = new Operations(source);
    this.#host = host;
    this.#server = createServer(
      { maxHeaderSize: HEADER_BYTES_MAX, headersTimeout: HEADERS_TIMEOUT_MS },
      (request, response) => void this.#take(request, response),
    );
    this.#server.maxConnections = CONNECTIONS_MAX;
  }

  /** @throws TidemarkError `ADDRESS_IN_USE`, `BAD_OPTION` if it cannot listen there */
  static async start(
    source: OperationsSource,
    { host, port }: { readonly host: string; readonly port: number },
  ): Promise<OperationsServer> {
    const one = new OperationsServer(source, host);
    await new Promise<void>((settle, reject) => {
      one.#server.once("error", (error: NodeJS.ErrnoException) => {
        const isUsed = error.code === "EADDRINUSE";
        const why = isUsed ? "something else listens there" : textOf(error);
        const message = `metrics cannot be served on ${host}:${port}: ${why}`;
        reject(new TidemarkError(isUsed ? "ADDRESS_IN_USE" : "BAD_OPTION", message));
      });
      one.#server.listen(port, host, settle);
    });
    // An error from now on is one of accepting, which whoever was to be accepted sees.
    one.#server.on("error", () => {});
    // Beyond this machine it goes by whatever name there is for it.
    if (isLoopback(host)) one.#access = new Access(host, one.#port);
    return one;
  }

  get #port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://${this.#host.includes(":") ? `[${this.#host}]` : this.#host}:${this.#port}`;
  }

  /** Who may ask, in words, if that is not only this machine. */
  get warning(): string | undefined {
    if (isLoopback(this.#host)) return undefined;
    return (
      `whoever reaches ${this.url} may read metrics, health and readiness there: they are neither encrypted nor guarded by a token, ` +
      "so let a firewall or a network policy admit only those who watch"
    );
  }

  /** Ends every connection. */
  async close(): Promise<void> {
    const closed = new Promise<void>((settle) => this.#server.close(() => settle()));
    this.#server.closeAllConnections();
    await closed;
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const refusal = this.#access?.refuseStranger(request);
    if (refusal) refuse(response, refusal);
    else if (this.#operations.isFor(request)) await this.#operations.answer(request, response);
    else {
      const message = "there are /metrics, /healthz and /readyz here, and nothing else";
      tell(response, 404, { code: "NOT_FOUND", message });
    }
  }
}

const METRICS_PATH = "/metrics";

/** Whether a request is for what not everybody may read. */
export const isForMetrics = ({ url = "" }: IncomingMessage): boolean =>
  pathOf(url) === METRICS_PATH;

const pathOf = (url: string): string => url.split("?", 1)[0] ?? "";

export function refuse(response: ServerResponse, { status, code, message }: Refusal): void {
  tell(response, status, { code, message });
}

function tell(response: ServerResponse, status: number, said: object): void {
  response.writeHead(status, { ...GUARDS, "content-type": "application/json; charset=utf-8" });
  response.end(`${JSON.stringify(said)}\n`);
}

/** Whoever asks while an answer is being made gets that one. */
function shared<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make().finally(() => {
      made = undefined;
    });
    return made;
  };
}
