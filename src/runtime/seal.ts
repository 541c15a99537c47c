/**
 * Encryption at rest: what a store writes with a key can neither be read nor exchanged without it.
 *
 * Theory of operation. From the key of 32 bytes HKDF-SHA256 derives one key for files, one for names, and a
 * key id that is no secret. Every file begins with 32 random bytes, its salt, from which it gets a key of
 * its own; so a nonce need only be unique within one file. In a file of parts each part is sealed by itself
 * with AES-256-GCM, as many bytes as it has and a tag of 16 behind them; its nonce is the offset where it
 * begins. In the file of a manifest there is one run, with nonce 0, and what is before it and the snapshot's
 * id are authenticated with it.
 *
 * Why nothing can be swapped: the manifest is authenticated and names the SHA-256 of the plain bytes of
 * every part. Why names tell nothing: the name of a file of parts is an HMAC of what would be its name
 * without a key. Equal parts in two files have different bytes there, for the salts differ.
 *
 * What leaks all the same: how large files are, which snapshots there are, when they were made, which files
 * were left unchanged in between, and, with compression, how well something shrinks. Who can write to the
 * directory can remove snapshots, and put an older file of the same snapshot back (an older label).
 */

import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from "node:crypto";
import { TidemarkError } from "../core/error.ts";

const KEY_BYTES = 32;
const TAG_BYTES = 16;
const CIPHER = "aes-256-gcm";
/** The length of what a file of sealed parts begins with. */
export const SALT_BYTES = 32;
/** By so many bytes a part becomes longer when it is sealed. */
export const SEAL_BYTES: number = TAG_BYTES;

const MAGIC = Buffer.from("tidemark-sealed/1\n");
const KEY_ID_BYTES = 16;
const HEAD_BYTES = MAGIC.length + KEY_ID_BYTES + SALT_BYTES;

/** Seals the parts of one file. */
export interface FileSeal {
  /** What the file begins with. */
  readonly salt: Uint8Array;
  /** Gives the bytes of the file from `offset` on. */
  seal(offset: number, chunks: readonly Uint8Array[]): Uint8Array[];
}

/** See the head of the file. */
export class Seal {
  readonly #files: Uint8Array;
  readonly #names: Uint8Array;
  readonly #id: Uint8Array;

  /** @throws TidemarkError `BAD_OPTION` if the key has not 32 bytes */
  constructor(key: Uint8Array) {
    if (!(key instanceof Uint8Array) || key.length !== KEY_BYTES)
      throw new TidemarkError("BAD_OPTION", `a key has ${KEY_BYTES} bytes`);
    this.#files = derive(key, "", "tidemark files", KEY_BYTES);
    this.#names = derive(key, "", "tidemark names", KEY_BYTES);
    this.#id = derive(key, "", "tidemark key id", KEY_ID_BYTES);
  }

  /** What a file is called that would have that name without a key. */
  nameOf(text: string): string {
    return createHmac("sha256", this.#names).update(text).digest("hex");
  }

  newFile(): FileSeal {
    const salt = randomBytes(SALT_BYTES);
    const key = this.#fileKey(salt, "parts");
    return {
      salt,
      seal(offset, chunks) {
        const cipher = createCipheriv(CIPHER, key, nonce(offset));
        const sealed: Uint8Array[] = chunks.map((chunk) => cipher.update(chunk));
        // A counter mode keeps nothing back.
        cipher.final();
        return [...sealed, cipher.getAuthTag()];
      },
    };
  }

  /** Gives the plain bytes of a part, or `undefined` if they are not what was sealed there. */
  openPart(salt: Uint8Array, offset: number, sealed: Uint8Array): Uint8Array | undefined {
    return open(this.#fileKey(salt, "parts"), offset, sealed);
  }

  /** @param name the id of the snapshot: the file of another one does not open as this */
  sealManifest(name: string, content: Uint8Array): Uint8Array {
    const salt = randomBytes(SALT_BYTES);
    const head = Buffer.concat([MAGIC, this.#id, salt]);
    const cipher = createCipheriv(CIPHER, this.#fileKey(salt, "manifest"), nonce(0));
    cipher.setAAD(Buffer.concat([head, Buffer.from(name)]));
    return Buffer.concat([head, cipher.update(content), cipher.final(), cipher.getAuthTag()]);
  }

  /**
   * Gives the plain bytes, or `undefined` if they are not what was sealed.
   * @throws TidemarkError `WRONG_KEY` if it was sealed with another key
   */
  openManifest(name: string, file: Uint8Array): Uint8Array | undefined {
    const head = file.subarray(0, HEAD_BYTES);
    const id = head.subarray(MAGIC.length, MAGIC.length + KEY_ID_BYTES);
    if (id.length === KEY_ID_BYTES && Buffer.compare(id, this.#id) !== 0)
      throw new TidemarkError(
        "WRONG_KEY",
        `${name} is encrypted with another key than the one that was given`,
      );
    const key = this.#fileKey(head.subarray(-SALT_BYTES), "manifest");
    return open(key, 0, file.subarray(HEAD_BYTES), Buffer.concat([head, Buffer.from(name)]));
  }

  #fileKey(salt: Uint8Array, use: string): Uint8Array {
    return derive(this.#files, salt, `tidemark ${use}`, KEY_BYTES);
  }
}

/** True for the file of a manifest that was sealed, with whatever key. */
export function isSealed(file: Uint8Array): boolean {
  return Buffer.compare(file.subarray(0, MAGIC.length), MAGIC) === 0;
}

function derive(
  key: Uint8Array,
  salt: string | Uint8Array,
  use: string,
  bytes: number,
): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", key, salt, use, bytes));
}

function nonce(offset: number): Uint8Array {
  const bytes = Buffer.alloc(12);
  bytes.writeUIntBE(offset, 6, 6);
  return bytes;
}

function open(
  key: Uint8Array,
  offset: number,
  sealed: Uint8Array,
  header?: Uint8Array,
): Uint8Array | undefined {
  if (sealed.length < TAG_BYTES) return undefined;
  try {
    const decipher = createDecipheriv(CIPHER, key, nonce(offset), { authTagLength: TAG_BYTES });
    if (header) decipher.setAAD(header);
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
    const plain = decipher.update(sealed.subarray(0, -TAG_BYTES));
    return Buffer.concat([plain, decipher.final()]);
  } catch {
    // The tag does not fit.
    return undefined;
  }
}
