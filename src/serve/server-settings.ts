/** What `CONFIG GET` shows of a server and `CONFIG SET` changes. */

import { type EventClass, Refusal } from "../kv/command.ts";

interface Setting {
  readonly byDefault: string;
  /** Gives the value in its plain form, or why it cannot be. */
  readonly check: (text: string) => string | { readonly problem: string };
  /** Cannot be changed while it runs. */
  readonly isFixed?: true;
}

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  ...{ b: 1, k: 1000, kb: 1024, m: 1000 ** 2, mb: 1024 ** 2, g: 1000 ** 3, gb: 1024 ** 3 },
};

const bytes = (text: string): string | { readonly problem: string } => {
  const [, digits, unit = ""] = /^(\d+)([a-z]*)$/i.exec(text) ?? [];
  const scale = UNITS[unit.toLowerCase()];
  if (digits === undefined || scale === undefined)
    return { problem: "argument must be a memory value" };
  return String(Number(digits) * scale);
};

const whole =
  (least: number, most: number | bigint) =>
  (text: string): string | { readonly problem: string } => {
    if (!/^-?\d+$/.test(text)) return { problem: "argument couldn't be parsed into an integer" };
    if (!(Number(text) >= least && BigInt(text) <= BigInt(most)))
      return { problem: `argument must be between ${least} and ${most} inclusive` };
    return String(Number(text));
  };

const LONG_MAX = 2n ** 63n - 1n;

const oneOf =
  (...values: readonly string[]) =>
  (text: string): string | { readonly problem: string } =>
    values.includes(text.toLowerCase())
      ? text.toLowerCase()
      : { problem: `argument(s) must be one of the following: ${values.join(", ")}` };

const any = (text: string): string => text;

/** A setting that clients look at, and that nothing else depends on. */
const only =
  (value: string, problem: string) =>
  (text: string): string | { readonly problem: string } =>
    text === value ? value : { problem };

/** For each class of clients a limit, a lower one, and for how many seconds that may be passed. */
const outputLimits = (text: string): string | { readonly problem: string } =>
  /^(?:(?:normal|slave|replica|pubsub)(?: \d+){3}(?: |$))+$/.test(text)
    ? text
    : { problem: "Wrong number of arguments in buffer limit configuration." };

/** Classes of events, in the order in which Redis writes them; `A` stands for the first. */
const EVENTS = "g$lshzxetd";
const EVENT_MAX = `${EVENTS}KEmn`;

const events = (text: string): string | { readonly problem: string } => {
  const given = new Set([...text].flatMap((char) => (char === "A" ? [...EVENTS] : [char])));
  if ([...given].some((char) => !EVENT_MAX.includes(char)))
    return { problem: "Invalid event class character. Use 'Ag$lshzxeKEtmdn'." };
  const isAll = [...EVENTS].every((char) => given.has(char));
  const named = isAll ? "A" : [...EVENTS].filter((char) => given.has(char)).join("");
  return named + [..."KEmn"].filter((char) => given.has(char)).join("");
};

const SETTINGS: Readonly<Record<string, Setting>> = {
  maxclients: { byDefault: "10000", check: whole(1, 2 ** 32 - 1) },
  maxmemory: { byDefault: "0", check: bytes },
  "maxmemory-policy": { byDefault: "noeviction", check: oneOf("noeviction", "allkeys-lru") },
  requirepass: { byDefault: "", check: any },
  "proto-max-bulk-len": { byDefault: "536870880", check: bytes },
  "client-query-buffer-limit": { byDefault: "1073741824", check: bytes },
  "client-output-buffer-limit": {
    byDefault: "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
    check: outputLimits,
  },
  "notify-keyspace-events": { byDefault: "", check: events },
  timeout: { byDefault: "0", check: whole(0, 2 ** 31 - 1) },
  databases: { byDefault: "16", check: whole(16, 16), isFixed: true },
  save: {
    byDefault: "",
    check: only("", "when snapshots are taken is said where the store is started"),
  },
  appendonly: { byDefault: "no", check: oneOf("no") },
  "slowlog-log-slower-than": { byDefault: "10000", check: whole(-1, LONG_MAX) },
  "acllog-max-len": { byDefault: "128", check: whole(0, LONG_MAX) },
  "slowlog-max-len": { byDefault: "128", check: whole(0, LONG_MAX) },
};

/** See the head of the file. */
export class ServerSettings {
  readonly values: Map<string, string> = new Map();
  bulkBytes = 0;
  queryBytes = 0;
  /** What may wait to be sent to a client that listens to channels; 0: any amount. */
  subscriberBytes = 0;
  /** What takes longer is noted; and so much of it is kept. */
  slowMs: number = Number.POSITIVE_INFINITY;
  slowRequests = 0;
  /** So much of what was denied is kept. */
  deniedRequests = 0;
  #events = "";

  /** @throws Refusal */
  constructor(settings: Readonly<Record<string, string>>) {
    for (const [name, { byDefault }] of Object.entries(SETTINGS)) this.values.set(name, byDefault);
    this.#take(Object.entries(settings), false);
  }

  /** @throws Refusal, and nothing is changed */
  change(settings: readonly (readonly [name: string, value: string])[]): void {
    this.#take(settings, true);
  }

  /** Which events of a class are told: 1 by key, 2 by event. */
  tellsOf(events: EventClass): number {
    const all = this.#events;
    if (all === "") return 0;
    const isTold = all.includes(events) || (all.includes("A") && EVENTS.includes(events));
    return isTold ? (all.includes("K") ? 1 : 0) + (all.includes("E") ? 2 : 0) : 0;
  }

  #take(settings: readonly (readonly [string, string])[], isRunning: boolean): void {
    const failed = (name: string, problem: string): Refusal =>
      new Refusal(`ERR CONFIG SET failed (possibly related to argument '${name}') - ${problem}`);
    // As in Redis, what is wrong with names comes before what is wrong with values.
    const seen = new Set<string>();
    for (const [given] of settings) {
      const name = given.toLowerCase();
      const setting = SETTINGS[name];
      if (!setting)
        throw new Refusal(`ERR Unknown option or number of arguments for CONFIG SET - '${given}'`);
      if (isRunning && setting.isFixed) throw failed(given, "can't set immutable config");
      if (seen.has(name)) throw failed(given, "duplicate parameter");
      seen.add(name);
    }
    const checked = new Map<string, string>();
    for (const [given, text] of settings) {
      const name = given.toLowerCase();
      const value = (SETTINGS[name] as Setting).check(text);
      if (typeof value !== "string") throw failed(name, value.problem);
      checked.set(name, value);
    }
    for (const [name, value] of checked) this.values.set(name, value);
    this.bulkBytes = Number(this.values.get("proto-max-bulk-len"));
    this.queryBytes = Number(this.values.get("client-query-buffer-limit"));
    const slow = Number(this.values.get("slowlog-log-slower-than"));
    this.slowMs = slow < 0 ? Number.POSITIVE_INFINITY : slow / 1000;
    this.slowRequests = Number(this.values.get("slowlog-max-len"));
    this.deniedRequests = Number(this.values.get("acllog-max-len"));
    this.#events = this.values.get("notify-keyspace-events") ?? "";
    const limits = this.values.get("client-output-buffer-limit") ?? "";
    this.subscriberBytes = Number(/pubsub (\d+)/.exec(limits)?.[1] ?? 0);
  }
}
