/**
 * Random rules of users for Debian's redis-server and for the store, and random requests of those users: what is told of users, and what is
 * denied to them, must be the same.
 *
 * Where it may differ:
 * - In which order single commands stand in a description: in Redis by chance.
 * - Rules that allow or forbid commands which only the store has are shown there.
 * - A wrong password is not repeated in the error that it is no password of the user.
 * - Redis takes a first word with a space in it, and could not read that again (not tried here).
 */

import { expect, test, vi } from "vitest";
import { Random } from "../../src/index.ts";
import { absentCategories } from "../../src/kv/absent.ts";
import { CATEGORIES } from "../../src/kv/commands/introspection.ts";
import { commandTable } from "../../src/kv/commands.ts";
import { Selector } from "../../src/kv/permissions.ts";
import { seeds } from "../support/soak.ts";
import { RandomCommands } from "./random-commands.ts";
import { lacksRedis, startRedis } from "./redis.ts";
import { type Heard, startStore, TestClient } from "./store.ts";

type Words = readonly string[];

const NAMES: readonly string[] = [
  ...commandTable.commands
    .filter(({ group }) => group !== "tidemark")
    .flatMap(({ name, subcommands = [] }) => [
      name,
      ...subcommands.map((one) => `${name}|${one.name}`),
    ]),
  ...absentCategories.keys(),
];
const PATTERNS = ["*", "a*", "b", "[a-c]", "?", "{t}e", "a", "l*", "", "a b", "^"];
const CHANNELS = ["news", "news.*", "*", "x", ""];
/** Of other groups than the random commands are of. */
const OTHERS: readonly Words[] = [
  ["PING"],
  ["ACL", "WHOAMI"],
  ["ACL", "LIST"],
  ["CONFIG", "GET", "maxmemory"],
  ["CONFIG", "SET", "maxmemory", "0"],
  ["CONFIG", "FOO"],
  ["CLIENT", "LIST"],
  ["CLIENT", "ID"],
  ["COMMAND", "COUNT"],
  ["INFO"],
  ["SELECT", "0"],
  ["SELECT", "1"],
  ["PUBLISH", "news", "1"],
  ["PUBLISH", "news.a", "1"],
  ["SUBSCRIBE", "news", "x"],
  ["PSUBSCRIBE", "news.*"],
  ["PSUBSCRIBE", "news", "*"],
  ["UNSUBSCRIBE", "x"],
  ["AUTH", "u1", "p"],
  ["HELLO", "3"],
  ["SORT", "a", "STORE", "b"],
  ["SORT", "a", "STORE", "b", "BY", "store", "ALPHA"],
  ["SORT", "a", "BY", "w_*", "LIMIT", "x", "y"],
  ["SORT", "a", "LIMIT", "x", "y", "BY", "w_*"],
  ["SORT", "a", "BY", "nosort", "GET", "#"],
  ["SORT_RO", "a", "GET", "k_*"],
  ["SORT_RO", "a", "BY", "k_*"],
  ["SET", "a", "1", "GET"],
  ["SET", "a", "1", "ex", "10"],
  ["SET", "get", "get"],
  ["BITFIELD", "a", "GET", "u8", "0"],
  ["BITFIELD", "a", "GET", "u8", "0", "INCRBY", "u8", "0", "1"],
  ["BITFIELD", "a", "OVERFLOW", "SAT", "GET", "u8", "0"],
  ["BITFIELD", "a", "GET", "u8"],
  ["MEMORY", "USAGE", "a"],
  ["OBJECT", "ENCODING", "a"],
  ["NOTHING", "a"],
];

class RandomRules {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  some(most: number): Words {
    return Array.from({ length: this.#random.between(0, most) }, () => this.#rule());
  }

  #rule(): string {
    const random = this.#random;
    if (random.chance(0.15)) return this.#ofUser();
    if (random.chance(0.1)) return this.#selector();
    return this.#ofSelector();
  }

