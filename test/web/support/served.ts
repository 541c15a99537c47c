/** A command that serves the page, in an operating-system process of its own, and its API. */

import { Started, temporaryDirectory, until } from "../../cli/support/command.ts";

/** It is there as long as the test that looks at it, which clicks through a whole view. */
const LIMIT_MS = 300_000;

/** See the head of the file. */
export class Served implements AsyncDisposable {
  readonly started: Started;
  readonly directory: string;
  /** With the token. */
  readonly url: string;

  private constructor(started: Started, directory: string, url: string) {
    this.started = started;
    this.directory = directory;
    this.url = url;
  }

  /** @param args of the command line, without `--dir`, if it is `up` or `kv` */
  static async start(
    args: readonly string[],
    directory: string = temporaryDirectory(),
  ): Promise<Served> {
    const dir = args[0] === "ui" ? [] : ["--dir", directory];
    const started = new Started([...args, ...dir], {}, "ignore", LIMIT_MS);
    const said = (): string | undefined =>
      /the page (?:of .* )?is at (http:\S+#token=[0-9a-f]+)/.exec(
        started.stdout + started.stderr,
      )?.[1];
    await until("the page is served", () => said() !== undefined);
    return new Served(started, directory, String(said()));
  }

  get origin(): string {
    return new URL(this.url).origin;
  }

  get token(): string {
    return this.url.slice(this.url.indexOf("token=") + "token=".length);
  }

  /** The path with what it answers, as JSON. */
  async ask(
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<{ readonly status: number; readonly body: Record<string, unknown> }> {
    const answer = await fetch(`${this.origin}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.token}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined
        ? {}
        : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.started.child.kill("SIGINT");
    await this.started.ended;
  }
}
