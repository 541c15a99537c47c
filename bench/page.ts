/**
 * The page with a large trace, in Chromium: frames a second while the picture is moved, and the heap of its JavaScript. A trace of 100,000
 * events is opened as a file; frames are counted by the page's own clock, so what this machine does beside is in the figures. The limit
 * is what the same browser gives a page on which nothing is drawn. Beside it stands how long the processors of the computer work for a
 * frame, in all threads of the page: that says what a computer can do that has nothing else to do.
 */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { jsonLines, TraceBuilder } from "tidemark/trace";
import { Random } from "../src/core/random.ts";
import { browserPath, startBrowser } from "../test/web/support/browser.ts";
import { median, type Result } from "./result.ts";

const EVENTS = 100_000;
const PROCESSES = 8;
const FRAMES = 120;
const ROUNDS = 3;
const PAGE = new URL("../dist/page/index.html", import.meta.url).href;

/** Messages between all processes; the oldest ones arrive first. */
function trace(): string {
  const random = new Random("page");
  const builder = new TraceBuilder();
  const names = Array.from({ length: PROCESSES }, (_, p) => `p${p + 1}`);
  const inboxes = names.map((): { event: number; from: string; message: number }[] => []);
  for (let e = 0; e < EVENTS; e += 1) {
    const process = random.between(0, PROCESSES - 1);
    const own = names[process] ?? "";
    const inbox = inboxes[process] ?? [];
    const known = { atMs: 1.7e12 + e / 20, values: { balance: random.between(0, 999) } };
    const [first] = inbox;
    if (first && (inbox.length > 3 || random.between(0, 1) === 0)) {
      inbox.shift();
      const { from: peer, message } = first;
      builder.arrow(first.event, builder.event(own, { ...known, type: "receive", peer, message }));
    } else {
      const to = (process + random.between(1, PROCESSES - 1)) % PROCESSES;
      const sent = { type: "send", peer: names[to] ?? "", message: e } as const;
      inboxes[to]?.push({
        event: builder.event(own, { ...known, ...sent }),
        from: own,
        message: e,
      });
    }
  }
  return [...jsonLines(builder.end())].join("\n");
}

/** Seconds that processors have worked for the page, in any thread. */
async function processorSeconds(page: Page): Promise<number> {
  const session = await page.context().browser()?.newBrowserCDPSession();
  if (!session) throw new Error("there is no browser");
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  await session.detach();
  return processInfo.reduce(
    (sum, { type, cpuTime }) => sum + (type === "renderer" ? cpuTime : 0),
    0,
  );
}

interface Moved {
  readonly framesPerSecond: number;
  readonly workMs: number;
}

/** Frames a second while something is done before each of them, in the page, and the work that one is. */
async function move(page: Page, wheelX: number): Promise<Moved> {
  const values: number[] = [];
  const before = await processorSeconds(page);
  for (let round = 0; round < ROUNDS; round += 1)
    values.push(
      await page.evaluate(
        async ({ frames, deltaX }) => {
          interface Browser {
            readonly document: {
              querySelector(name: string): { dispatchEvent(e: object): void } | null;
            };
            readonly WheelEvent: new (type: string, options: object) => object;
            requestAnimationFrame(take: (ms: number) => void): void;
          }
          const browser = globalThis as unknown as Browser;
          const canvas = browser.document.querySelector("canvas.st-canvas");
          const frame = (): Promise<number> =>
            new Promise((settle) => browser.requestAnimationFrame(settle));
          const startMs = await frame();
          let endMs = startMs;
          for (let i = 0; i < frames; i += 1) {
            // There and back, so that it never comes to an end.
            const by = i % 120 < 60 ? deltaX : -deltaX;
            if (deltaX !== 0)
              canvas?.dispatchEvent(
                new browser.WheelEvent("wheel", { deltaX: by, cancelable: true, bubbles: true }),
              );
            endMs = await frame();
          }
          return (1000 * frames) / (endMs - startMs);
        },
        { frames: FRAMES, deltaX: wheelX },
      ),
    );
  const work = (await processorSeconds(page)) - before;
  return { framesPerSecond: median(values), workMs: (1000 * work) / (ROUNDS * FRAMES) };
}

/** What its JavaScript holds on to, after a collection. */
export async function heapBytes(page: Page): Promise<number> {
  const session = await page.context().newCDPSession(page);
  await session.send("HeapProfiler.collectGarbage");
  await session.send("Performance.enable");
  const { metrics } = await session.send("Performance.getMetrics");
  await session.detach();
  return metrics.find(({ name }) => name === "JSHeapUsedSize")?.value ?? Number.NaN;
}

export async function* page(): AsyncGenerator<Result> {
  if (browserPath === undefined) throw new Error("this bench needs chromium");
  const folder = mkdtempSync(join(tmpdir(), "tidemark-bench-"));
  const browser = await startBrowser();
  try {
    const file = join(folder, "large.jsonl");
    writeFileSync(file, trace());
    const shown = await browser.newPage({ viewport: { width: 1440, height: 900 } });
    await shown.goto(`${PAGE}#/space-time`);
    const { framesPerSecond: limit } = await move(shown, 0);
    const before = await heapBytes(shown);
    const openedMs = performance.now();
    await shown.locator("header input[type=file]").setInputFiles(file);
    await shown.getByRole("application").waitFor({ timeout: 120_000 });
    const tookMs = performance.now() - openedMs;
    const bench = { bench: "page" } as const;
    yield { ...bench, case: `open ${EVENTS} events`, value: tookMs, unit: "ms" };
    const canvas = shown.getByRole("application");
    async function* moved(name: string): AsyncGenerator<Result> {
      const { framesPerSecond: value, workMs } = await move(shown, 40);
      yield { ...bench, case: name, value, unit: "frames/s", limit, ratio: value / limit };
      yield { ...bench, case: `${name}: work`, value: workMs, unit: "ms of processors" };
    }
    const zoomIn = async (times: number): Promise<void> => {
      await canvas.focus();
      for (let i = 0; i < times; i += 1) await shown.keyboard.press("+");
    };
    await zoomIn(2);
    yield* moved("move, nearly all of it seen");
    await zoomIn(6);
    yield* moved("move, 8 % of that");
    await zoomIn(4);
    yield* moved("move, event by event");
    await shown.getByRole("button", { name: "New cut" }).click();
    await canvas.focus();
    await shown.keyboard.press("ArrowRight");
    yield* moved("move, with a cut, a past and a future");
    const held = (await heapBytes(shown)) - before;
    yield { ...bench, case: `heap for ${EVENTS} events`, value: held / 1e6, unit: "MB" };
  } finally {
    await browser.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
