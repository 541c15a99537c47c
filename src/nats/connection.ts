/**
 * A connection to NATS, for whatever this room keeps or sends there.
 *
 * Theory of operation. The first connection is tried once, so that a wrong address is heard of at once. After that whoever uses it is
 * patient: a server that is restarted is away for a second or two, and a cluster that has lost a leader takes several seconds
 * to elect another. So what a server has not answered, or has answered only that it cannot just now, is asked again, with longer
 * and longer pauses, until `patienceMs` are over. Therefore what is asked must do no harm when it is done twice: reading, and
 * writing with an id (stream.ts).
 *
 * A password, a token or what is in a file of credentials is in no text that this file makes: servers are named by host and port alone.
 */

import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { checkServerIdentity } from "node:tls";
import {
  type JetStreamClient,
  type JetStreamManager,
  jetstream,
  jetstreamManager,
} from "@nats-io/jetstream";
import {
  connect,
  credsAuthenticator,
  type NatsConnection,
  type NodeConnectionOptions,
} from "@nats-io/transport-node";
import { type ErrorCode, TidemarkError, textOf } from "../core/error.ts";

/** Where NATS is, and who asks. */
export interface NatsOptions {
  /**
   * `nats://host:4222`, or several of one cluster, in a list or with commas between them; `tls://` insists on TLS. The port is
   * 4222 if none is given. A user and password, or a token, may stand before the host: `nats://user:password@host`.
   */
  readonly servers: string | readonly string[];
  /**
   * The path of a file of credentials (`.creds`).
   * @default undefined, none
   */
  readonly credentials?: string;
  /**
   * The paths of files in PEM: whom to trust, and a certificate of one's own with its key. Insists on TLS, also if it is empty.
   * @default undefined, TLS if the server wants it
   */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  /**
   * What the server calls the connection in its lists.
   * @default "tidemark"
   */
  readonly name?: string;
  /**
   * How long something that a server does not answer is tried again, in milliseconds. A cluster of three that has lost a leader needs
   * up to 10 s. 0 tries once; 100,000 is the most, for servers know for two minutes what was written already.
   * @default 30_000
   */
  readonly patienceMs?: number;
}

/** What can be done with an open connection. */
export interface Opened {
  readonly connection: NatsConnection;
  readonly jetstream: JetStreamClient;
  readonly manager: JetStreamManager;
}

/** A server that has not answered a request by then is asked again, or another one is. */
const ANSWER_MS = 3_000;
const CONNECT_MS = 5_000;
/** Then an attempt has ended before the server forgets the id of the first one (stream.ts). */
const PATIENCE_MAX_MS = 100_000;
/** A server that has not answered two of these when the third is due is left for another one: it may be cut off without a word. */
const PING_MS = 5_000;
const PAUSE_MIN_MS = 25;
const PAUSE_MAX_MS = 1_000;
const PORT = 4_222;

const SERVER =
  /^(?:(?<scheme>[a-z]+):\/\/)?(?:(?<who>[^@/]*)@)?(?<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(?<port>[0-9]{1,5}))?\/?$/;

/** What servers say when they cannot just now: no leader, an answer of only some, not ready yet, no room for a stream while one is away. */
const NOT_NOW: ReadonlySet<number> = new Set([
  10_004, 10_005, 10_007, 10_008, 10_009, 10_023, 10_118,
]);
const REPLICAS_NEED_CLUSTER = 10_074;
const NO_PEERS = 10_005;
const STREAM_FAILED = 10_077;

/** What errors are called when nobody has answered. */
const AWAY: ReadonlySet<string> = new Set([
  ...["LostError", "TimeoutError", "RequestError"],
  ...["ConnectionError", "ClosedConnectionError", "DrainingConnectionError"],
]);

/** What came of an attempt that failed. */
interface Failure {
  readonly words: string;
  /** To try again would change nothing. */
  readonly lasting: boolean;
  /** It was surely not done. */
  readonly definite: boolean;
}

