/** What `tidemark doctor` looks at. Each check says what it found, whether that is well, and what to do if not; none changes anything. */

import { createPrivateKey, X509Certificate } from "node:crypto";
import { type Dirent, readdirSync, readFileSync, readlinkSync } from "node:fs";
import * as fs from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import { textOf } from "../core/error.ts";
import { byteSize, duration } from "../core/quantity.ts";
import type { NatsServerFound, NatsStreamFound } from "../nats/examination.ts";
import type { SystemStatus, SystemVersions } from "../serve/system-methods.ts";
import { type NatsPlace, serverName } from "./nats-options.ts";
import type { Address } from "./options.ts";
import { grouped } from "./terminal.ts";

/** What one check has come to. */
export interface Finding {
  readonly check: string;
  readonly verdict: "ok" | "warning" | "failure";
  readonly found: string;
  /** What to do; absent if nothing is. */
  readonly advice?: string;
}

const ok = (check: string, found: string): Finding => ({ check, verdict: "ok", found });
const warning = (check: string, found: string, advice: string): Finding => ({
  ...{ check, verdict: "warning", found, advice },
});
const failure = (check: string, found: string, advice: string): Finding => ({
  ...{ check, verdict: "failure", found, advice },
});

/** @param required as `engines` of package.json has it: `>=22.18` */
export function checkNode(version: string, required: string): Finding {
  const parts = (text: string): readonly number[] =>
    (text.match(/\d+/g) ?? []).slice(0, 3).map(Number);
  const [have, need] = [parts(version), parts(required)];
  const differing = need.findIndex((part, i) => part !== (have[i] ?? 0));
  if (differing < 0 || (have[differing] ?? 0) > (need[differing] ?? 0)) return ok("node", version);
  return failure("node", version, `Tidemark needs Node ${required}: install a newer one`);
}

const FILES_MIN = 256;
const FILES_ENOUGH = 4_096;

/** @param soft how many files one process may have open, of `ulimit -n`; undefined: it is not known */
export function checkOpenFiles(soft: number | "unlimited" | undefined): Finding {
  const check = "open files";
  if (soft === undefined) return ok(check, "the system does not say how many a process may have");
  if (soft === "unlimited" || soft >= FILES_ENOUGH)
    return ok(check, `${soft === "unlimited" ? "any number" : grouped(soft)} for each process`);
  const found = `${grouped(soft)} for each process; every client and every peer takes one`;
  const advice = `ulimit -n ${FILES_ENOUGH}, or LimitNOFILE= of a systemd unit`;
  return soft < FILES_MIN ? failure(check, found, advice) : warning(check, found, advice);
}

/** Of this process; those that it starts have the same. */
export function openFilesLimit(): number | "unlimited" | undefined {
  const report = process.report as typeof process.report & { excludeNetwork: boolean };
  const excluded = report.excludeNetwork;
  // Names of network interfaces may take seconds.
  report.excludeNetwork = true;
  try {
    const { userLimits } = report.getReport() as {
      readonly userLimits?: { readonly open_files?: { readonly soft?: number | "unlimited" } };
    };
    return userLimits?.open_files?.soft;
  } finally {
    report.excludeNetwork = excluded;
  }
}

/** Whether nobody else may read or write what a system keeps. */
export async function checkDirectory(directory: string): Promise<Finding> {
  const check = "directory";
  const found = await fs.stat(directory).catch((error: NodeJS.ErrnoException) => error);
  if (found instanceof Error) {
    if (found.code !== "ENOENT") return failure(check, textOf(found), "make it readable to you");
    const parent = await existing(directory);
    const isWritable = await fs.access(parent, fs.constants.W_OK).then(
      () => true,
      () => false,
    );
    if (isWritable) return ok(check, `${directory} is not there yet: the first start makes it`);
    return failure(check, `${directory} is not there`, `make it: you may not write in ${parent}`);
  }
  if (!found.isDirectory())
    return failure(check, `${directory} is no directory`, "name another one with --dir");
  const mode = (found.mode & 0o777).toString(8).padStart(4, "0");
  const who = process.getuid?.();
  if (who !== undefined && who !== 0 && found.uid !== who)
    return failure(check, `${directory} belongs to another user`, `run as that one, or chown it`);
  const said = `${directory} has mode ${mode}`;
  const advice = `chmod 0700 ${directory}: there is all that the processes know in it`;
  if ((found.mode & 0o022) !== 0) return failure(check, `${said}: others may write there`, advice);
  if ((found.mode & 0o055) !== 0) return warning(check, `${said}: others may read there`, advice);
  return ok(check, said);
}

