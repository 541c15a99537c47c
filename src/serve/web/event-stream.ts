/**
 * The one stream of what happens, for pages: server-sent events (WHATWG HTML, §9.2), one JSON value each.
 *
 * Theory of operation. A topic is looked at only while somebody listens to it, one look after another, and told if it is not what was told
 * last. Who does not take what was sent is not sent more, and is told how much it has missed when it goes on: so a page that hangs costs a
 * bounded amount of memory, and what it sees at last is what there is.
 */

import type { ServerResponse } from "node:http";
import { textOf } from "../../core/error.ts";
import type { PageTopic, PageTopics } from "./api.ts";

/** What is looked at. */
export interface Topic<T> {
  /** From the end of one look to the next. */
  readonly everyMs: number;
  readonly look: () => Promise<T>;
}

export type Topics = { readonly [K in PageTopic]?: Topic<PageTopics[K]> };

interface Listener {
  readonly topics: ReadonlySet<PageTopic>;
  readonly response: ServerResponse;
  /** Looks that it was not told. */
  missed: number;
}

/** Nobody is sent more while so much has not been taken. */
const UNREAD_BYTES_MAX = 1 << 20;
const ALIVE_MS = 15_000;
/** How many pages may listen at once. */
export const LISTENERS_MAX = 64;

/** See the head of the file. */
export class EventStream {
  readonly #topics: Topics;
  readonly #listeners = new Set<Listener>();
  readonly #last = new Map<PageTopic, string>();
  readonly #timers = new Map<PageTopic, NodeJS.Timeout>();
  readonly #alive: NodeJS.Timeout;

  constructor(topics: Topics) {
    this.#topics = topics;
    this.#alive = setInterval(() => {
      for (const one of this.#listeners) this.#send(one, ": still here\n\n");
    }, ALIVE_MS).unref();
  }

  get topics(): readonly PageTopic[] {
    return Object.keys(this.#topics) as PageTopic[];
  }

  get isFull(): boolean {
    return this.#listeners.size >= LISTENERS_MAX;
  }

  /** Tells that page what happens, until it goes. */
  add(response: ServerResponse, topics: readonly PageTopic[]): void {
    const listener: Listener = { topics: new Set(topics), response, missed: 0 };
    this.#listeners.add(listener);
    response.on("close", () => this.#listeners.delete(listener));
    response.on("error", () => this.#listeners.delete(listener));
    this.#send(listener, ": hello\n\n");
    for (const topic of listener.topics) {
      const last = this.#last.get(topic);
      if (this.#timers.has(topic)) {
        if (last !== undefined) this.#send(listener, eventOf(topic, last));
      } else void this.#look(topic);
    }
  }

  close(): void {
    clearInterval(this.#alive);
    for (const timer of this.#timers.values()) clearTimeout(timer);
    for (const { response } of this.#listeners) response.end();
    this.#listeners.clear();
  }

  async #look<K extends PageTopic>(name: K): Promise<void> {
    const topic: Topic<PageTopics[K]> | undefined = this.#topics[name];
    if (!topic) return;
    // Also while it looks, so that nobody else begins.
    this.#timers.set(name, setTimeout(() => {}, 0).unref());
    let text: string;
    try {
      text = JSON.stringify({ value: await topic.look() });
    } catch (error) {
      text = JSON.stringify({ problem: textOf(error) });
    }
    if (text !== this.#last.get(name)) {
      this.#last.set(name, text);
      for (const one of this.#listeners)
        if (one.topics.has(name)) this.#send(one, eventOf(name, text));
    }
    if ([...this.#listeners].some(({ topics }) => topics.has(name))) {
      this.#timers.set(name, setTimeout(() => void this.#look(name), topic.everyMs).unref());
    } else {
      // Who comes next is told what there is then.
      this.#timers.delete(name);
      this.#last.delete(name);
    }
  }

  #send(to: Listener, text: string): void {
    if (to.response.writableLength > UNREAD_BYTES_MAX) {
      to.missed += 1;
      return;
    }
    if (to.missed > 0) {
      to.response.write(`event: missed\ndata: ${to.missed}\n\n`);
      to.missed = 0;
    }
    to.response.write(text);
  }
}

/** JSON has no line ends in it. */
const eventOf = (topic: PageTopic, json: string): string => `event: ${topic}\ndata: ${json}\n\n`;
