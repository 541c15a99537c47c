/**
 * Who may use a server, and what each may do: users as Redis 7.0 has them.
 *
 * A passphrase is kept as its SHA-256 and in no other form. What a connection has is the user itself, so a change counts from the next
 * request on.
 */

import { sha256 } from "../core/sha256.ts";
import { type KnownCommand, Refusal } from "./command.ts";
import { optionReadingAny } from "./commands/sort.ts";
import { latin1Bytes } from "./latin1.ts";
import {
  BadRule,
  CommandNames,
  type Denial,
  hasSpaces,
  Selector,
  tellingMore,
} from "./permissions.ts";

export const DEFAULT_USER = "default";

const NO_SUCH_PASSWORD = "The password you are trying to remove from the user does not exist";
const BAD_HASH =
  "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters";

const hashOf = (password: string): string => sha256(latin1Bytes(password));

/** Takes as long whatever is different: nobody is to learn from that how much of it is right. Both are of one length. */
function isSame(one: string, other: string): boolean {
  let difference = 0;
  for (let i = 0; i < one.length; i += 1) difference |= one.charCodeAt(i) ^ other.charCodeAt(i);
  return difference === 0;
}

/** One user. */
export class User {
  readonly name: string;
  readonly #names: CommandNames;
  #isOn: boolean = false;
  #needsNoPassword: boolean = false;
  /** Whether Redis looks at what `RESTORE` is given, which is not here: kept for the file. */
  #payload: "" | "sanitize-payload" | "skip-sanitize-payload" = "";
  /** As SHA-256. */
  #passwords: readonly string[] = [];
  #root: Selector;
  #others: readonly Selector[] = [];
  /** It may do everything: its requests need not be looked at. */
  isFree: boolean = false;

  constructor(name: string, names: CommandNames) {
    this.name = name;
    this.#names = names;
    this.#root = new Selector(names);
  }

