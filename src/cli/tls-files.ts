/** The folder with the certificates that a process shows to others, and believes. */

import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { Option } from "commander";
import { TidemarkError, textOf } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import { checkTlsIdentity, type TlsIdentity } from "../runtime/tls.ts";

/** What `tlsOption` gives. */
export interface TlsFileOptions {
  readonly tls?: string;
}

/** So often, at most, it is looked whether files are others than before. */
const LOOK_AGAIN_MS = 1_000;

export function tlsOption(): Option {
  return new Option(
    "--tls <folder>",
    "encrypt what goes between processes; it has ca.pem, and for each NAME.pem and NAME.key",
  ).default(undefined, "in plain text");
}

/**
 * Checks what each of those processes has in the folder, before any of them is started.
 * @throws TidemarkError `BAD_OPTION`
 */
export function checkTlsFiles({ tls }: TlsFileOptions, processes: readonly ProcessId[]): void {
  if (tls !== undefined) for (const id of processes) checkTlsIdentity(tlsFiles(tls, id)(), id);
}

/**
 * For `tcpTransport`: what that process has in the folder, read again when the files have changed.
 * @throws TidemarkError `BAD_OPTION`, from the function that it gives
 */
export function tlsFiles(folder: string, id: ProcessId): () => TlsIdentity {
  if (id === "ca")
    throw new TidemarkError(
      "BAD_OPTION",
      "a process called ca has no certificate of its own: ca.pem is that of the authority",
    );
  const files = { ca: "ca.pem", cert: `${id}.pem`, key: `${id}.key` } as const;
  let lookedAtMs = Number.NEGATIVE_INFINITY;
  let stamp = "";
  let identity: TlsIdentity | undefined;
  const each = <T>(from: (path: string) => T): T[] =>
    Object.values(files).map((name) => {
      try {
        return from(join(folder, name));
      } catch (thrown) {
        throw new TidemarkError(
          "BAD_OPTION",
          `${id} has no ${name} to show or to believe: ${textOf(thrown)}`,
        );
      }
    });
  return () => {
    const nowMs = performance.now();
    if (identity && nowMs - lookedAtMs < LOOK_AGAIN_MS) return identity;
    const now = each((path) => {
      const { ino, mtimeMs, size } = statSync(path);
      return [ino, mtimeMs, size];
    }).join();
    if (identity === undefined || now !== stamp) {
      const [ca, cert, key] = each((path) => readFileSync(path)) as [Buffer, Buffer, Buffer];
      identity = { ca, cert, key };
      stamp = now;
    }
    lookedAtMs = nowMs;
    return identity;
  };
}