/** Connects when it is first used, and again whenever that is needed. */
export class NatsSession {
  /** The servers, for people: without anything secret. */
  readonly where: string;
  /** What is said is encrypted, or nothing is. */
  readonly insistsOnTls: boolean;
  readonly #code: ErrorCode;
  readonly #options: NatsOptions;
  readonly #target: Pick<NodeConnectionOptions, "user" | "pass" | "token"> & {
    readonly servers: string[];
  };
  readonly #patienceMs: number;
  #opening: Promise<Line> | undefined;
  #wasOpen: boolean = false;
  #closed: boolean = false;

  /**
   * @param code of the errors that its methods throw
   * @throws TidemarkError `BAD_OPTION`
   */
  constructor(options: NatsOptions, code: ErrorCode) {
    const { servers, credentials, tls, name = "tidemark", patienceMs = 30_000 } = options;
    const target = targetOf(servers);
    if (credentials !== undefined && (typeof credentials !== "string" || credentials === ""))
      throw bad("credentials is the path of a file");
    if (credentials !== undefined && target.who !== undefined)
      throw bad("a user or token in the address and a file of credentials are one too many");
    if (typeof name !== "string" || name === "") throw bad("name is a text");
    if (typeof patienceMs !== "number" || !(patienceMs >= 0 && patienceMs <= PATIENCE_MAX_MS))
      throw bad(`patienceMs is ${patienceMs}; use 0 to ${PATIENCE_MAX_MS} milliseconds`);
    if (tls !== undefined && (typeof tls !== "object" || tls === null))
      throw bad("tls has paths of files: ca, cert, key");
    if ((tls?.cert === undefined) !== (tls?.key === undefined))
      throw bad("of tls.cert and tls.key each needs the other");
    this.#options = options;
    this.#patienceMs = patienceMs;
    this.#code = code;
    this.insistsOnTls = tls !== undefined || target.tls;
    this.#target = { servers: target.servers, ...target.who };
    this.where = target.servers.join(", ");
  }

  /**
   * Does it, and again as long as servers do not answer or cannot just now.
   * @param what for people, after "cannot"
   * @throws TidemarkError the session's code; not `definite` if it may have been done
   */
  async use<T>(what: string, work: (opened: Opened) => Promise<T>): Promise<T> {
    const untilMs = performance.now() + this.#patienceMs;
    let definite = true;
    for (let pauseMs = PAUSE_MIN_MS; ; pauseMs = Math.min(2 * pauseMs, PAUSE_MAX_MS)) {
      if (this.#closed)
        throw new TidemarkError(this.#code, `cannot ${what}: it is closed`, { definite });
      const last = performance.now() + pauseMs > untilMs;
      let failure: Failure;
      let cause: unknown;
      try {
        const line = await this.#open();
        try {
          return await line.ask(work);
        } catch (error) {
          if (error instanceof TidemarkError) throw error;
          cause = error;
          failure = this.#judge(error, line.opened);
        }
      } catch (error) {
        if (error instanceof TidemarkError) throw error;
        cause = error;
        failure = this.#judgeConnecting(error);
      }
      definite &&= failure.definite;
      if (failure.lasting || last)
        throw new TidemarkError(this.#code, `cannot ${what}: ${failure.words}`, {
          cause,
          definite,
        });
      await pause(pauseMs);
    }
  }

  /** An error of whoever uses the session. */
  failed(words: string): TidemarkError {
    return new TidemarkError(this.#code, words);
  }

  /** Ends it; what is under way fails. */
  async close(): Promise<void> {
    this.#closed = true;
    // What is being opened is closed when it is open.
    const line = await this.#opening?.catch(() => undefined);
    await line?.opened.connection.close();
  }

  #open(): Promise<Line> {
    if (this.#opening) return this.#opening;
    const opening = this.#connect();
    this.#opening = opening;
    const forget = (): void => {
      if (this.#opening === opening) this.#opening = undefined;
    };
    opening.then(({ opened }) => opened.connection.closed().then(forget), forget);
    return opening;
  }

  async #connect(): Promise<Line> {
    const { name = "tidemark", credentials, tls } = this.#options;
    const [authenticator, ca, cert, key] = await Promise.all([
      credentials === undefined ? undefined : readCredentials(credentials),
      ...[tls?.ca, tls?.cert, tls?.key].map((path) =>
        path === undefined ? undefined : readPem(path),
      ),
    ]);
    const connection = await connect({
      ...this.#target,
      name,
      timeout: CONNECT_MS,
      // For ever: how long somebody waits for it is for `use` to say.
      maxReconnectAttempts: -1,
      reconnectTimeWait: 250,
      pingInterval: PING_MS,
      noAsyncTraces: true,
      // A server that is slow to look somebody up says so, too.
      ignoreAuthErrorAbort: true,
      ...(authenticator ? { authenticator: credsAuthenticator(authenticator) } : {}),
      ...(this.insistsOnTls
        ? {
            tls: {
              ...{ ...(ca ? { ca } : {}), ...(cert && key ? { cert, key } : {}) },
              ...{ checkServerIdentity: identityCheckOf(this.#target.servers) },
            },
          }
        : {}),
    });
    this.#wasOpen = true;
    return new Line({
      connection,
      jetstream: jetstream(connection, { timeout: ANSWER_MS }),
      // Whether there is JetStream is seen from what is asked.
      manager: await jetstreamManager(connection, { checkAPI: false, timeout: ANSWER_MS }),
    });
  }

  #judgeConnecting(error: unknown): Failure {
    const names = namesIn(error);
    if (names.has("AuthorizationError") || names.has("UserAuthenticationExpiredError"))
      return {
        words:
          `NATS at ${this.where} does not let us in: ${textOf(error)}. ` +
          "Give the user and password, or the credentials, that it knows",
        lasting: true,
        definite: true,
      };
    return {
      words:
        `cannot connect to NATS at ${this.where}: ${textOf(error) || "no answer"}. ` +
        "Is nats-server running there? `nats-server -js` starts one",
      lasting: !this.#wasOpen,
      definite: true,
    };
  }

  #judge(error: unknown, { connection }: Opened): Failure {
    const names = namesIn(error);
    if (names.has("PermissionViolationError"))
      return {
        words:
          `NATS at ${this.where} refuses: ${textOf(causeOf(error))}. ` +
          "Allow it in the permissions of the user; docs/use/nats.md lists what is needed",
        lasting: true,
        definite: true,
      };
    if (names.has("JetStreamNotEnabled") || names.has("NoResponders")) {
      const { jetstream: has, cluster } = connection.info ?? {};
      return {
        words:
          `JetStream does not answer at ${this.where}. ` +
          "Was nats-server started with -js, does the account have JetStream, and is a majority of the cluster up?",
        // In a cluster another server may have it.
        lasting: connection.info !== undefined && has !== true && cluster === undefined,
        definite: true,
      };
    }
    const code = apiCodeOf(error);
    if (code !== undefined) return this.#judgeAnswer(code, textOf(error));
    const away = [...names].some((name) => AWAY.has(name));
    return {
      words: away
        ? `NATS at ${this.where} does not answer: ${textOf(error)}. Is nats-server running there, and a majority of its cluster?`
        : `NATS at ${this.where}: ${textOf(error)}`,
      lasting: !away,
      definite: false,
    };
  }

  #judgeAnswer(code: number, text: string): Failure {
    const answered = `NATS at ${this.where} answered: ${text} (${code})`;
    const advice =
      code === REPLICAS_NEED_CLUSTER || code === NO_PEERS
        ? `. Three replicas need a cluster of three servers, all with JetStream; with one server use replicas: 1`
        : code === STREAM_FAILED
          ? `. The stream is full, or its server has no room: delete snapshots, or give it more`
          : "";
    return { words: answered + advice, lasting: !NOT_NOW.has(code), definite: true };
  }
}

