/** What `tidemark up` runs: what a file of the user's defines, or the bank. And what is checked before anything is started. */

import { relative } from "node:path";
import type { AccountState, Transfer } from "../bank/account.ts";
import { Account, type AccountReply, type AccountRequest } from "../bank/account.ts";
import { TidemarkError, textOf } from "../core/error.ts";
import { checkProcessId, type ProcessId } from "../core/id.ts";
import { Topology } from "../core/topology.ts";
import type { Application } from "../process/application.ts";
import {
  defineSystem,
  type RestartRule,
  type SystemDefinition,
} from "../runtime/system-definition.ts";
import type { KvSystemOptions } from "../serve/kv-system.ts";
import { checkKeys, checkMs, checkNumber, refuse, told } from "../sim/check.ts";
import { checkApplication } from "../sim/world-check.ts";
import { checkRecorderOptions } from "../trace/recorder.ts";
import { loadDefault } from "./user-file.ts";

/** Of whatever the user's types are. */
export type AnySystem = SystemDefinition<unknown, unknown, unknown, unknown>;

/** How a host comes to its definition: a function does not travel from one operating-system process to another. */
export type SystemSource =
  | { readonly file: string }
  | { readonly bank: { readonly money: number; readonly rate: number | "max" } }
  | { readonly kv: KvSystemOptions };

export const PROCESSES_MAX = 64;

/** @throws TidemarkError `BAD_OPTION` naming the file */
export async function loadSystem(source: SystemSource): Promise<AnySystem> {
  if ("bank" in source) return bank(source.bank) as unknown as AnySystem;
  if ("kv" in source) {
    // Others should not have to load all of the store.
    const { kvSystem } = await import("../serve/kv-system.ts");
    return kvSystem(source.kv) as unknown as AnySystem;
  }
  const { file } = source;
  const definition = await loadDefault(file, "system");
  if (typeof (definition as Partial<AnySystem> | undefined)?.application !== "function")
    throw new TidemarkError(
      "BAD_OPTION",
      `${file} exports no system by default: write export default defineSystem({ processes: […], application: (id) => … })`,
    );
  try {
    checkDefinition(definition);
  } catch (error) {
    throw new TidemarkError("BAD_OPTION", `${file}: ${textOf(error)}`, { cause: error });
  }
  return definition as AnySystem;
}

/**
 * A new application for one process, as its definition makes it.
 * @throws TidemarkError `BAD_OPTION` naming the file
 */
export function applicationOf(
  source: SystemSource,
  system: AnySystem,
  id: ProcessId,
  processes: readonly ProcessId[],
): Application<unknown, unknown, unknown, unknown> {
  const file = "file" in source ? `${relative("", source.file)}: ` : "";
  let application: Application<unknown, unknown, unknown, unknown>;
  try {
    application = system.application(id, { processes });
  } catch (cause) {
    const message = `${file}application(${told(id)}) threw: ${textOf(cause)}`;
    throw new TidemarkError("BAD_OPTION", message, { cause });
  }
  try {
    checkApplication(id, application);
  } catch (cause) {
    throw new TidemarkError("BAD_OPTION", `${file}${textOf(cause)}`, { cause });
  }
  return application;
}

/** The names of the processes of a definition, or of so many. */
export function processNames(processes: number | readonly ProcessId[]): readonly ProcessId[] {
  if (typeof processes !== "number") return processes;
  return Array.from({ length: processes }, (_, i) => `p${i + 1}`);
}

/** A restart rule with nothing left out. */
export function wholeRule(rule: RestartRule = {}): Required<RestartRule> {
  const { restarts = 5, withinMs = 60_000, firstDelayMs = 100, maxDelayMs = 10_000 } = rule;
  return { restarts, withinMs, firstDelayMs, maxDelayMs, afterwards: rule.afterwards ?? "stop" };
}

/** The processes take their money from `tidemark up`, and nothing else is of their own. */
function bank(options: {
  readonly money: number;
  readonly rate: number | "max";
}): SystemDefinition<Transfer, AccountState, AccountRequest, AccountReply> {
  return defineSystem({
    processes: 1,
    system: "bank",
    application: () => new Account(options),
  });
}

