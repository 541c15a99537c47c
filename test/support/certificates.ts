/** An authority and the certificates that it signs, made by `openssl` in a folder of the test's own. */

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A certificate and its key: where they are, and in PEM. */
export interface Certificate {
  readonly certPath: string;
  readonly keyPath: string;
  readonly cert: string;
  readonly key: string;
}

export interface CertificateOptions {
  /**
   * The days from today on which it begins and ends to hold.
   * @default [-1, 30]
   */
  readonly days?: readonly [from: number, until: number];
  /**
   * What it may be used for.
   * @default "serverAuth, clientAuth"
   */
  readonly usage?: string;
  /**
   * The DNS names and addresses, as `DNS:a`, `IP:127.0.0.1`; none for a certificate with a common name alone.
   * @default one DNS name, the same as the common name
   */
  readonly names?: readonly string[];
  /**
   * The certificate that signs it, if it is not the authority's own.
   * @default the authority
   */
  readonly by?: Certificate;
}

export class Authority {
  readonly folder: string = mkdtempSync(join(tmpdir(), "tidemark-certificates-"));
  readonly own: Certificate;
  #made = 0;

  constructor(name = "test authority") {
    this.own = this.#make(name, ["basicConstraints = critical, CA:TRUE"], [-1, 30], undefined);
  }

  /** The authority's certificate, in PEM. */
  get ca(): string {
    return this.own.cert;
  }

  /** A certificate with that common name, and that DNS name unless others are asked for. */
  sign(name: string, options: CertificateOptions = {}): Certificate {
    const {
      days = [-1, 30],
      usage = "serverAuth, clientAuth",
      names = [`DNS:${name}`],
      by = this.own,
    } = options;
    const extensions = [
      "basicConstraints = critical, CA:FALSE",
      `extendedKeyUsage = ${usage}`,
      ...(names.length > 0 ? ["subjectAltName = @names"] : []),
      // In lines of their own, names may have commas.
      "[names]",
      ...names.map((text, i) => text.replace(":", `.${i} = `)),
    ];
    return this.#make(name, extensions, days, by);
  }

  close(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  #make(
    name: string,
    extensions: string[],
    [from, until]: readonly [number, number],
    by: Certificate | undefined,
  ): Certificate {
    this.#made += 1;
    const path = (end: string) => join(this.folder, `${this.#made}.${end}`);
    const [certPath, keyPath, request, settings] = ["pem", "key", "csr", "cnf"].map(path) as [
      string,
      string,
      string,
      string,
    ];
    const run = (...args: string[]) => execFileSync("openssl", args, { stdio: "pipe" });
    const subject = ["-subj", `/CN=${name}`];
    run("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", keyPath);
    run("req", "-new", "-key", keyPath, ...subject, "-out", request);
    // Only `openssl ca` can date a certificate back, in the openssl that Debian has; it wants a small database.
    const [index, serial] = ["index", "serial"].map(path) as [string, string];
    writeFileSync(index, "");
    writeFileSync(serial, `${(1000 + this.#made).toString().padStart(4, "0")}\n`);
    writeFileSync(
      settings,
      `[ca]\ndefault_ca = here\n[here]\ndatabase = ${index}\nserial = ${serial}\nnew_certs_dir = ${this.folder}\n` +
        "default_md = sha256\npolicy = any\nunique_subject = no\n[any]\ncommonName = supplied\n" +
        `[extensions]\n${extensions.join("\n")}\n`,
    );
    run(
      "ca",
      "-batch",
      "-notext",
      ...["-config", settings, "-extensions", "extensions", "-in", request, "-out", certPath],
      ...["-startdate", dateOf(from), "-enddate", dateOf(until)],
      ...(by ? ["-cert", by.certPath, "-keyfile", by.keyPath] : ["-selfsign", "-keyfile", keyPath]),
    );
    const read = (file: string) => readFileSync(file, "utf8");
    return { certPath, keyPath, cert: read(certPath), key: read(keyPath) };
  }
}

/** As `openssl` writes times: 20261128120000Z. */
function dateOf(daysFromNow: number): string {
  const text = new Date(Date.now() + daysFromNow * 86_400_000).toISOString();
  return `${text.slice(0, 19).replaceAll(/[-:T]/g, "")}Z`;
}