/** The directory, or the nearest above it that is there. */
async function existing(directory: string): Promise<string> {
  for (let at = resolve(directory); ; at = dirname(at)) {
    const isThere = await fs.stat(at).then(
      () => true,
      () => false,
    );
    if (isThere || at === dirname(at)) return at;
  }
}

const FREE_MIN_BYTES = 64 * 2 ** 20;
const FREE_ENOUGH_BYTES = 2 ** 30;

export async function checkDisk(directory: string): Promise<Finding> {
  const check = "disk";
  try {
    const { bavail, blocks, bsize } = await fs.statfs(await existing(directory));
    return judgeDisk(bavail * bsize, blocks * bsize);
  } catch (error) {
    return warning(check, `the file system does not say: ${textOf(error)}`, "look at it with df");
  }
}

export function judgeDisk(freeBytes: number, allBytes: number): Finding {
  const check = "disk";
  const found = `${byteSize(freeBytes)} of ${byteSize(allBytes)} are free`;
  const advice = "make room, or let fewer snapshots stay: tidemark prune, --keep";
  if (freeBytes < FREE_MIN_BYTES) return failure(check, found, advice);
  return freeBytes < FREE_ENOUGH_BYTES ? warning(check, found, advice) : ok(check, found);
}

const PROBE_BYTES = 4_096;
const FLUSHES = 5;
const SLOW_MS = 100;

/** Whether what is flushed is told to be on the disk, and how long that takes: what `--log always` waits for. */
export async function checkFlush(directory: string): Promise<Finding> {
  const check = "flush";
  const at = await existing(directory);
  const path = join(at, `.tidemark-doctor-${process.pid}`);
  const times: number[] = [];
  try {
    const file = await fs.open(path, "wx", 0o600);
    try {
      for (let i = 0; i < FLUSHES; i += 1) {
        await file.write(Buffer.alloc(PROBE_BYTES, i), 0, PROBE_BYTES, 0);
        const sinceMs = performance.now();
        await file.datasync();
        times.push(performance.now() - sinceMs);
      }
      const folder = await fs.open(at, "r");
      await folder.sync().finally(() => folder.close());
    } finally {
      await file.close();
      await fs.rm(path, { force: true });
    }
  } catch (error) {
    return failure(
      check,
      `what is written in ${at} cannot be flushed: ${textOf(error)}`,
      "a system without --no-sync needs a directory on a local file system in which it may write",
    );
  }
  const medianMs = [...times].sort((a, b) => a - b)[Math.floor(FLUSHES / 2)] ?? 0;
  const found = `${duration(medianMs)} for ${byteSize(PROBE_BYTES)}`;
  if (medianMs < SLOW_MS) return ok(check, found);
  return warning(check, found, "a faster disk, or --log everysec: with always each write waits");
}

/** Who may ask the system everything. */
export async function checkControlSocket(directory: string, isRunning: boolean): Promise<Finding> {
  const check = "control socket";
  const path = join(directory, "control.sock");
  const found = await fs.lstat(path).catch(() => undefined);
  if (!found) return ok(check, "none: no system runs in the directory");
  const mode = (found.mode & 0o777).toString(8).padStart(4, "0");
  if (!found.isSocket())
    return failure(check, `${path} is no socket`, "move it away: no system can start there");
  if ((found.mode & 0o077) !== 0)
    return failure(
      check,
      `${path} has mode ${mode}`,
      `chmod 0600 ${path}: who opens it may do all`,
    );
  if (isRunning) return ok(check, `a system answers; mode ${mode}`);
  return ok(check, "left by a system that was killed; the next start removes it");
}