type Check = (value: unknown, key: string) => void;

const oneOf =
  (...values: readonly unknown[]): Check =>
  (value, key) => {
    if (!values.includes(value))
      refuse(`${key} must be ${values.map(told).join(" or ")}, not ${told(value)}`);
  };

const text: Check = (value, key) => {
  if (typeof value !== "string" || value === "")
    refuse(`${key} must be a text, not ${told(value)}`);
};

const aFunction: Check = (value, key) => {
  if (typeof value !== "function") refuse(`${key} must be a function, not ${told(value)}`);
};

const codec: Check = (value, key) => {
  const { name, encode, decode } = Object(value) as Record<string, unknown>;
  if (typeof name !== "string" || typeof encode !== "function" || typeof decode !== "function")
    refuse(`${key} must have a name, encode and decode`);
};

const bytes: Check = (value, key) => checkNumber(key, value, 1, Number.MAX_SAFE_INTEGER);

const whole =
  (low: number): Check =>
  (value, key) => {
    if (!Number.isSafeInteger(value) || (value as number) < low)
      refuse(`${key} must be a whole number of ${low} or more, not ${told(value)}`);
  };

const CHECKS: Readonly<Record<keyof SystemDefinition, Check>> = {
  processes: checkProcesses,
  application: aFunction,
  serve: aFunction,
  system: text,
  // What is in them is checked with the processes.
  channels: (value, key) => {
    if (value !== "mesh" && !Array.isArray(value))
      refuse(`${key} must be "mesh" or a list of channels, not ${told(value)}`);
  },
  order: oneOf("fifo", "none"),
  algorithm: oneOf("chandy-lamport", "lai-yang"),
  messageCodec: codec,
  stateCodec: codec,
  requestCodec: codec,
  log: oneOf("always", "everysec", "none", false),
  captureBytes: bytes,
  windowBytes: bytes,
  limitBytes: bytes,
  lostAfterMs: (value, key) => checkNumber(key, value, 1, 1e9),
  snapshots: checkParts({ everyMs: (value, key) => checkMs(key, value), keep: whole(0) }),
  restart: checkParts({
    restarts: whole(0),
    withinMs: (value, key) => checkMs(key, value),
    firstDelayMs: (value, key) => checkMs(key, value),
    maxDelayMs: (value, key) => checkMs(key, value),
    afterwards: oneOf("stop", "restore"),
  }),
  directory: text,
  spans: oneOf(true, false),
  trace: (value) => {
    if (value !== true) checkRecorderOptions(value);
  },
};

function checkParts(checks: Readonly<Record<string, Check>>): Check {
  return (value, key) => {
    checkKeys(key, value, Object.keys(checks));
    for (const [name, check] of Object.entries(checks)) {
      const part = (value as Readonly<Record<string, unknown>>)[name];
      if (part !== undefined) check(part, `${key}.${name}`);
    }
  };
}

function checkProcesses(value: unknown, key: string): void {
  const many = typeof value === "number" ? value : (value as { length?: unknown } | null)?.length;
  const counts = Number.isInteger(many) && Number(many) >= 1 && Number(many) <= PROCESSES_MAX;
  if (!counts || (typeof value !== "number" && !Array.isArray(value)))
    refuse(`${key} must be 1 to ${PROCESSES_MAX} names, or how many, not ${told(value)}`);
  for (const id of Array.isArray(value) ? value : []) checkProcessId(id);
}

/** @throws TidemarkError `BAD_OPTION`, `BAD_ID`, `UNKNOWN_PROCESS` */
function checkDefinition(definition: unknown): void {
  checkKeys("the system", definition, Object.keys(CHECKS));
  const parts = definition as Readonly<Record<string, unknown>>;
  if (parts["processes"] === undefined) refuse("a system needs processes");
  for (const [key, check] of Object.entries(CHECKS))
    if (parts[key] !== undefined) check(parts[key], key);
  const { processes, channels } = definition as AnySystem;
  new Topology(processNames(processes), channels);
}
