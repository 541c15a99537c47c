/** Checks the shape of a world: what a compiler says of one in TypeScript, for those that none has seen. */

import { TidemarkError } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import { checkKeys, refuse, told } from "./check.ts";
import type { World } from "./world.ts";

type Check = (value: unknown, key: string, processes: readonly ProcessId[]) => void;

const list = (value: unknown, key: string, of: string): readonly unknown[] =>
  Array.isArray(value) ? value : refuse(`${key} must be a list of ${of}, not ${told(value)}`);

const object = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null ? { ...value } : {};

const oneOf =
  (...values: readonly string[]): Check =>
  (value, key) => {
    if (!values.includes(value as string))
      refuse(`${key} must be ${values.map(told).join(" or ")}, not ${told(value)}`);
  };

function known(id: unknown, key: string, processes: readonly ProcessId[]): void {
  if (processes.includes(id as ProcessId)) return;
  throw new TidemarkError("UNKNOWN_PROCESS", `${key}: there is no process ${told(id)}`);
}

const codec: Check = (value, key) => {
  const { name, encode, decode } = object(value);
  if (typeof name !== "string" || typeof encode !== "function" || typeof decode !== "function")
    refuse(`${key} must have a name, encode and decode`);
};

const properties: Check = (value, key) => {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    refuse(`${key} must be an object of properties by their names, not ${told(value)}`);
  for (const [name, property] of Object.entries(value))
    if (typeof property !== "function")
      refuse(`${key} ${told(name)} must be a function of the view, not ${told(property)}`);
};

const CHECKS: Readonly<Record<keyof World, Check>> = {
  processes: (value, key) => {
    for (const id of list(value, key, "names"))
      if (typeof id !== "string") refuse(`${key} must be a list of names, not of ${told(id)}`);
  },
  channels: (value, key) => {
    if (value === "mesh") return;
    for (const one of list(value, key, 'channels, or "mesh"')) {
      const { from, to } = object(one);
      if (typeof from !== "string" || typeof to !== "string")
        refuse(`${key}: each must have from and to`);
    }
  },
  order: oneOf("fifo", "none"),
  algorithm: oneOf("chandy-lamport", "lai-yang"),
  application: (value, key) => {
    if (typeof value !== "function") refuse(`${key} must be a function, not ${told(value)}`);
  },
  messageCodec: codec,
  stateCodec: codec,
  requestCodec: codec,
  logsInputs: (value, key) => {
    if (typeof value !== "boolean") refuse(`${key} must be true or false, not ${told(value)}`);
  },
  requests: (value, key, processes) => {
    for (const one of list(value, key, "{ of, request }")) known(object(one)["of"], key, processes);
  },
  snapshots: (value, key, processes) => {
    for (const id of list(value, key, "processes")) known(id, key, processes);
  },
  interchangeable: (value, key, processes) => {
    for (const group of list(value, key, "groups of processes"))
      for (const id of list(group, key, "groups of processes")) known(id, key, processes);
  },
  always: properties,
  sometimes: properties,
  eventually: properties,
  safety: properties,
  liveness: properties,
};

/** @throws TidemarkError `BAD_OPTION`, `UNKNOWN_PROCESS` */
export function checkWorld(world: unknown): void {
  checkKeys("world", world, Object.keys(CHECKS));
  const parts = object(world);
  for (const key of ["processes", "application"])
    if (parts[key] === undefined) refuse(`a world needs ${key}`);
  // Whether they are a list is found out first.
  for (const [key, check] of Object.entries(CHECKS))
    if (parts[key] !== undefined)
      check(parts[key], key, parts["processes"] as readonly ProcessId[]);
}

/** Of what `application` gave. @throws TidemarkError `BAD_OPTION` */
export function checkApplication(id: ProcessId, application: unknown): void {
  if (typeof application !== "object" || application === null)
    refuse(`application(${told(id)}) gave ${told(application)}, and no application`);
  for (const method of ["capture", "restore"] as const)
    if (typeof (application as Readonly<Record<string, unknown>>)[method] !== "function")
      refuse(`the application of ${id} has no ${method}`);
}