/** Whether all that runs is of one version, and of this one. */
export function checkVersions(
  own: { readonly version: string; readonly node: string },
  running: SystemVersions | undefined,
  status: SystemStatus | undefined,
): Finding {
  const check = "versions";
  if (!status) return ok(check, "no system runs in the directory");
  if (!running)
    return warning(
      check,
      `this is ${own.version}; the system that runs is of one that does not tell`,
      "start it again",
    );
  const silent = status.processes
    .map(({ process: id }) => id)
    .filter((id) => !running.processes.some((one) => one.process === id));
  if (silent.length > 0)
    return failure(
      check,
      `no answer from ${silent.join(", ")}`,
      "tidemark status says which run, tidemark explain what that holds up",
    );
  const all = [{ process: "its parent", ...running }, ...running.processes];
  const other = all.filter(({ version, node }) => version !== own.version || node !== own.node);
  if (other.length === 0)
    return ok(check, `all ${all.length} of Tidemark ${own.version} on Node ${own.node}`);
  const told = other.map((one) => `${one.process} of ${one.version} on Node ${one.node}`);
  return warning(
    check,
    `this is ${own.version} on Node ${own.node}; there are ${told.join(", ")}`,
    "start the system again, so that all are of one version",
  );
}

const CLOCK_OFF_MS = 1_000;

/** Times of a process go on from the clock as it was when it was started: who was started before it was set has others. */
export function checkClock(running: SystemVersions | undefined): Finding {
  const check = "clock";
  if (!running || running.processes.length === 0) return ok(check, "no process to compare with");
  const offsets = running.processes.map(({ clockSetMs }) => clockSetMs);
  const apartMs = Math.max(...offsets) - Math.min(...offsets);
  const furthest = running.processes.reduce((a, b) =>
    Math.abs(b.clockSetMs) > Math.abs(a.clockSetMs) ? b : a,
  );
  const advice = "restart processes one after the other, and let the clock be slewed, not set";
  if (apartMs >= CLOCK_OFF_MS)
    return warning(check, `processes are ${duration(apartMs)} apart: deadlines differ`, advice);
  const offMs = Math.abs(furthest.clockSetMs);
  if (offMs >= CLOCK_OFF_MS)
    return warning(
      check,
      `it was set by ${duration(offMs)} since ${furthest.process} was started`,
      advice,
    );
  return ok(check, `processes are ${duration(apartMs)} apart`);
}

/** Whether something may listen there, or who does. */
export async function checkPort(
  { host, port }: Address,
  status: SystemStatus | undefined,
): Promise<Finding> {
  const check = `port ${port}`;
  const refused = await new Promise<NodeJS.ErrnoException | undefined>((settle) => {
    const server = createServer();
    server.once("error", settle);
    server.listen({ host, port, exclusive: true }, () => server.close(() => settle(undefined)));
  });
  if (!refused) return ok(check, `free on ${host}`);
  if (refused.code === "EACCES")
    return failure(check, `${host}:${port} is not for you`, "use a port from 1024 on");
  if (refused.code !== "EADDRINUSE")
    return failure(check, textOf(refused), "name an address of this machine");
  const own = status?.processes.find((one) =>
    [one.address, one.serves].some((address) => address?.endsWith(`:${port}`)),
  );
  if (own) return ok(check, `${own.process} of the system in the directory listens there`);
  const who = listenerOn(port) ?? "something else";
  return failure(check, `${who} listens there`, "end that, or use another port");
}

/** Which operating-system process listens on a port, as far as Linux tells this user. */
function listenerOn(port: number): string | undefined {
  try {
    const hex = port.toString(16).toUpperCase().padStart(4, "0");
    const inodes = ["/proc/net/tcp", "/proc/net/tcp6"].flatMap((file) =>
      readFileSync(file, "latin1")
        .split("\n")
        .map((line) => line.trim().split(/\s+/))
        .filter(([, local, , state]) => local?.endsWith(`:${hex}`) && state === LISTENING)
        .map((fields) => `socket:[${fields[9]}]`),
    );
    for (const pid of numbersIn("/proc"))
      for (const descriptor of numbersIn(`/proc/${pid}/fd`))
        if (inodes.includes(linkAt(`/proc/${pid}/fd/${descriptor}`)))
          return `process ${pid} (${readFileSync(`/proc/${pid}/comm`, "utf8").trim()})`;
  } catch {
    // Another system, or one that does not tell.
  }
  return undefined;
}

const LISTENING = "0A";

function numbersIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder).filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}

function linkAt(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

const DAY_MS = 86_400_000;
const SOON_MS = 30 * DAY_MS;

/** The certificates and keys of a directory: whether they can be read, by whom else, and until when they hold. */
export async function checkTls(directory: string, nowMs: number): Promise<readonly Finding[]> {
  let entries: readonly Dirent[];
  try {
    entries = await fs.readdir(directory, { withFileTypes: true });
  } catch (error) {
    return [failure("tls", textOf(error), "name the directory of the certificates with --tls")];
  }
  const findings: Finding[] = [];
  const certificates: X509Certificate[] = [];
  const keys: { readonly name: string; readonly pem: string }[] = [];
  for (const { name } of entries
    .filter((entry) => !entry.isDirectory() && /\.(pem|crt|cer|key)$/.test(entry.name))
    .sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(directory, name);
    let pem: string;
    try {
      pem = await fs.readFile(path, "utf8");
    } catch (error) {
      findings.push(failure(`tls ${name}`, textOf(error), "make it readable to you"));
      continue;
    }
    const isKey = /-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(pem);
    const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
    if (!isKey && blocks.length === 0)
      findings.push(failure(`tls ${name}`, "neither a certificate nor a key", "PEM is expected"));
    for (const block of blocks) {
      try {
        const certificate = new X509Certificate(block);
        certificates.push(certificate);
        findings.push(judgeCertificate(name, certificate, nowMs));
      } catch (error) {
        findings.push(failure(`tls ${name}`, textOf(error), "make the certificate anew"));
      }
    }
    if (!isKey) continue;
    keys.push({ name, pem });
    findings.push(await judgeKey(name, path, pem));
  }
  for (const { name, pem } of keys)
    if (certificates.length > 0 && !certificates.some((one) => belongsTo(one, pem)))
      findings.push(
        failure(`tls ${name}`, "no certificate there belongs to it", "put both in one directory"),
      );
  if (findings.length === 0)
    return [
      failure("tls", `${directory} has no certificates`, "PEM files end in .pem, .crt, .key"),
    ];
  return findings;
}

function judgeCertificate(name: string, certificate: X509Certificate, nowMs: number): Finding {
  const check = `tls ${name}`;
  const subject = certificate.subject.replaceAll("\n", ", ");
  const [fromMs, toMs] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
  const until = new Date(toMs).toISOString().slice(0, 10);
  if (nowMs < fromMs)
    return failure(check, `${subject} is not valid yet`, "look at the clock, or wait");
  if (nowMs > toMs) return failure(check, `${subject} was valid until ${until}`, "renew it");
  const days = Math.floor((toMs - nowMs) / DAY_MS);
  const found = `${subject} is valid until ${until}`;
  return toMs - nowMs < SOON_MS
    ? warning(check, `${found}: ${days} days`, "renew it")
    : ok(check, found);
}

async function judgeKey(name: string, path: string, pem: string): Promise<Finding> {
  const check = `tls ${name}`;
  const { mode } = await fs.stat(path);
  const said = (mode & 0o777).toString(8).padStart(4, "0");
  if ((mode & 0o077) !== 0)
    return failure(check, `a private key with mode ${said}`, `chmod 0600 ${path}`);
  if (/ENCRYPTED/.test(pem)) return ok(check, `a private key with a passphrase, mode ${said}`);
  try {
    const { asymmetricKeyType } = createPrivateKey(pem);
    return ok(check, `a private key (${asymmetricKeyType}), mode ${said}`);
  } catch (error) {
    return failure(check, `a private key that cannot be read: ${textOf(error)}`, "make it anew");
  }
}

function belongsTo(certificate: X509Certificate, pem: string): boolean {
  try {
    return certificate.checkPrivateKey(createPrivateKey(pem));
  } catch {
    // Of one that cannot be read, or has a passphrase, that is not known.
    return true;
  }
}

const SEE_NATS =
  "nats-server -js starts one; --nats, --nats-creds and --nats-tls say where, and as whom";

/**
 * Whether each of the servers lets a process in, whether they can keep as many copies as are wanted, and whether the streams that are there
 * are as the processes want them. A wrong server is told as soon as it is, and one that says nothing after seconds.
 */
export async function checkNats(place: NatsPlace): Promise<readonly Finding[]> {
  const { examineServer, examineStreams } = await import("../nats/examination.ts");
  const found = await Promise.all(
    place.servers.split(",").map(async (one) => {
      const servers = one.trim();
      const check = `nats ${serverName(servers)}`;
      try {
        const server = await examineServer({ ...place, servers });
        return { server, finding: judgeServer(check, server) };
      } catch (error) {
        return { finding: failure(check, textOf(error), SEE_NATS) };
      }
    }),
  );
  const servers = found.flatMap(({ server = [] }) => server);
  const findings = found.map(({ finding }) => finding);
  if (servers.length === 0) return findings;
  findings.push(judgeReplicas(place.replicas, servers));
  try {
    const { streams, hidden } = await examineStreams(place);
    findings.push(...judgeStreams(place, streams, hidden));
  } catch (error) {
    findings.push(
      failure(
        "nats streams",
        textOf(error),
        "docs/use/nats.md says what each of its answers means",
      ),
    );
  }
  return findings;
}

function judgeServer(check: string, server: NatsServerFound): Finding {
  const { version, hasJetStream, isEncrypted, cluster } = server;
  const where = cluster === undefined ? "" : `, of the cluster ${cluster}`;
  const found = `version ${version}${where}, ${hasJetStream ? "with" : "without"} JetStream${isEncrypted ? ", by TLS" : ""}`;
  if (hasJetStream) return ok(check, found);
  if (cluster !== undefined)
    return warning(check, found, "others of its cluster may have it; or start it with -js");
  return failure(check, found, "start it with nats-server -js");
}

/** Servers that were named and answered, of one cluster, can each keep a copy. That others can is not known before streams are made. */
function judgeReplicas(replicas: number, servers: readonly NatsServerFound[]): Finding {
  const check = "nats replicas";
  const clusters = new Set(servers.map(({ id, cluster }) => cluster ?? id));
  if (clusters.size > 1)
    return failure(
      check,
      "the servers are not of one cluster: what one of them keeps, the others do not",
      "name those of one cluster with --nats, or join them: cluster { name, routes }",
    );
  if (replicas === 1) return ok(check, "one copy: what its server loses is lost");
  const isCluster = servers.some(({ cluster }) => cluster !== undefined);
  if (!isCluster)
    return failure(
      check,
      `one server cannot keep ${replicas} copies`,
      "three servers in one cluster, all with JetStream; or --nats-replicas 1",
    );
  const able = new Set(servers.flatMap(({ id, hasJetStream }) => (hasJetStream ? id : []))).size;
  if (able >= replicas) return ok(check, `${able} servers can keep ${replicas} copies`);
  return warning(
    check,
    `${able} of the servers that were named can keep a copy, and ${replicas} are wanted`,
    `name ${replicas} with --nats, with commas between them: so each is looked at, and one may be away`,
  );
}

function judgeStreams(
  { prefix, replicas }: NatsPlace,
  streams: readonly NatsStreamFound[],
  hidden: string | undefined,
): readonly Finding[] {
  const findings = streams.map(({ name, differences, behind }) => {
    const check = `nats ${name}`;
    if (differences.length > 0) {
      const found = `other settings than a process wants: ${differences.join("; ")}`;
      const advice = `nats stream edit ${name}; or ask for what is there, or for another --nats-prefix`;
      // A program may have given a store room for so much, and the command line knows nothing of it.
      return differences.every((one) => one.startsWith("max_bytes "))
        ? warning(check, found, advice)
        : failure(check, found, advice);
    }
    if (behind.length === 0) return ok(check, `as it should be, ${copies(replicas)}`);
    return warning(
      check,
      `of ${copies(replicas)} not all are up to date: ${behind.join(", ")}`,
      "start the servers that are away, and wait: nats stream report shows how far they are",
    );
  });
  if (streams.length === 0)
    findings.push(
      ok("nats streams", `JetStream answers; ${prefix} has none yet, the first write makes them`),
    );
  if (hidden !== undefined)
    findings.push(
      ok("nats orders", `not looked at, for this user may not list streams: ${hidden}`),
    );
  return findings;
}

const copies = (count: number): string => (count === 1 ? "one copy" : `${count} copies`);
