/** What tests of clients with TLS need: authorities that are gone when the test is over, and directories of a server. */

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { Authority, type Certificate } from "../support/certificates.ts";

/** There is nothing to make certificates with: on CI that is a failure of the test. */
export const lacksOpenssl: boolean =
  process.env["CI"] === undefined && spawnSync("openssl", ["version"]).status !== 0;

export function newAuthority(name?: string): Authority {
  const authority = new Authority(name);
  onTestFinished(() => authority.close());
  return authority;
}

/** Of a server that clients reach on this machine. */
export const serverCertificate = (authority: Authority): Certificate =>
  authority.sign("store", { usage: "serverAuth", names: ["DNS:localhost", "IP:127.0.0.1"] });

/** Of a server, as a directory; with an authority, clients have to show a certificate of that. */
export const directoryOf = ({ cert, key }: Certificate, ca?: string): string =>
  directoryWith({ "cert.pem": cert, "key.pem": key, ...(ca !== undefined && { "ca.pem": ca }) });

/** A directory with files of these names and texts; gone when the test is over. */
export function directoryWith(files: Readonly<Record<string, string>>): string {
  const directory = mkdtempSync(join(tmpdir(), "tidemark-files-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files))
    writeFileSync(join(directory, name), text, { mode: 0o600 });
  return directory;
}
