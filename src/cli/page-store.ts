/** How the server of the page reaches a store: one that its own command runs, or one that runs in a directory. */

import { TidemarkError } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import { shellWord } from "../core/shell-word.ts";
import { ownAddressTls } from "../serve/client-tls.ts";
import type { RedisAddress } from "../serve/redis-connection.ts";
import type { SystemStatus } from "../serve/system-methods.ts";
import type { PageStoreBackend } from "../serve/web/backend.ts";

/** Where a store serves clients, and what it asks of them. */
export interface StoreService {
  readonly addresses: ReadonlyMap<ProcessId, RedisAddress>;
  readonly password?: string;
  /** The directory with the certificate of a store whose clients speak TLS. */
  readonly clientTls?: string;
}

export function storeBackend({ addresses, password, clientTls }: StoreService): PageStoreBackend {
  const tls = tlsIn(clientTls);
  const reached = new Map([...addresses].map(([id, one]) => [id, { ...reachable(one), ...tls }]));
  return { serves: async () => reached, ...(password !== undefined && { password }) };
}

/** It may be started, and end, while the page is open; its password it tells nobody. */
export function runningStoreBackend(
  directory: string,
  status: () => Promise<SystemStatus>,
): PageStoreBackend {
  return {
    async serves() {
      const { kind, processes } = await status();
      if (kind !== "store")
        throw new TidemarkError(
          "NOT_FOUND",
          `what runs in ${directory} is no store: tidemark kv --dir ${shellWord(directory)} starts one`,
        );
      return new Map(
        processes.flatMap(({ process, serves = "", clientTls }) => {
          const colon = serves.lastIndexOf(":");
          const address = { host: serves.slice(0, colon), port: Number(serves.slice(colon + 1)) };
          return colon > 0
            ? [[process, { ...reachable(address), ...tlsIn(clientTls) }] as const]
            : [];
        }),
      );
    },
  };
}

const tlsIn = (directory: string | undefined): Pick<RedisAddress, "tls"> =>
  directory === undefined ? {} : { tls: ownAddressTls(directory) };

/** Who serves everywhere is reached here. */
function reachable(address: RedisAddress): RedisAddress {
  const everywhere: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "::1" };
  return { ...address, host: everywhere[address.host] ?? address.host };
}
