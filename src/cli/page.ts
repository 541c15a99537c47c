/** The page that a command serves: its options, and how it is opened. */

import { type Command, Option } from "commander";
import { OperationsServer, type OperationsSource } from "../serve/operations.ts";
import type { PageBackend } from "../serve/web/backend.ts";
import { WebServer } from "../serve/web-server.ts";
import type { Tell } from "./event-log.ts";
import { type Address, PORT_MAX, parseAddress, wholeNumber } from "./options.ts";

/** What `addPageOptions` gives. */
export interface PageOptions {
  /** False: none is served. */
  readonly ui?: boolean;
  readonly uiPort?: number;
  readonly uiHost: string;
  /** Whoever reads JSON does not look at a page, unless it was told where it is to be. */
  readonly json?: true;
}

/** Where it is served; whether it is, is for the command to say. */
export function addAddressOptions(command: Command, byDefault: string): Command {
  return command
    .addOption(
      new Option("--ui-port <port>", "serve the page on this port; 0: any")
        .default(undefined, byDefault)
        .argParser(wholeNumber(0, PORT_MAX)),
    )
    .option("--ui-host <address>", "serve the page there; 0.0.0.0: everywhere", "127.0.0.1");
}

export function addPageOptions(command: Command): Command {
  return addAddressOptions(command, "any; with --json, none").option("--no-ui", "serve no page");
}

/** Serves the page, unless it is not wanted. @throws TidemarkError as `WebServer.start` */
export async function servePage(
  { ui = true, uiPort, uiHost, json }: PageOptions,
  backend: PageBackend,
): Promise<WebServer | undefined> {
  if (!ui || (json && uiPort === undefined)) return undefined;
  return await WebServer.start({ backend, port: uiPort ?? 0, host: uiHost });
}

/** Where it is served, for whoever operates the system. */
export function metricsOption(): Option {
  return new Option(
    "--metrics <host:port>",
    "serve /metrics, /healthz and /readyz there, to anybody who reaches it",
  ).argParser(parseAddress);
}

/** @throws TidemarkError as `OperationsServer.start` */
export async function serveMetrics(
  address: Address | undefined,
  source: OperationsSource,
  tell: Tell,
): Promise<OperationsServer | undefined> {
  if (!address) return undefined;
  const server = await OperationsServer.start(source, address);
  const { url, warning } = server;
  tell(`metrics, health and readiness are at ${url}`, { event: "metrics_served", url });
  if (warning !== undefined) tell(warning, { event: "metrics_exposed", url });
  return server;
}