  #ofUser(): string {
    const password = this.#pick("p", "q", "");
    const hash = this.#pick("0".repeat(64), "f".repeat(64), "f".repeat(63), "F".repeat(64));
    return this.#pick(
      ...["on", "off", "ON", "nopass", "resetpass", "reset", "clearselectors"],
      ...["sanitize-payload", "skip-sanitize-payload", "", "wrong", ")", "(", "()"],
      ...[`>${password}`, `#${hash}`, `!${hash}`],
    );
  }

  #selector(): string {
    const rules = Array.from({ length: this.#random.between(0, 3) }, () => this.#ofSelector());
    return this.#pick(`(${rules.join(" ")})`, `( ${rules.join("  ")} )`, `(${rules.join(" ")}`);
  }

  #ofSelector(): string {
    const random = this.#random;
    const sign = this.#pick("+", "+", "-");
    const name = random.pick(NAMES) as string;
    const category = random.chance(0.97) ? (random.pick(CATEGORIES) as string) : "nothing";
    const pattern = this.#pick(...PATTERNS);
    const use = this.#pick("R", "W", "RW", "r", "wr", "RR", "", "X");
    const all = [
      ...["allkeys", "resetkeys", "allchannels", "resetchannels", "allcommands", "nocommands"],
      ...["+@all", "-@all", "~*", "&*", "AllKeys", "+@ALL"],
    ];
    return this.#pick(
      ...[`${sign}${name}`, `${sign}${name}`, `${sign}${name.toUpperCase()}`],
      ...[`${sign}@${category}`, `${sign}@${category}`, `${sign}@${category}`],
      ...[`+${name}|${this.#pick("0", "get", "GET", "", "a|b")}`, `-select|0`, "+select|1"],
      ...[`~${pattern}`, `~${pattern}`, `%${use}~${pattern}`, `%${use}~${pattern}`, `%${use}`],
      ...[`&${this.#pick(...CHANNELS)}`, this.#pick(...all), this.#pick(...all)],
    );
  }

  #pick(...values: readonly string[]): string {
    return this.#random.pick(values) as string;
  }
}

/** Words of a description that may stand in any order are put into one; of commands that only the store has, nothing is said. */
function comparable(heard: Heard): Heard {
  if (typeof heard !== "string") return heard.map(comparable);
  return heard.replaceAll(/[-+]@all[^()]*/g, (rules) => {
    const words = rules.split(" ").filter((word) => !/^[-+]tidemark\b/.test(word));
    return words.sort().join(" ");
  });
}

/** A reply as far as it is about what is allowed. */
function allowance(heard: Heard): Heard {
  return typeof heard === "string" && /^-(NOPERM|NOAUTH|WRONGPASS|EXECABORT)|denied/.test(heard)
    ? heard
    : "something else";
}

/** The same client of both. */
class Pair {
  readonly #clients: readonly [TestClient, TestClient];

  constructor(ports: readonly [number, number]) {
    this.#clients = [new TestClient(ports[0]), new TestClient(ports[1])];
  }

  async ask(...words: Words): Promise<readonly [Heard, Heard]> {
    const [redis, store] = this.#clients;
    return await Promise.all([redis.ask(...words), store.ask(...words)]);
  }

