import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Browser, Locator, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { temporaryDirectory } from "../cli/support/command.ts";
import {
  browserPath,
  expectAccessible,
  LOOKS,
  openPage,
  PAGE_FILE,
  startBrowser,
} from "./support/browser.ts";
import { Served } from "./support/served.ts";

const exampleOf = (name: string): string =>
  new URL(`../../examples/traces/${name}`, import.meta.url).pathname;
const LECTURE = exampleOf("lecture.jsonl");
const PAPER = exampleOf("paper-1985.jsonl");

/** The page needs no server for a trace of a file. */

const picture = (page: Page): Locator => page.getByRole("application").first();
const panel = (page: Page, name: string): Locator => page.getByRole("region", { name });
const verdict = (page: Page): Locator => panel(page, "Cut").getByRole("status");

const snapshots = (page: Page): Locator => page.getByRole("combobox", { name: /^Snapshot/ });

async function openFile(page: Page, file: string | { name: string; text: string }): Promise<void> {
  const named = typeof file === "string" ? file : join(temporaryDirectory(), file.name);
  if (typeof file !== "string") writeFileSync(named, file.text);
  await page.locator("header input[type=file]").setInputFiles(named);
  await picture(page).waitFor();
}

/** Drags the cut at a row, counted from the top, to a share of the width. */
async function dragCut(page: Page, row: number, rows: number, share: number): Promise<void> {
  const box = await picture(page).boundingBox();
  if (!box) throw new Error("there is no picture");
  const y = box.y + ((row + 0.5) / rows) * box.height;
  // Where a hand would find it: the pointer says so.
  for (let x = 2; x < box.width; x += 12) {
    await page.mouse.move(box.x + x, y);
    const cursor = await picture(page).evaluate(
      (canvas) => (canvas as unknown as { style: { cursor: string } }).style.cursor,
    );
    if (cursor !== "ew-resize") continue;
    await page.mouse.down();
    await page.mouse.move(box.x + share * box.width, y, { steps: 4 });
    await page.mouse.up();
    return;
  }
  throw new Error(`there is no cut to take hold of in row ${row}`);
}

/** What a button has the browser save, and where. */
async function saved(page: Page, name: string): Promise<{ path: string; text: string }> {
  await page.getByText("Share", { exact: true }).click();
  const [file] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name }).click(),
  ]);
  const path = join(temporaryDirectory(), file.suggestedFilename());
  await file.saveAs(path);
  return { path, text: readFileSync(path, "utf8") };
}

