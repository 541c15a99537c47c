/** The bank that `tidemark up` runs: its accounts, each an operating-system process, seen from their parent. */

import type { AccountReply } from "../bank/account.ts";
import { isTidemarkError, TidemarkError } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import type { Explanation } from "../process/process.ts";
import type { SpoiledOptions } from "../runtime/spoiled-transport.ts";
import type { Taking } from "./account-host.ts";
import { HostedAccount } from "./hosted-account.ts";

/** What a system is started with. */
export interface SystemOptions {
  /** How many accounts. */
  readonly processes: number;
  /** In each of them, at the start. */
  readonly money: number;
  readonly rate: number | "max";
  /** Decides who sends how much to whom, and what befalls the network. */
  readonly seed: number;
  /** The accounts listen on this port and the ones after it; 0: on any. */
  readonly port: number;
  /** Of the snapshot store. */
  readonly directory: string;
  readonly sync: boolean;
  readonly compressLevel: number;
  /** In hexadecimal digits. */
  readonly key?: string;
  /** What the network does to frames, below the link. */
  readonly spoil?: Omit<SpoiledOptions, "seed"> | undefined;
}

/** What is known of one process. */
export interface ProcessStatus {
  readonly process: ProcessId;
  readonly pid: number;
  readonly address: string;
  readonly up: boolean;
  readonly epoch: number;
  /** Messages since it started; absent when it does not answer. */
  readonly sent?: number;
  readonly received?: number;
  /** What is late or held, as the process itself explains it. */
  readonly explanation?: Explanation;
}

const SYSTEM = "bank";
const EPOCH = 1;
/** How long processes may take to reach each other before the first snapshot is tried all the same. */
const MEET_TIMEOUT_MS = 5_000;
const MEET_POLL_MS = 5;
/** How long a status waits for a process that does not answer. */
const STATUS_TIMEOUT_MS = 1_000;
/** So much later than an initiator should have given up it is taken to hang. */
const PATIENCE_MS = 1_000;
/** A snapshot that has been under way for so long is late. */
const LATE_MS = 1_000;

/** See the head of the file. */
export class BankSystem {
  readonly processes: readonly ProcessId[];
  /** Settles when a process has ended that nobody stopped. */
  readonly lost: Promise<TidemarkError>;
  readonly #accounts: readonly HostedAccount[];
  #stopping: boolean = false;
  /** If this process has to end at once, so do the others, even one that hangs. */
  readonly #kill = (): void => {
    for (const account of this.#accounts) account.kill();
  };

