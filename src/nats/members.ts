/**
 * Which processes a system on several machines has, on what all of them agree, and which are there.
 *
 *     KV_PREFIX-members       a key-value bucket
 *       configuration.SYSTEM    the processes, and on what they agree; whoever starts first makes it
 *       member.SYSTEM.PROCESS   where that process runs; written anew every few seconds
 *       clock                   written by whoever asks what time it is
 *
 * SYSTEM is the name of the system in base64url; a dot in a process id is written as `=`. Values have their SHA-256 on the first line.
 *
 * Theory of operation. A configuration is written only if there is none, so of two first processes one makes it and the other
 * one compares. It is not changed any more: whoever differs is refused, and who wants to change it takes it away while nobody is
 * there, on the condition that nothing in the bucket has changed since that was looked at. Whoever runs all the same, for he was cut
 * off, finds it gone and makes it again, or tells that there is another one.
 *
 * When a process was seen last is when its key was written, by the server's clock; and what time it is now is asked in the same way. So
 * nobody's own clock matters. Presence decides nothing in the system: when the servers are away it is late, and that is all.
 *
 * A process writes its key on the condition that it was the last to do so. If not, somebody else runs under its id. Each of the two tells
 * who, and writes its own once more, so that the other one sees it as well; then one of them leaves the key alone for as long as the
 * other one writes it.
 */

