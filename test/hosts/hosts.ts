/**
 * Hosts of a test's own: network namespaces, joined by a bridge in one more. Nothing of it can be reached from outside, and it reaches
 * nothing. Needs root, `ip` and, for clocks, `faketime`; .ci/run installs them.
 */

import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

/** On CI a test that needs them fails for want of them. */
export const lacksHosts: boolean = process.env["CI"] === undefined && !canMake();

if (lacksHosts)
  process.stderr.write(
    "tests of several hosts are left out: they need root, and apt-get install iproute2 faketime\n",
  );

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

function canMake(): boolean {
  if (process.getuid?.() !== 0 || spawnSync("faketime", ["--version"]).status !== 0) return false;
  const name = `tm${process.pid}-try`;
  if (spawnSync("ip", ["netns", "add", name]).status !== 0) return false;
  spawnSync("ip", ["netns", "del", name]);
  return true;
}

const ip = (...args: string[]): void => {
  execFileSync("ip", args, { stdio: "pipe" });
};

let made = 0;

/** A network with so many hosts, 10.99.0.1 and on. */
export class Network {
  readonly hosts: readonly Host[];
  readonly #bridge: string;

  constructor(count: number) {
    const name = `tm${process.pid}-${made++}`;
    this.#bridge = `${name}-net`;
    ip("netns", "add", this.#bridge);
    ip("-n", this.#bridge, "link", "add", "name", "bridge0", "type", "bridge");
    ip("-n", this.#bridge, "link", "set", "bridge0", "up");
    this.hosts = Array.from({ length: count }, (_, i) => new Host(name, this.#bridge, i + 1));
  }

  /** Ends what runs there, and takes all of it away. */
  close(): void {
    for (const host of this.hosts) host.close();
    ip("netns", "del", this.#bridge);
  }
}

/** One of them. */
export class Host {
  readonly address: string;
  readonly #namespace: string;
  readonly #bridge: string;
  readonly #port: string;
  readonly #children = new Set<ChildProcess>();

  constructor(network: string, bridge: string, number: number) {
    this.address = `10.99.0.${number}`;
    this.#namespace = `${network}-h${number}`;
    this.#bridge = bridge;
    this.#port = `h${number}`;
    const own = this.#namespace;
    ip("netns", "add", own);
    ip("-n", own, "link", "set", "lo", "up");
    ip(
      "-n",
      own,
      "link",
      "add",
      "name",
      "eth0",
      "type",
      "veth",
      "peer",
      this.#port,
      "netns",
      bridge,
    );
    ip("-n", own, "address", "add", `${this.address}/24`, "dev", "eth0");
    ip("-n", own, "link", "set", "eth0", "up");
    ip("-n", bridge, "link", "set", this.#port, "master", "bridge0");
    ip("-n", bridge, "link", "set", this.#port, "up");
  }

  /** Nothing gets to it or away from it any more, and nobody is told. */
  cut(): void {
    ip("-n", this.#bridge, "link", "set", this.#port, "down");
  }

  heal(): void {
    ip("-n", this.#bridge, "link", "set", this.#port, "up");
  }

  /** Starts a program there. @param clock how far ahead its clock is, as in `+1h` */
  start(program: string, args: readonly string[], clock?: string): ChildProcess {
    const faked = clock === undefined ? [] : ["faketime", "-f", clock];
    const all = ["netns", "exec", this.#namespace, ...faked, program, ...args];
    const child = spawn("ip", all, { stdio: ["ignore", "pipe", "pipe"] });
    this.#children.add(child);
    child.on("close", () => this.#children.delete(child));
    return child;
  }

  /** Starts `tidemark` there. */
  tidemark(args: readonly string[], clock?: string): ChildProcess {
    return this.start(process.execPath, ["--conditions=tidemark-source", MAIN, ...args], clock);
  }

  /** Runs `tidemark` there to its end. */
  run(
    args: readonly string[],
  ): Promise<{ readonly status: number | null; readonly stdout: string }> {
    return new Promise((resolve) => {
      const child = this.tidemark(args);
      let stdout = "";
      child.stdout?.setEncoding("utf8").on("data", (more: string) => {
        stdout += more;
      });
      child.stderr?.resume();
      child.on("close", (status) => resolve({ status, stdout }));
    });
  }

  /** What `redis-cli` says there of a command to a store; the words of an error if it fails or takes too long. */
  redis(port: number, ...words: string[]): Promise<string> {
    return new Promise((resolve) => {
      const child = this.start("timeout", ["5", "redis-cli", "-p", String(port), ...words]);
      let text = "";
      child.stdout?.setEncoding("utf8").on("data", (more: string) => {
        text += more;
      });
      child.on("close", (code) => resolve(code === 0 ? text.trim() : `failed (${code})`));
    });
  }

  close(): void {
    for (const child of this.#children) child.kill("SIGKILL");
    // What a killed `ip` or `timeout` leaves behind.
    const { stdout } = spawnSync("ip", ["netns", "pids", this.#namespace], { encoding: "utf8" });
    for (const pid of stdout.split("\n").filter(Boolean)) spawnSync("kill", ["-9", pid]);
    ip("netns", "del", this.#namespace);
  }
}
