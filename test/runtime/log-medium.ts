/**
 * Files in memory that keep, when the machine loses power, nothing for sure but what was flushed: of a file its bytes, of a folder its
 * names. What was not flushed may survive or not, each write, each page of it and each name for itself. It stands for the part of
 * `node:fs/promises` that the input log uses.
 */
import { basename, dirname, join } from "node:path";
import type { Random } from "../../src/core/random.ts";

type Change = { readonly offset: number; readonly bytes: Uint8Array } | { readonly length: number };

const LENGTH_MAX = 64 * 1_048_576;

class Content {
  bytes = new Uint8Array(0);

  constructor(bytes = new Uint8Array(0)) {
    this.bytes = bytes;
  }

  apply(change: Change): void {
    if ("length" in change) {
      const bytes = new Uint8Array(change.length);
      bytes.set(this.bytes.subarray(0, change.length));
      this.bytes = bytes;
      return;
    }
    const end = change.offset + change.bytes.length;
    if (end > LENGTH_MAX) throw new Error("that is not what a test writes");
    if (end > this.bytes.length) this.apply({ length: end });
    this.bytes.set(change.bytes, change.offset);
  }
}

/** A file as programs see it, as it surely is on the disk, and what lies between. */
class Inode {
  seen = new Content();
  kept = new Content();
  pending: Change[] = [];

  change(change: Change): void {
    this.seen.apply(change);
    this.pending.push(change);
  }

  flush(count: number): void {
    for (const change of this.pending.splice(0, count)) this.kept.apply(change);
  }
}

/** Names that one operation sets or removes together. */
type Naming = ReadonlyMap<string, Inode | undefined>;

/** What goes wrong with an operation: an error code, or "" for none, and of a write how much of it has been done. */
export interface MediumFault {
  readonly code: string;
  readonly done?: number;
}

/** What survives a loss of power of what was not flushed. */
export interface Survival {
  readonly probability: number;
  /** What survives as one: a write as a whole (0), or so many bytes of it. */
  readonly grain: number;
}

/** See the head of the file. */
export class Medium {
  readonly #random: Random;
  #names = new Map<string, Inode>();
  #kept = new Map<string, Inode>();
  #namings: Naming[] = [];
  /** Of the programs that run now; what those before asked for never ends. */
  #life = 0;
  /** No program runs: what is asked for never ends, either. */
  #down: boolean = false;
  operations = 0;
  /** The number of the operation at which the programs die. */
  dieAt: number = Number.POSITIVE_INFINITY;
  /** Called when they do. */
  died: () => void = () => {};
  fault: (name: string, path: string) => MediumFault | undefined = () => undefined;

  constructor(random: Random) {
    this.#random = random;
  }

