/**
 * What a user may do: commands, keys and channels, by the rules of Redis 7.0.
 *
 * Theory of operation. A selector has a bit for each command there is, also for those that only Redis has, and patterns of keys and of
 * channels. A user has one that is always there and perhaps more; a request is allowed if one of them allows all of it. Rules change the
 * bits and are forgotten; what `ACL LIST` shows is found from the bits, in the way in which Redis finds it, so that both show the same.
 */

import { absentCategories } from "./absent.ts";
import type { KnownCommand } from "./command.ts";
import { keyPlaces } from "./command.ts";
import { CATEGORIES, everyCommand, useOfKey } from "./commands/introspection.ts";
import { matches } from "./glob.ts";
import { splitWords } from "./line.ts";

/** Why a rule cannot be; its message is what Redis says. */
export class BadRule extends Error {}

const SYNTAX = "Syntax error";
const UNKNOWN = "Unknown command or category name in ACL";
const AFTER_ALL_KEYS =
  "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try 'resetkeys' to start " +
  "with an empty list of patterns";
const AFTER_ALL_CHANNELS =
  "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. Try 'resetchannels' to " +
  "start with an empty list of channels";
const OF_SUBCOMMAND = "Allowing first-arg of a subcommand is not supported";

/** As C has it; and a zero, which ends a text there. */
export const hasSpaces = (text: string): boolean => /[ \t-\r\0]/.test(text);

/** A command as rules know it. */
interface NamedCommand {
  /** Such as `config|get`. */
  readonly name: string;
  readonly number: number;
  /** A bit for each category. */
  readonly categories: number;
  /** Of a container: the numbers of what is in it. */
  readonly inside: number[];
  readonly isInside: boolean;
  /** Redis has it as well. */
  readonly isOfRedis: boolean;
}

/** All commands that rules may name. */
export class CommandNames {
  readonly all: readonly NamedCommand[];
  readonly #byName = new Map<string, NamedCommand>();
  readonly #known = new Map<KnownCommand, NamedCommand>();

  constructor(commands: readonly KnownCommand[]) {
    const all: NamedCommand[] = [];
    const add = (name: string, categories: readonly string[], isOfRedis: boolean): NamedCommand => {
      const bits = categories.reduce((sum, one) => sum | bitOf(one), 0);
      const isInside = name.includes("|");
      const named = {
        ...{ name, number: all.length, categories: bits, inside: [], isInside, isOfRedis },
      };
      all.push(named);
      this.#byName.set(name, named);
      return named;
    };
    for (const [name, categories, command] of everyCommand(commands))
      this.#known.set(command, add(name, categories, !/^tidemark\b/.test(name)));
    for (const [name, categories] of absentCategories) add(name, categories, true);
    for (const { name, number, isInside } of all)
      if (isInside) this.#byName.get(name.slice(0, name.indexOf("|")))?.inside.push(number);
    this.all = all;
  }

  /** By its full name, as somebody wrote it. */
  get(name: string): NamedCommand | undefined {
    return this.#byName.get(name.toLowerCase());
  }

  of(command: KnownCommand): NamedCommand {
    return this.#known.get(command) as NamedCommand;
  }
}

/** 0 if there is no such category. */
const bitOf = (category: string): number => {
  const at = CATEGORIES.indexOf(category.toLowerCase());
  return at < 0 ? 0 : 1 << at;
};

interface KeyPattern {
  readonly pattern: string;
  reads: boolean;
  writes: boolean;
}

/** Why a request is denied: which word it is because of. */
export interface Denial {
  readonly reason: "command" | "key" | "channel";
  readonly at: number;
}

/** Of reasons, the one that comes later tells more. */
const WEIGHT: Readonly<Record<Denial["reason"], number>> = { command: 1, key: 2, channel: 3 };

/** Of several denials, the one to tell; the earlier, if they are alike. */
export function tellingMore(one: Denial | undefined, other: Denial): Denial {
  if (!one) return other;
  const [first, second] = [WEIGHT[one.reason], WEIGHT[other.reason]];
  return second > first || (second === first && other.at > one.at) ? other : one;
}

/** Commands that name channels, and whether as patterns. */
const CHANNELS: ReadonlyMap<string, "one" | "all" | "patterns"> = new Map([
  ["publish", "one"],
  ["subscribe", "all"],
  ["psubscribe", "patterns"],
]);

/** See the head of the file. */
export class Selector {
  readonly #names: CommandNames;
  #allowed: Uint8Array;
  #allowsAll: boolean = false;
  /** All were allowed, and then some were not: one that is new in a later version will be. */
  #allowsLater: boolean = false;
  /** Of commands that are not allowed: which first words of theirs are, by number. */
  #firstWords = new Map<number, readonly string[]>();
  #allKeys: boolean = false;
  #keys: readonly KeyPattern[] = [];
  #allChannels: boolean = false;
  #channels: readonly string[] = [];

  constructor(names: CommandNames) {
    this.#names = names;
    this.#allowed = new Uint8Array(names.all.length);
  }

