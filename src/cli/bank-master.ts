/**
 * The master of the scripted bank, with its observer. It starts an account for each node, tells them what to do,
 * one command at a time, and prints what they say.
 *
 * Theory of operation. Of every channel the master knows how many items (transfers and tokens) were put on it and
 * taken off: a transfer that was accepted is one more; an account that has recorded, which it says itself, has put
 * one token on each of its outgoing channels. So the master knows which channels are empty without asking anybody
 * and without racing the network: an item that it counts is at the receiver or on its way there, and receiving
 * waits for it. What is printed of a snapshot is never the master's own knowledge: it comes from the snapshot
 * store, or, while the snapshot is not complete, from what each account has recorded so far.
 */

import type { AccountReply, AccountRequest, AccountState, Transfer } from "../bank/account.ts";
import {
  type CollectedSnapshot,
  type Command,
  formatSnapshot,
  NUMBER_MAX,
} from "../bank/script.ts";
import { TidemarkError } from "../core/error.ts";
import type { ProcessId, SnapshotId } from "../core/id.ts";
import type { Random } from "../core/random.ts";
import { GlobalSnapshot } from "../runtime/global-snapshot.ts";
import type { SnapshotStore } from "../runtime/snapshot-store.ts";
import type { HostedProcess } from "./hosted-process.ts";
import type { HostMethods } from "./process-host.ts";

/** What the master needs of an account: one in an operating-system process, or anything that does the same. */
export type BankAccount = Pick<HostedAccount, "address" | "call">;

/** One account, from outside. */
export type HostedAccount = HostedProcess<Transfer, AccountState, AccountRequest, AccountReply>;

/** What an account can be asked. */
export type AccountMethods = HostMethods<Transfer, AccountState, AccountRequest, AccountReply>;

/** Where the accounts of a bank live, from `StartMaster` to `KillAll`. */
export interface BankHome {
  /** All their snapshots are in it. */
  readonly store: SnapshotStore;
  /** Starts an account that has channels to and from those others, and does not know where they are. */
  start(id: ProcessId, money: number, others: readonly ProcessId[]): Promise<BankAccount>;
  /** Ends every account and leaves nothing behind. */
  close(): Promise<void>;
}

/** What a master is made of. */
export interface MasterOptions {
  readonly openHome: () => Promise<BankHome>;
  /** Decides what the script leaves open; without it the smallest receiver, then the smallest sender goes first. */
  readonly random?: Random | undefined;
  /** Hears of what a person who reads the results should know, one line each. */
  readonly note: (text: string) => void;
}

interface Channel {
  readonly from: number;
  readonly to: number;
}

/** The newest snapshot. */
interface Observed {
  readonly id: SnapshotId;
  readonly initiator: number;
  /** The nodes that there were, ascending. */
  readonly nodes: readonly number[];
  /** Its tokens that have not been received. */
  tokens: number;
}

/** How long an item may take from one process to another, in milliseconds, before something is wrong. */
const RECEIVE_TIMEOUT_MS = 10_000;
/** A script may leave a snapshot unfinished for as long as it likes: a year, in milliseconds. */
const SNAPSHOT_TIMEOUT_MS = 365 * 24 * 3600 * 1000;
/** Every node is an operating-system process. */
const NODES_MAX = 100;
/** What waits in a channel takes about a kilobyte of memory at its receiver. */
const ITEMS_MAX = 500_000;
/** How much of what a snapshot lacks is named. */
const MISSING_SHOWN = 10;

/** See the head of the file. */
export class BankMaster {
  readonly #options: MasterOptions;
  #home: BankHome | undefined;
  /** Ascending by number. */
  #accounts = new Map<number, BankAccount>();
  /** Of all nodes together. */
  #money = 0;
  /** How many items wait, by receiver, then sender … */
  readonly #waiting = new Map<number, Map<number, number>>();
  /** … and in all. */
  #items = 0;
  #observed: Observed | undefined;
  #collected: CollectedSnapshot | undefined;

  constructor(options: MasterOptions) {
    this.#options = options;
  }

