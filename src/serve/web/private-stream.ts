/**
 * A stream of events for one page, as server-sent events: it begins when the page asks for it, and ends when the page goes.
 *
 * Theory of operation. What is said is collected and sent a few times a second, all at once. Who does not take what was sent is not sent
 * more: what comes meanwhile is counted, and the count is told when it goes on. So neither a page that hangs nor one that is told more
 * than anybody can read costs more than a bounded amount of memory.
 */

import type { FastifyReply } from "fastify";

const FLUSH_MS = 100;
/** In one flush; what is more is counted. */
const EVENTS_MAX = 200;
/** Nothing is sent while so much has not been taken. */
const UNREAD_BYTES_MAX = 1 << 20;
/** Nothing is kept for it either while so much waits. */
const KEPT_CHARACTERS_MAX = 16 << 20;
const ALIVE_MS = 15_000;

/** See the head of the file. */
export class PrivateStream {
  readonly #reply: FastifyReply;
  readonly #flusher: NodeJS.Timeout;
  readonly #alive: NodeJS.Timeout;
  /** Events in their order, ready to be sent. */
  #events: string[] = [];
  /** Of these, such as may be left out. */
  #loose = 0;
  #characters = 0;
  #missed = 0;
  #isOver: boolean = false;

  /** @param gone is called once, when the page or `end` has ended it */
  constructor(reply: FastifyReply, gone: () => void) {
    this.#reply = reply;
    reply.hijack();
    reply.raw.writeHead(200, {
      ...reply.getHeaders(),
      "content-type": "text/event-stream",
    } as Record<string, string>);
    reply.raw.write(": hello\n\n");
    reply.raw.on("error", () => {});
    this.#flusher = setInterval(() => this.#flush(), FLUSH_MS).unref();
    this.#alive = setInterval(
      () => this.isBehind || reply.raw.write(": here\n\n"),
      ALIVE_MS,
    ).unref();
    reply.raw.on("close", () => {
      this.#isOver = true;
      clearInterval(this.#flusher);
      clearInterval(this.#alive);
      gone();
    });
  }

  /** What the page is waiting for. */
  say(name: string, value: unknown): void {
    if (this.#isOver) return;
    const event = `event: ${name}\ndata: ${JSON.stringify(value)}\n\n`;
    this.#events.push(event);
    this.#characters += event.length;
  }

  /** What may be left out, and counted, if it becomes too much; it is made only if it is said. */
  mention(name: string, value: () => unknown): void {
    if (this.#isOver) return;
    if (this.#loose >= EVENTS_MAX || this.isFull) {
      this.#missed += 1;
      return;
    }
    this.#loose += 1;
    this.say(name, value());
  }

  /** Says what there is to say, and ends. */
  end(): void {
    if (this.#isOver) return;
    this.#flush(true);
    this.#reply.raw.end();
  }

  /** The page does not take what it is sent. */
  get isBehind(): boolean {
    return this.#reply.raw.writableLength > UNREAD_BYTES_MAX;
  }

  /** There is no room for more. */
  get isFull(): boolean {
    return this.#characters + this.#reply.raw.writableLength > KEPT_CHARACTERS_MAX;
  }

  #flush(isLast = false): void {
    if (this.isBehind && !isLast) return;
    if (this.#missed > 0) this.say("missed", this.#missed);
    this.#missed = 0;
    this.#loose = 0;
    if (this.#events.length === 0) return;
    this.#reply.raw.write(this.#events.join(""));
    this.#events = [];
    this.#characters = 0;
  }
}
