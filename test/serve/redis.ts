/** Debian's redis-server, to compare the store with. Where there is none, tests are left out; .ci/run installs it. */

import { spawn, spawnSync } from "node:child_process";
import { connect } from "node:net";
import { onTestFinished } from "vitest";
import { freePorts } from "../support/ports.ts";

/** There is nothing to compare with: on CI that is a failure of the test. */
export const lacksRedis: boolean =
  process.env["CI"] === undefined && spawnSync("redis-server", ["--version"]).status !== 0;

/** Starts one with nothing in it, and gives its port; it is stopped when the test is over. */
export async function startRedis(...options: readonly string[]): Promise<number> {
  const port = await freePorts(1);
  const plain = ["--port", String(port), "--save", "", "--appendonly", "no"];
  const child = spawn("redis-server", [...plain, ...options], { stdio: "ignore" });
  const isOver = new Promise<never>((_, reject) => {
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`redis-server ended with ${code}`)));
  });
  isOver.catch(() => {});
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  for (;;) {
    const isThere = new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => {
        socket.destroy();
        resolve(true);
      });
      socket.on("error", () => resolve(false));
    });
    if (await Promise.race([isThere, isOver])) return port;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