  /**
   * Does what a command says; gives what it prints.
   * @throws TidemarkError when it cannot be done: then it has no effect
   */
  async perform(command: Command): Promise<string> {
    switch (command.name) {
      case "StartMaster":
        if (this.#home) this.#options.note("the master has started already");
        await this.#open();
        return "";
      case "KillAll":
        await this.close();
        return "";
      case "CreateNode":
        await this.#create(command.node, command.money);
        return "";
      case "Send":
        return this.#send(command, command.amount);
      case "Receive":
        return this.#receiveOne(command.to, command.from);
      case "ReceiveAll":
        for (let next = this.#pick(); next; next = this.#pick()) await this.#receive(next);
        return "";
      case "BeginSnapshot":
        return this.#begin(command.node);
      case "CollectState":
        this.#collected = await this.#collect();
        return "";
      case "PrintSnapshot":
        if (this.#collected) return formatSnapshot(this.#collected);
        throw refused("there is no snapshot to print: CollectState comes first");
    }
  }

  /** Back to blank. */
  async close(): Promise<void> {
    const home = this.#home;
    this.#home = undefined;
    this.#accounts.clear();
    this.#waiting.clear();
    this.#items = 0;
    this.#money = 0;
    this.#observed = undefined;
    this.#collected = undefined;
    await home?.close();
  }

  async #open(): Promise<BankHome> {
    this.#home ??= await this.#options.openHome();
    return this.#home;
  }

  async #create(node: number, money: number): Promise<void> {
    if (this.#accounts.has(node)) throw refused(`node ${node} exists already`);
    if (this.#accounts.size >= NODES_MAX)
      throw refused(`there are ${NODES_MAX} nodes already, and no room for more`);
    if (money > NUMBER_MAX - this.#money)
      throw refused(`all the money together would be more than ${NUMBER_MAX}`);
    const home = await this.#open();
    const observed = this.#observed;
    // Every token is received, but the pieces may still be on their way to the store.
    if (observed?.tokens === 0)
      await this.#account(observed.initiator).call("settled", observed.id);
    const addresses = Object.fromEntries(
      [...this.#accounts].map(([other, { address }]) => [String(other), address]),
    );
    const account = await home.start(String(node), money, Object.keys(addresses));
    if (observed && observed.tokens > 0) {
      this.#observed = undefined;
      this.#options.note(
        `the snapshot that node ${observed.initiator} began is abandoned: node ${node} is not part of it`,
      );
    }
    await Promise.all([
      account.call("connect", addresses),
      ...[...this.#accounts.values()].map((other) =>
        other.call("join", { process: String(node), address: account.address }),
      ),
    ]);
    this.#accounts = new Map(
      [...this.#accounts, [node, account] as const].sort(([a], [b]) => a - b),
    );
    this.#waiting.set(node, new Map());
    this.#money += money;
  }

  async #send(channel: Channel, amount: number): Promise<string> {
    const { from, to } = channel;
    const account = this.#account(from);
    this.#checkChannel(channel);
    this.#checkRoom();
    const { ok } = await account.call("request", { type: "transfer", to: String(to), amount });
    if (!ok) return "ERR_SEND\n";
    this.#put(channel, 1);
    return "";
  }

  async #receiveOne(to: number, from: number | undefined): Promise<string> {
    this.#account(to);
    if (from !== undefined) this.#checkChannel({ from, to });
    const channel = from === undefined ? this.#pick(to) : { from, to };
    if (channel && this.#count(channel) > 0) return this.#receive(channel);
    const which =
      from === undefined ? `every channel to ${to}` : `the channel from ${from} to ${to}`;
    this.#options.note(`nothing to receive: ${which} is empty`);
    return "";
  }

  async #receive(channel: Channel): Promise<string> {
    const { from, to } = channel;
    const taken = await this.#account(to).call("receive", {
      from: String(from),
      timeoutMs: RECEIVE_TIMEOUT_MS,
    });
    this.#put(channel, -1);
    if (taken.kind === "message") return `${from} Transfer ${taken.message.amount}\n`;
    if (taken.snapshot === this.#observed?.id) this.#observed.tokens -= 1;
    if (taken.recorded) this.#putTokens(to);
    return `${from} SnapshotToken -1\n`;
  }

  // The observer.

  async #begin(node: number): Promise<string> {
    const initiator = this.#account(node);
    this.#checkRoom();
    const id = await initiator.call("begin", { timeoutMs: SNAPSHOT_TIMEOUT_MS });
    const nodes = [...this.#accounts.keys()];
    this.#observed = { id, initiator: node, nodes, tokens: nodes.length * (nodes.length - 1) };
    this.#putTokens(node);
    return `Started by Node ${node}\n`;
  }

  async #collect(): Promise<CollectedSnapshot> {
    if (!this.#observed)
      throw refused("there is no snapshot to collect: BeginSnapshot comes first");
    return this.#observed.tokens === 0
      ? this.#collectComplete(this.#observed)
      : this.#collectUnfinished(this.#observed);
  }

  async #collectComplete({ id, initiator, nodes }: Observed): Promise<CollectedSnapshot> {
    const { store } = await this.#open();
    const reason = await this.#account(initiator).call("settled", id);
    const stored = reason === null ? await store.get(id) : undefined;
    if (!stored) throw new TidemarkError("NOT_FOUND", reason ?? `${id} is not in the store`);
    const snapshot = new GlobalSnapshot<AccountState, Transfer>(stored);
    const verdict = await snapshot.verify();
    if (!verdict.consistent)
      throw new TidemarkError(
        "DAMAGED",
        `${id} is not consistent: ${verdict.place} ${verdict.reason}`,
      );
    const states = [];
    for (const node of nodes)
      states.push({ node, money: (await snapshot.state(String(node))).balance });
    const channels = [];
    for (const { from, to } of channelsBetween(nodes))
      channels.push({ from, to, money: sum(await snapshot.inFlight(String(from), String(to))) });
    return { nodes: states, channels };
  }