  /** With another name, and nothing that is done to it is done to this one. */
  copy(): User {
    const copy = new User(this.name, this.#names);
    copy.become(this);
    return copy;
  }

  /** It is as another one. */
  become(other: User): void {
    this.#isOn = other.#isOn;
    this.#needsNoPassword = other.#needsNoPassword;
    this.#payload = other.#payload;
    this.#passwords = other.#passwords;
    this.#root = other.#root.copy();
    this.#others = other.#others.map((one) => one.copy());
    this.isFree = other.isFree;
  }

  /** Whoever connects is this user, and need not say so. */
  get isOpen(): boolean {
    return this.#isOn && this.#needsNoPassword;
  }

  get needsNoPassword(): boolean {
    return this.#needsNoPassword;
  }

  // Rules.

  /** @throws BadRule, and nothing is changed */
  take(rule: string): void {
    this.#take(rule);
    this.isFree = [this.#root, ...this.#others].some((one) => one.isFree);
  }

  #take(rule: string): void {
    if (rule === "") return;
    const sign = rule[0];
    const rest = rule.slice(1);
    const word = rule.toLowerCase();
    if (word === "on" || word === "off") this.#isOn = word === "on";
    else if (word === "skip-sanitize-payload" || word === "sanitize-payload") this.#payload = word;
    else if (word === "nopass" || word === "resetpass") {
      this.#needsNoPassword = word === "nopass";
      this.#passwords = [];
    } else if (sign === ">") this.#addPassword(hashOf(rest));
    else if (sign === "#") this.#addPassword(checkedHash(rest));
    else if (sign === "<") this.#removePassword(hashOf(rest));
    else if (sign === "!") this.#removePassword(checkedHash(rest));
    else if (sign === "(" && rule.endsWith(")"))
      this.#others = [...this.#others, Selector.of(this.#names, rule.slice(1, -1))];
    else if (word === "clearselectors") this.#others = [];
    else if (word === "reset") {
      this.become(new User(this.name, this.#names));
      this.#payload = "sanitize-payload";
    } else this.#root.take(rule);
  }

  #addPassword(hash: string): void {
    if (!this.#passwords.includes(hash)) this.#passwords = [...this.#passwords, hash];
    this.#needsNoPassword = false;
  }

  #removePassword(hash: string): void {
    if (!this.#passwords.includes(hash)) throw new BadRule(NO_SUCH_PASSWORD);
    this.#passwords = this.#passwords.filter((one) => one !== hash);
  }

  // What it may do.

  /** @param hash of what is given as its password */
  admits(hash: string): boolean {
    let isRight = this.#needsNoPassword;
    for (const one of this.#passwords) if (isSame(one, hash)) isRight = true;
    return this.#isOn && isRight;
  }

  /** Why it may not do something; the words must be as many as the command can have. */
  denial(command: KnownCommand, args: readonly string[]): Denial | undefined {
    let denial = this.#root.denial(command, args);
    if (!denial) return undefined;
    for (const selector of this.#others) {
      const other = selector.denial(command, args);
      if (!other) return undefined;
      denial = tellingMore(denial, other);
    }
    return denial;
  }

  /** What `SORT` is told by whoever may do it, but not read any key. */
  sortRefusal(command: KnownCommand, args: readonly string[]): string | undefined {
    if (command.name !== "sort" && command.name !== "sort_ro") return undefined;
    const option = optionReadingAny(args);
    if (option === undefined) return undefined;
    const isAllowed = [this.#root, ...this.#others].some(
      (one) => one.readsAllKeys && !one.denial(command, args),
    );
    return isAllowed
      ? undefined
      : `ERR ${option} option of SORT denied due to insufficient ACL permissions.`;
  }

  allowsChannel(channel: string, isPattern: boolean): boolean {
    return [this.#root, ...this.#others].some((one) => one.allowsChannel(channel, isPattern));
  }

  // What is told of it.

  get flags(): readonly string[] {
    return [
      this.#isOn ? "on" : "off",
      ...(this.#needsNoPassword ? ["nopass"] : []),
      ...(this.#payload === "" ? [] : [this.#payload]),
    ];
  }

  get passwords(): readonly string[] {
    return this.#passwords;
  }

  /** The one that is always there, and then the others. */
  get selectors(): readonly [Selector, ...Selector[]] {
    return [this.#root, ...this.#others];
  }

  /** As a line of a file of users. */
  get line(): string {
    const words = [
      ...["user", this.name, ...this.flags, ...this.#passwords.map((hash) => `#${hash}`)],
      ...[this.#root.rules, ...this.#others.map((one) => `(${one.rules})`)],
    ];
    return words.join(" ");
  }
}

function checkedHash(text: string): string {
  if (!/^[0-9a-f]{64}$/.test(text)) throw new BadRule(BAD_HASH);
  return text;
}

/** Rules of a selector may be words of their own: they are put together. Or which word opens one that is not closed. */
function joinedRules(words: readonly string[]): readonly string[] | { readonly opening: string } {
  const rules: string[] = [];
  let selector: string | undefined;
  let opening = "";
  for (const word of words) {
    if (word.startsWith("(") && !word.endsWith(")")) {
      selector = word;
      opening = word;
    } else if (selector === undefined) rules.push(word);
    else {
      selector += ` ${word}`;
      if (!word.endsWith(")")) continue;
      rules.push(selector);
      selector = undefined;
    }
  }
  return selector === undefined ? rules : { opening };
}

/** A rule for an error: never a password. */
const shownRule = (rule: string): string =>
  rule.startsWith("<") || rule.startsWith(">") ? `${rule[0]}(redacted)` : rule;

/** What is wrong with a file of users. */
export interface FileProblem {
  /** From 1. */
  readonly line: number;
  readonly reason: string;
}

const inOrder = (users: Iterable<User>): User[] =>
  [...users].sort((a, b) => (a.name < b.name ? -1 : 1));

const textOf = (users: readonly User[]): string => users.map(({ line }) => `${line}\n`).join("");

/** What a server does when users change. */
export interface UsersListener {
  /** It is about to be as another one. */
  changing(user: User, next: User): void;
  removed(user: User): void;
}

/** See the head of the file. */
export class Users {
  readonly byDefault: User;
  readonly log: DenialLog = new DenialLog();
  readonly #names: CommandNames;
  readonly #listener: UsersListener;
  readonly #byName = new Map<string, User>();

  constructor(commands: readonly KnownCommand[], listener: UsersListener) {
    this.#names = new CommandNames(commands);
    this.#listener = listener;
    this.byDefault = this.#openDefault();
    this.#byName.set(DEFAULT_USER, this.byDefault);
  }

  get(name: string): User | undefined {
    return this.#byName.get(name);
  }

  /** In the order of their names. */
  get all(): readonly User[] {
    return inOrder(this.#byName.values());
  }

  /** The password of the default user; empty: it needs none. */
  setDefaultPassword(password: string): void {
    this.byDefault.take("resetpass");
    this.byDefault.take(password === "" ? "nopass" : `>${password}`);
  }

  /** Who that is; nobody, if the password is wrong. */
  identify(name: string, password: string): User | undefined {
    // Also if there is no such user: that is not to be heard from how long it takes.
    const hash = hashOf(password);
    const user = this.#byName.get(name);
    return user?.admits(hash) ? user : undefined;
  }

  /** Changes a user, or makes one. @throws Refusal, and nothing is changed */
  set(name: string, words: readonly string[]): void {
    if (hasSpaces(name)) throw new Refusal("ERR Usernames can't contain spaces or null characters");
    const rules = joinedRules(words);
    if ("opening" in rules)
      throw new Refusal(
        `ERR Unmatched parenthesis in acl selector starting at '${rules.opening}'.`,
      );
    const user = this.#byName.get(name);
    const next = user?.copy() ?? new User(name, this.#names);
    for (const rule of rules) {
      try {
        next.take(rule);
      } catch (thrown) {
        if (!(thrown instanceof BadRule)) throw thrown;
        throw new Refusal(
          `ERR Error in ACL SETUSER modifier '${shownRule(rule)}': ${thrown.message}`,
        );
      }
    }
    if (user) this.#change(user, next);
    else this.#byName.set(name, next);
  }

  #change(user: User, next: User): void {
    this.#listener.changing(user, next);
    user.become(next);
  }

  /** Gives how many there were. @throws Refusal for the one that is always there */
  delete(names: readonly string[]): number {
    if (names.includes(DEFAULT_USER)) throw new Refusal("ERR The 'default' user cannot be removed");
    return names.filter((name) => this.#remove(name)).length;
  }

  #remove(name: string): boolean {
    const user = this.#byName.get(name);
    if (!user) return false;
    this.#byName.delete(name);
    this.#listener.removed(user);
    return true;
  }

  /** All users, as a file has them. */
  get text(): string {
    return textOf(this.all);
  }

  /** Whether a file with that text has these users. */
  isIn(text: string): boolean {
    const read = this.#read(text);
    return Array.isArray(read) && textOf(inOrder(read)) === this.text;
  }

  /**
   * Users are those of a file, and no others; without a line for it, the default user is as it is given by a password.
   * @returns what is wrong with it; then nothing is changed
   */
  load(text: string, defaultPassword: string): readonly FileProblem[] {
    const read = this.#read(text);
    if (!Array.isArray(read)) return read.problems;
    const [given] = read.filter(({ name }) => name === DEFAULT_USER);
    this.#change(this.byDefault, given ?? this.#openDefault());
    if (!given) this.setDefaultPassword(defaultPassword);
    for (const { name } of this.all) if (name !== DEFAULT_USER) this.#remove(name);
    for (const user of read) if (user !== given) this.#byName.set(user.name, user);
    return [];
  }

  #openDefault(): User {
    const user = new User(DEFAULT_USER, this.#names);
    for (const rule of ["on", "nopass", "+@all", "~*", "&*"]) user.take(rule);
    return user;
  }

  #read(text: string): User[] | { readonly problems: readonly FileProblem[] } {
    const users = new Map<string, User>();
    const problems: FileProblem[] = [];
    for (const [at, line] of text.split("\n").entries()) {
      const [keyword, name, ...words] = line.replace(/^[ \t\r]+|[ \t\r]+$/g, "").split(" ");
      if (keyword === "" && name === undefined) continue;
      const bad = (reason: string): void => void problems.push({ line: at + 1, reason });
      if (keyword !== "user" || name === undefined || name === "")
        bad("should start with user keyword followed by the username");
      else if (hasSpaces(name)) bad(`username '${name}' contains invalid characters`);
      else if (users.has(name)) bad(`Duplicate user '${name}'`);
      else {
        const user = new User(name, this.#names);
        users.set(name, user);
        for (const reason of problemsOf(user, words)) bad(reason);
      }
    }
    return problems.length > 0 ? { problems } : [...users.values()];
  }
}

/** Gives a user rules, and what is wrong with them. */
function problemsOf(user: User, words: readonly string[]): readonly string[] {
  const rules = joinedRules(words);
  if ("opening" in rules) return ["Unmatched parenthesis in selector definition"];
  return rules.flatMap((rule) => {
    try {
      user.take(rule.replace(/^[\t\r]+|[\t\r]+$/g, ""));
      return [];
    } catch (thrown) {
      if (!(thrown instanceof BadRule)) throw thrown;
      // Of a rule without a sign nobody knows whether it is a password whose sign was forgotten.
      const shown = /^[-+~%&(]/.test(rule) ? ` ('${rule}')` : "";
      return [`${thrown.message}${shown}`];
    }
  });
}

/** What was denied, for `ACL LOG`. */
export interface DeniedRequest {
  count: number;
  readonly reason: Denial["reason"] | "auth";
  readonly context: "toplevel" | "multi";
  /** The command, the key or the channel. */
  readonly object: string;
  readonly user: string;
  atMs: number;
  /** As `CLIENT INFO` shows it. */
  client: string;
}

/** Of a long key, or of a client with a long name, the beginning is kept. */
const NOTED_CHARACTERS = 1024;
/** What is denied again within so long is counted, not noted anew; as far as it is among the latest. */
const ALIKE_MS = 60_000;
const ALIKE_LOOKED_AT = 10;

/** What was denied of late. */
class DenialLog {
  /** The latest first. */
  readonly requests: DeniedRequest[] = [];

  /** @param limit as many are kept */
  add(denied: Omit<DeniedRequest, "count">, limit: number): void {
    const { reason, context, atMs } = denied;
    const [object, user, client] = [denied.object, denied.user, denied.client].map(beginning) as [
      string,
      string,
      string,
    ];
    const at = this.requests
      .slice(0, ALIKE_LOOKED_AT)
      .findIndex(
        (one) =>
          one.reason === reason &&
          one.context === context &&
          one.object === object &&
          one.user === user &&
          Math.abs(one.atMs - atMs) <= ALIKE_MS,
      );
    const [known] = at < 0 ? [] : this.requests.splice(at, 1);
    this.requests.unshift({ ...denied, object, user, client, count: (known?.count ?? 0) + 1 });
    this.requests.length = Math.min(this.requests.length, limit);
  }

  clear(): void {
    this.requests.length = 0;
  }
}

/** Another text, which does not keep the long one. */
const beginning = (text: string): string =>
  text.length > NOTED_CHARACTERS ? [...text.slice(0, NOTED_CHARACTERS)].join("") : text;
