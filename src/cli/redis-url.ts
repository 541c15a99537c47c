/** How a server of Redis' protocol is named: `redis://user:password@host:port/database`. */

import { InvalidArgumentError } from "commander";
import type { RedisAddress } from "../serve/redis-connection.ts";

/** An address, and perhaps one of its databases. */
export interface RedisUrl extends RedisAddress {
  readonly db?: number;
}

const REDIS_PORT = 6379;

export const isRedisUrl = (text: string): boolean => /^rediss?:\/\//i.test(text);

export function parseRedisUrl(text: string): RedisUrl {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === "rediss:")
    throw new InvalidArgumentError("TLS is not spoken here: use a tunnel, and redis://.");
  const [, db] = /^\/(\d{0,9})$/.exec(url?.pathname || "/") ?? [];
  if (url?.protocol !== "redis:" || url.hostname === "" || db === undefined)
    throw new InvalidArgumentError("Use redis://host:port, as in redis://127.0.0.1:7379.");
  const user = decoded(url.username);
  const password = decoded(url.password);
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: url.port === "" ? REDIS_PORT : Number(url.port),
    ...(user !== "" && { user }),
    ...(password !== "" && { password }),
    ...(db !== "" && { db: Number(db) }),
  };
}

function decoded(text: string): string {
  try {
    // The protocol has bytes, and texts here have one character for each.
    return Buffer.from(decodeURIComponent(text)).toString("latin1");
  } catch {
    throw new InvalidArgumentError("After a % there are two hexadecimal digits.");
  }
}
