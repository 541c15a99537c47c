/** The file of users of a server: `user NAME rules…` in each line, as Redis has it. */

import {
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { TidemarkError, textOf } from "../core/error.ts";
import { byteSize } from "../core/quantity.ts";
import { Refusal } from "../kv/command.ts";
import { commandTable } from "../kv/commands.ts";
import { Users } from "../kv/users.ts";

const FILE_BYTES_MAX = 16 * 1024 * 1024;
const MODE = 0o600;

/** See the head of the file. */
export class UsersFile {
  readonly #path: string;
  readonly #users: Users;
  readonly #defaultPassword: () => string;

  /** @param defaultPassword of the default user, if the file does not have that */
  constructor(path: string, users: Users, defaultPassword: () => string) {
    this.#path = path;
    this.#users = users;
    this.#defaultPassword = defaultPassword;
  }

  /** Reads it for a server that starts. @throws TidemarkError `BAD_OPTION` with all that is wrong with it */
  begin(): void {
    let problems: readonly string[];
    try {
      problems = this.#read();
    } catch (cause) {
      throw new TidemarkError("BAD_OPTION", `the file of users: ${textOf(cause)}`, { cause });
    }
    if (problems.length > 0)
      throw new TidemarkError("BAD_OPTION", `the file of users: ${problems.join("; ")}`);
  }

  /** All of it or nothing. @throws Refusal */
  load(): void {
    let problems: readonly string[];
    try {
      problems = this.#read();
    } catch (thrown) {
      throw new Refusal(`ERR Error loading ACLs, opening file '${this.#path}': ${textOf(thrown)}`);
    }
    if (problems.length === 0) return;
    throw new Refusal(
      `ERR ${problems.map((one) => `${one}. `).join("")}` +
        "WARNING: ACL errors detected, no change to the previously active ACL rules was performed",
    );
  }

  #read(): readonly string[] {
    const text = textIn(this.#path);
    return this.#users
      .load(text, this.#defaultPassword())
      .map(({ line, reason }) => `${this.#path}:${line}: ${reason}`);
  }

  /** Whoever reads it meanwhile has what was there before. @throws Refusal */
  save(): void {
    const { text } = this.#users;
    // A rule with a parenthesis in a pattern may not be the same when it is read: then there would be no server that starts with it.
    if (!this.#users.isIn(text))
      throw new Refusal(
        "ERR There was an error trying to save the ACLs: a user could not be read again: " +
          "look for a name that is empty, or a pattern with a parenthesis",
      );
    try {
      write(existing(this.#path), text);
    } catch (thrown) {
      throw new Refusal(`ERR There was an error trying to save the ACLs: ${textOf(thrown)}`);
    }
  }
}

/** Looks at a file before anything is started. @throws TidemarkError `BAD_OPTION` */
export function checkUsersFile(path: string): void {
  const users = new Users(commandTable.commands, { changing: () => {}, removed: () => {} });
  new UsersFile(path, users, () => "").begin();
}

function textIn(path: string): string {
  const found = statSync(path);
  if (!found.isFile()) throw new Error(`${path} is no file`);
  if (found.size > FILE_BYTES_MAX)
    throw new Error(`${path} has more than ${byteSize(FILE_BYTES_MAX)}`);
  return readFileSync(path, "latin1");
}

/** What a link leads to is written, not the link. */
function existing(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function write(path: string, text: string): void {
  const temporary = `${path}.tmp-${process.pid}-${Date.now()}`;
  try {
    const file = openSync(temporary, "wx", MODE);
    try {
      const bytes = Buffer.from(text, "latin1");
      for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
