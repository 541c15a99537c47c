/**
 * Streams over TCP: the transport of processes on one machine or in one network.
 *
 * Assumptions. Without `tls` there is no encryption and no proof of identity: keep the port inside a network that you trust. With it, those
 * hold that `tls.ts` states.
 *
 * Theory of operation. Greetings, epochs and frames are `stream-transport.ts`' part; here are sockets.
 * A process that dies ends its connections; a host that dies without a word does not. If nothing was
 * on the way to it, that is noticed after some 20 seconds; else when the system gives up sending it
 * again, which takes Linux a quarter of an hour, or when the process comes back.
 *
 * Speed. All sockets read into one buffer, but those accepted with TLS, for which Node does not offer it.
 */

import { type AddressInfo, createServer, connect as dial, isIPv6, type Server } from "node:net";
import type { Duplex } from "node:stream";
import { TidemarkError } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import { readShared, type SharedReader, sharedRead } from "./shared-read.ts";
import {
  type Carrier,
  type Doubt,
  type Incoming,
  type StreamOptions,
  StreamTransport,
  tidy,
} from "./stream-transport.ts";
import { originOf, type TlsIdentity, TlsSockets } from "./tls.ts";
import { checkWhole, isWhole, type Transport, type TransportIdentity } from "./transport.ts";

/** How `tcpTransport` listens and reaches its peers. */
export interface TcpOptions extends StreamOptions {
  /**
   * The host name or address to listen on. Everyone who can reach it can connect.
   * @default "127.0.0.1"
   */
  readonly host?: string;
  /**
   * The port to listen on; 0 lets the system choose one that is free.
   * @default 0
   */
  readonly port?: number;
  /**
   * Where the peers listen, as `host:port` (`[address]:port` for IPv6); more can be added with `connect`.
   * An entry for the process itself is ignored, so all processes can be given the same table.
   * @default {}
   */
  readonly peers?: Readonly<Record<ProcessId, string>>;
  /**
   * By what this process shows who it is, and tells who others are. Give all processes of a system one, or none. A function is asked
   * at each new connection, so certificates can be renewed in a running system; while it throws, what it gave last holds.
   * @default none: connections are neither encrypted nor authenticated
   */
  readonly tls?: TlsIdentity | (() => TlsIdentity);
}

/** So long nothing comes before the system asks the other host, every second, ten times. */
const SOCKET_OPTIONS = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 10_000 } as const;

/**
 * Makes a transport that listens on a TCP port and keeps one connection to each peer. It keeps order,
 * loses nothing and repeats nothing while a peer is up; frames on the way are lost when a connection is.
 * With `tls`, connections are encrypted, and each side proves by a certificate which process it is.
 *
 * Problems that it tells: `STRANGER`, `UNTRUSTED`, `DUPLICATE_ID`, `VERSION_MISMATCH` (this side
 * refused), `EPOCH_MISMATCH` (the other side is behind), `HANDSHAKE_REFUSED` (the other side did, and says why), `FRAME_TOO_LARGE`,
 * `PEER_UNREACHABLE`; each about one source at most once in ten seconds.
 *
 * @throws TidemarkError `BAD_OPTION`, `BAD_ID`
 * @example
 * ```ts
 * import { tcpTransport } from "tidemark";
 * const { promise: text, resolve } = Promise.withResolvers<string>();
 * const quiet = { peerUp() {}, peerDown() {}, frame() {}, problem() {}, laterEpoch() {} };
 * const [a, b] = [tcpTransport(), tcpTransport()];
 * await a.open(
 *   { system: "demo", self: "a", incarnation: 1, epoch: 0 },
 *   { ...quiet, peerUp: (peer) => a.send(peer, new TextEncoder().encode("hello")) },
 * );
 * await b.open(
 *   { system: "demo", self: "b", incarnation: 1, epoch: 0 },
 *   { ...quiet, frame: (_, frame) => resolve(new TextDecoder().decode(frame)) },
 * );
 * a.connect("b", String(b.address));
 * b.connect("a", String(a.address));
 * if ((await text) !== "hello") throw new Error("a frame arrives as it was sent");
 * await Promise.all([a.close(), b.close()]);
 * ```
 */