  private constructor(accounts: readonly HostedAccount[]) {
    this.#accounts = accounts;
    this.processes = accounts.map(({ id }) => id);
    process.once("exit", this.#kill);
    this.lost = new Promise((settle) => {
      for (const { id, pid, ended } of accounts)
        void ended.then((how) => {
          if (this.#stopping) return;
          const message = `${id} (process ${pid}) has ended, and nobody stopped it: ${how}`;
          settle(new TidemarkError("STOPPED", message));
        });
    });
  }

  /**
   * Starts all processes, and waits until they have reached each other. If one cannot start, or the caller gives up,
   * nothing is left running.
   *
   * @throws TidemarkError `ADDRESS_IN_USE`, `STORE_FAILED`, `STOPPED`
   */
  static async start(
    options: SystemOptions,
    onProblem: (problem: TidemarkError) => void,
    signal: AbortSignal,
  ): Promise<BankSystem> {
    const { money, rate, seed, port, directory, sync, compressLevel, key, spoil } = options;
    const processes = Array.from({ length: options.processes }, (_, i) => `p${i + 1}`);
    const giveUp = new AbortController();
    const starting = processes.map((id, i) =>
      HostedAccount.start(
        {
          id,
          system: SYSTEM,
          epoch: EPOCH,
          processes,
          money,
          rate,
          receive: "auto",
          seed: `${seed} ${id}`,
          port: port === 0 ? 0 : port + i,
          directory,
          sync,
          compressLevel,
          ...(key === undefined ? {} : { key }),
          ...(spoil && { spoil: { ...spoil, seed: `${seed} network` } }),
        },
        onProblem,
        AbortSignal.any([signal, giveUp.signal]),
      ).catch((error: unknown) => {
        if (!isTidemarkError(error)) throw error;
        throw new TidemarkError(error.code, `${id} cannot start: ${error.message}`);
      }),
    );
    try {
      const system = new BankSystem(await Promise.all(starting));
      await system.#meet(signal);
      return system;
    } catch (error) {
      giveUp.abort();
      for (const started of await Promise.allSettled(starting))
        if (started.status === "fulfilled") started.value.kill();
      throw error;
    }
  }

  async #meet(signal: AbortSignal): Promise<void> {
    const addresses = Object.fromEntries(this.#accounts.map(({ id, address }) => [id, address]));
    await Promise.all(this.#accounts.map((account) => account.call("connect", addresses)));
    const deadlineMs = performance.now() + MEET_TIMEOUT_MS;
    while (performance.now() < deadlineMs) {
      signal.throwIfAborted();
      const all = await Promise.all(this.#accounts.map((account) => account.call("status", null)));
      if (all.every(({ explanation }) => explanation.channels.every(({ up }) => up))) return;
      await new Promise((settle) => setTimeout(settle, MEET_POLL_MS));
    }
  }

  /**
   * Asks one process after another, which is not consistent.
   * @throws TidemarkError `STOPPED`, `PEER_UNREACHABLE` when one does not answer
   */
  async poll(timeoutMs: number): Promise<ReadonlyMap<ProcessId, AccountReply>> {
    const replies = new Map<ProcessId, AccountReply>();
    for (const account of this.#accounts) {
      const reply = account.call("request", { type: "state" });
      replies.set(account.id, await within(timeoutMs, account, reply));
    }
    return replies;
  }

  /**
   * Takes a snapshot.
   * @throws TidemarkError `UNKNOWN_PROCESS`, `STOPPED`, `PEER_UNREACHABLE` when the initiator does not answer
   */
  async snapshot(
    initiator: ProcessId,
    options: { readonly label?: string; readonly timeoutMs: number },
  ): Promise<Taking> {
    const account = this.#accounts.find(({ id }) => id === initiator);
    if (!account) throw new TidemarkError("UNKNOWN_PROCESS", `there is no process ${initiator}`);
    // The initiator keeps to the time-out by itself, unless it hangs.
    const patienceMs = options.timeoutMs + PATIENCE_MS;
    return within(patienceMs, account, account.call("snapshot", options));
  }

  status(): Promise<ProcessStatus[]> {
    return Promise.all(
      this.#accounts.map(async (account) => {
        const { id: process, pid, address, up } = account;
        const known = { process, pid, address, up, epoch: EPOCH };
        try {
          const asked = account.call("status", null);
          const { counters, explanation } = await within(STATUS_TIMEOUT_MS, account, asked);
          return { ...known, ...counters, explanation };
        } catch {
          // That it does not answer is what there is to know.
          return known;
        }
      }),
    );
  }

  /** Ends all processes. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#accounts.map((account) => account.stop()));
    process.off("exit", this.#kill);
  }
}

/** @throws TidemarkError `PEER_UNREACHABLE` when it takes longer */
async function within<T>(timeoutMs: number, { id }: HostedAccount, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const message = `${id} does not answer, although it has had ${timeoutMs} ms`;
      reject(new TidemarkError("PEER_UNREACHABLE", message, { definite: false }));
    }, timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A line for everything that is late or held, and whom it waits for. */
export function whatIsLate(processes: readonly ProcessStatus[], nowMs: number): string[] {
  const silent = new Set(
    processes.filter(({ explanation }) => !explanation).map(({ process }) => process),
  );
  const lines = [...silent].map((process) => `${process} does not answer`);
  for (const { process, explanation } of processes) {
    for (const { snapshot, sinceMs, waitsFor } of explanation?.snapshots ?? [])
      if (nowMs - sinceMs >= LATE_MS)
        lines.push(`${snapshot} waits at ${process}: ${waitsFor.join(", ")}`);
    // What is sent and not acknowledged is no news while both ends are there.
    for (const { from, to, waiting, up, reason } of explanation?.channels ?? [])
      if (!up || silent.has(to))
        lines.push(
          `${from} → ${to} is ${up ? "not taken" : `down (${reason})`}: ${waiting.messages} messages wait`,
        );
  }
  return lines;
}