/** A connection, which now and then has no server. What was asked of one that is lost is not answered any more. */
class Line {
  readonly opened: Opened;
  #isLost: boolean = false;
  readonly #asking = new Set<() => void>();

  constructor(opened: Opened) {
    this.opened = opened;
    void this.#watch();
  }

  /** Asks, and waits for the answer as long as it can come. */
  ask<T>(work: (opened: Opened) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const lose = (): void => reject(new LostError("the connection broke"));
      if (this.#isLost) {
        lose();
        return;
      }
      this.#asking.add(lose);
      const ended = (): void => {
        this.#asking.delete(lose);
      };
      work(this.opened).then(resolve, reject).finally(ended);
    });
  }

  async #watch(): Promise<void> {
    for await (const { type } of this.opened.connection.status()) {
      if (type === "reconnect") this.#isLost = false;
      if (type !== "disconnect" && type !== "close") continue;
      this.#isLost = true;
      for (const lose of this.#asking) lose();
    }
  }
}

class LostError extends Error {
  override readonly name: string = "LostError";
}

/** The servers as `host:port`, and who we are to them. */
function targetOf(given: unknown): {
  readonly servers: string[];
  readonly tls: boolean;
  readonly who: { user: string; pass: string } | { token: string } | undefined;
} {
  // A comma in a password, which should be written as %2C, parts it: so each goes with the whole that it is from.
  const texts = (Array.isArray(given) ? given : [given]).flatMap((whole: unknown) =>
    (typeof whole === "string" ? whole.split(",") : [whole]).map((text) => ({ text, whole })),
  );
  const servers: string[] = [];
  const schemes = new Set<string>();
  const whos = new Set<string | undefined>();
  for (const { text, whole } of texts) {
    const groups = typeof text === "string" ? SERVER.exec(text.trim())?.groups : undefined;
    const { scheme = "nats", who, host, port = PORT } = groups ?? {};
    if (!host || !["nats", "tls"].includes(scheme) || Number(port) < 1 || Number(port) > 65_535)
      throw bad(
        `${withoutSecret(whole)} is not the address of a server: one looks like ${EXAMPLE}`,
      );
    servers.push(`${host}:${Number(port)}`);
    schemes.add(scheme);
    whos.add(who);
  }
  if (schemes.size > 1) throw bad("either all servers have tls:// before them, or none");
  if (whos.size > 1) throw bad("all servers of a cluster need the same user and password");
  const [who] = whos;
  const [name = "", pass] = who?.split(":").map(decoded) ?? [];
  return {
    servers,
    tls: schemes.has("tls"),
    who:
      who === undefined ? undefined : pass === undefined ? { token: name } : { user: name, pass },
  };
}