  /** One that has no rules yet, with these. @throws BadRule */
  static of(names: CommandNames, text: string): Selector {
    const selector = new Selector(names);
    for (const rule of splitWords(text) ?? []) selector.take(rule);
    return selector;
  }

  copy(): Selector {
    const copy = new Selector(this.#names);
    copy.#allowed = this.#allowed.slice();
    copy.#allowsAll = this.#allowsAll;
    copy.#allowsLater = this.#allowsLater;
    copy.#firstWords = new Map(this.#firstWords);
    copy.#allKeys = this.#allKeys;
    copy.#keys = this.#keys.map((one) => ({ ...one }));
    copy.#allChannels = this.#allChannels;
    copy.#channels = this.#channels;
    return copy;
  }

  /** It allows everything: nothing need be asked. */
  get isFree(): boolean {
    return this.#allowsAll && this.#allKeys && this.#allChannels;
  }

  // Rules.

  /** @throws BadRule, and nothing is changed */
  take(rule: string): void {
    switch (rule.toLowerCase()) {
      case "allkeys":
      case "~*":
        this.#allKeys = true;
        this.#keys = [];
        return;
      case "resetkeys":
        this.#allKeys = false;
        this.#keys = [];
        return;
      case "allchannels":
      case "&*":
        this.#allChannels = true;
        this.#channels = [];
        return;
      case "resetchannels":
        this.#allChannels = false;
        this.#channels = [];
        return;
      case "allcommands":
      case "+@all":
        this.#allowAll(true);
        return;
      case "nocommands":
      case "-@all":
        this.#allowAll(false);
        return;
    }
    const sign = rule[0];
    const rest = rule.slice(1);
    if (sign === "~") this.#addKeys(rest, true, true);
    else if (sign === "%") this.#takeKeys(rest);
    else if (sign === "&") this.#addChannels(rest);
    else if ((sign === "+" || sign === "-") && rest[0] === "@")
      this.#takeCategory(rest.slice(1), sign === "+");
    else if (sign === "-") this.#allow(this.#named(rest), false);
    else if (sign === "+" && rest.includes("|")) this.#takeInside(rest);
    else if (sign === "+") this.#allow(this.#named(rest), true);
    else throw new BadRule(SYNTAX);
  }

  #named(name: string): NamedCommand {
    const named = this.#names.get(name);
    if (!named) throw new BadRule(UNKNOWN);
    return named;
  }