  /** A zero stands for what nobody can know yet. */
  async #collectUnfinished({ id, nodes }: Observed): Promise<CollectedSnapshot> {
    const missing: string[] = [];
    const recorded = new Map<number, AccountMethods["recorded"][1]>();
    for (const node of nodes) recorded.set(node, await this.#account(node).call("recorded", id));
    const collected = {
      nodes: nodes.map((node) => {
        const state = recorded.get(node)?.state;
        if (!state) missing.push(`node ${node}`);
        return { node, money: state?.balance ?? 0 };
      }),
      channels: channelsBetween(nodes).map(({ from, to }) => {
        const channel = recorded.get(to)?.channels.find((one) => one.from === String(from));
        const messages = channel?.closed ? channel.messages : undefined;
        if (!messages) missing.push(`channel (${from} -> ${to})`);
        return { from, to, money: sum(messages ?? []) };
      }),
    };
    const shown = missing.slice(0, MISSING_SHOWN).join(", ");
    const more = missing.length - MISSING_SHOWN;
    this.#options.note(
      `the snapshot is not complete, and 0 stands for what is missing: ${shown}${more > 0 ? ` and ${more} more` : ""}`,
    );
    return collected;
  }

  // What is known of nodes and channels.

  #account(node: number): BankAccount {
    const account = this.#accounts.get(node);
    if (account) return account;
    throw new TidemarkError("UNKNOWN_PROCESS", `node ${node} does not exist`);
  }

  #checkChannel({ from, to }: Channel): void {
    this.#account(from);
    this.#account(to);
    if (from === to)
      throw new TidemarkError("NO_CHANNEL", `there is no channel from node ${from} to itself`);
  }

  #checkRoom(): void {
    if (this.#items >= ITEMS_MAX)
      throw refused(`${this.#items} transfers and tokens wait in the channels: receive some first`);
  }

  #count({ from, to }: Channel): number {
    return this.#waiting.get(to)?.get(from) ?? 0;
  }

  #put(channel: Channel, items: number): void {
    this.#waiting.get(channel.to)?.set(channel.from, this.#count(channel) + items);
    this.#items += items;
  }

  /** A process that records puts a token on each of its outgoing channels. */
  #putTokens(from: number): void {
    for (const to of this.#accounts.keys()) if (to !== from) this.#put({ from, to }, 1);
  }

  /** A channel that is not empty, to that node or to any. */
  #pick(node?: number): Channel | undefined {
    const { random } = this.#options;
    const found: Channel[] = [];
    for (const to of node === undefined ? this.#accounts.keys() : [node]) {
      for (const from of this.#accounts.keys()) {
        if (this.#count({ from, to }) === 0) continue;
        if (!random) return { from, to };
        found.push({ from, to });
      }
    }
    return random?.pick(found);
  }
}

function channelsBetween(nodes: readonly number[]): Channel[] {
  return nodes.flatMap((from) => nodes.filter((to) => to !== from).map((to) => ({ from, to })));
}

const sum = (transfers: readonly Transfer[]): number =>
  transfers.reduce((total, { amount }) => total + amount, 0);

const refused = (why: string): TidemarkError => new TidemarkError("BAD_OPTION", why);