  end(): void {
    for (const { socket } of this.#clients) socket.destroy();
  }

  get closed(): Promise<unknown> {
    return Promise.all(this.#clients.map(({ closed }) => closed));
  }
}

interface Seen {
  readonly kinds: Set<string>;
}

async function compareSeed(
  seed: number,
  ports: readonly [number, number],
  { kinds }: Seen,
): Promise<void> {
  const random = new Random(`acl ${seed}`);
  const rules = new RandomRules(random);
  const commands = new RandomCommands(seed);
  const admin = new Pair(ports);
  const all: string[] = [];
  const same = async (
    pair: Pair,
    words: Words,
    form: (heard: Heard) => Heard = comparable,
  ): Promise<Heard> => {
    all.push(JSON.stringify(words));
    const [redis, store] = (await pair.ask(...words)).map(form);
    expect(store, `seed ${seed}, after\n${all.slice(-20).join("\n")}\n`).toEqual(redis);
    kinds.add(String(redis).slice(0, 60));
    return redis as Heard;
  };
  const next = (): Words => (random.chance(0.3) ? (random.pick(OTHERS) as Words) : commands.next());
  await same(admin, ["ACL", "DELUSER", "u1", "u2"], () => "");
  for (let round = 0; round < 6; round += 1) {
    const name = random.pick(["u1", "u2"]) as string;
    if (round === 0) await same(admin, ["ACL", "SETUSER", name, "+@all", "-@dangerous", "~a"]);
    await same(admin, ["ACL", "SETUSER", name, ...rules.some(6)]);
    await same(admin, ["ACL", "GETUSER", name]);
    await same(admin, ["ACL", "LIST"]);
    for (let i = 0; i < 12; i += 1) await same(admin, ["ACL", "DRYRUN", name, ...next()]);
    await same(admin, ["ACL", "SETUSER", name, "on", "nopass", "+multi", "+exec", "+discard"]);
    const user = new Pair(ports);
    await same(user, ["AUTH", name, "p"]);
    const hasQueue = random.chance(0.5);
    // One that may do much at first has a transaction that is not spoiled.
    if (hasQueue && random.chance(0.5))
      await same(admin, ["ACL", "SETUSER", name, "+@all", "allkeys", "allchannels"]);
    if (hasQueue) await same(user, ["MULTI"], allowance);
    for (let i = 0; i < 8; i += 1) {
      const words = next();
      // What blocks, what asks for a password in a transaction, and what goes on for more than one reply.
      if (/^(B[LRZ]|AUTH|HELLO|P?SUBSCRIBE|UNSUB)/.test(words[0] as string)) continue;
      await same(user, words, allowance);
    }
    if (hasQueue) {
      const less = random.pick([["-@write"], ["resetkeys"], rules.some(3), []]) as Words;
      await same(admin, ["ACL", "SETUSER", name, ...less]);
      const [redis, store] = await user.ask("EXEC");
      const forms = [redis, store].map((heard) =>
        typeof heard === "string" ? allowance(heard) : heard.map(allowance),
      );
      expect(forms[1], `seed ${seed}, EXEC after\n${all.slice(-20).join("\n")}\n`).toEqual(
        forms[0],
      );
      kinds.add(String(forms[0]));
      if (String(forms[0]).includes("ACLs rules changed")) kinds.add("no longer");
    }
    user.end();
  }
  admin.end();
}

test.skipIf(lacksRedis)("users as Redis has them", { timeout: 36_000_000 }, async () => {
  const redisPort = await startRedis();
  const [store] = await startStore(1);
  const seen = { kinds: new Set<string>() };
  for (const seed of seeds("kv-acl", 25, 5_000))
    await compareSeed(seed, [redisPort, store?.server.port ?? 0], seen);
  for (const kind of [
    ...["+OK", "-NOPERM this user has no permissions to run", "$This user has no permissions"],
    ...["-NOPERM this user has no permissions to access one of the k", "-ERR Error in ACL"],
    ...["-ERR Unmatched parenthesis", "no longer", "-EXECABORT"],
  ])
    expect(
      [...seen.kinds].some((one) => one.startsWith(kind)),
      `sometimes ${kind}`,
    ).toBe(true);
});

test.skipIf(lacksRedis).each(["key", "channel"])(
  "a %s that is not looked at is found",
  async (what) => {
    const redisPort = await startRedis();
    const [store] = await startStore(1);
    const { denial } = Selector.prototype;
    const forgetful = vi.spyOn(Selector.prototype, "denial").mockImplementation(function (
      this: Selector,
      ...asked
    ) {
      const found = denial.apply(this, asked);
      return found?.reason === what ? undefined : found;
    });
    try {
      const trying = async (): Promise<void> => {
        for (let seed = 1; seed <= 10; seed += 1)
          await compareSeed(seed, [redisPort, store?.server.port ?? 0], { kinds: new Set() });
      };
      await expect(trying()).rejects.toThrow("seed");
    } finally {
      forgetful.mockRestore();
    }
  },
);

test("what differs in a description is seen", () => {
  expect(comparable("$-@all +get +set")).toEqual(comparable("$-@all +set +get"));
  expect(comparable("$-@all +get")).not.toEqual(comparable("$-@all +set"));
  expect(comparable("$(-@all +get) (-@all +set)")).not.toEqual(
    comparable("$(-@all +set) (-@all +get)"),
  );
});
