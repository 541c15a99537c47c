/** A process of a system in an operating-system process of its own, seen from its parent. */

import { type ChildProcess, fork } from "node:child_process";
import { getCompileCacheDir } from "node:module";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { TidemarkError } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import type { Begun, HostAnswer, HostCall, HostMethods, HostOptions } from "./process-host.ts";

const SOURCE = fileURLToPath(new URL("./process-host.ts", import.meta.url));
/** Built, the host lies beside this file as JavaScript. */
const HOST = SOURCE.replace(/\.ts$/, extname(fileURLToPath(import.meta.url)));

interface Pending {
  resolve(result: unknown): void;
  reject(error: TidemarkError): void;
}

/** See the head of the file. */
export class HostedProcess<M = unknown, State = unknown, Request = unknown, Reply = unknown> {
  readonly id: ProcessId;
  /** Settles when the operating-system process has ended, with how. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;
  readonly #pending = new Map<number, Pending>();
  #calls = 0;
  #begun: Begun = { address: "", beganWith: "nothing" };
  #cause: TidemarkError | undefined;
  #isHalted: boolean = false;

  private constructor(id: ProcessId, onProblem: (problem: TidemarkError) => void) {
    this.id = id;
    const compileCache = getCompileCacheDir();
    this.#child = fork(HOST, [], {
      // Standard output is the parent's alone.
      stdio: ["ignore", 2, 2, "ipc"],
      // Requests and replies may be anything that can be cloned.
      serialization: "advanced",
      env: { ...process.env, ...(compileCache && { NODE_COMPILE_CACHE: compileCache }) },
    });
    this.#child.on("message", (message) => this.#hear(message as HostAnswer, onProblem));
    this.ended = new Promise((resolve) => {
      const end = (how: string): void => {
        for (const { reject } of this.#pending.values())
          reject(new TidemarkError("STOPPED", `${id} has ended: ${how}`, { definite: false }));
        this.#pending.clear();
        resolve(how);
      };
      this.#child.once("exit", (status, signal) => end(signal ?? `exit status ${status}`));
      this.#child.on("error", (error) => end(error.message));
    });
  }

  /**
   * Starts the operating-system process and the process of the system in it.
   * @throws TidemarkError what starting a process throws, or `STOPPED` when it has ended or the caller gave up
   */
  static async start<M, State, Request, Reply>(
    options: HostOptions,
    onProblem: (problem: TidemarkError) => void,
    signal?: AbortSignal,
  ): Promise<HostedProcess<M, State, Request, Reply>> {
    signal?.throwIfAborted();
    const started = new HostedProcess<M, State, Request, Reply>(options.id, onProblem);
    const kill = (): void => started.kill();
    signal?.addEventListener("abort", kill);
    try {
      started.#begun = await started.call("start", options);
    } catch (error) {
      kill();
      throw error;
    } finally {
      signal?.removeEventListener("abort", kill);
    }
    return started;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Where its transport listens. */
  get address(): string {
    return this.#begun.address;
  }

  get beganWith(): Begun["beganWith"] {
    return this.#begun.beganWith;
  }

  /** Why it had to end, if it said so. */
  get cause(): TidemarkError | undefined {
    return this.#cause;
  }

  get up(): boolean {
    return this.#child.connected;
  }

  /** @throws TidemarkError what the method throws there, or `STOPPED` when it has ended */
  call<K extends keyof HostMethods<M, State, Request, Reply>>(
    method: K,
    parameter: HostMethods<M, State, Request, Reply>[K][0],
  ): Promise<HostMethods<M, State, Request, Reply>[K][1]> {
    return new Promise((resolve, reject) => {
      if (!this.#child.connected) throw new TidemarkError("STOPPED", `${this.id} has ended`);
      this.#calls += 1;
      const call: HostCall = { call: this.#calls, method, parameter };
      this.#pending.set(call.call, { resolve: resolve as (result: unknown) => void, reject });
      // If it cannot be sent any more, the end that follows says why.
      this.#child.send(call, () => {});
    });
  }

  /** Ends the process in good order, or after that long by force. */
  async stop(withinMs = 3000): Promise<void> {
    const timer = setTimeout(() => this.kill(), withinMs);
    // It may have ended, or end before it can answer.
    this.call("stop", null).catch(() => {});
    await this.ended;
    clearTimeout(timer);
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  /** It does nothing more until it is resumed: the operating system gives it no time. */
  halt(): void {
    this.#isHalted = this.#child.kill("SIGSTOP");
  }

  resume(): void {
    this.#child.kill("SIGCONT");
    this.#isHalted = false;
  }

  get isHalted(): boolean {
    return this.#isHalted;
  }

  #hear(answer: HostAnswer, onProblem: (problem: TidemarkError) => void): void {
    if ("problem" in answer) {
      const { code, message } = answer.problem;
      const problem = new TidemarkError(code, `${this.id}: ${message}`);
      if (answer.fatal) this.#cause ??= problem;
      onProblem(problem);
      return;
    }
    const pending = this.#pending.get(answer.call);
    this.#pending.delete(answer.call);
    if ("result" in answer) pending?.resolve(answer.result);
    else pending?.reject(new TidemarkError(answer.error.code, answer.error.message));
  }
}
