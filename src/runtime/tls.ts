/**
 * Mutual TLS between processes: who is at the other end of a socket, shown by its certificate.
 *
 * Assumptions. Each system has an authority of its own, whose certificates say nothing but which process somebody is. Whoever has the
 * key of the authority, or of a process, is believed. Clocks of hosts are right to within the time for which certificates hold.
 *
 * Theory of operation. Both sides speak TLS 1.3 or not at all (RFC 8446), and both show a certificate. It must be signed by one
 * of the authorities, hold today, be meant for what it is used for, and name the process: among its DNS names, or if it has none, as its
 * common name. Names are compared as they are; there are no wildcards. The address of a process is no part of it, for a process may move.
 *
 * The handshake itself refuses nobody, but who is not believed is sent nothing but why, and nothing is read from him: an alert of TLS
 * says one of thirty words to the side that was refused, and often nothing at all, for in TLS 1.3 the dialler has
 * finished before the listener looks. So each side says in its own words what it has found, once nobody else can read them.
 */

import { X509Certificate } from "node:crypto";
import type { Server, Socket, SocketConnectOpts } from "node:net";
import {
  createSecureContext,
  createServer,
  connect as dial,
  type SecureContextOptions,
  type TLSSocket,
} from "node:tls";
import { TidemarkError, textOf } from "../core/error.ts";
import { isProcessId, type ProcessId } from "../core/id.ts";
import { Handshakes } from "./handshakes.ts";
import { type Doubt, type Incoming, refusalOf, tidy } from "./stream-transport.ts";

/** What a process has to show who it is, and to tell who others are. All in PEM. */
export interface TlsIdentity {
  /** Certificates of the authorities that sign the certificates of this system's processes, and of nobody else. */
  readonly ca: string | Uint8Array;
  /** The certificate of this process, and of authorities between it and those in `ca`. */
  readonly cert: string | Uint8Array;
  /** The private key of that certificate, not encrypted. */
  readonly key: string | Uint8Array;
}

const TLS = { minVersion: "TLSv1.3", requestCert: true, rejectUnauthorized: false } as const;
const NO_TLS = "it does not speak TLS: was it given certificates?";
/** Sockets that have not finished the handshake of TLS; when there are more, the oldest is cut. */
const MAX_SHAKING = 256;

/** serverAuth and clientAuth. */
const USES = ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"];

/** Makes the sockets of one process. */
export class TlsSockets {
  readonly #given: TlsIdentity | (() => TlsIdentity);
  readonly #handshakeTimeoutMs: number;
  /** Of those that somebody has opened and that have not shown a certificate. */
  readonly #handshakes = new Handshakes();
  #identity: TlsIdentity;
  #certificate: X509Certificate;
  #self: ProcessId | undefined;
  #incoming: Incoming | undefined;

  /** @throws TidemarkError `BAD_OPTION` */
  constructor(given: TlsIdentity | (() => TlsIdentity), handshakeTimeoutMs: number) {
    this.#given = given;
    this.#handshakeTimeoutMs = handshakeTimeoutMs;
    this.#identity = typeof given === "function" ? given() : given;
    this.#certificate = checkIdentity(this.#identity);
  }

