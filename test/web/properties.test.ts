import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { temporaryDirectory } from "../cli/support/command.ts";
import { browserPath, expectAccessible, LOOKS, openPage, startBrowser } from "./support/browser.ts";
import { Served } from "./support/served.ts";

const PATIENT = { timeout: 45_000 };

/** Each waits for whom it is told to wait for, and makes a garbage circle with it. */
const APPLICATION = `
class Waiting {
  #id;
  #waitsFor = "";
  constructor(id) { this.#id = id; }
  request(id, next, turn) { this.#waitsFor = next; turn.reply(id, "ok"); }
  receive() {}
  waits() { return this.#waitsFor === "" ? [] : [{ for: [this.#waitsFor], request: "its turn" }]; }
  goods() { return { turn: this.#id === "a" ? 1 : 0 }; }
  isPassive() { return true; }
  references() {
    const [own, next] = [this.#id + "1", this.#waitsFor + "1"];
    return this.#waitsFor === "" ? { roots: [own], objects: { [own]: [] } } : { objects: { [own]: [next] } };
  }
  capture() { return this.#waitsFor; }
  restore(state) { this.#waitsFor = state; }
}
export default { processes: ["a", "b", "c"], application: (id) => new Waiting(id) };
`;

function applicationFile(): string {
  const file = join(temporaryDirectory(), "waiting.mjs");
  writeFileSync(file, APPLICATION);
  return file;
}