export function tcpTransport(options: TcpOptions = {}): Transport {
  return new StreamTransport(new TcpCarrier(options), options);
}

class TcpCarrier implements Carrier {
  readonly #host: string;
  readonly #port: number;
  readonly #tls: TlsSockets | undefined;
  #server: Server | undefined;

  constructor({ host = "127.0.0.1", port = 0, tls, handshakeTimeoutMs = 5_000 }: TcpOptions) {
    if (typeof host !== "string" || host === "")
      throw new TidemarkError("BAD_OPTION", "host must be a host name or an address");
    this.#host = host;
    this.#port = checkWhole("port", port, 0, 65_535);
    this.#tls = tls === undefined ? undefined : new TlsSockets(tls, handshakeTimeoutMs);
  }

  checkAddress(peer: ProcessId, address: string): void {
    parseAddress(peer, address);
  }

  async listen(identity: TransportIdentity, incoming: Incoming): Promise<string> {
    this.#tls?.checkSelf(identity.self);
    const server =
      this.#tls?.server(SOCKET_OPTIONS, incoming) ??
      createServer({ ...SOCKET_OPTIONS, pauseOnConnect: true }, (socket) =>
        incoming.stream(originOf(socket), (read) => readShared(socket, read)),
      );
    this.#server = server;
    const listening = Promise.withResolvers<void>();
    let listens = false;
    server.on("listening", () => {
      listens = true;
      listening.resolve();
    });
    // Once it listens, an error is one of accepting, such as too many open files.
    server.on("error", (error: NodeJS.ErrnoException) => {
      if (!listens) listening.reject(this.#cannotListen(error));
      else
        incoming.problem(
          "PEER_UNREACHABLE",
          "accept",
          `cannot take a connection: ${error.message}`,
        );
    });
    server.listen({ host: this.#host, port: this.#port });
    await listening.promise;
    const { address, port } = server.address() as AddressInfo;
    return isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`;
  }

  #cannotListen(error: NodeJS.ErrnoException): TidemarkError {
    const where = `${this.#host}:${this.#port}`;
    return error.code === "EADDRINUSE"
      ? new TidemarkError(
          "ADDRESS_IN_USE",
          `${where} is in use: stop the process that listens there, or choose another port (0 for any that is free)`,
          { cause: error },
        )
      : new TidemarkError("BAD_OPTION", `cannot listen on ${where}: ${error.message}`, {
          cause: error,
        });
  }

  dial(
    peer: ProcessId,
    address: string,
    read: SharedReader,
    ready: (doubt?: Doubt) => void,
  ): Duplex {
    const options = { ...SOCKET_OPTIONS, ...parseAddress(peer, address), onread: sharedRead(read) };
    const tls = this.#tls;
    const socket = tls ? tls.dial(options, ready) : dial(options, () => ready());
    // The system may give this socket the very port that it dials, if it is free: it then meets itself.
    socket.prependOnceListener("connect", () => {
      if (socket.localPort === socket.remotePort && socket.localAddress === socket.remoteAddress)
        socket.destroy(new Error("nobody listens there"));
    });
    return socket;
  }

  async close(): Promise<void> {
    const server = this.#server;
    this.#tls?.close();
    if (server?.listening) await new Promise((resolve) => server.close(resolve));
  }
}

/** `host:port` or `[address]:port`. */
function parseAddress(peer: ProcessId, text: unknown): { host: string; port: number } {
  const match =
    typeof text === "string" ? /^(?:\[([^\]]+)\]|([^:\s]+)):([0-9]{1,5})$/.exec(text) : null;
  const [, bracketed, plain, digits] = match ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  if (host === undefined || !isWhole(port, 1, 65_535))
    throw new TidemarkError(
      "BAD_OPTION",
      `"${tidy(text)}" is not an address of ${peer}: one looks like 127.0.0.1:7001`,
    );
  return { host, port };
}
