/** How the page asks its server: one function for requests, one stream of events for all that listens. */

import type { PageProblem, PageTopic, PageTopics } from "../src/serve/web/api.ts";

/** What the server answered when it did not do what it was asked. */
export class ServerError extends Error {
  readonly code: string;

  constructor({ code, message }: PageProblem) {
    super(message);
    this.code = code;
  }
}

/** What was told last of a topic. */
export interface Told<T> {
  /** Undefined until something was told. */
  readonly value: T | undefined;
  /** Why there is nothing newer. */
  readonly problem: string | undefined;
  /** Events that were left out, as this page did not keep up. */
  readonly missed: number;
}

type Listener = () => void;

const NOTHING: Told<never> = { value: undefined, problem: undefined, missed: 0 };
const AGAIN_MS = 1_000;
const GONE = "the server does not answer: it may have ended";

/** The server that this page came from. */
export class PageServer {
  readonly #token: string;
  readonly #told = new Map<PageTopic, Told<unknown>>();
  readonly #listeners = new Map<PageTopic, Set<Listener>>();
  #missed = 0;
  #reading: AbortController | undefined;

  constructor(token: string) {
    this.#token = token;
    // A browser has six connections to a server for all its tabs: one that nobody sees leaves its own to the others.
    document.addEventListener("visibilitychange", () => this.#readAgain());
  }

  /** @throws ServerError */
  async ask<T>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await this.fetch(method, path, body);
    return (await answer.json()) as T;
  }

  /** @throws ServerError */
  async fetch(
    method: string,
    path: string,
    body?: unknown,
    signal: AbortSignal | null = null,
  ): Promise<Response> {
    let answer: Response;
    try {
      answer = await fetch(path, {
        ...{ method, signal },
        headers: {
          authorization: `Bearer ${this.#token}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch {
      throw new ServerError({ code: "UNREACHABLE", message: GONE });
    }
    if (answer.ok) return answer;
    const problem = (await answer.json().catch(() => undefined)) as PageProblem | undefined;
    throw new ServerError(
      problem ?? { code: "INTERNAL", message: `the server says ${answer.status}` },
    );
  }

  /** The bytes of an answer. @throws ServerError also if they do not come to their end */
  async bytes(method: string, path: string, body?: unknown): Promise<ArrayBuffer> {
    const answer = await this.fetch(method, path, body);
    try {
      return await answer.arrayBuffer();
    } catch {
      throw new ServerError({
        code: "UNREACHABLE",
        message:
          "the server broke off in the middle: something cannot be read there, or it has ended",
      });
    }
  }

  told<K extends PageTopic>(topic: K): Told<PageTopics[K]> {
    return (this.#told.get(topic) ?? NOTHING) as Told<PageTopics[K]>;
  }

  /** Hears whenever something is told of a topic, until it calls what this gives. */
  listen(topic: PageTopic, listener: Listener): () => void {
    const listeners = this.#listeners.get(topic) ?? new Set();
    const isFirst = listeners.size === 0;
    this.#listeners.set(topic, listeners.add(listener));
    if (isFirst) this.#readAgain();
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0) this.#readAgain();
    };
  }

  /** The stream is asked for anew, with the topics that somebody listens to. */
  #readAgain(): void {
    this.#reading?.abort();
    const reading = new AbortController();
    this.#reading = reading;
    // Whoever begins to listen in the same turn is in it as well.
    queueMicrotask(() => void this.#read(reading.signal));
  }

  async #read(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const topics = [...this.#listeners].flatMap(([topic, { size }]) => (size > 0 ? [topic] : []));
      if (topics.length === 0 || document.hidden) return;
      let problem = GONE;
      try {
        const query = topics.map((topic) => `topics=${topic}`).join("&");
        const answer = await this.fetch("GET", `/api/events?${query}`, undefined, signal);
        if (answer.body) await this.#take(answer.body);
      } catch (error) {
        // Another one may answer there by now, and want another token.
        if (error instanceof ServerError) problem = error.message;
      }
      if (signal.aborted) return;
      for (const topic of topics) this.#tell(topic, { ...this.told(topic), problem });
      await new Promise((settle) => setTimeout(settle, AGAIN_MS));
    }
  }

  async #take(body: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<void> {
    for await (const events of eventsIn(body))
      for (const { name, data } of events) {
        if (name === "missed") {
          this.#missed += Number(data);
          continue;
        }
        const topic = name as PageTopic;
        const { value, problem } = data as { value?: unknown; problem?: string };
        this.#tell(topic, {
          value: value ?? this.told(topic).value,
          problem,
          missed: this.#missed,
        });
      }
  }

  #tell(topic: PageTopic, told: Told<unknown>): void {
    this.#told.set(topic, told);
    for (const listener of this.#listeners.get(topic) ?? []) listener();
  }
}

/** One event of a stream. */
export interface ServerEvent {
  readonly name: string;
  readonly data: unknown;
}

/** The events of a stream, those together that came together, until it ends or the signal comes. */
export async function* eventsIn(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
  signal?: AbortSignal,
): AsyncGenerator<readonly ServerEvent[], void> {
  let rest = "";
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const cancel = (): void => void reader.cancel().catch(() => {});
  if (signal?.aborted) cancel();
  signal?.addEventListener("abort", cancel);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const events = (rest + value).split("\n\n");
      rest = events.pop() ?? "";
      const found = events.flatMap((event) => {
        const [, name, data] = /^event: ([^\n]*)\ndata: (.*)$/.exec(event) ?? [];
        return name === undefined || data === undefined ? [] : [{ name, data: JSON.parse(data) }];
      });
      if (found.length > 0) yield found;
    }
  } finally {
    signal?.removeEventListener("abort", cancel);
    cancel();
  }
}