import { hash, randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { isTidemarkError, TidemarkError, textOf } from "../core/error.ts";
import {
  checkForm,
  count,
  type Form,
  list,
  ms,
  processId,
  record,
  text,
  truth,
  where,
} from "../core/form.ts";
import { isProcessId, type ProcessId } from "../core/id.ts";
import { decodeJson, encodeJson } from "../runtime/manifest-file.ts";
import { type NatsOptions, NatsSession } from "./connection.ts";
import { processOf, subjectToken } from "./objects.ts";
import { type Entry, Register, registerSettings } from "./register.ts";
import { checkPlace, type StreamSettings } from "./stream.ts";

/** Where the bucket is. */
export interface MembersPlace extends NatsOptions {
  readonly prefix: string;
  readonly replicas: 1 | 3;
}

/** Something on which all processes have to agree. What another version has, and this one does not know, is passed over. */
export interface Agreement {
  readonly what: string;
  readonly value: string;
}

export interface Configuration {
  readonly system: string;
  /** Ascending. */
  readonly processes: readonly ProcessId[];
  readonly agreed: readonly Agreement[];
}

/** As it is stored: who made it is there for people alone. */
export interface StoredConfiguration extends Configuration {
  readonly by: ProcessId;
  readonly host: string;
  readonly version: string;
}

/** What a process says of itself. */
export interface Presence {
  readonly process: ProcessId;
  /** Of this one life of it. */
  readonly start: string;
  readonly host: string;
  readonly pid: number;
  readonly version: string;
  /** False: who runs it is there, and is about to start it again. */
  readonly up: boolean;
  readonly address?: string;
  readonly epoch?: number;
  /** By the server's clock. It is not in what it says first. */
  readonly sinceMs?: number;
  /** It has ended in good order, or because it was given up. */
  readonly left?: Leaving;
}

export type Leaving = "stopped" | "given up";

/** What a process is found to be. */
export type MemberState = "there" | "down" | "left" | "silent" | "never" | "damaged";

export interface Member {
  readonly process: ProcessId;
  readonly state: MemberState;
  /** False: the configuration does not have it. */
  readonly configured: boolean;
  /** Of what it said last; absent if it never did. */
  readonly seenMs?: number;
  readonly presence?: Presence;
  /** If what it said cannot be read. */
  readonly problem?: string;
}

/** All that is known of a system. */
export interface SystemMembers {
  readonly system: string;
  readonly configuration?: StoredConfiguration;
  /** If it cannot be read. */
  readonly problem?: string;
  readonly members: readonly Member[];
}

export interface MemberList {
  /** When this was. */
  readonly nowMs: number;
  /** Whose clock said so: without the permission to write, it is one's own. */
  readonly clock: "server" | "own";
  readonly systems: readonly SystemMembers[];
}

/** How often a process says that it is there. */
const RENEW_MS = 5_000;
/** Who has said nothing for so long is silent: longer than a cluster takes to elect a leader. */
const SILENT_MS = 20_000;
/** When it ends it does not wait longer for servers. */
const LEAVE_MS = 2_000;
const READ_AT_ONCE = 16;
const FORGET_ATTEMPTS = 10;

const HOST: string = hostname() || "localhost";
const PROCESSES_MAX = 10_000;
const AGREED_MAX = 100;
const TEXT_CHARACTERS = 4_096;
/** A name in base64url is a part of a subject, which servers take up to a length. */
const NAME_CHARACTERS = 256;

const words: Form<string> = text(`a text of 1 to ${TEXT_CHARACTERS} characters`, /^.{1,4096}$/s);
const configurationForm: Form<StoredConfiguration> = record<StoredConfiguration>({
  system: words,
  processes: list(PROCESSES_MAX, processId, (id) => id),
  agreed: list(AGREED_MAX, record<Agreement>({ what: words, value: words })),
  ...{ by: processId, host: words, version: words },
});
const presenceForm: Form<Presence> = record<Presence>({
  process: processId,
  ...{ start: words, host: words, pid: count, version: words, up: truth },
  address: { optional: words },
  epoch: { optional: count },
  sinceMs: { optional: ms },
  left: { optional: text("stopped or given up", /^(?:stopped|given up)$/) as Form<Leaving> },
});

/** What a key has: it may never have been, it may have been taken away, or what is there cannot be read. */
interface Found<T> {
  /** 0: it never was. */
  readonly revision: number;
  readonly atMs: number;
  readonly value?: T;
  readonly problem?: string;
}

const WHAT = "Tidemark: which processes a system has, and which are there";
const bucketOf = (prefix: string): string => `${prefix}-members`;

/** The stream of the bucket. */
export function membersSettings(prefix: string, replicas: 1 | 3): StreamSettings {
  return registerSettings(bucketOf(prefix), replicas, WHAT);
}

/** The bucket. */
class Members {
  readonly session: NatsSession;
  readonly register: Register;

  /** @throws TidemarkError `BAD_OPTION` */
  constructor(place: MembersPlace) {
    const { prefix, replicas } = place;
    checkPlace(prefix, replicas);
    this.session = new NatsSession(place, "STORE_FAILED");
    this.register = new Register(this.session, bucketOf(prefix), replicas, WHAT);
  }

  async configuration(system: string): Promise<Found<StoredConfiguration>> {
    const fits = (value: StoredConfiguration): boolean => value.system === system;
    const form = where(configurationForm, `be that of ${system}`, fits);
    return foundIn(await this.register.get(configurationKey(system)), form);
  }

  async presence(system: string, id: ProcessId): Promise<Found<Presence>> {
    const form = where(presenceForm, `be that of ${id}`, ({ process }) => process === id);
    return foundIn(await this.register.get(memberKey(system, id)), form);
  }

  /** The names of all systems, with the processes that have said something. */
  async systems(): Promise<Map<string, ProcessId[]>> {
    const systems = new Map<string, ProcessId[]>();
    for (const key of (await this.register.keys(">")).sort()) {
      const [kind, token = "", process, more] = key.split(".");
      const name = Buffer.from(token, "base64url").toString();
      if (name === "" || more !== undefined) continue;
      const known = systems.get(name) ?? [];
      if (kind === "configuration" && process === undefined) systems.set(name, known);
      const id = processOf(process ?? "");
      if (kind === "member" && isProcessId(id)) systems.set(name, [...known, id]);
    }
    return systems;
  }

  /** What time it is, by the server's clock, or by one's own if nothing may be written. */
  async now(): Promise<Pick<MemberList, "nowMs" | "clock">> {
    const key = "clock";
    try {
      const revision = (await this.register.get(key))?.revision ?? 0;
      // Whoever was faster has asked at the same time.
      await this.register.set(key, new Uint8Array(), { revision });
      const entry = await this.register.get(key);
      if (entry) return { nowMs: entry.atMs, clock: "server" };
    } catch (error) {
      if (!isTidemarkError(error, "STORE_FAILED")) throw error;
    }
    return { nowMs: Date.now(), clock: "own" };
  }

  /** Undefined: nobody knows such a system. */
  async read(
    system: string,
    known: readonly ProcessId[],
    nowMs: number,
  ): Promise<SystemMembers | undefined> {
    const { value: configuration, problem } = await this.configuration(system);
    const ids = [...new Set([...(configuration?.processes ?? []), ...known])].sort();
    const members: Member[] = [];
    for (let i = 0; i < ids.length; i += READ_AT_ONCE)
      members.push(
        ...(await Promise.all(
          ids.slice(i, i + READ_AT_ONCE).map(async (process) => {
            const configured = configuration?.processes.includes(process) ?? false;
            return {
              process,
              configured,
              ...memberOf(await this.presence(system, process), nowMs),
            };
          }),
        )),
      );
    const there = members.filter(({ configured, state }) => configured || state !== "never");
    if (!configuration && problem === undefined && there.length === 0) return undefined;
    return {
      system,
      ...(configuration && { configuration }),
      ...(problem !== undefined && { problem }),
      members: there,
    };
  }
}

/** What is told of a process that is to be a member. */
export interface MembershipOptions {
  readonly place: MembersPlace;
  readonly id: ProcessId;
  readonly configuration: Configuration;
  readonly version: string;
  /** How often it says that it is there, in milliseconds. @default 5_000 */
  readonly renewMs?: number;
  /** Is told `STORE_FAILED` once when it cannot say that it is there, and again after that was over; and `DUPLICATE_ID`. */
  readonly onProblem: (problem: TidemarkError) => void;
}

/** What changes while it runs. */
export type Whereabouts = Pick<Presence, "up" | "address" | "epoch">;

/** A process that is a member of a system, from before it starts until it has ended. */
export class Membership {
  readonly #members: Members;
  readonly #options: MembershipOptions;
  readonly #own: Omit<Presence, "up">;
  /** That of its key when it was last read or written here. */
  #revision: number;
  #sinceMs: number | undefined;
  #whereabouts: (() => Promise<Whereabouts>) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #renewing: Promise<void> = Promise.resolve();
  #isOver: boolean = false;
  /** It has been told that presence is late. */
  #isLate: boolean = false;
  /** It has been told that there is another configuration by now. */
  #isOdd: boolean = false;
  /** Who else has written its key: as of when, by a clock that is never set. */
  #other: { readonly start: string; readonly revision: number; readonly atMs: number } | undefined;

  private constructor(members: Members, options: MembershipOptions, revision: number) {
    const { id: process, version } = options;
    this.#members = members;
    this.#options = options;
    this.#revision = revision;
    this.#own = {
      ...{ process, version, start: randomUUID() },
      ...{ host: HOST, pid: globalThis.process.pid },
    };
  }

  /**
   * Makes the configuration if there is none, and compares.
   * @throws TidemarkError `CONFIGURATION_DIFFERS`, `DAMAGED`, `STORE_FAILED`, `BAD_OPTION`
   */
  static async open(options: MembershipOptions): Promise<Membership> {
    if (options.configuration.system.length > NAME_CHARACTERS)
      throw new TidemarkError(
        "BAD_OPTION",
        `the name of a system on NATS has at most ${NAME_CHARACTERS} characters`,
      );
    const members = new Members(options.place);
    try {
      const problem = await agree(members, options);
      if (problem) throw problem;
      const { system } = options.configuration;
      const { revision } = await members.presence(system, options.id);
      return new Membership(members, options, revision);
    } catch (error) {
      await members.session.close();
      throw error;
    }
  }

  /** For people: who runs under its id just now, if somebody does and it is not this one. */
  async holder(): Promise<string | undefined> {
    const { system } = this.#options.configuration;
    const { value, atMs } = await this.#members.presence(system, this.#own.process);
    if (!value || value.left !== undefined || value.start === this.#own.start) return undefined;
    const ageMs = (await this.#members.now()).nowMs - atMs;
    return ageMs > SILENT_MS ? undefined : `${placeOf(value)}, seen ${ageText(ageMs)} ago`;
  }

  /** From now on it says that it is there. */
  present(whereabouts: () => Promise<Whereabouts>): void {
    this.#whereabouts = whereabouts;
    this.#renew();
  }

  /** Says that it has ended, if a server hears it in time. */
  async leave(left?: Leaving): Promise<void> {
    this.#isOver = true;
    clearTimeout(this.#timer);
    if (this.#whereabouts && left) {
      const said = this.#renewing.then(() => this.#write({ up: false, left })).catch(() => {});
      await Promise.race([said, pause(LEAVE_MS, undefined, { ref: false })]);
    }
    await this.#members.session.close();
  }

  /** One after the other, however long servers take. */
  #renew(): void {
    this.#renewing = this.#sayOnce().catch((error) => {
      if (this.#isLate || this.#isOver) return;
      this.#isLate = true;
      const { process } = this.#own;
      this.#tell("STORE_FAILED", `others do not see that ${process} is there: ${textOf(error)}`);
    });
    void this.#renewing.then(() => {
      if (this.#isOver) return;
      this.#timer = setTimeout(() => this.#renew(), this.#options.renewMs ?? RENEW_MS);
      this.#timer.unref();
    });
  }

  async #sayOnce(): Promise<void> {
    const problem = await agree(this.#members, this.#options);
    if (problem && !this.#isOdd) this.#options.onProblem(problem);
    this.#isOdd = problem !== undefined;
    const whereabouts = await this.#whereabouts?.();
    if (this.#isOver || !whereabouts) return;
    await this.#write(whereabouts);
    this.#isLate = false;
  }

  async #write(what: Whereabouts & Pick<Presence, "left">): Promise<void> {
    const { system } = this.#options.configuration;
    const { process } = this.#own;
    const key = memberKey(system, process);
    for (;;) {
      const value = encodeJson({ ...this.#own, ...what, sinceMs: this.#sinceMs });
      const revision = await this.#members.register.set(key, value, { revision: this.#revision });
      if (revision !== undefined) {
        this.#revision = revision;
        if (this.#sinceMs === undefined && what.left === undefined)
          this.#sinceMs = (await this.#members.register.get(key))?.atMs;
        return;
      }
      const found = await this.#members.presence(system, process);
      if (!this.#takesBack(found, what.left !== undefined)) return;
      this.#revision = found.revision;
    }
  }

  /** Whether it writes over what somebody has written meanwhile. */
  #takesBack({ value, revision }: Found<Presence>, isLeaving: boolean): boolean {
    // A write of its own that was not answered, or nothing that anybody can read.
    if (!value || value.start === this.#own.start) return true;
    if (isLeaving) return false;
    if (value.left !== undefined) return true;
    const nowMs = performance.now();
    const other = this.#other;
    if (other?.start === value.start && other.revision === revision)
      return nowMs - other.atMs > SILENT_MS;
    this.#other = { start: value.start, revision, atMs: nowMs };
    if (other?.start === value.start) return false;
    const { process } = this.#own;
    this.#tell(
      "DUPLICATE_ID",
      `a second process runs as ${process}: ${placeOf(value)}. This one is ${placeOf(this.#own)}; stop one of the two`,
    );
    return true;
  }

  #tell(code: "STORE_FAILED" | "DUPLICATE_ID", message: string): void {
    this.#options.onProblem(new TidemarkError(code, message));
  }
}

/** All systems of a prefix, and their processes. */
export async function listMembers(place: MembersPlace): Promise<MemberList> {
  const members = new Members(place);
  try {
    const names = await members.systems();
    // Who only looks makes nothing.
    if (names.size === 0) return { nowMs: Date.now(), clock: "own", systems: [] };
    const now = await members.now();
    const systems: SystemMembers[] = [];
    for (const [name, known] of names) {
      const system = await members.read(name, known, now.nowMs);
      if (system) systems.push(system);
    }
    return { ...now, systems };
  } finally {
    await members.session.close();
  }
}

/**
 * Forgets the configuration of a system, and its processes. Whoever starts next makes another one.
 * @throws TidemarkError `ALREADY_RUNNING` if one of them is there, `NOT_FOUND`, `STORE_FAILED`
 */
export async function forgetMembers(place: MembersPlace, system: string): Promise<void> {
  const members = new Members(place);
  const { register } = members;
  try {
    for (let attempt = 1; ; attempt += 1) {
      const known = (await members.systems()).get(system) ?? [];
      const { nowMs } = await members.now();
      const sequence = await register.sequence();
      const found = await members.read(system, known, nowMs);
      if (!found)
        throw new TidemarkError(
          "NOT_FOUND",
          `there is no system ${system} with the prefix ${place.prefix} at ${members.session.where}`,
        );
      const there = found.members.filter(({ state }) => state === "there" || state === "down");
      if (there.length > 0) throw stillThere(system, there);
      if (await register.set(configurationKey(system), undefined, { sequence })) {
        for (const { process } of found.members) {
          const { revision } = await members.presence(system, process);
          if (revision > 0) await register.forget(revision);
        }
        return;
      }
      if (attempt === FORGET_ATTEMPTS)
        throw members.session.failed(
          `cannot forget ${system}: what is written there changes all the time`,
        );
    }
  } finally {
    await members.session.close();
  }
}

/** Makes the configuration if there is none. Gives what is wrong with the one that there is. */
async function agree(
  members: Members,
  { configuration: own, id, version, place }: MembershipOptions,
): Promise<TidemarkError | undefined> {
  const { system } = own;
  const key = configurationKey(system);
  const stored: StoredConfiguration = {
    ...{ system, processes: [...new Set(own.processes)].sort(), by: id, host: HOST, version },
    agreed: own.agreed.map(({ what, value }) => ({ what, value: fitted(value) })),
  };
  const again =
    "To have another configuration, stop all processes, then: " +
    `tidemark nats members --forget --nats-prefix ${place.prefix}, and start them all alike`;
  for (;;) {
    const { value, revision, problem } = await members.configuration(system);
    if (problem !== undefined) {
      const where = members.register.nameOf(key);
      return new TidemarkError("DAMAGED", `${where} is damaged: ${problem}. ${again}`);
    }
    if (value) {
      const differences = differencesBetween(value, stored);
      if (differences.length === 0) return undefined;
      return new TidemarkError(
        "CONFIGURATION_DIFFERS",
        `${id} does not fit ${system} with the prefix ${place.prefix} at ${members.session.where}, ` +
          `which ${value.by} on ${value.host} has set up: ${differences.join("; ")}. ` +
          `Start it as the others are started. ${again}`,
      );
    }
    const written = await members.register.set(key, encodeJson(stored), { revision });
    if (written !== undefined) return undefined;
  }
}

/** For people, in what the second one is not as the first. */
function differencesBetween(there: Configuration, here: Configuration): string[] {
  const differences: string[] = [];
  if (!isDeepStrictEqual(there.processes, here.processes)) {
    const only = (one: Configuration, other: Configuration): string =>
      one.processes.filter((id) => !other.processes.includes(id)).join(", ");
    const missing = only(there, here);
    const unknown = only(here, there);
    differences.push(
      `its processes are ${there.processes.join(", ")}` +
        (missing === "" ? "" : `, and this one does not name ${missing}`) +
        (unknown === "" ? "" : `, and this one names ${unknown}`),
    );
  }
  for (const { what, value: own } of here.agreed) {
    const theirs = there.agreed.find((agreement) => agreement.what === what)?.value ?? own;
    if (theirs !== own) differences.push(`${what}: ${theirs}, and here ${own}`);
  }
  return differences;
}

function memberOf(
  { value, revision, atMs, problem }: Found<Presence>,
  nowMs: number,
): Omit<Member, "process" | "configured"> {
  if (problem !== undefined) return { state: "damaged", seenMs: atMs, problem };
  if (!value || revision === 0) return { state: "never" };
  const state =
    value.left !== undefined
      ? "left"
      : nowMs - atMs > SILENT_MS
        ? "silent"
        : value.up
          ? "there"
          : "down";
  // What it says first is written when it begins.
  const since = value.left === undefined && { sinceMs: value.sinceMs ?? atMs };
  return { state, seenMs: atMs, presence: { ...value, ...since } };
}

function stillThere(system: string, there: readonly Member[]): TidemarkError {
  const names = there.map(({ process, presence }) =>
    presence ? `${process} (${placeOf(presence)})` : process,
  );
  return new TidemarkError(
    "ALREADY_RUNNING",
    `${system} is running: ${names.join(", ")}. Stop all of its processes first; ` +
      `one that was killed counts as there until it has said nothing for ${SILENT_MS / 1_000} s`,
  );
}

function foundIn<T>(entry: Entry | undefined, form: Form<T>): Found<T> {
  const { revision = 0, atMs = 0, value: bytes } = entry ?? {};
  if (!bytes) return { revision, atMs };
  const read = decodeJson(bytes);
  const checked = "problem" in read ? read : checkForm(form, read.content);
  return "problem" in checked
    ? { revision, atMs, problem: checked.problem }
    : { revision, atMs, value: checked.copy };
}

const placeOf = ({ pid, host }: Pick<Presence, "pid" | "host">): string =>
  `process ${pid} on ${host}`;

const ageText = (ageMs: number): string => `${Math.max(0, Math.round(ageMs / 1_000))} s`;

/** What cannot be kept whole is still compared as a whole. */
const fitted = (value: string): string =>
  value.length <= TEXT_CHARACTERS
    ? value
    : `${value.slice(0, TEXT_CHARACTERS / 2)} … SHA-256 ${hash("sha256", value)}`;

const configurationKey = (system: string): string =>
  `configuration.${Buffer.from(system).toString("base64url")}`;

const memberKey = (system: string, id: ProcessId): string =>
  `member.${Buffer.from(system).toString("base64url")}.${subjectToken(id)}`;