describe.skipIf(browserPath === undefined)("properties in a browser", { timeout: 300_000 }, () => {
  test("a deadlock, and garbage, of an application of one's own are found when they come about, and drawn", async () => {
    const browser = await startBrowser();
    onTestFinished(() => browser.close());
    await using served = await Served.start(["up", applicationFile(), "--interval", "1h"]);
    const { page, problems } = await openPage(browser, served.url);
    await page.getByRole("navigation", { name: "Views" }).getByText("Properties").click();
    // What the application declares is offered.
    for (const name of ["deadlock", "termination", "garbage", "sum=turn", "token=turn"])
      await page.getByRole("checkbox", { name: new RegExp(`^${name}`) }).waitFor(PATIENT);
    await page.getByRole("checkbox", { name: /^termination/ }).uncheck();
    await page.getByLabel("Seconds from one look to the next").fill("0.2");
    await page.getByRole("button", { name: "Start watching" }).click();
    const deadlock = page.getByRole("article", { name: "deadlock" });
    await deadlock.getByText("nobody waits").waitFor(PATIENT);
    expect(await page.getByRole("article", { name: "termination" }).count()).toBe(0);
    await page
      .getByRole("article", { name: "token=turn" })
      .getByText("it is at a")
      .waitFor(PATIENT);

    for (const [process, request] of [
      ["a", "b"],
      ["b", "c"],
      ["c", "a"],
    ])
      await served.ask("POST", "/api/requests", { process, request });
    const graph = deadlock.getByRole("img", { name: "Who waits for whom; the knot is red" });
    await graph.waitFor(PATIENT);
    expect(await graph.locator("g.bad").count()).toBe(3);
    expect(await graph.locator("path.line.bad").count()).toBe(3);
    await deadlock.getByText("Who waits for whom").click();
    await deadlock.getByText("a waits for b: its turn").waitFor();
    const garbage = page.getByRole("article", { name: "garbage" });
    expect(await garbage.getByRole("img").locator("g.bad").count()).toBe(3);
    // The snapshot in which it was found stays; those before are gone.
    const changes = page.getByRole("list", { name: "Changes, newest first" });
    await changes.getByRole("link").first().waitFor();
    await expectAccessible(page);
    await page.getByRole("button", { name: "Stop watching" }).click();
    await page.getByText("Nothing is watched any more.").waitFor(PATIENT);
    await graph.waitFor();
    expect(problems).toEqual([]);
  });

  test("where the file of an application is not known, the page says how to make it known", async () => {
    const browser = await startBrowser();
    onTestFinished(() => browser.close());
    const file = applicationFile();
    await using up = await Served.start(["up", file, "--interval", "1h"]);
    await using unknown = await Served.start(["ui", up.directory]);
    const { page } = await openPage(
      browser,
      `${unknown.url.replace("#token", "#/properties&token")}`,
    );
    await page.getByText(/tidemark ui --module FILE/).waitFor(PATIENT);
    expect(await page.getByRole("button", { name: "Start watching" }).isDisabled()).toBe(true);
    const body = { detectors: ["deadlock"], everyMs: 200 };
    expect((await unknown.ask("PUT", "/api/watch", body)).status).toBe(400);
    await using known = await Served.start(["ui", up.directory, "--module", file]);
    expect((await known.ask("GET", "/api/detectors")).body).toMatchObject({
      detectors: expect.arrayContaining(["deadlock", "garbage"]),
    });
    const { page: other, problems } = await openPage(browser, known.url);
    await other.getByRole("navigation", { name: "Views" }).getByText("Properties").click();
    await other.getByRole("button", { name: "Start watching" }).click();
    await other
      .getByRole("article", { name: "deadlock" })
      .getByText("nobody waits")
      .waitFor(PATIENT);
    // Another page sees what this one has started.
    const { page: third } = await openPage(browser, known.url);
    await third.getByRole("navigation", { name: "Views" }).getByText("Properties").click();
    await third.getByRole("button", { name: "Watch this instead" }).waitFor(PATIENT);
    expect(problems).toEqual([]);
  });

  test("of a trace it is said whether something can have been so, and whether it must have been", async () => {
    const browser = await startBrowser();
    onTestFinished(() => browser.close());
    await using served = await Served.start(["ui", temporaryDirectory()]);
    const { page, problems } = await openPage(browser, served.url);
    await page.getByRole("navigation", { name: "Views" }).getByText("Properties").click();
    await page.getByText("No trace is open.").waitFor(PATIENT);
    await expectAccessible(page);
    await page.getByRole("button", { name: "Try it with an example" }).click();
    const possibly = page.getByRole("region", { name: /^Possibly: / });
    await possibly.getByRole("heading", { name: "Possibly: yes" }).waitFor(PATIENT);
    await page.getByRole("heading", { name: "Definitely: no" }).waitFor();
    const cut = possibly.getByRole("link");
    await cut.click();
    await page
      .getByRole("region", { name: "Cut" })
      .getByText(/^Consistent/)
      .waitFor(PATIENT);
    await page.goBack();
    await possibly.getByRole("heading", { name: "Possibly: yes" }).waitFor(PATIENT);
    await possibly.getByText("in which the trace is told, it holds at no time").waitFor();
    expect(page.url()).toMatch(/#\/properties\/ask\/count/);
    await expectAccessible(page);

    // What is wrong is told at its place, and names help.
    const expression = page.getByLabel("Expression");
    await expression.fill("a.term > 1 && a.leeds");
    await page.getByText("At character 17: a has no value leeds").waitFor(PATIENT);
    expect(await page.locator("mark").innerText()).toBe("leeds");
    expect(await page.getByRole("button", { name: "Ask", exact: true }).isDisabled()).toBe(true);
    await expression.fill("b.le");
    await page.getByRole("button", { name: "b.leads" }).click();
    expect(await expression.inputValue()).toBe("b.leads");
    await page.keyboard.type(" && a.term == 1");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Definitely: yes" }).waitFor(PATIENT);
    await page.getByText("It was so at some time, in whatever order").waitFor();
    // A link asks the same.
    await page.goBack();
    await page.getByRole("heading", { name: "Definitely: no" }).waitFor(PATIENT);
    expect(problems).toEqual([]);
  });

  test("every state of it is there for all, in any colours and widths", async () => {
    const browser = await startBrowser();
    onTestFinished(() => browser.close());
    await using served = await Served.start(["up", "--rate", "20"]);
    const body = { detectors: ["sum=money:4001", "deadlock"], everyMs: 300 };
    expect(await served.ask("PUT", "/api/watch", body)).toEqual({ status: 200, body: {} });
    for (const look of LOOKS) {
      const { page, problems } = await openPage(browser, served.url, look);
      await page.getByRole("navigation", { name: "Views" }).getByText("Properties").click();
      await page.getByText("there are 4000 and not 4001: 1 is lost").first().waitFor(PATIENT);
      await page.getByRole("article", { name: "deadlock" }).getByText("unknown").waitFor();
      await page.getByLabel("Another detector").fill("deadlok");
      await page.getByText('there is no detector "deadlok"').waitFor();
      await expectAccessible(page);
      const overflow = await page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth",
      );
      expect(overflow, `it is wider than ${look.width}`).toBeLessThanOrEqual(0);
      expect(problems).toEqual([]);
      await page.close();
    }
  });
});
