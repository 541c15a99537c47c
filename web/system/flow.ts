/**
 * What flows in a system: rates and lags, from what its processes tell again and again.
 *
 * Theory of operation. Processes count what they send and receive since they were started; a rate is a difference of two such counts a few
 * seconds apart. A count that has become less is of another life: then there is no rate until there are two counts of that one.
 */

import type { ProcessId } from "../../src/core/id.ts";
import type { PageStatus } from "../../src/serve/web/api.ts";

/** `halted`: by somebody, on purpose. */
export type Condition = "up" | "down" | "silent" | "halted";

/** One process. */
export interface ProcessFlow {
  readonly id: ProcessId;
  readonly pid: number;
  readonly address: string;
  readonly condition: Condition;
  readonly epoch: number;
  readonly restarts: number;
  readonly lastEnd: string | undefined;
  readonly sent: number | undefined;
  readonly received: number | undefined;
  /** A second, over the last few. */
  readonly sentRate: number | undefined;
  readonly receivedRate: number | undefined;
  /** The rates of the last looks, oldest first, for a small picture; undefined where they are not known. */
  readonly sentRates: readonly (number | undefined)[];
  readonly receivedRates: readonly (number | undefined)[];
  /** Packets of groups that are here and not delivered. */
  readonly held: number | undefined;
}

/** One channel. */
export interface ChannelFlow {
  readonly from: ProcessId;
  readonly to: ProcessId;
  readonly sent: number | undefined;
  /** Messages that its receiver takes, a second. */
  readonly rate: number | undefined;
  /** Sent and not acknowledged, and come and not taken; undefined if neither end says so. */
  readonly inFlight: number | undefined;
  /** How long what is in flight takes at this rate; `Infinity` if nothing is taken. */
  readonly lagMs: number | undefined;
  readonly isUp: boolean;
  readonly isCut: boolean;
  readonly reason: string | undefined;
}

export interface Flow {
  readonly processes: readonly ProcessFlow[];
  readonly channels: readonly ChannelFlow[];
}

type Count = { readonly sent: number; readonly received: number } | undefined;

/** The counts of one look, by process, and by `from to` for what one process says of one peer. */
interface Look {
  readonly atMs: number;
  readonly startedAtMs: number;
  readonly counts: ReadonlyMap<string, Count>;
}

export type Looks = readonly Look[];

const LOOKS_MAX = 60;
/** A rate is over so long. */
const RATE_MS = 2_500;
/** Of a process that tells nothing for so long nothing is known any more. */
const GAP_MS = 10_000;

/** The looks with one more. */
export function withLook(looks: Looks, status: PageStatus): Looks {
  const last = looks.at(-1);
  if (last?.atMs === status.atMs) return looks;
  const counts = new Map<string, Count>();
  for (const { process, sent, received, peers = {} } of status.processes) {
    if (sent !== undefined && received !== undefined) counts.set(process, { sent, received });
    for (const [peer, count] of Object.entries(peers)) counts.set(`${process} ${peer}`, count);
  }
  const look = { atMs: status.atMs, startedAtMs: status.startedAtMs, counts };
  const before = last?.startedAtMs === look.startedAtMs ? looks : [];
  return [...before, look].slice(-LOOKS_MAX);
}

/** What flows now. */
export function flowOf(status: PageStatus, looks: Looks): Flow {
  const halted = new Set(status.chaos?.halted);
  const cuts = new Set(status.chaos?.cuts.map(({ from, to }) => `${from} ${to}`));
  const processes = status.processes.map((one): ProcessFlow => {
    const { process: id, pid, address, up, epoch, restarts = 0, lastEnd, explanation } = one;
    const rates = ratesOf(looks, id);
    return {
      ...{ id, pid, address, epoch, restarts, lastEnd, sent: one.sent, received: one.received },
      condition: !up ? "down" : halted.has(id) ? "halted" : explanation ? "up" : "silent",
      sentRate: rates.at(-1)?.sent,
      receivedRate: rates.at(-1)?.received,
      sentRates: rates.map((rate) => rate?.sent),
      receivedRates: rates.map((rate) => rate?.received),
      held:
        explanation &&
        Object.values(explanation.groups).reduce((sum, { held }) => sum + held.length, 0),
    };
  });
  const channels: ChannelFlow[] = [];
  const conditions = new Map(processes.map(({ id, condition }) => [id, condition]));
  for (const sender of status.processes)
    for (const receiver of status.processes) {
      if (sender === receiver) continue;
      const [from, to] = [sender.process, receiver.process];
      const here = sender.explanation?.channels.find((one) => one.from === from && one.to === to);
      const there = receiver.explanation?.channels.find(
        (one) => one.from === from && one.to === to,
      );
      const knows = sender.explanation ?? receiver.explanation;
      const inFlight = knows && (here?.waiting.messages ?? 0) + (there?.waiting.messages ?? 0);
      const rate = ratesOf(looks, `${to} ${from}`).at(-1)?.received;
      const down = [here, there].find((one) => one && !one.up);
      const absent = [from, to].find((id) => conditions.get(id) === "down");
      channels.push({
        ...{ from, to, sent: sender.peers?.[to]?.sent, rate, inFlight },
        lagMs: lagOf(inFlight, rate),
        isUp: !down && absent === undefined,
        isCut: cuts.has(`${from} ${to}`),
        reason: absent === undefined ? down?.reason : `${absent} is down`,
      });
    }
  return { processes, channels };
}

function lagOf(inFlight: number | undefined, rate: number | undefined): number | undefined {
  if (inFlight === undefined) return undefined;
  if (inFlight === 0) return 0;
  if (rate === undefined) return undefined;
  return rate === 0 ? Number.POSITIVE_INFINITY : (inFlight / rate) * 1_000;
}

/** A rate for each look. */
function ratesOf(looks: Looks, key: string): readonly Count[] {
  return looks.map(({ atMs, counts }, i) => {
    const now = counts.get(key);
    if (!now) return undefined;
    let before: { readonly atMs: number; readonly count: NonNullable<Count> } | undefined;
    for (let k = i - 1; k >= 0; k -= 1) {
      const look = looks[k] as Look;
      const count = look.counts.get(key);
      if (atMs - look.atMs > GAP_MS) break;
      if (!count) continue;
      if (count.sent > now.sent || count.received > now.received) break;
      before = { atMs: look.atMs, count };
      if (atMs - look.atMs >= RATE_MS) break;
    }
    if (!before) return undefined;
    const seconds = (atMs - before.atMs) / 1_000;
    return {
      sent: (now.sent - before.count.sent) / seconds,
      received: (now.received - before.count.received) / seconds,
    };
  });
}
