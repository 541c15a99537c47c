/** Where in the store somebody is: at which replica, in which database, and what is looked for; all of it is in the address. */

import type { TypeName } from "../../src/kv/value.ts";
import type { PageStore } from "../../src/serve/web/api.ts";
import { goTo } from "../page.tsx";
import type { PageServer } from "../server.ts";

/** What every part of the view is told. */
export interface StorePartProps {
  readonly server: PageServer;
  readonly store: PageStore;
  /** The parts of the address behind the one that names it. */
  readonly route: readonly string[];
}

/** What is looked for, and where: all of it is in the address. */
export interface KeysPlace {
  readonly process: string;
  readonly db: number;
  readonly match: string;
  /** "any", or a type. */
  readonly type: string;
  readonly key: string | undefined;
}

export const TYPES: readonly TypeName[] = ["string", "hash", "list", "set", "zset"];
/** Which replica is asked. */
export function ReplicaChoice({
  store,
  value,
  onChoose,
}: {
  readonly store: PageStore;
  readonly value: string;
  readonly onChoose: (process: string) => void;
}) {
  return (
    <label>
      at{" "}
      <select aria-label="Replica" value={value} onChange={({ target }) => onChoose(target.value)}>
        {store.replicas.map(({ process, problem }) => (
          <option key={process} value={process}>
            {problem === undefined ? process : `${process} (away)`}
          </option>
        ))}
      </select>
    </label>
  );
}

/** The replica that the address names; or the first that answers. */
export function replicaOf({ replicas }: PageStore, named: string | undefined): string {
  const known = replicas.find(({ process }) => process === named);
  const up = replicas.find(({ problem }) => problem === undefined);
  return (known ?? up ?? replicas[0])?.process ?? "";
}

/** Goes to a part of the view. */
export const goToPart = (...parts: readonly string[]): void => goTo("store", ...parts);

export function DatabaseChoice({
  value,
  onChoose,
}: {
  readonly value: string;
  readonly onChoose: (db: string) => void;
}) {
  return (
    <label>
      database{" "}
      <select aria-label="Database" value={value} onChange={({ target }) => onChoose(target.value)}>
        {Array.from({ length: 16 }, (_, i) => (
          <option key={String(i)} value={String(i)}>
            {i}
          </option>
        ))}
      </select>
    </label>
  );
}

/** A key as a part of an address, where nothing may be empty. */
export const keyPart = (key: string): string => (/^!?$|^!/.test(key) ? `!${key}` : key);

export const partKey = (part: string): string => (part.startsWith("!") ? part.slice(1) : part);