  /** All files, by name, as programs see them. */
  get files(): Map<string, Uint8Array> {
    return new Map([...this.#names].map(([path, { seen }]) => [path, seen.bytes]));
  }

  /** Puts files there as if they had been there for ever. */
  load(files: ReadonlyMap<string, Uint8Array>): void {
    this.#end();
    this.#names.clear();
    for (const [path, bytes] of files) {
      const inode = new Inode();
      inode.seen = new Content(new Uint8Array(bytes));
      inode.kept = new Content(new Uint8Array(bytes));
      this.#names.set(path, inode);
    }
    this.#kept = new Map(this.#names);
  }

  /** The programs are gone; the system goes on, so nothing is lost that was handed to it. */
  kill(): void {
    this.#end();
    for (const path of this.#names.keys()) if (inLock(path)) this.#names.delete(path);
  }

  /** The machine loses power. */
  cutPower({ probability, grain }: Survival): void {
    this.#end();
    const random = this.#random;
    for (const naming of this.#namings)
      if (random.chance(probability)) this.#apply(naming, this.#kept);
    this.#namings = [];
    const done = new Set<Inode>();
    for (const [path, inode] of this.#kept) {
      if (inLock(path)) this.#kept.delete(path);
      if (done.has(inode)) continue;
      done.add(inode);
      for (const change of inode.pending)
        for (const part of partsOf(change, grain))
          if (random.chance(probability)) inode.kept.apply(part);
      inode.pending = [];
      inode.seen = new Content(new Uint8Array(inode.kept.bytes));
    }
    this.#names = new Map(this.#kept);
  }

  /** Programs may begin. Those before must have come to where they wait for ever. */
  begin(): void {
    this.#down = false;
  }

  #end(): void {
    this.#down = true;
    this.#life += 1;
    this.operations = 0;
    this.dieAt = Number.POSITIVE_INFINITY;
  }

  #apply(naming: Naming, names: Map<string, Inode>): void {
    for (const [path, inode] of naming)
      if (inode) names.set(path, inode);
      else names.delete(path);
  }

  #name(naming: Naming): void {
    this.#apply(naming, this.#names);
    this.#namings.push(naming);
  }

  /** One operation: takes a while, has its effect at some moment of it, and may be the last. */
  async #operate<T>(name: string, path: string, work: (done?: number) => T): Promise<T> {
    const life = this.#life;
    if (this.#down) return await forever();
    await this.#while(life);
    // It may have ended between that and now.
    if (life !== this.#life) return await forever();
    const fault = this.fault(name, path);
    if (fault === undefined) {
      const result = work();
      await this.#while(life);
      return result;
    }
    const half = fault.done === undefined ? undefined : work(fault.done);
    await this.#while(life);
    if (fault.code === "" && half !== undefined) return half;
    throw Object.assign(new Error(`${fault.code}: made up, ${name}`), { code: fault.code });
  }

  async #while(life: number): Promise<void> {
    for (let turns = this.#random.below(3); turns > 0; turns -= 1) await Promise.resolve();
    if (life === this.#life) {
      this.operations += 1;
      if (this.operations >= this.dieAt) {
        this.#life += 1;
        this.#down = true;
        this.died();
      }
    }
    // Its program is gone: nobody hears of it.
    if (life !== this.#life) await forever();
  }

  #get(path: string): Inode {
    const inode = this.#names.get(path);
    if (!inode) throw Object.assign(new Error(`ENOENT: ${path}`), { code: "ENOENT" });
    return inode;
  }

  /** The functions of `node:fs/promises`. */
  readonly functions: Readonly<Record<string, (...args: never[]) => Promise<unknown>>> = {
    open: (path: string, flags: string) =>
      this.#operate("open", path, () => {
        const there = this.#names.get(path);
        if (flags === "wx" && there)
          throw Object.assign(new Error(`EEXIST: ${path}`), { code: "EEXIST" });
        if (there && flags === "w") there.change({ length: 0 });
        if (flags === "r" && !/\.(log|capture|tmp)$/.test(path)) return this.#folder(path);
        if (!there && flags !== "r" && flags !== "r+") this.#name(new Map([[path, new Inode()]]));
        return this.#file(path, this.#get(path));
      }),
    readdir: (path: string) =>
      this.#operate("readdir", path, () =>
        [...this.#names.keys()]
          .filter((name) => dirname(name) === path)
          .map((name) => basename(name)),
      ),
    stat: (path: string) =>
      this.#operate("stat", path, () => ({ size: this.#get(path).seen.bytes.length })),
    unlink: (path: string) =>
      this.#operate("unlink", path, () => {
        this.#get(path);
        this.#name(new Map([[path, undefined]]));
      }),
    rm: (path: string) =>
      this.#operate("rm", path, () => {
        if (this.#names.has(path)) this.#name(new Map([[path, undefined]]));
      }),
    rename: (from: string, to: string) =>
      this.#operate("rename", from, () => {
        const inode = this.#get(from);
        this.#name(
          new Map<string, Inode | undefined>([
            [from, undefined],
            [to, inode],
          ]),
        );
      }),
    mkdir: (path: string) => this.#operate("mkdir", path, () => undefined),
  };

  #folder(path: string) {
    return {
      sync: () => {
        const { length } = this.#namings;
        return this.#operate("sync", path, () => {
          const flushed = this.#namings.slice(0, length);
          const inFolder = (naming: Naming) =>
            [...naming.keys()].some((name) => dirname(name) === path);
          for (const naming of flushed.filter(inFolder)) this.#apply(naming, this.#kept);
          this.#namings = this.#namings.filter(
            (naming) => !flushed.includes(naming) || !inFolder(naming),
          );
        });
      },
      close: async () => {},
    };
  }

  #file(path: string, inode: Inode) {
    const write = (bytes: Uint8Array, offset: number) => {
      // What is written is what lies there now, and not what is put there later.
      const copy = new Uint8Array(bytes);
      return this.#operate("write", path, (most = copy.length) => {
        const done = Math.min(most, copy.length);
        inode.change({ offset, bytes: copy.subarray(0, done) });
        return { bytesWritten: done };
      });
    };
    const sync = () => {
      const { length } = inode.pending;
      return this.#operate("sync", path, () => inode.flush(length));
    };
    return {
      stat: async () => ({ size: inode.seen.bytes.length }),
      read: async (to: Uint8Array, at: number, length: number, offset: number) => {
        const bytes = inode.seen.bytes.subarray(offset, offset + length);
        to.set(bytes, at);
        return { bytesRead: bytes.length };
      },
      write: (bytes: Uint8Array, start: number, length: number, offset: number) =>
        write(bytes.subarray(start, start + length), offset),
      writev: (runs: readonly Uint8Array[], offset: number) => write(Buffer.concat(runs), offset),
      writeFile: (bytes: Uint8Array) => write(bytes, inode.seen.bytes.length),
      truncate: (length: number) => this.#operate("truncate", path, () => inode.change({ length })),
      sync,
      datasync: sync,
      close: async () => {},
    };
  }
}

const forever = (): Promise<never> => new Promise(() => {});
const inLock = (path: string): boolean => basename(dirname(path)) === "lock";

function* partsOf(change: Change, grain: number): Generator<Change> {
  if ("length" in change || grain === 0) {
    yield change;
    return;
  }
  const { offset, bytes } = change;
  const end = offset + bytes.length;
  for (let at = offset; at < end; ) {
    const next = Math.min(end, (Math.floor(at / grain) + 1) * grain);
    yield { offset: at, bytes: bytes.subarray(at - offset, next - offset) };
    at = next;
  }
}

/** A folder of the medium. */
export const FOLDER: string = join("/", "medium", "log");