/**
 * Whether a certificate is that of a server. The client gives Node no name to compare for a server that is known by its IP address,
 * and Node then takes "localhost": so a certificate for any of the addresses that were given will do there.
 */
function identityCheckOf(servers: readonly string[]): typeof checkServerIdentity {
  const hosts = servers.map((server) => server.replace(/:[0-9]+$/, "").replaceAll(/[[\]]/g, ""));
  const addresses = hosts.filter((host) => isIP(host) !== 0);
  return (name, certificate) => {
    const isUnsaid = name === "localhost" && addresses.length > 0;
    const accepted = isUnsaid ? [...addresses, ...hosts.filter((host) => host === name)] : [name];
    const doubts = accepted.map((one) => checkServerIdentity(one, certificate));
    return doubts.includes(undefined) ? undefined : doubts[0];
  };
}

const EXAMPLE = "nats://127.0.0.1:4222";

/** Percent signs are for what may not stand before an "@". */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw bad("in a user, password or token % stands before two hexadecimal digits");
  }
}

function withoutSecret(text: unknown): string {
  if (typeof text !== "string") return `a value of type ${typeof text}`;
  const at = text.lastIndexOf("@");
  const rest = at < 0 ? text : `…${text.slice(at)}`;
  return JSON.stringify(rest.length > 80 ? `${rest.slice(0, 79)}…` : rest);
}

async function readCredentials(path: string): Promise<Uint8Array> {
  const content = await readGiven("credentials", path);
  const text = content.toString("latin1");
  if (!text.includes("BEGIN NATS USER JWT") || !text.includes("BEGIN USER NKEY SEED"))
    throw bad(`the file ${path} holds no credentials of NATS (a JWT and an NKEY seed)`);
  return content;
}

async function readPem(path: string): Promise<string> {
  const text = (await readGiven("tls", path)).toString("latin1");
  if (!text.includes("-----BEGIN ")) throw bad(`the file ${path} of tls is not in PEM`);
  return text;
}

async function readGiven(option: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw bad(`cannot read the file of ${option}: ${textOf(error)}`);
  }
}

function bad(what: string): TidemarkError {
  return new TidemarkError("BAD_OPTION", `NATS: ${what}`);
}

/** The names of an error and of what it came from. */
function namesIn(error: unknown): Set<string> {
  const names = new Set<string>();
  for (let one = error; one instanceof Error && names.size < 8; one = one.cause)
    names.add(one.name);
  return names;
}

/** What it came from, if it says so. */
function causeOf(error: unknown): unknown {
  return error instanceof Error && error.cause instanceof Error ? error.cause : error;
}

/** The number of what JetStream answered, if it did answer. */
export function apiCodeOf(error: unknown): number | undefined {
  const { name, code } = error as { readonly name?: unknown; readonly code?: unknown };
  const answered = name === "JetStreamApiError" || name === "StreamNotFoundError";
  return answered && typeof code === "number" ? code : undefined;
}
