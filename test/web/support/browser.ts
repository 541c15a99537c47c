/** A browser for tests of the page: Debian's Chromium, driven by playwright-core. */

import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { expect } from "vitest";

/** The page as a file, which needs no server. */
export const PAGE_FILE: string = new URL("../../../dist/page/index.html", import.meta.url).href;

const NAMES = ["chromium", "chromium-browser", "google-chrome"];

/** Where it is; undefined: it is not installed, and tests that need it are skipped. */
export const browserPath: string | undefined = (process.env["PATH"] ?? "")
  .split(delimiter)
  .flatMap((folder) => NAMES.map((name) => join(folder, name)))
  .find((path) => existsSync(path));

if (browserPath === undefined)
  process.stderr.write(
    "tests of the page are skipped: they need chromium (apt-get install chromium)\n",
  );

/** What is there may depend on the width, and its contrast on the colours. */
export const LOOKS = [
  { scheme: "light", width: 1440 },
  { scheme: "light", width: 390 },
  { scheme: "dark", width: 1440 },
  { scheme: "dark", width: 390 },
] as const;

export async function startBrowser(): Promise<Browser> {
  return await chromium.launch({
    executablePath: String(browserPath),
    // In a container there are no namespaces for its sandbox; it loads nothing but the page under test.
    args: ["--no-sandbox", "--disable-dev-shm-usage"],
  });
}

/** A page whose errors, on its console or thrown, are failures of the test: call `end` at its end. */
export async function openPage(
  browser: Browser,
  url: string,
  options: {
    readonly width?: number;
    readonly height?: number;
    readonly scheme?: "light" | "dark";
  } = {},
): Promise<{ readonly page: Page; readonly problems: readonly string[] }> {
  const { width = 1440, height = 900, scheme = "light" } = options;
  const page = await browser.newPage({ viewport: { width, height }, colorScheme: scheme });
  const problems: string[] = [];
  page.on("pageerror", ({ message }) => problems.push(message));
  page.on("console", (message) => {
    if (message.type() === "error") problems.push(message.text());
  });
  await page.goto(url);
  return { page, problems };
}

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

/** Fails with what of the view somebody who uses a keyboard or a screen reader could not use (axe-core, serious or worse). */
export async function expectAccessible(page: Page): Promise<void> {
  // The page runs no script but its own; what is evaluated by the debugger is none of the page's.
  await page.evaluate(await readFile(AXE, "utf8"));
  const found = await page.evaluate(async () => {
    const axe = (globalThis as unknown as { axe: { run(): Promise<{ violations: Finding[] }> } })
      .axe;
    interface Finding {
      readonly id: string;
      readonly impact: string;
      readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
    }
    const { violations } = await axe.run();
    return violations
      .filter(({ impact }) => impact === "serious" || impact === "critical")
      .flatMap(({ id, nodes }) =>
        nodes.slice(0, 5).map(({ html, failureSummary }) => `${id}: ${html}: ${failureSummary}`),
      );
  });
  expect(found).toEqual([]);
}
