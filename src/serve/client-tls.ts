/**
 * TLS between a server and its clients: the certificate of the server, and from when a connection is opened until it is encrypted.
 *
 * Who opens a connection counts as a client from then on, and has a limited time to say who it is. What goes wrong is counted by its kind,
 * and said once for each kind: whoever can connect could fill a log otherwise.
 */

import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { join } from "node:path";
import { createServer, type Server, type TLSSocket, type TlsOptions } from "node:tls";
import { TidemarkError, textOf } from "../core/error.ts";
import { Handshakes } from "../runtime/handshakes.ts";
import type { AddressTls } from "./redis-connection.ts";

const HANDSHAKE_MS = 10_000;

/** Why connections are refused. */
const KINDS = {
  plain: "sent something that is not TLS: it has to connect with TLS, as redis-cli does with --tls",
  old: "speaks no version of TLS that is taken here: 1.2 and 1.3 are",
  nameless: "showed no certificate: clients have to, as there is a ca.pem",
  unknown: "showed a certificate that is not taken",
  distrustful: "does not take the certificate of this server",
  silent: "did not finish its handshake in time",
  other: "could not agree on a connection",
} as const;

type Kind = keyof typeof KINDS;

export interface ClientTlsOptions {
  /** A client can be talked to. */
  readonly secured: (socket: TLSSocket) => void;
  readonly problem: (reason: string) => void;
  /** So long a handshake may take. @default 10,000 */
  readonly handshakeMs?: number;
}

/** See the head of the file. */
export class ClientTls {
  readonly asksForCertificates: boolean;
  readonly #server: Server;
  readonly #problem: (reason: string) => void;
  readonly #handshakes = new Handshakes();
  readonly #refused = new Map<Kind, number>();

  /** @throws TidemarkError `BAD_OPTION` if the directory has not what is needed */
  constructor(directory: string, options: ClientTlsOptions) {
    const { secured, problem, handshakeMs = HANDSHAKE_MS } = options;
    const files = readClientTls(directory);
    this.asksForCertificates = files.requestCert === true;
    this.#problem = problem;
    this.#server = createServer({
      ...files,
      handshakeTimeout: handshakeMs,
    });
    this.#server.on("secureConnection", (socket) => {
      this.#handshakes.done(socket);
      // Who sends no more may be owed something; before, it would only be waited for.
      socket.allowHalfOpen = true;
      secured(socket);
    });
    this.#server.on("tlsClientError", (error, socket) => {
      this.#refuse(error, socket);
      socket.destroy();
    });
  }

  /** How many have begun and are not done. */
  get handshakes(): number {
    return this.#handshakes.size;
  }

  /** How many were refused, by kind. */
  get refusals(): string {
    return [...this.#refused].map(([kind, times]) => `${kind}=${times}`).join(",");
  }

  accept(socket: Socket): void {
    this.#handshakes.begin(socket);
    socket.on("error", () => {});
    this.#server.emit("connection", socket);
  }

  /** Ends what has only begun. */
  close(): void {
    this.#handshakes.end();
  }

  #refuse(error: NodeJS.ErrnoException, socket: TLSSocket): void {
    const kind = kindOf(error, socket);
    // It went away: that is nobody's fault.
    if (kind === undefined) return;
    const times = (this.#refused.get(kind) ?? 0) + 1;
    this.#refused.set(kind, times);
    if (times > 1) return;
    const detail = kind === "unknown" ? `: ${authorizationError(socket)}` : "";
    const why = kind === "other" ? `: ${error.message}` : "";
    this.#problem(
      `a client was refused, as it ${KINDS[kind]}${detail}${why}; others like it are only counted (INFO stats, tidemark_tls_refused)`,
    );
  }
}

/** Set when the certificate of the other side was looked at. */
const authorizationError = (socket: TLSSocket): string | undefined => {
  const error = socket.authorizationError as unknown;
  return error ? textOf(error) : undefined;
};

function kindOf(
  { code = "", message }: NodeJS.ErrnoException,
  socket: TLSSocket,
): Kind | undefined {
  if (code === "ERR_TLS_HANDSHAKE_TIMEOUT") return "silent";
  if (authorizationError(socket) !== undefined) return "unknown";
  if (code === "ECONNRESET" || code === "EPIPE") return undefined;
  if (/HTTP_REQUEST|WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|BAD_RECORD_TYPE/.test(code))
    return "plain";
  if (/UNSUPPORTED_PROTOCOL|VERSION_TOO_LOW|NO_PROTOCOLS/.test(code)) return "old";
  if (/PEER_DID_NOT_RETURN_A_CERTIFICATE/.test(code)) return "nameless";
  if (/ALERT_(UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE)/.test(code)) return "distrustful";
  return /ended|hang up/.test(message) ? undefined : "other";
}

/**
 * What a directory has: `cert.pem`, the certificate with those it is signed by, and `key.pem`; and perhaps `ca.pem`, by which the
 * certificates of clients have to be signed.
 * @throws TidemarkError `BAD_OPTION`
 */
export function readClientTls(directory: string): TlsOptions {
  const cert = read(directory, "cert.pem");
  const key = read(directory, "key.pem");
  const certificate = parsed(directory, "cert.pem", () => new X509Certificate(cert));
  const privateKey: KeyObject = parsed(directory, "key.pem", () => createPrivateKey(key));
  if (!certificate.checkPrivateKey(privateKey))
    throw bad(directory, "key.pem is not the key of the certificate in cert.pem");
  const ca = existsSync(join(directory, "ca.pem")) ? read(directory, "ca.pem") : undefined;
  if (ca !== undefined) parsed(directory, "ca.pem", () => new X509Certificate(ca));
  return {
    ...{ cert, key, minVersion: "TLSv1.2", maxVersion: "TLSv1.3" },
    ...(ca !== undefined && { ca, requestCert: true, rejectUnauthorized: true }),
  };
}

/** How a store with that directory is spoken to from here: by the very certificate, and showing it, should it ask for one. */
export function ownAddressTls(directory: string): AddressTls {
  const { cert, key } = readClientTls(directory);
  const { fingerprint256 } = new X509Certificate(String(cert));
  return { cert: String(cert), key: String(key), fingerprint: fingerprint256 };
}

const bad = (directory: string, reason: string, cause?: unknown): TidemarkError =>
  new TidemarkError("BAD_OPTION", `the directory ${directory} for TLS: ${reason}`, { cause });

function read(directory: string, name: string): Buffer {
  try {
    return readFileSync(join(directory, name));
  } catch (cause) {
    throw bad(directory, `${name} cannot be read: ${textOf(cause)}`, cause);
  }
}

function parsed<T>(directory: string, name: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw bad(directory, `${name} cannot be used: ${textOf(cause)}`, cause);
  }
}
