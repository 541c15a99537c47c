/**
 * Sockets that TLS has begun on and has not finished with: how many there are, which is the oldest, and an end for all of them.
 *
 * What Node brings when a handshake is done is another socket, and that does not tell which one it stands on. But both tell where they lead
 * from and to, and of sockets that are open no two have both alike.
 */

import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";

/** See the head of the file. */
export class Handshakes {
  /** By both ends, oldest first. One that was broken before it was looked at has no ends any more: it stands for itself. */
  readonly #sockets = new Map<string | Socket, Socket>();

  get size(): number {
    return this.#sockets.size;
  }

  get oldest(): Socket | undefined {
    const [oldest] = this.#sockets.values();
    return oldest;
  }

  /** Counts it until it is done, or closed. Before anything is read from it. */
  begin(socket: Socket): void {
    const ends = endsOf(socket) ?? socket;
    // What had these ends is broken, whether it has heard of that or not.
    this.#sockets.delete(ends);
    this.#sockets.set(ends, socket);
    socket.once("close", () => {
      if (this.#sockets.get(ends) === socket) this.#sockets.delete(ends);
    });
  }

  /** The socket that an encrypted one stands on, if it is counted. */
  under(encrypted: TLSSocket): Socket | undefined {
    const ends = endsOf(encrypted);
    return ends === undefined ? undefined : this.#sockets.get(ends);
  }

  done(encrypted: TLSSocket): void {
    const ends = endsOf(encrypted);
    if (ends !== undefined) this.#sockets.delete(ends);
  }

  /** Ends what has only begun. */
  end(): void {
    for (const socket of this.#sockets.values()) socket.destroy();
  }
}

function endsOf({
  remoteAddress,
  remotePort,
  localAddress,
  localPort,
}: Socket): string | undefined {
  if (remotePort === undefined) return undefined;
  return `${remoteAddress}:${remotePort} ${localAddress}:${localPort}`;
}
