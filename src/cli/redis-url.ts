/** How a server of Redis' protocol is named: `redis://user:password@host:port/database`, or `rediss://` if it speaks TLS. */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { InvalidArgumentError, Option } from "commander";
import { TidemarkError, textOf } from "../core/error.ts";
import type { AddressTls, RedisAddress } from "../serve/redis-connection.ts";

/** An address, and perhaps one of its databases. */
export interface RedisUrl extends RedisAddress {
  readonly db?: number;
}

const REDIS_PORT = 6379;

export const isRedisUrl = (text: string): boolean => /^rediss?:\/\//i.test(text);

export function parseRedisUrl(text: string): RedisUrl {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const [, db] = /^\/(\d{0,9})$/.exec(url?.pathname || "/") ?? [];
  if (!url || !isRedisUrl(text) || url.hostname === "" || db === undefined)
    throw new InvalidArgumentError("Use redis://host:port, as in redis://127.0.0.1:7379.");
  const user = decoded(url.username);
  const password = decoded(url.password);
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: url.port === "" ? REDIS_PORT : Number(url.port),
    ...(user !== "" && { user }),
    ...(password !== "" && { password }),
    ...(db !== "" && { db: Number(db) }),
    ...(url.protocol === "rediss:" && { tls: {} }),
  };
}

/** What addresses with `rediss://` need, if it is not all with Node. */
export const tlsOption = (): Option =>
  new Option(
    "--tls <directory>",
    "for rediss://: ca.pem to trust, cert.pem and key.pem to show, if they are in it",
  );

/** An address with what is in that directory. @throws TidemarkError `BAD_OPTION` */
export function withTls<T extends RedisAddress>(address: T, directory: string | undefined): T {
  if (!address.tls || directory === undefined) return address;
  const read = (name: keyof AddressTls): Partial<AddressTls> => {
    const path = join(directory, `${name}.pem`);
    if (!existsSync(path)) return {};
    try {
      return { [name]: readFileSync(path, "utf8") };
    } catch (cause) {
      throw new TidemarkError("BAD_OPTION", `--tls: ${textOf(cause)}`, { cause });
    }
  };
  const tls = { ...read("ca"), ...read("cert"), ...read("key") };
  if (Object.keys(tls).length === 0)
    throw new TidemarkError("BAD_OPTION", `--tls: ${directory} has no ca.pem, and no cert.pem`);
  return { ...address, tls };
}

function decoded(text: string): string {
  try {
    // The protocol has bytes, and texts here have one character for each.
    return Buffer.from(decodeURIComponent(text)).toString("latin1");
  } catch {
    throw new InvalidArgumentError("After a % there are two hexadecimal digits.");
  }
}
