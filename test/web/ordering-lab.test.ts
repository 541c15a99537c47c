// The ordering lab in a browser, from the page as a file: without any server.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Browser, Locator, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { readLab } from "../../web/ordering-lab/lab.ts";
import { runLab } from "../../web/ordering-lab/lab-run.ts";
import { PRESETS } from "../../web/ordering-lab/presets.ts";
import { temporaryDirectory } from "../cli/support/command.ts";
import {
  browserPath,
  expectAccessible,
  LOOKS,
  openPage,
  PAGE_FILE,
  startBrowser,
} from "./support/browser.ts";

/** The browser may be slow where much else is done. */
const SOON = { timeout: 30_000 };

describe.skipIf(browserPath === undefined)("the ordering lab", { timeout: 120_000 }, () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await startBrowser();
  });
  afterAll(async () => browser?.close());

  /** The lab of that name, in a tab of its own; what goes wrong in it is a failure. */
  async function openLab(id = "", options: Parameters<typeof openPage>[2] = {}): Promise<Page> {
    const { page, problems } = await openPage(browser, `${PAGE_FILE}#/ordering-lab/${id}`, options);
    onTestFinished(async () => {
      await page.close();
      expect(problems).toEqual([]);
    });
    await page.getByRole("application", { name: /Space-time diagram/ }).waitFor();
    return page;
  }

  const rowOf = (page: Page, message: string, process: string): Locator =>
    page.locator(`tbody[data-message="${message}"] tr[data-process="${process}"]`);

  /** What each process has delivered, as the machines have it at the time that is looked at. */
  async function delivered(page: Page): Promise<Record<string, string>> {
    const looks = page.getByRole("region", { name: / at that time$/ });
    const texts: [string, string][] = [];
    for (const look of await looks.all()) {
      const name = String(await look.getAttribute("aria-label")).replace(" at that time", "");
      const names = await look.locator("ol.lab-names > li").allInnerTexts();
      texts.push([name, names.join(" ")]);
    }
    return Object.fromEntries(texts);
  }

  const message = (page: Page, label: string | RegExp): Locator =>
    page.getByRole("slider", { name: label });

  async function middleOf(locator: Locator): Promise<{ readonly x: number; readonly y: number }> {
    await locator.page().locator(".lab-diagram").scrollIntoViewIfNeeded();
    const box = await locator.boundingBox();
    if (!box) throw new Error("it is not drawn");
    return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
  }

  /** A drag with a stop on the way, as of a hand. */
  async function drag(
    page: Page,
    from: { readonly x: number; readonly y: number },
    to: { readonly x: number; readonly y: number },
  ): Promise<void> {
    await page.mouse.move(from.x, from.y);
    await page.mouse.down();
    await page.mouse.move((from.x + to.x) / 2, (from.y + to.y) / 2, { steps: 3 });
    await page.mouse.move(to.x, to.y, { steps: 3 });
    await page.mouse.up();
  }

  test("has examples that give the deliveries that they are there for", async () => {
    const page = await openLab();
    for (const { id, lab } of PRESETS) {
      await page.getByLabel("Example").selectOption(id);
      await page.getByRole("textbox", { name: "Title of the lab" }).waitFor();
      await expect.poll(() => page.url(), SOON).toContain(`/ordering-lab/${id}`);
      const run = runLab(lab);
      const expected = Object.fromEntries(
        lab.processes.map((process) => [
          process,
          run.deliveries
            .filter(({ at }) => at === process)
            .map((one) => one.message)
            .join(" "),
        ]),
      );
      await expect.poll(() => delivered(page), { ...SOON, message: id }).toEqual(expected);
    }
  });

  test("draws an arrow with the mouse, and takes it back", async () => {
    const page = await openLab();
    await page.getByRole("button", { name: "New" }).click();
    const line = (id: string) => page.locator(`rect[data-process="${id}"]`);
    const [ann, eve] = [await middleOf(line("ann")), await middleOf(line("eve"))];
    await drag(page, { x: ann.x - 200, y: ann.y }, { x: eve.x, y: eve.y });
    await message(page, /^m1: ann sends it, causal/).waitFor();
    // To all, so to bob as well.
    await message(page, "m1: it comes to bob").waitFor();
    await expect.poll(() => delivered(page), SOON).toEqual({ ann: "m1", bob: "m1", eve: "m1" });

    await page.getByRole("button", { name: "To one" }).click();
    await page.getByLabel("order", { exact: true }).first().selectOption("fifo");
    await drag(page, { x: eve.x + 40, y: eve.y }, { x: ann.x + 160, y: ann.y });
    await message(page, /^m2: eve sends it, fifo/).waitFor();
    await expect.poll(() => delivered(page), SOON).toEqual({ ann: "m1 m2", bob: "m1", eve: "m1" });

    await page.keyboard.press("Control+z");
    await expect.poll(() => delivered(page), SOON).toEqual({ ann: "m1", bob: "m1", eve: "m1" });
    await page.getByRole("button", { name: "Undo" }).click();
    await page.getByText("No message yet").waitFor();
    await page.getByRole("button", { name: "Redo" }).click();
    await page.getByRole("button", { name: "Redo" }).click();
    await expect.poll(() => delivered(page), SOON).toEqual({ ann: "m1 m2", bob: "m1", eve: "m1" });
  });

  test("drags a delay, and what waited for it is delivered earlier", async () => {
    const page = await openLab("reply-waits");
    const held = rowOf(page, "answer", "eve").locator("td.warn");
    expect(await held.innerText()).toBe("130");
    const head = message(page, "question: it comes to eve");
    expect(await head.getAttribute("aria-valuenow")).toBe("340");
    const at = await middleOf(head);
    const answer = await middleOf(message(page, "answer: it comes to eve"));
    await drag(page, at, { x: answer.x - 30, y: at.y });
    await expect
      .poll(async () => Number(await head.getAttribute("aria-valuenow")), SOON)
      .toBeLessThan(210);
    await expect.poll(() => held.count(), SOON).toBe(0);

    // Who thinks better of it while dragging lets go by Escape.
    const moved = await head.getAttribute("aria-valuenow");
    const now = await middleOf(head);
    await page.mouse.move(now.x, now.y);
    await page.mouse.down();
    await page.mouse.move(now.x + 300, now.y, { steps: 3 });
    await expect.poll(() => head.getAttribute("aria-valuenow"), SOON).not.toBe(moved);
    await page.keyboard.press("Escape");
    await page.mouse.up();
    await expect.poll(() => head.getAttribute("aria-valuenow"), SOON).toBe(moved);
    await page.getByText("packet stamp ann:0 bob:0 eve:0").waitFor();
    await page.getByText("plain vector ann:1 bob:0 eve:0").waitFor();
  });

  test("moves what has the focus by the arrow keys, and removes it", async () => {
    const page = await openLab("reply-waits");
    const head = message(page, "question: it comes to eve");
    await head.focus();
    await page.keyboard.press("ArrowLeft");
    await expect.poll(() => head.getAttribute("aria-valuenow"), SOON).toBe("330");
    await page.keyboard.press("Shift+ArrowRight");
    await expect.poll(() => head.getAttribute("aria-valuenow"), SOON).toBe("380");
    await expect
      .poll(() => head.getAttribute("aria-valuetext"), SOON)
      .toBe("at 380 ms, after 340 ms");
    await message(page, /^question: ann sends it/).focus();
    await page.keyboard.press("Delete");
    await expect
      .poll(() => delivered(page), SOON)
      .toEqual({ ann: "answer", bob: "answer", eve: "answer" });
  });

  test("delivers elsewhere when a message asks for another order", async () => {
    const page = await openLab("reply-waits");
    await message(page, /^answer: bob sends it/).focus();
    await page.getByLabel("order", { exact: true }).last().selectOption("none");
    await expect
      .poll(() => delivered(page), SOON)
      .toEqual({ ann: "question answer", bob: "question answer", eve: "answer question" });
    await page
      .getByRole("cell", { name: /Not promised for all, and not so: the multicast of question/ })
      .waitFor();
    // The same by the table.
    await page.getByLabel("Order of answer").selectOption("causal-total");
    await expect
      .poll(() => delivered(page), SOON)
      .toEqual({ ann: "question answer", bob: "question answer", eve: "question answer" });
  });

  test("shows at any time what is held back, and why", async () => {
    const page = await openLab("reply-waits");
    await page.getByRole("slider", { name: "The time that is looked at" }).fill("250");
    const eve = page.getByRole("region", { name: "eve at that time" });
    await eve
      .getByText("is held at eve for 40 ms: it waits for packet 1 of ann, which has not come here")
      .waitFor();
    expect(await delivered(page)).toEqual({
      ann: "question answer",
      bob: "question answer",
      eve: "",
    });
    await page.getByRole("button", { name: "One event on" }).click();
    await expect.poll(() => page.locator("output").innerText(), SOON).toBe("340 ms");
    await expect.poll(async () => (await delivered(page))["eve"], SOON).toBe("question answer");
  });

  test("plays to its end, and from event to event for who wants no motion", async () => {
    const page = await openLab("reply-waits");
    await page.emulateMedia({ reducedMotion: "reduce" });
    const now = page.locator("output");
    await page.getByRole("button", { name: "Play" }).click();
    const seen = new Set<string>();
    await expect
      .poll(
        async () => {
          seen.add(await now.innerText());
          return await page.getByRole("button", { name: "Play" }).count();
        },
        { interval: 100, timeout: 30_000 },
      )
      .toBe(1);
    // Nothing but events, and the end.
    const moments = ["0 ms", "40 ms", "100 ms", "140 ms", "210 ms", "340 ms", "400 ms"];
    expect([...seen].filter((time) => !moments.includes(time))).toEqual([]);
    expect(seen.size).toBeGreaterThan(2);
    await page.emulateMedia({ reducedMotion: "no-preference" });
    await page.getByRole("button", { name: "Play" }).click();
    await expect
      .poll(async () => Number.parseInt(await now.innerText(), 10), SOON)
      .toBeGreaterThan(60);
    await page.getByRole("button", { name: "Pause" }).click();
    const stopped = await now.innerText();
    expect(Number.parseInt(stopped, 10)).toBeLessThan(400);
  });

  test("refuses what would break an order, and names the messages", async () => {
    const page = await openLab("reply-waits");
    await page.getByRole("button", { name: "Refuse" }).click();
    const status = page.locator(".lab-banner");
    // As it is drawn it breaks causal order: nothing is held back.
    await status
      .getByText("Broken: causal order. The multicast of question happened before")
      .waitFor();
    const takes = page.getByLabel("How long question takes to eve");
    await takes.fill("100");
    await takes.press("Enter");
    await status.getByText("no order that is asked for is broken").waitFor();
    await page.locator(".lab-banner.bad").waitFor({ state: "detached" });

    const head = message(page, "question: it comes to eve");
    const answer = await middleOf(message(page, "answer: it comes to eve"));
    await drag(page, await middleOf(head), { x: answer.x + 60, y: answer.y });
    await status
      .getByText(
        "Refused: causal order. The multicast of question happened before that of answer, but eve delivers answer before question.",
      )
      .waitFor();
    // It is as it was, and those two are marked.
    expect(await head.getAttribute("aria-valuenow")).toBe("140");
    expect(await takes.inputValue()).toBe("100");
    for (const name of ["question", "answer"]) {
      await page.locator(`tbody[data-message="${name}"]`).getByText("breaks an order").waitFor();
      expect(await message(page, `${name}: it comes to eve`).getAttribute("class")).toContain(
        "is-wrong",
      );
    }
  });

  test("takes a snapshot anywhere, with its markers, its cut and what is in flight", async () => {
    const page = await openLab("in-flight");
    const card = page.getByRole("region", { name: "Snapshot 1" });
    await card.getByText("The cut was made at 320 ms: 2 states, 1 message in flight.").waitFor();
    await card.getByText("ann → bob: money").waitFor();
    await message(page, "the marker of snapshot 1 from bob comes to ann").waitFor();
    // While it is recorded the channel is seen to be.
    await page.getByRole("slider", { name: "The time that is looked at" }).fill("200");
    await page
      .getByRole("region", { name: "bob at that time" })
      .getByText("from ann: recording, empty")
      .waitFor();
    // A marker may come later; then the message is in flight all the same, for the channel is FIFO.
    await message(page, "the marker of snapshot 1 from bob comes to ann").focus();
    await page.keyboard.press("Shift+ArrowRight");
    await card.getByText("ann recorded at 210 ms").waitFor();

    await page.getByRole("button", { name: "Snapshot", exact: true }).click();
    const ann = await middleOf(page.locator('rect[data-process="ann"]'));
    await page.mouse.click(ann.x - 300, ann.y);
    await page.getByRole("region", { name: "Snapshot 2" }).getByText("The cut was made").waitFor();
    await page.getByRole("button", { name: "Remove snapshot 1" }).click();
    await page.getByRole("region", { name: "Snapshot 2" }).waitFor({ state: "detached" });
  });

  test("adds, renames, moves and removes processes", async () => {
    const page = await openLab("two-writes");
    await page.getByRole("button", { name: "Add a process" }).click();
    await expect
      .poll(async () => Object.keys(await delivered(page)), SOON)
      .toEqual(["ann", "bob", "eve", "dan"]);
    await expect.poll(async () => (await delivered(page))["dan"], SOON).toBe("write-1 write-2");
    const name = page.getByLabel("Name of dan");
    await name.fill("ann");
    await name.press("Enter");
    await page.getByText("dan is not renamed: there is a process ann already.").waitFor();
    await name.fill("aaron");
    await name.press("Enter");
    await page.getByRole("button", { name: "Move aaron up" }).click();
    await expect
      .poll(async () => Object.keys(await delivered(page)), SOON)
      .toEqual(["ann", "bob", "aaron", "eve"]);
    await page.getByRole("button", { name: "Remove ann" }).click();
    await expect
      .poll(() => delivered(page), SOON)
      .toEqual({ bob: "write-2", aaron: "write-2", eve: "write-2" });
    await page.getByRole("status").getByRole("button", { name: "Undo" }).click();
    await expect
      .poll(async () => Object.keys(await delivered(page)), SOON)
      .toEqual(["ann", "bob", "aaron", "eve"]);
  });

  test("saves, loads and shares; what is no lab is told in words", async () => {
    const page = await openLab("lecture");
    const title = page.getByLabel("Title of the lab");
    await title.fill("My own");
    await title.press("Enter");
    const saving = page.waitForEvent("download");
    await page.getByRole("button", { name: "Save" }).click();
    const download = await saving;
    expect(download.suggestedFilename()).toBe("my-own.tidemark-lab.json");
    const lab = readLab(await readFile(await download.path(), "utf8"));
    expect(lab.messages).toEqual(PRESETS.find(({ id }) => id === "lecture")?.lab.messages);

    await page.getByRole("button", { name: "Share" }).click();
    const link = await page.getByLabel("Link to this lab").inputValue();
    const other = await openLab();
    await other.goto(link);
    await expect.poll(() => other.getByLabel("Title of the lab").inputValue(), SOON).toBe("My own");
    await expect
      .poll(() => delivered(other), SOON)
      .toEqual({ P1: "h→d", P2: "b→f i→g", P3: "e→k" });
    // It is still there when one comes back to the view.
    await other.getByRole("link", { name: "Store" }).click();
    await other.getByRole("link", { name: "Ordering lab" }).click();
    await expect.poll(() => other.getByLabel("Title of the lab").inputValue(), SOON).toBe("My own");

    const directory = temporaryDirectory();
    const [good, bad] = [join(directory, "good.json"), join(directory, "bad.json")];
    await writeFile(good, JSON.stringify({ ...lab, title: "Loaded" }));
    await writeFile(bad, JSON.stringify({ ...lab, processes: ["P1"] }));
    const input = other.locator(".lab-files input[type=file]");
    await input.setInputFiles(good);
    await expect.poll(() => other.getByLabel("Title of the lab").inputValue(), SOON).toBe("Loaded");
    await input.setInputFiles(bad);
    await other
      .getByText(
        "bad.json cannot be loaded: as a lab, processes must name 2 to 8 processes, no two alike.",
      )
      .waitFor();
    // As any other file, from any view; and it is not shown again to who comes back.
    await other.getByRole("link", { name: "Space-time" }).click();
    await other.locator("header input[type=file]").setInputFiles(bad);
    await other.getByText(/bad.json cannot be shown: as a lab, processes must name/).waitFor();
    expect(other.url()).toContain("#/space-time");
    await writeFile(good, JSON.stringify({ ...lab, title: "Opened" }));
    await other.locator("header input[type=file]").setInputFiles(good);
    await expect.poll(() => other.getByLabel("Title of the lab").inputValue(), SOON).toBe("Opened");
    await other.getByLabel("Title of the lab").fill("Changed");
    await other.getByLabel("Title of the lab").press("Enter");
    await other.getByRole("link", { name: "Store" }).click();
    await other.getByRole("link", { name: "Ordering lab" }).click();
    await expect
      .poll(() => other.getByLabel("Title of the lab").inputValue(), SOON)
      .toBe("Changed");
    await other.goto(`${PAGE_FILE}#/ordering-lab/bm9uZQ`);
    await other.getByText(/This lab cannot be shown: it is no JSON/).waitFor();
  });

  test("is no wider than the page with names as long as they may be", async () => {
    const page = await openLab("reply-waits", { width: 390 });
    const { lab } = PRESETS.find(({ id }) => id === "reply-waits") ?? {};
    if (!lab) throw new Error("there is no such example");
    const messages = lab.messages.map((one, i) => ({ ...one, name: `${i}`.padEnd(24, "W") }));
    const buffer = Buffer.from(JSON.stringify({ ...lab, messages }));
    await page
      .getByLabel("Load…")
      .setInputFiles({ name: "long.json", mimeType: "application/json", buffer });
    await page.locator(".lab-chip").getByText(String(messages[0]?.name)).first().waitFor();
    const overflow = await page.evaluate(
      "document.documentElement.scrollWidth - document.documentElement.clientWidth",
    );
    expect(overflow).toBeLessThanOrEqual(0);
  });

  test.each(LOOKS)("can be used by all, in $scheme colours and $width wide", async (options) => {
    const page = await openLab("held-in-snapshot", options);
    await page.getByRole("slider", { name: "The time that is looked at" }).fill("250");
    await message(page, "question: it comes to eve").focus();
    await expectAccessible(page);
    await page.getByRole("button", { name: "Refuse" }).click();
    await page.locator(".lab-banner.bad").waitFor();
    await expectAccessible(page);
    const overflow = await page.evaluate(
      "document.documentElement.scrollWidth - document.documentElement.clientWidth",
    );
    expect(overflow).toBeLessThanOrEqual(0);
  });
});
