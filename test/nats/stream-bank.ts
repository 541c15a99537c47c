/**
 * Accounts that pass money through streams: each transfer goes into one stream or another, all accounts read all streams, and what is
 * not for one it passes over. The money of a snapshot is in its states and in what is in flight to whom it is for.
 */
import type { StreamMessage, StreamTurn } from "../../src/nats/nats-process.ts";
import type { ReadableSnapshot } from "../../src/process/readable-snapshot.ts";

export interface Account {
  readonly balance: number;
  /** Transfers that it has had. */
  readonly received: number;
}

export interface Transfer {
  readonly to: string;
  readonly amount: number;
}

export const NEW: Account = { balance: 1_000, received: 0 };

/** Takes what is for it, and sends as much on: the more there is under way, the more is sent. */
export function receiveTransfer(
  accounts: readonly string[],
  streams: readonly string[],
): (state: Account, message: StreamMessage<Transfer>, turn: StreamTurn) => Account {
  return (state, { value }, turn) => {
    if (value?.to !== turn.self) return state;
    const received = state.received + 1;
    const after = { balance: state.balance + value.amount, received };
    return transfer(after, turn, accounts, streams);
  };
}

/** To one after the other, by one stream after the other. */
export function transfer(
  { balance, received }: Account,
  turn: StreamTurn,
  accounts: readonly string[],
  streams: readonly string[],
): Account {
  const others = accounts.filter((one) => one !== turn.self);
  const to = others[received % others.length] as string;
  const stream = streams[(received + accounts.indexOf(turn.self)) % streams.length] as string;
  const amount = 1 + (received % 7);
  turn.publish(stream, `${stream}.${to}`, { to, amount } satisfies Transfer);
  return { balance: balance - amount, received };
}

/** All the money of a snapshot, wherever it is. */
export async function moneyIn(snapshot: ReadableSnapshot): Promise<number> {
  let sum = 0;
  for (const process of snapshot.manifest.processes) {
    if (process.startsWith("stream.")) continue;
    sum += ((await snapshot.state(process)) as Account).balance;
  }
  for (const { from, to } of snapshot.manifest.channels)
    for (const one of await snapshot.inFlight(from, to)) {
      const { message } = one as { readonly message: Transfer };
      // Into a stream it is on the way to whom it is for; out of it, to each reader, and one of them takes it.
      if (!from.startsWith("stream.") || message.to === to) sum += message.amount;
    }
  return sum;
}
