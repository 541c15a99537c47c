/**
 * A loopback TCP proxy between a dialler and a listener, which does to their connections what networks do:
 * cuts them (both sides, or one so that the other does not notice), delays them, stalls them.
 */

import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** Which side of its connections a cut reaches; the other then stays open and never hears anything again. */
export type Side = "both" | "dialler" | "listener";

/** One direction of one connection. */
interface Flow {
  readonly from: Socket;
  readonly to: Socket;
  /** What is delayed, oldest first. */
  readonly delayed: Buffer[];
  readonly timers: Set<NodeJS.Timeout>;
}

/**
 * ```ts
 * const proxy = await CuttingProxy.open(b.address);
 * a.connect("b", proxy.address);
 * proxy.cut();
 * ```
 */
export class CuttingProxy implements AsyncDisposable {
  /** Where connections go, `host:port`; a change is for those to come. */
  target: string;
  /** Connections that were ever taken. */
  accepted = 0;
  /** Connections that were cut. */
  cuts = 0;
  /** Bytes passed on, both ways together. */
  forwardedBytes = 0;
  /** Is given all that is passed on. */
  overhear: ((bytes: Uint8Array) => void) | undefined;
  readonly #server: Server;
  readonly #flows = new Set<Flow>();
  readonly #sockets = new Set<Socket>();
  #delayMs = 0;
  #stalled: boolean = false;
  #cutAfter: { bytes: number; done: () => void } | undefined;

  private constructor(target: string) {
    this.target = target;
    this.#server = createServer({ noDelay: true }, (dialler) => this.#accept(dialler));
  }

  static async open(target: string): Promise<CuttingProxy> {
    const proxy = new CuttingProxy(target);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  /** Where to dial. */
  get address(): string {
    const { address, port } = this.#server.address() as AddressInfo;
    return `${address}:${port}`;
  }

  /** Connections that are open through it now. */
  get connections(): number {
    return this.#flows.size / 2;
  }

  /** Cuts every connection with a reset, wherever in a frame it is; says how many there were. */
  cut(side: Side = "both"): number {
    const flows = [...this.#flows];
    const count = this.connections;
    this.cuts += count;
    for (const [i, flow] of flows.entries()) {
      this.#forget(flow);
      // Of the two flows of a connection the first comes from the dialler.
      if (side === "both" || (side === "dialler") === (i % 2 === 0)) flow.from.resetAndDestroy();
      else flow.from.pause();
    }
    return count;
  }

  /** Cuts every connection once exactly so many more bytes of diallers have been passed on. */
  cutAfter(bytes: number): Promise<void> {
    return new Promise((done) => {
      this.#cutAfter = { bytes, done };
    });
  }

  /** Passes on what comes from now on so much later. */
  delay(ms: number): void {
    this.#delayMs = ms;
  }

  /** Passes on nothing until `resume`; the connections stay open. */
  stall(): void {
    this.#stalled = true;
    for (const { from } of this.#flows) from.pause();
  }

  resume(): void {
    this.#stalled = false;
    for (const { from } of this.#flows) from.resume();
  }

  /** Refuses and ends everything. */
  async close(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const flow of this.#flows) this.#forget(flow);
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #accept(dialler: Socket): void {
    this.accepted += 1;
    const colon = this.target.lastIndexOf(":");
    const listener = connect({
      host: this.target.slice(0, colon),
      port: Number(this.target.slice(colon + 1)),
      noDelay: true,
    });
    const there: Flow = { from: dialler, to: listener, delayed: [], timers: new Set() };
    const back: Flow = { from: listener, to: dialler, delayed: [], timers: new Set() };
    for (const flow of [there, back]) {
      const { from, to } = flow;
      this.#flows.add(flow);
      this.#sockets.add(from);
      if (this.#stalled) from.pause();
      from.on("data", (chunk) => this.#arrived(flow, chunk, flow === there));
      from.on("error", () => undefined);
      from.on("close", () => {
        this.#sockets.delete(from);
        // One side is gone: so is the other, unless the cut was to leave it there.
        if (!this.#flows.has(flow)) return;
        this.#forget(there);
        this.#forget(back);
        to.destroy();
      });
      from.on("drain", () => {
        if (!this.#stalled) to.resume();
      });
    }
  }

  #arrived(flow: Flow, chunk: Buffer, fromDialler: boolean): void {
    if (!this.#flows.has(flow)) return;
    if (this.#delayMs === 0 && flow.delayed.length === 0) {
      this.#pass(flow, chunk, fromDialler);
      return;
    }
    // Each timer passes on the oldest: so the order stays whatever the delays were.
    flow.delayed.push(chunk);
    const timer = setTimeout(() => {
      flow.timers.delete(timer);
      const oldest = flow.delayed.shift();
      if (oldest) this.#pass(flow, oldest, fromDialler);
    }, this.#delayMs);
    flow.timers.add(timer);
  }

  #pass(flow: Flow, chunk: Buffer, fromDialler: boolean): void {
    const cut = fromDialler ? this.#cutAfter : undefined;
    const last = cut !== undefined && chunk.length >= cut.bytes;
    const passed = last ? chunk.subarray(0, cut.bytes) : chunk;
    this.forwardedBytes += passed.length;
    this.overhear?.(passed);
    if (cut) cut.bytes -= passed.length;
    if (!flow.to.write(passed)) flow.from.pause();
    if (!last) return;
    this.#cutAfter = undefined;
    this.cuts += this.connections;
    for (const other of [...this.#flows]) {
      this.#forget(other);
      // Not a reset: what has been passed on is to arrive.
      other.to.end();
    }
    cut.done();
  }

  #forget(flow: Flow): void {
    this.#flows.delete(flow);
    for (const timer of flow.timers) clearTimeout(timer);
  }
}
