/** The rules of the bank script, written down a second time, without processes, channels or Tidemark. */

interface Snapshot {
  readonly nodes: readonly number[];
  /** What each node that has recorded had then. */
  readonly states: Map<number, number>;
  /** By "from>to": what was recorded in transit, from when the receiver records. */
  readonly transit: Map<string, number>;
  readonly closed: Set<string>;
  /** Its tokens no longer mean anything. */
  dead: boolean;
}

type Item = { readonly money: number } | { readonly token: Snapshot };

/** What a script must print, and which of its lines are wrong. */
export interface Expected {
  readonly printed: string;
  readonly wrong: readonly number[];
}

type Channel = readonly [from: number, to: number];

/** Of channels that are not empty, ascending by receiver, then sender: the one that is taken. */
export type Pick = (channels: readonly Channel[]) => Channel | undefined;

class Wrong extends Error {}

export function runModel(script: readonly string[], pick: Pick = ([first]) => first): Expected {
  let balances = new Map<number, number>();
  let channels = new Map<string, Item[]>();
  let snapshots: Snapshot[] = [];
  let newest: Snapshot | undefined;
  let collected = "";
  let printed = "";
  const wrong: number[] = [];

  const nodes = (): number[] => [...balances.keys()].sort((a, b) => a - b);
  const others = (node: number): number[] => nodes().filter((other) => other !== node);
  const channel = (from: number, to: number): Item[] => {
    const items = channels.get(`${from}>${to}`);
    if (!items) throw new Wrong();
    return items;
  };
  const exists = (node: number): void => {
    if (!balances.has(node)) throw new Wrong();
  };
  const pairs = (all: readonly number[]): Channel[] =>
    all.flatMap((a) => all.filter((b) => b !== a).map((b): Channel => [a, b]));
  const finished = (snapshot: Snapshot): boolean =>
    snapshot.closed.size === pairs(snapshot.nodes).length;

  const record = (snapshot: Snapshot, node: number): void => {
    snapshot.states.set(node, balances.get(node) ?? 0);
    for (const other of others(node)) channel(node, other).push({ token: snapshot });
  };

  const receive = (to: number, from: number): string => {
    const item = channel(from, to).shift();
    if (!item) return "";
    const name = `${from}>${to}`;
    if ("money" in item) {
      balances.set(to, (balances.get(to) ?? 0) + item.money);
      for (const { states, closed, transit } of snapshots)
        if (states.has(to) && !closed.has(name))
          transit.set(name, (transit.get(name) ?? 0) + item.money);
      return `${from} Transfer ${item.money}\n`;
    }
    const snapshot = item.token;
    if (!snapshot.dead) {
      if (!snapshot.states.has(to)) record(snapshot, to);
      snapshot.closed.add(name);
    }
    return `${from} SnapshotToken -1\n`;
  };

  const next = (receivers: readonly number[]): Channel | undefined =>
    pick(
      receivers
        .flatMap((to) => others(to).map((from): Channel => [from, to]))
        .filter(([from, to]) => channel(from, to).length > 0),
    );

  const perform = (name: string, numbers: readonly number[]): void => {
    const [a = 0, b = 0, c = 0] = numbers;
    switch (name) {
      case "StartMaster":
        break;
      case "KillAll":
        balances = new Map();
        channels = new Map();
        snapshots = [];
        newest = undefined;
        collected = "";
        break;
      case "CreateNode":
        if (balances.has(a)) throw new Wrong();
        for (const snapshot of snapshots) snapshot.dead ||= !finished(snapshot);
        if (newest?.dead) newest = undefined;
        for (const other of nodes()) channels.set(`${a}>${other}`, []).set(`${other}>${a}`, []);
        balances.set(a, b);
        break;
      case "Send": {
        const items = channel(a, b);
        const balance = balances.get(a) ?? 0;
        if (c > balance) printed += "ERR_SEND\n";
        else {
          balances.set(a, balance - c);
          items.push({ money: c });
        }
        break;
      }
      case "Receive": {
        exists(a);
        if (numbers.length === 2) {
          printed += receive(a, b);
          break;
        }
        const taken = next([a]);
        if (taken) printed += receive(taken[1], taken[0]);
        break;
      }
      case "ReceiveAll":
        for (let taken = next(nodes()); taken; taken = next(nodes())) receive(taken[1], taken[0]);
        break;
      case "BeginSnapshot": {
        exists(a);
        newest = {
          nodes: nodes(),
          states: new Map(),
          transit: new Map(),
          closed: new Set(),
          dead: false,
        };
        snapshots.push(newest);
        record(newest, a);
        printed += `Started by Node ${a}\n`;
        break;
      }
      case "CollectState": {
        if (!newest) throw new Wrong();
        const { states, closed, transit } = newest;
        collected = "---Node states\n";
        for (const node of newest.nodes) collected += `node ${node} = ${states.get(node) ?? 0}\n`;
        collected += "---Channel states\n";
        for (const [from, to] of pairs(newest.nodes)) {
          const money = closed.has(`${from}>${to}`) ? (transit.get(`${from}>${to}`) ?? 0) : 0;
          collected += `channel (${from} -> ${to}) = ${money}\n`;
        }
        break;
      }
      case "PrintSnapshot":
        if (collected === "") throw new Wrong();
        printed += collected;
        break;
      default:
        throw new Wrong();
    }
  };

  const takes: Record<string, readonly number[]> = {
    StartMaster: [0],
    KillAll: [0],
    CreateNode: [2],
    Send: [3],
    Receive: [1, 2],
    ReceiveAll: [0],
    BeginSnapshot: [1],
    CollectState: [0],
    PrintSnapshot: [0],
  };
  for (const [i, line] of script.entries()) {
    const [name = "", ...words] = line.split(/[ \t\r]+/).filter((word) => word !== "");
    if (name === "") continue;
    try {
      if (!takes[name]?.includes(words.length)) throw new Wrong();
      if (words.some((word) => !/^\d+$/.test(word))) throw new Wrong();
      perform(name, words.map(Number));
    } catch (error) {
      if (!(error instanceof Wrong)) throw error;
      wrong.push(i + 1);
    }
  }
  return { printed, wrong };
}