  /**
   * What others would say of this process' own certificate is said here, where it can be mended.
   * @throws TidemarkError `BAD_OPTION`
   */
  checkSelf(self: ProcessId): void {
    checkOwn(this.#certificate, self);
    this.#self = self;
  }

  /** A server that brings its sockets when their certificates have been seen. */
  server(options: object, incoming: Incoming): Server {
    this.#incoming = incoming;
    const server = createServer({
      ...options,
      ...TLS,
      ...this.#material(),
      handshakeTimeout: this.#handshakeTimeoutMs,
    });
    // Before the server itself, which takes for a socket the certificates that it has at that moment.
    server.prependListener("connection", (socket: Socket) => {
      if (this.#renew()) server.setSecureContext({ ...TLS, ...this.#material() });
      this.#handshakes.begin(socket);
      if (this.#handshakes.size > MAX_SHAKING) this.#cutOldest(incoming);
    });
    server.on("secureConnection", (socket) => {
      this.#handshakes.done(socket);
      const open = (read: (bytes: Uint8Array, length: number) => void) => {
        socket.on("data", (bytes) => read(bytes, bytes.length));
        return socket;
      };
      incoming.stream(originOf(socket), open, doubtsOf(socket));
    });
    server.on("tlsClientError", (error, socket) => {
      const from = originOf(socket);
      const reason = inWords(error);
      // Whoever speaks no TLS is told in the clear, on the socket below, before it is closed.
      if (reason === NO_TLS) this.#handshakes.under(socket)?.write(refusalOf("UNTRUSTED", reason));
      incoming.problem("UNTRUSTED", from, `refused a connection from ${from}: ${reason}`);
      // When time runs out Node leaves that to whoever listens.
      socket.destroy();
    });
    return server;
  }

  /** Opens a socket; `ready` follows when the certificate of the other side has been seen. */
  dial(options: SocketConnectOpts, ready: (doubt: Doubt) => void): TLSSocket {
    this.#renew();
    // Names are those of processes, not of hosts: Node has none to compare.
    const checkServerIdentity = () => undefined;
    const socket = dial({ ...options, ...TLS, ...this.#material(), checkServerIdentity });
    socket.on("error", (error) => {
      error.message = inWords(error);
    });
    socket.once("secureConnect", () => ready(doubtsOf(socket)));
    return socket;
  }

  close(): void {
    this.#handshakes.end();
  }

  #cutOldest(incoming: Incoming): void {
    const { oldest } = this.#handshakes;
    if (oldest === undefined) return;
    const from = originOf(oldest);
    oldest.destroy();
    const text = `cut a connection from ${from}: more than ${MAX_SHAKING} have not shown a certificate`;
    incoming.problem("STRANGER", from, text);
  }

  /** Looks for other certificates; true if they are. What cannot be used is told, and those of before hold. */
  #renew(): boolean {
    if (typeof this.#given !== "function") return false;
    try {
      const identity = this.#given();
      if (isSame(identity, this.#identity)) return false;
      const certificate = checkIdentity(identity);
      if (this.#self !== undefined) checkOwn(certificate, this.#self);
      this.#certificate = certificate;
      this.#identity = identity;
      return true;
    } catch (thrown) {
      this.#incoming?.problem("UNTRUSTED", "certificates", notRenewed(thrown));
      return false;
    }
  }

  #material(): SecureContextOptions {
    return contextOf(this.#identity);
  }
}

/**
 * What others would say of a process that shows this, for whoever starts it.
 * @throws TidemarkError `BAD_OPTION`
 */
export function checkTlsIdentity(identity: TlsIdentity, self: ProcessId): void {
  checkOwn(checkIdentity(identity), self);
}

function checkOwn(certificate: X509Certificate, self: ProcessId): void {
  const reason = doubtOf(certificate, self);
  if (reason !== undefined)
    throw new TidemarkError("BAD_OPTION", `${self} cannot show who it is: ${reason}`);
}

function contextOf({ ca, cert, key }: TlsIdentity): SecureContextOptions {
  const bytes = (pem: string | Uint8Array) => (typeof pem === "string" ? pem : Buffer.from(pem));
  return { ca: bytes(ca), cert: bytes(cert), key: bytes(key) };
}

function isSame(one: TlsIdentity, other: TlsIdentity): boolean {
  if (one === other) return true;
  const bytes = (pem: unknown) => Buffer.from(pem as string);
  return (["ca", "cert", "key"] as const).every(
    (name) => isPem(one?.[name]) && bytes(one[name]).equals(bytes(other[name])),
  );
}

function isPem(value: unknown): value is string | Uint8Array {
  return typeof value === "string" || value instanceof Uint8Array;
}

/**
 * Gives the certificate of the process.
 * @throws TidemarkError `BAD_OPTION`
 */
function checkIdentity(identity: TlsIdentity): X509Certificate {
  // Whatever JavaScript gives for it.
  for (const name of ["ca", "cert", "key"] as const)
    if (!isPem((identity as TlsIdentity | undefined)?.[name]))
      throw new TidemarkError("BAD_OPTION", `tls.${name} must be text in PEM`);
  const [certificate, ...between] = certificatesIn("tls.cert", "a certificate", identity.cert);
  const authorities = certificatesIn("tls.ca", "certificates", identity.ca);
  read("tls.key", "the key of that certificate", () => createSecureContext(contextOf(identity)));
  if (certificate === undefined || !isSigned(certificate, between, authorities))
    throw new TidemarkError("BAD_OPTION", "tls.cert was not signed by an authority in tls.ca");
  return certificate;
}

/** All certificates in a text. One that was written by half would be left out without a word. */
function certificatesIn(name: string, what: string, pem: string | Uint8Array): X509Certificate[] {
  const text = Buffer.from(pem as string).toString("latin1");
  const whole = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  return read(name, what, () => {
    if (whole.length === 0) throw new Error("there is none");
    if (whole.length !== text.split("-----BEGIN").length - 1)
      throw new Error("it ends within one, or has something else in it");
    return whole.map((one) => new X509Certificate(one));
  });
}

/** Whether authorities stand behind it, through certificates between. */
function isSigned(
  certificate: X509Certificate,
  between: readonly X509Certificate[],
  authorities: readonly X509Certificate[],
): boolean {
  const by = (issuer: X509Certificate) =>
    certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
  if (authorities.some(by)) return true;
  const next = between.find(by);
  const rest = between.filter((one) => one !== next);
  return next !== undefined && isSigned(next, rest, authorities);
}

function read<T>(name: string, what: string, make: () => T): T {
  try {
    return make();
  } catch (thrown) {
    // Not the text that was given: it may be a key.
    throw new TidemarkError("BAD_OPTION", `${name} is not ${what} in PEM: ${textOf(thrown)}`);
  }
}

/** What there is to say against whoever is at the other end of a socket whose handshake is done. */
function doubtsOf(socket: TLSSocket): Doubt {
  const certificate = socket.getPeerX509Certificate();
  const { authorized, authorizationError: code } = socket;
  return (process) => {
    if (certificate === undefined) return "it shows no certificate";
    if (!authorized) return refusal(String(code), certificate);
    return process === undefined ? undefined : doubtOf(certificate, process);
  };
}

/** Why a certificate is not that of a process, whoever has signed it. */
function doubtOf(certificate: X509Certificate, process: ProcessId): string | undefined {
  const nowMs = Date.now();
  if (nowMs > certificate.validToDate.getTime()) return refusal("CERT_HAS_EXPIRED", certificate);
  if (nowMs < certificate.validFromDate.getTime())
    return refusal("CERT_NOT_YET_VALID", certificate);
  const names = namesOf(certificate);
  const isForBoth = USES.every((use) => certificate.keyUsage?.includes(use) ?? true);
  if (names.includes(process))
    return isForBoth ? undefined : refusal("INVALID_PURPOSE", certificate);
  const named = names.filter(isProcessId).slice(0, 8).join(", ");
  return `the certificate is that of ${named || "no process"}, and not of ${process}`;
}

/** The processes that a certificate names. */
function namesOf({ subjectAltName = "", subject }: X509Certificate): string[] {
  // Names with a comma or a quote are quoted, and no process has such a name.
  const names = subjectAltName
    .split(", ")
    .filter((name) => name.startsWith("DNS:"))
    .map((name) => name.slice(4));
  if (names.length > 0) return names;
  return subject
    .split("\n")
    .filter((part) => part.startsWith("CN="))
    .map((part) => part.slice(3));
}

/** Why a certificate is not believed, in words. */
function refusal(code: string, { validTo, validFrom }: X509Certificate): string {
  switch (code) {
    case "CERT_HAS_EXPIRED":
      return `the certificate held until ${tidy(validTo)} and must be renewed (or the clock of one of the hosts is wrong)`;
    case "CERT_NOT_YET_VALID":
      return `the certificate holds only from ${tidy(validFrom)} (or the clock of one of the hosts is wrong)`;
    case "INVALID_PURPOSE":
      return "the certificate, or one that signed it, is not meant for that: processes need clientAuth and serverAuth, authorities CA:TRUE";
    case "INVALID_CA":
      return "the certificate was signed with one that is not an authority's";
    case "UNABLE_TO_GET_ISSUER_CERT":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "CERT_SIGNATURE_FAILURE":
      return "the certificate was not signed by an authority of this system";
    default:
      return `the certificate is not good (${tidy(code)})`;
  }
}

/** What went wrong before there were certificates. */
function inWords(error: Error & { code?: unknown; reason?: unknown }): string {
  const text = textOf(error);
  if (
    /wrong version number|packet length too long|http request|record layer|unexpected message/i.test(
      text,
    )
  )
    return NO_TLS;
  if (/unsupported protocol|protocol version|no protocols available/i.test(text))
    return "it speaks an older TLS than 1.3, and nothing less will do";
  if (/no shared cipher|handshake failure|no suitable/i.test(text))
    return "it has no cipher in common with this process";
  return text;
}

function notRenewed(thrown: unknown): string {
  return `the certificates cannot be read anew, and those of before hold: ${textOf(thrown)}`;
}

/** Where a socket comes from. */
export function originOf({ remoteAddress }: Socket): string {
  return remoteAddress ?? "an address that is gone";
}