  #allowAll(isAllowed: boolean): void {
    this.#allowed.fill(isAllowed ? 1 : 0);
    this.#allowsAll = isAllowed;
    this.#allowsLater = isAllowed;
    this.#firstWords.clear();
  }

  /** A container with all that is in it. */
  #allow({ number, inside }: NamedCommand, isAllowed: boolean): void {
    for (const one of [number, ...inside]) this.#allowed[one] = isAllowed ? 1 : 0;
    if (!isAllowed) this.#allowsAll = false;
    this.#firstWords.delete(number);
  }

  #takeCategory(category: string, isAllowed: boolean): void {
    const bit = bitOf(category);
    if (bit === 0) throw new BadRule(UNKNOWN);
    for (const named of this.#names.all) if (named.categories & bit) this.#allow(named, isAllowed);
  }

  /** `command|subcommand`, or `command|first-word` of one that has no subcommands. */
  #takeInside(rest: string): void {
    const bar = rest.lastIndexOf("|");
    const named = this.#named(rest.slice(0, bar));
    if (named.isInside) throw new BadRule(OF_SUBCOMMAND);
    const word = rest.slice(bar + 1);
    // With a space in it, it could not be read again.
    if (word === "" || hasSpaces(word)) throw new BadRule(SYNTAX);
    if (named.inside.length > 0) {
      this.#allow(this.#named(rest), true);
      return;
    }
    const words = this.#firstWords.get(named.number) ?? [];
    if (words.some((one) => one.toLowerCase() === word.toLowerCase())) return;
    this.#firstWords.set(named.number, [...words, word]);
  }

  /** As Redis, it takes one without a pattern for one of the empty key. */
  #takeKeys(rest: string): void {
    const [, signs, pattern = ""] = /^([rw]*)(?:~(.*))?$/is.exec(rest) ?? [];
    const [reads, writes] = [/r/i.test(signs ?? ""), /w/i.test(signs ?? "")];
    const isTwice = signs?.length !== Number(reads) + Number(writes);
    if (!signs || isTwice) throw new BadRule(this.#allKeys ? AFTER_ALL_KEYS : SYNTAX);
    this.#addKeys(pattern, reads, writes);
  }

  #addKeys(pattern: string, reads: boolean, writes: boolean): void {
    if (this.#allKeys) throw new BadRule(AFTER_ALL_KEYS);
    if (hasSpaces(pattern)) throw new BadRule(SYNTAX);
    const found = this.#keys.find((one) => one.pattern === pattern);
    if (found) {
      found.reads ||= reads;
      found.writes ||= writes;
    } else this.#keys = [...this.#keys, { pattern, reads, writes }];
  }

  #addChannels(pattern: string): void {
    if (this.#allChannels) throw new BadRule(AFTER_ALL_CHANNELS);
    if (hasSpaces(pattern)) throw new BadRule(SYNTAX);
    if (!this.#channels.includes(pattern)) this.#channels = [...this.#channels, pattern];
  }

  // Requests.

  /** Why it does not allow a request; the words must be as many as the command can have. */
  denial(command: KnownCommand, args: readonly string[]): Denial | undefined {
    const named = this.#names.of(command);
    if (!this.#allowsCommand(command, named, args)) return { reason: "command", at: 0 };
    if (!this.#allKeys && command.keys)
      for (const at of keyPlaces(command, args)) {
        const use = useOfKey(named.name, args, at);
        if (!this.#allowsKey(args[at] ?? "", use)) return { reason: "key", at };
      }
    const channels = this.#allChannels ? undefined : CHANNELS.get(named.name);
    if (channels === undefined) return undefined;
    const end = channels === "one" ? 2 : args.length;
    for (let at = 1; at < end; at += 1)
      if (!this.allowsChannel(args[at] as string, channels === "patterns"))
        return { reason: "channel", at };
    return undefined;
  }

  #allowsCommand(
    { flags }: KnownCommand,
    { number, isInside }: NamedCommand,
    args: readonly string[],
  ): boolean {
    if (this.#allowsAll || this.#allowed[number] === 1 || flags.includes("no_auth")) return true;
    const word = args[isInside ? 2 : 1]?.toLowerCase();
    return this.#firstWords.get(number)?.some((one) => one.toLowerCase() === word) ?? false;
  }

  #allowsKey(key: string, use: { readonly reads: boolean; readonly writes: boolean }): boolean {
    return this.#keys.some(
      ({ pattern, reads, writes }) =>
        (reads || !use.reads) && (writes || !use.writes) && matches(pattern, key),
    );
  }

  /** Whether it lets all keys be read, whatever they are called. */
  get readsAllKeys(): boolean {
    return this.#allKeys || this.#keys.some(({ pattern, reads }) => reads && pattern === "*");
  }

  /** A pattern of channels is allowed if it is one of those that were named. */
  allowsChannel(channel: string, isPattern: boolean): boolean {
    if (this.#allChannels) return true;
    return this.#channels.some((one) => (isPattern ? one === channel : matches(one, channel)));
  }

  // What is told of it.

  get keyRules(): string {
    if (this.#allKeys) return "~*";
    return this.#keys
      .map(({ pattern, reads, writes }) => {
        if (reads && writes) return `~${pattern}`;
        return `%${reads ? "R" : "W"}~${pattern}`;
      })
      .join(" ");
  }

  get channelRules(): string {
    return this.#allChannels ? "&*" : this.#channels.map((one) => `&${one}`).join(" ");
  }

  /**
   * Rules that give the same bits. Categories come first, the one that is least wrong before the others, as long as one is more right than
   * wrong; then the commands that are missing or too many. Only commands of Redis are counted, so that the categories are those it shows.
   */
  get commandRules(): string {
    const { all } = this.#names;
    const isAdding = !this.#allowsLater;
    const sign = isAdding ? "+" : "-";
    const rules = [isAdding ? "-@all" : "+@all"];
    const made = new Selector(this.#names);
    made.#allowAll(!isAdding);
    const left = this.copy();
    const applied = new Set<string>();
    for (;;) {
      let best: string | undefined;
      let [fewest, most] = [Number.POSITIVE_INFINITY, 0];
      for (const category of CATEGORIES) {
        if (applied.has(category)) continue;
        const bit = bitOf(category);
        let [on, off] = [0, 0];
        for (const { number, categories, isOfRedis } of all) {
          if (!isOfRedis || !(categories & bit)) continue;
          if (left.#allowed[number] === 1) on += 1;
          else off += 1;
        }
        const [wrong, right] = isAdding ? [off, on] : [on, off];
        if (right <= wrong || wrong > fewest || (wrong === fewest && right <= most)) continue;
        [best, fewest, most] = [category, wrong, right];
      }
      if (best === undefined) break;
      made.#takeCategory(best, isAdding);
      left.#takeCategory(best, !isAdding);
      rules.push(`${sign}@${best}`);
      applied.add(best);
    }
    for (const named of all) if (!named.isInside) rules.push(...this.#singleRules(made, named));
    return rules.join(" ");
  }

  #singleRules(made: Selector, named: NamedCommand): readonly string[] {
    const { number, name, inside } = named;
    const rules: string[] = [];
    const isAllowed = this.#allowed[number] === 1;
    if (isAllowed !== (made.#allowed[number] === 1)) {
      rules.push(`${isAllowed ? "+" : "-"}${name}`);
      made.#allow(named, isAllowed);
    }
    for (const one of inside)
      rules.push(...this.#singleRules(made, this.#names.all[one] as NamedCommand));
    if (!isAllowed)
      rules.push(...(this.#firstWords.get(number) ?? []).map((word) => `+${name}|${word}`));
    return rules;
  }

  /** All its rules, in one line. */
  get rules(): string {
    const channels = this.#allChannels ? "&*" : `resetchannels ${this.channelRules}`.trim();
    return [this.keyRules, channels, this.commandRules].filter((part) => part !== "").join(" ");
  }
}