describe.skipIf(browserPath === undefined)("space-time", { timeout: 180_000 }, () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await startBrowser();
  });
  afterAll(() => browser.close());
  const opened = async (
    url: string = `${PAGE_FILE}#/space-time`,
    options: Parameters<typeof openPage>[2] = {},
  ): Promise<Page> => {
    const { page, problems } = await openPage(browser, url, options);
    page.setDefaultTimeout(15_000);
    onTestFinished(async () => {
      await page.close();
      expect(problems).toEqual([]);
    });
    return page;
  };

  test("a cut is dragged through orphans, snapped, stepped and undone", async () => {
    const page = await opened();
    await page.getByRole("button", { name: /1985/ }).click();
    await panel(page, "Cut").getByRole("button", { name: "New cut" }).click();
    await expect.poll(() => verdict(page).textContent()).toMatch(/^Consistent/);
    // All of P, and nothing of Q: what P received was never sent.
    await dragCut(page, 0, 2, 0.98);
    await dragCut(page, 1, 2, 0.01);
    await expect.poll(() => verdict(page).textContent()).toContain("Not consistent: 2 orphans");
    const links = panel(page, "Cut").locator("details", { hasText: "Orphans" });
    await links.getByRole("button", { name: /sends M'/ }).click();
    await panel(page, "Event").getByText("sends M' to P").first().waitFor();
    await page.getByRole("button", { name: "Snap to the nearest" }).click();
    await expect.poll(() => verdict(page).textContent()).toMatch(/^Consistent/);
    await page.getByRole("button", { name: "Undo" }).click();
    await expect.poll(() => verdict(page).textContent()).toContain("2 orphans");
    await picture(page).focus();
    await page.keyboard.press("i");
    await expect.poll(() => verdict(page).textContent()).toMatch(/^Consistent/);
    await page.keyboard.press("x");
    await expect.poll(() => verdict(page).textContent()).toBe("No cut.");
    for (let step = 1; step <= 10; step += 1) {
      await page.keyboard.press("]");
      await expect.poll(() => page.url()).toContain("/cut/");
      await expect.poll(() => verdict(page).textContent()).toMatch(/^Consistent/);
    }
    await expect.poll(() => page.url()).toMatch(/cut\/5%2C5$/);
  });

  test("the cut of a snapshot is chosen, with states and what is in flight", async () => {
    const page = await opened();
    await openFile(page, PAPER);
    await snapshots(page).selectOption("P/1");
    await expect.poll(() => verdict(page).textContent()).toBe("Consistent, 1 message in flight");
    await page.getByText("States at the cut").click();
    await panel(page, "Cut").getByText('"T_Wait"').waitFor();
    await page.getByText("Events inside, by process").click();
    await page.getByRole("slider", { name: "P" }).press("End");
    await expect.poll(() => verdict(page).textContent()).toContain("Not consistent: 1 orphan");
  });

  test("an event is found, looked at, and followed to the other end of its message", async () => {
    const page = await opened();
    await openFile(page, LECTURE);
    const search = page.getByRole("searchbox", { name: "Search events" });
    await search.fill("m2");
    await page.getByText("2 found").waitFor();
    await search.press("Enter");
    await page.getByText("1 of 2").waitFor();
    await panel(page, "Event").getByText("sends m2").first().waitFor();
    await expect.poll(() => page.url()).toMatch(/event\/P3\/1$/);
    await search.press("Enter");
    await page.getByText("2 of 2").waitFor();
    await picture(page).focus();
    await page.keyboard.press("M");
    await expect.poll(() => page.url()).toMatch(/event\/P3\/1$/);
    await page.keyboard.press("ArrowRight");
    await expect.poll(() => page.url()).toMatch(/event\/P3\/2$/);
    await page.keyboard.press("ArrowUp");
    await expect.poll(() => page.url()).toMatch(/event\/P2\//);
    // A click into the picture, on nothing, looks at nothing.
    await picture(page).click({ position: { x: 3, y: 3 } });
    await panel(page, "Event").getByText("Click an event").waitFor();
  });

  test("processes are hidden and collapsed, kinds left out, and time goes by clocks", async () => {
    const page = await opened();
    await openFile(page, LECTURE);
    await page.getByRole("button", { name: "P2" }).click();
    expect(await page.getByRole("button", { name: "P2" }).getAttribute("aria-pressed")).toBe(
      "true",
    );
    await page.getByText("Filter", { exact: true }).click();
    await page.getByRole("checkbox", { name: "P3" }).uncheck();
    await page.getByRole("checkbox", { name: "markers" }).uncheck();
    await page.getByText("2 hidden").waitFor();
    await expect
      .poll(() => page.getByRole("list", { name: "Processes" }).innerText())
      .toBe("P1\nP2");
    await page.keyboard.press("Escape");
    await page.getByText("Events as a table").click();
    const shown = readFileSync(LECTURE, "utf8")
      .split("\n")
      .filter((line) => /"process":"P[12]"/.test(line) && !line.includes('"marker"'));
    await expect.poll(() => page.getByRole("row").count()).toBe(1 + shown.length);
    await page.getByText("Filter").click();
    await page.getByRole("button", { name: "Show all" }).click();
    await expect.poll(() => page.getByRole("row").count()).toBe(1 + 25);
  });

  test("a long name of a process is seen from its beginning", async () => {
    const page = await opened();
    const name = "a-process-that-somebody-has-given-a-long-name".repeat(4);
    await openFile(page, {
      name: "long.jsonl",
      text: JSON.stringify({ process: name, type: "internal" }),
    });
    const button = page.getByRole("list", { name: "Processes" }).getByRole("button");
    const [outer, inner] = [await button.boundingBox(), await button.locator("span").boundingBox()];
    expect(inner?.x).toBeGreaterThanOrEqual(outer?.x ?? Number.NaN);
    expect(await button.getAttribute("title")).toContain(name);
  });

  test("two executions are compared, and their differences lead to events", async () => {
    const page = await opened();
    await openFile(page, LECTURE);
    const lines = readFileSync(LECTURE, "utf8").trimEnd().split("\n");
    const name = "changed.jsonl";
    const changed = join(temporaryDirectory(), name);
    writeFileSync(changed, lines.filter((line) => !line.includes('"text":"c"')).join("\n"));
    await page.getByLabel("Compare…").setInputFiles(changed);
    const comparison = panel(page, "Comparison");
    await expect
      .poll(() => comparison.getByRole("status").textContent())
      .toMatch(/^1 only in lecture.jsonl, 0 only in changed.jsonl, 0 in both/);
    // Where the first difference is, on a line of its own: there may be one in each of the two.
    expect(await comparison.locator("p > button").count()).toBe(1);
    await comparison.getByRole("button", { name: "P1 6 c" }).first().click();
    await expect.poll(() => page.url()).toMatch(/event\/P1\/6$/);
    await expectAccessible(page);
    await comparison.getByRole("button", { name: "End comparison" }).click();
    await page.getByLabel("Compare…").setInputFiles(LECTURE);
    await comparison.getByText("No difference").waitFor();
    await page.getByLabel("Compare…").setInputFiles(exampleOf("hurried.log"));
    await page.getByText("hurried.log cannot be compared").waitFor();
  });

  test("what is looked at is shared as a page that needs no server, and as a picture", async () => {
    const page = await opened();
    const odd = "</script><script>document.title='broken'</script><!--\u2028";
    const text = [
      '{"type":"history","processes":["p","</script>"]}',
      JSON.stringify({ process: "p", type: "send", to: "</script>", message: "<!--", text: odd }),
      JSON.stringify({ process: "</script>", type: "receive", from: "p", message: "<!--" }),
    ].join("\n");
    await openFile(page, { name: "odd.jsonl", text });
    await page.getByRole("button", { name: "New cut" }).click();
    await picture(page).focus();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("m");
    await expect.poll(() => page.url()).toContain("event/p/1/cut/");
    const html = await saved(page, "This page with the trace");
    expect(html.path).toMatch(/odd\.html$/);
    const alone = await opened(pathToFileURL(html.path).href);
    await panel(alone, "Event").getByText("document.title='broken'").first().waitFor();
    expect(await alone.title()).toBe("odd.jsonl · Tidemark");
    await expect.poll(() => verdict(alone).textContent()).toMatch(/^Consistent/);
    // It is shared on from there.
    const again = await saved(alone, "This page with the trace");
    expect(again.text.length).toBe(html.text.length);

    const svg = await saved(page, "as a picture");
    expect(svg.text).toMatch(/^<svg[\s\S]*consistent cut[\s\S]*<\/svg>\n$/);
    const lines = await saved(page, "The trace (JSON lines)");
    expect(lines.text.trimEnd().split("\n").length).toBe(3);
  });

  test("a trace is let go of when others are opened", async () => {
    const page = await opened();
    const session = await page.context().newCDPSession(page);
    const heap = async (): Promise<number> => {
      await session.send("HeapProfiler.collectGarbage");
      const { usedSize } = await session.send("Runtime.getHeapUsage");
      return usedSize;
    };
    const before = await heap();
    const many = (text: string): string =>
      [
        '{"type":"history","format":"tidemark-history/1"}',
        ...Array.from(
          { length: 10_000 },
          (_, i) => `{"type":"internal","process":"p${i % 3}","text":"${text} ${i}"}`,
        ),
      ].join("\n");
    const show = async (i: number): Promise<void> => {
      await openFile(page, { name: `${i}.jsonl`, text: many(`trace ${i}`) });
      await page.getByRole("application", { name: `diagram of ${i}.jsonl` }).waitFor();
    };
    await show(1);
    const one = (await heap()) - before;
    for (let i = 2; i <= 12; i += 1) await show(i);
    // The last one, and the one before: not twelve.
    expect((await heap()) - before).toBeLessThan(4 * one);
  });

  test("a link that does not fit says so, and so does a trace without events", async () => {
    const page = await opened(`${PAGE_FILE}#/space-time/event/nobody/7`);
    await page.locator("main").waitFor();
    await openFile(page, LECTURE);
    await page.getByText("there is no event 7 of nobody").waitFor();
    const none = join(temporaryDirectory(), "none.jsonl");
    writeFileSync(none, '{"type":"history","processes":["p"]}\n');
    await page.locator("header input[type=file]").setInputFiles(none);
    await page.getByText("none.jsonl has no event").waitFor();
    const circle = join(temporaryDirectory(), "circle.jsonl");
    writeFileSync(
      circle,
      '{"process":"p","type":"internal","after":[["q",1]]}\n{"process":"q","type":"internal","after":[["p",1]]}\n',
    );
    await page.locator("header input[type=file]").setInputFiles(circle);
    await page.getByText("no order of the events is possible").waitFor();
  });

  test("the running system is recorded, with a snapshot in it, and followed", async () => {
    await using served = await Served.start(["up", "--rate", "200"]);
    const page = await opened(served.url);
    await page.getByRole("navigation").getByRole("link", { name: "Space-time" }).click();
    await page.getByRole("button", { name: "Record", exact: true }).click();
    await picture(page).waitFor();
    const id = await snapshots(page).locator("option").nth(1).textContent();
    await snapshots(page).selectOption(String(id));
    await expect.poll(() => verdict(page).textContent()).toMatch(/^Consistent/);
    await page.getByText("States at the cut").click();
    await panel(page, "Cut").getByText("balance").first().waitFor();

    await page.getByRole("button", { name: "Follow" }).click();
    await page.getByText(/^[2-9] windows of 500 ms; what happens between them is not/).waitFor();
    // What is hidden is so in the next windows as well.
    const name = await page.locator(".title").innerText();
    await page.getByText("Filter", { exact: true }).click();
    await page.getByRole("checkbox", { name: "p2", exact: true }).click();
    await page.keyboard.press("Escape");
    const names = page.getByRole("list", { name: "Processes" }).getByRole("button");
    await expect.poll(() => names.allInnerTexts()).toEqual(["p1", "p3", "p4"]);
    await expect.poll(() => page.locator(".title").innerText(), { timeout: 10_000 }).not.toBe(name);
    await expect.poll(() => picture(page).getAttribute("aria-label")).not.toContain(name);
    expect(await names.allInnerTexts()).toEqual(["p1", "p3", "p4"]);
    // Who stops it and begins again at once follows on.
    await page.getByRole("button", { name: "Stop following" }).click();
    await page.getByRole("button", { name: "Follow" }).click();
    await page.getByText(/^[2-9] windows of 500 ms/).waitFor();
    // Who opens something else looks at that.
    await openFile(page, LECTURE);
    await page.getByText("something else was opened").waitFor();
    await page.getByRole("button", { name: "Follow", exact: true }).waitFor();
    expect(await page.locator(".title").innerText()).toBe("lecture.jsonl");
    await page.getByRole("button", { name: "Follow" }).click();
    await page.getByText(/^[2-9] windows of 500 ms/).waitFor();
    await page.getByRole("button", { name: "Stop following" }).click();
    await page.getByRole("button", { name: "Follow" }).waitFor();
    // What was followed last stays, to be looked at.
    await picture(page).waitFor();
    expect(page.url()).not.toContain("/cut/");
    // Before the server ends, which it would tell.
    await page.close();
  });

  test("that somebody else is recording is told, and who goes away ends it", async () => {
    await using served = await Served.start(["up", "--rate", "200"]);
    const statusOf = async (): Promise<number> => {
      const { origin, token } = served;
      const answer = await fetch(`${origin}/api/trace`, {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        body: JSON.stringify({ forMs: 10 }),
      });
      await answer.text();
      return answer.status;
    };
    const { page: first } = await openPage(browser, served.url);
    await first.getByRole("navigation").getByRole("link", { name: "Space-time" }).click();
    await first.getByLabel("For how long").selectOption("10000");
    await first.getByRole("button", { name: "Record", exact: true }).click();
    await expect.poll(statusOf).toBe(409);
    const { page: second } = await openPage(browser, served.url);
    await second.getByRole("navigation").getByRole("link", { name: "Space-time" }).click();
    await second.getByRole("button", { name: "Record", exact: true }).click();
    await second.getByText(/somebody is recording p\d already/).waitFor();
    await second.close();
    await first.close();
    await expect.poll(statusOf, { timeout: 5_000 }).toBe(200);
  });

  test("can be used by all, in any colours and widths", async () => {
    for (const look of LOOKS) {
      const page = await opened(undefined, look);
      await openFile(page, LECTURE);
      await page.getByRole("button", { name: "New cut" }).click();
      await picture(page).focus();
      await page.keyboard.press("ArrowRight");
      for (const name of ["Events as a table", "Events inside, by process", "Filter"])
        await page.getByText(name, { exact: true }).click();
      await page.getByRole("row").nth(3).waitFor();
      await expectAccessible(page);
      const overflow = await page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth",
      );
      expect(overflow, `it is wider than ${look.width}`).toBeLessThanOrEqual(0);
      await page.keyboard.press("Escape");
      await page.getByRole("button", { name: "Keys" }).click();
      await page.getByRole("dialog").getByText("the other end of its message").waitFor();
    }
  });
});
