/** A store on three hosts, as clients on these see it. */

import { expect } from "vitest";
import { until } from "../cli/support/command.ts";
import type { Host } from "./hosts.ts";

export const NAMES = ["a", "b", "c"] as const;
export const PORT = 7379;
export const PATIENCE_MS = 60_000;

/** The hosts, by the process that runs there. */
export interface Three {
  readonly a: Host;
  readonly b: Host;
  readonly c: Host;
}

/** Waits until a process takes writes. */
export async function writes(host: Host, patienceMs: number = PATIENCE_MS): Promise<void> {
  await until(
    `${host.address} to take writes`,
    async () => (await host.redis(PORT, "SET", "begun", "yes")) === "OK",
    patienceMs,
  );
}

/** Adds to a list in total order, as often as said, whatever becomes of it: what was answered. */
export async function add(host: Host, who: string, from: number, count: number): Promise<string[]> {
  const done: string[] = [];
  for (let i = from; i < from + count; i += 1)
    if (/^\d+$/.test(await host.redis(PORT, "RPUSH", "list", `${who}${i}`)))
      done.push(`${who}${i}`);
  return done;
}

export const listAt = async (host: Host): Promise<string[]> =>
  (await host.redis(PORT, "LRANGE", "list", "0", "-1")).split("\n").filter(Boolean);

/** All have the same list in the end, and in it what was answered, once. */
export async function agree(three: Three, answered: readonly string[]): Promise<void> {
  const hosts = Object.values(three) as Host[];
  let lists: string[][] = [];
  await until(
    "all to have the same",
    async () => {
      lists = await Promise.all(hosts.map(listAt));
      return (
        lists.every((list) => list.join() === lists[0]?.join()) &&
        answered.every((one) => lists[0]?.includes(one))
      );
    },
    PATIENCE_MS,
  ).catch((error: unknown) => {
    expect({ error: String(error), answered, lists }).toBe("the same");
  });
  const [list = []] = lists;
  expect(new Set(list).size).toBe(list.length);
  for (const who of NAMES) {
    const own = list.filter((one) => one.startsWith(who)).map((one) => Number(one.slice(1)));
    expect(own).toEqual(own.toSorted((x, y) => x - y));
  }
}
