import type { Page } from "playwright-core";
import { describe, expect, onTestFinished, test } from "vitest";
import { browserPath, expectAccessible, openPage, startBrowser } from "./support/browser.ts";
import { Served } from "./support/served.ts";

/** Something that a person would wait for; machines that are busy take long. */
const PATIENT = { timeout: 45_000 };

/** A cell of the row that begins with that name, as it is now. */
async function cell(page: Page, table: string, row: string, column: string): Promise<string> {
  const region = page.getByRole("region", { name: table, exact: true });
  const heads = await region.getByRole("columnheader").allInnerTexts();
  const cells = region
    .getByRole("row")
    .filter({ has: page.getByRole("rowheader", { name: row, exact: true }) })
    .locator("th, td");
  return (await cells.nth(heads.map((text) => text.trim()).indexOf(column)).innerText()).trim();
}

const numberIn = (text: string): number => Number(text.replaceAll(/[^0-9]/g, "") || Number.NaN);

describe.skipIf(browserPath === undefined)("the system in a browser", { timeout: 300_000 }, () => {
  test("rates are shown, a snapshot is taken, and a process that is killed comes back with nothing lost", async () => {
    const browser = await startBrowser();
    onTestFinished(() => browser.close());
    await using served = await Served.start(["up", "--chaos", "--log", "always", "--rate", "200"]);
    const { page, problems } = await openPage(browser, served.url);
    for (const process of ["p1", "p2", "p3", "p4"])
      await expect
        .poll(async () => numberIn(await cell(page, "Processes", process, "sent/s")), PATIENT)
        .toBeGreaterThan(0);
    await page.getByRole("link", { name: /^p1 → p2: [0-9,]+ a second/ }).waitFor();
    await expectAccessible(page);

    await page.getByLabel("Label of the snapshot").fill("before");
    await page.getByRole("button", { name: "Take a snapshot" }).click();
    const outcome = page.getByRole("region", { name: "Summary" }).getByRole("status");
    await outcome.getByText(/proven consistent and adds up: 4,000 of 4,000/).waitFor(PATIENT);
    const id = await outcome.getByRole("link").innerText();
    expect(id).toMatch(/^p[1-4]\/[0-9]+$/);
    expect(await outcome.getByRole("link").getAttribute("href")).toBe(`#/snapshots/${id}`);

    await page.getByRole("link", { name: "p2", exact: true }).click();
    expect(page.url()).toMatch(/#\/system\/process\/p2$/);
    const pid = await cell(page, "Processes", "p2", "pid");
    const row = page.getByRole("region", { name: "Processes", exact: true }).getByRole("row");
    const second = row.filter({ has: page.getByRole("rowheader", { name: "p2", exact: true }) });
    await second.getByRole("button", { name: "Kill p2: you are asked first" }).click();
    const dialog = page.getByRole("dialog", { name: "Kill p2?" });
    await dialog.getByText("goes on from its log: nothing is lost").waitFor();
    await expectAccessible(page);
    // Escape is a no.
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    expect(await cell(page, "Processes", "p2", "restarts")).toBe("0");
    await second.getByRole("button", { name: "Kill p2: you are asked first" }).click();
    await dialog.getByRole("button", { name: "Kill p2", exact: true }).click();
    const notes = page.getByRole("region", { name: "Notes" });
    await notes.getByText(/p2 \(process [0-9]+\) is killed, as somebody wanted/).waitFor(PATIENT);
    await expect.poll(() => cell(page, "Processes", "p2", "restarts"), PATIENT).toBe("1");
    await expect.poll(() => cell(page, "Processes", "p2", "state"), PATIENT).toBe("● up");
    expect(await cell(page, "Processes", "p2", "epoch")).toBe("1");
    expect(await cell(page, "Processes", "p2", "last end")).toBe("SIGKILL");
    expect(await cell(page, "Processes", "p2", "pid")).not.toBe(pid);
    await notes.getByText(/p2 runs again .* goes on from its log; restarts: 1/).waitFor(PATIENT);

    // All the money is there still.
    await page.getByRole("navigation", { name: "Views" }).getByText("Properties").click();
    await page.getByRole("checkbox", { name: /^sum=money:4000/ }).waitFor();
    await page.getByLabel("Seconds from one look to the next").fill("0.2");
    await page.getByRole("button", { name: "Start watching" }).click();
    const verdict = page.getByRole("article", { name: "sum=money" });
    await verdict.getByText("all 4000 are there").waitFor(PATIENT);
    await page.getByText(/: [3-9] looks\./).waitFor(PATIENT);
    await verdict.getByRole("img", { name: /all 4,000 at each of/ }).waitFor(PATIENT);
    expect(problems).toEqual([]);
  });

  test("a process that is halted holds up others, which is told with its cause, until it is resumed", async () => {
    const browser = await startBrowser();
    onTestFinished(() => browser.close());
    await using served = await Served.start(["up", "--chaos", "--log", "always", "--rate", "200"]);
    const { page, problems } = await openPage(browser, served.url);
    const state = page.getByTestId("state");
    await state.getByText("All is well").waitFor(PATIENT);
    await page.getByRole("button", { name: /^Halt p3: process [0-9]+ gets SIGSTOP/ }).click();
    await expect.poll(() => cell(page, "Processes", "p3", "state"), PATIENT).toBe("▲ halted");
    const causes = page.getByRole("region", { name: "What holds it up" });
    await causes.getByText("p3 does not answer").first().waitFor(PATIENT);
    await causes.getByText("PROCESS_SILENT").first().waitFor(PATIENT);
    // A snapshot waits for it.
    await page.getByRole("button", { name: "Take a snapshot" }).click();
    await causes
      .getByText(/holds up [1-9][0-9]* of/)
      .first()
      .waitFor(PATIENT);
    await state.getByText(/ late/).waitFor(PATIENT);
    await expectAccessible(page);
    await page.getByRole("button", { name: /^Resume p3: process [0-9]+ gets SIGCONT/ }).click();
    await expect.poll(() => cell(page, "Processes", "p3", "state"), PATIENT).toBe("● up");
    await page.getByText(/proven consistent and adds up: 4,000 of 4,000/).waitFor(PATIENT);
    await state.getByText("All is well").waitFor(PATIENT);
    expect(await cell(page, "Processes", "p3", "restarts")).toBe("0");
    expect(problems).toEqual([]);
  });

  test("on a channel that is cut more and more is in flight, and when it is healed it arrives", async () => {
    const browser = await startBrowser();
    onTestFinished(() => browser.close());
    await using served = await Served.start([
      ...["up", "--chaos", "--rate", "200", "--interval", "1h"],
    ]);
    const { page, problems } = await openPage(browser, served.url, { width: 390, scheme: "dark" });
    const inFlight = async (): Promise<number> =>
      numberIn(await cell(page, "Channels", "p1 → p2", "in flight"));
    await page.getByRole("button", { name: /^Cut p1 → p2: nothing/ }).click();
    await expect.poll(() => cell(page, "Channels", "p1 → p2", "state"), PATIENT).toBe("✕ cut");
    await expect.poll(inFlight, PATIENT).toBeGreaterThan(150);
    // The others go on.
    expect(numberIn(await cell(page, "Channels", "p1 → p3", "in flight"))).toBeLessThan(150);
    await page.getByRole("link", { name: "p1 → p2", exact: true }).click();
    expect(page.url()).toMatch(/#\/system\/channel\/p1\/p2$/);
    const detail = page.getByRole("region", { name: "p1 → p2", exact: true });
    await detail.getByText("Cut: nothing gets through").waitFor();
    await expectAccessible(page);
    // What was done can be undone where it is told.
    await page
      .getByRole("region", { name: "Channels" })
      .getByRole("button", { name: /^Heal p1 → p2/ })
      .click();
    await expect.poll(() => cell(page, "Channels", "p1 → p2", "state"), PATIENT).toBe("● up");
    await expect.poll(inFlight, PATIENT).toBeLessThan(50);
    expect(problems).toEqual([]);
  });

  test("without --chaos nothing can be disturbed: there are no buttons, and the API refuses", async () => {
    const browser = await startBrowser();
    onTestFinished(() => browser.close());
    await using served = await Served.start(["up", "--rate", "50"]);
    const { page, problems } = await openPage(browser, served.url);
    await page.getByRole("rowheader", { name: "p1 → p2" }).waitFor(PATIENT);
    expect(await page.getByRole("button", { name: /^(Kill|Halt|Cut)/ }).count()).toBe(0);
    for (const body of [
      { what: "kill", process: "p1" },
      { what: "cut", from: "p1", to: "p2" },
    ]) {
      const answer = await served.ask("POST", "/api/disturbances", body);
      expect(answer).toMatchObject({
        status: 400,
        body: { code: "BAD_OPTION", message: expect.stringMatching(/start it with --chaos/) },
      });
    }
    expect(await cell(page, "Processes", "p1", "state")).toBe("● up");
    expect(problems).toEqual([]);
  });

  test("the page of a directory follows a system that starts, ends, and starts again", async () => {
    const browser = await startBrowser();
    onTestFinished(() => browser.close());
    let up: Served | undefined = await Served.start(["up", "--chaos", "--rate", "10"]);
    onTestFinished(async () => await up?.[Symbol.asyncDispose]());
    const { directory } = up;
    await using served = await Served.start(["ui", directory]);
    const { page, problems } = await openPage(browser, served.url);
    await page.getByRole("button", { name: /^Kill p4/ }).waitFor(PATIENT);
    await up[Symbol.asyncDispose]();
    up = undefined;
    await page.getByText("What is shown is from").waitFor(PATIENT);
    up = await Served.start(["up", "--processes", "2", "--new", "--rate", "10"], directory);
    await expect
      .poll(
        () => page.getByRole("region", { name: "Processes", exact: true }).getByRole("row").count(),
        PATIENT,
      )
      .toBe(3);
    expect(await page.getByRole("button", { name: /^Kill/ }).count()).toBe(0);
    expect(problems).toEqual([]);
  });
});
