/**
 * The page of systems at full load, in Chromium: when it can be used, and what it and its server hold on to while it is looked at for long.
 *
 * A bank whose processes send as fast as they can is looked at in three pages at once: the system, its standing detector, and the
 * recordings that follow each other. Then a store that redis-benchmark loads: its live commands, and its replicas. Everything runs on
 * this machine. Heaps are those after a collection; what stays in the first tenth, when all lists fill up, is no growth.
 */

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Browser, Page } from "playwright-core";
import { browserPath, startBrowser } from "../test/web/support/browser.ts";
import { heapBytes } from "./page.ts";
import { median, type Result } from "./result.ts";
import { freePorts, type ServedPage, startPage } from "./served.ts";

const LOADS = 5;
const LOOKS = 10;
const PATIENT = { timeout: 60_000 };
const bench = { bench: "page-live" } as const;

/** A page that is looked at. */
interface Looked {
  readonly name: string;
  readonly page: Page;
}

/** From the address to the first rates, in a browser that has nothing of it yet. */
async function usableMs(browser: Browser, url: string): Promise<number> {
  const context = await browser.newContext();
  const page = await context.newPage();
  const startMs = performance.now();
  await page.goto(url);
  await page.getByRole("rowheader", { name: "p1", exact: true }).waitFor(PATIENT);
  const tookMs = performance.now() - startMs;
  await context.close();
  return tookMs;
}

/** What a process of the operating system has in memory. */
function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return 1024 * Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? Number.NaN);
}

/** Looks on for so long, and says what each page, and the server, hold on to at the end beside what they did after a tenth of it. */
async function* lookOn(
  pages: readonly Looked[],
  { pid }: ServedPage,
  minutes: number,
): AsyncGenerator<Result> {
  const seen = pages.map(({ page }): { heap: number[]; nodes: number[] } => {
    page.setDefaultTimeout(PATIENT.timeout);
    return { heap: [], nodes: [] };
  });
  const server: number[] = [];
  for (let look = 1; look <= LOOKS; look += 1) {
    await pause((minutes * 60_000) / LOOKS);
    for (const [i, { page }] of pages.entries()) {
      seen[i]?.heap.push(await heapBytes(page));
      seen[i]?.nodes.push(await page.evaluate("document.querySelectorAll('*').length"));
    }
    server.push(residentBytes(pid));
    process.stderr.write(`page-live: ${look} of ${LOOKS} looks\n`);
  }
  const told = (name: string, values: readonly number[], unit: string, by: number): Result => {
    const [limit, value] = [values[0] ?? Number.NaN, median(values.slice(-3))].map(
      (one) => one / by,
    );
    return {
      ...bench,
      case: name,
      value: value ?? 0,
      unit,
      limit: limit ?? 0,
      ratio: (value ?? 0) / (limit ?? 0),
    };
  };
  for (const [i, { name }] of pages.entries()) {
    yield told(`${name}: heap`, seen[i]?.heap ?? [], "MB", 1e6);
    yield told(`${name}: elements`, seen[i]?.nodes ?? [], "elements", 1);
  }
  yield told("memory of the server", server, "MB", 1e6);
}

async function opened(browser: Browser, url: string, view: string): Promise<Page> {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  await page.goto(url);
  await page.locator("nav a[aria-current=page]").waitFor(PATIENT);
  await page.evaluate(`location.hash = ${JSON.stringify(view)}`);
  return page;
}

async function* ofBank(
  browser: Browser,
  served: ServedPage,
  minutes: number,
): AsyncGenerator<Result> {
  const times: number[] = [];
  for (let i = 0; i < LOADS; i += 1) times.push(await usableMs(browser, served.url));
  yield { ...bench, case: "can be used, a bank at full load", value: median(times), unit: "ms" };
  const system = await opened(browser, served.url, "#/system");
  const watch = await opened(browser, served.url, "#/properties");
  await watch.getByRole("button", { name: "Start watching" }).click(PATIENT);
  const follow = await opened(browser, served.url, "#/space-time");
  await follow.getByRole("button", { name: "Follow" }).click(PATIENT);
  yield* lookOn(
    [
      { name: "system", page: system },
      { name: "standing detector", page: watch },
      { name: "recordings one after another", page: follow },
    ],
    served,
    minutes,
  );
}

async function* ofStore(
  browser: Browser,
  served: ServedPage,
  minutes: number,
): AsyncGenerator<Result> {
  const live = await opened(browser, served.url, "#/store/commands");
  const missed = live.getByText(/left out/);
  await missed.waitFor(PATIENT);
  const replicas = await opened(browser, served.url, "#/store/replicas");
  yield* lookOn(
    [
      { name: "live commands", page: live },
      { name: "replicas", page: replicas },
    ],
    served,
    minutes,
  );
  const [, many = "NaN"] = /([\d,]+) left out/.exec(await missed.innerText()) ?? [];
  const value = Number(many.replaceAll(",", ""));
  yield { ...bench, case: "commands told as left out", value, unit: "commands" };
}

export async function* pageLive({ minutes }: { readonly minutes: number }): AsyncGenerator<Result> {
  if (browserPath === undefined) throw new Error("this bench needs chromium");
  const folder = mkdtempSync(join(tmpdir(), "tidemark-bench-"));
  const browser = await startBrowser();
  const ends: (() => unknown)[] = [
    () => rmSync(folder, { recursive: true, force: true }),
    () => browser.close(),
  ];
  try {
    const bank = await startPage(["up", "--dir", join(folder, "bank")]);
    ends.push(bank.stop);
    yield* ofBank(browser, bank, minutes);
    await bank.stop();
    const port = String(await freePorts(3));
    const store = await startPage(["kv", "--port", port, "--dir", join(folder, "store")]);
    ends.push(store.stop);
    const asks = "-t set,get -n 1000000000 -r 100000 -c 20 -q -p".split(" ");
    const load = spawn("redis-benchmark", [...asks, port], { stdio: "ignore" });
    ends.push(() => load.kill());
    yield* ofStore(browser, store, minutes);
  } finally {
    for (const end of ends.reverse()) await end();
  }
}
