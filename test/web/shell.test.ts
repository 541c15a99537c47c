import { describe, expect, onTestFinished, test } from "vitest";
import {
  browserPath,
  expectAccessible,
  openPage,
  PAGE_FILE,
  startBrowser,
} from "./support/browser.ts";
import { Served } from "./support/served.ts";

const VIEWS = ["System", "Snapshots", "Space-time", "Ordering lab", "Properties", "Store"];

describe.skipIf(browserPath === undefined)("in a browser", { timeout: 120_000 }, () => {
  test("every view is there, in any colours and widths, and can be used by all", async () => {
    const browser = await startBrowser();
    onTestFinished(() => browser.close());
    await using served = await Served.start(["up", "--rate", "10"]);
    for (const scheme of ["light", "dark"] as const)
      for (const width of [1440, 390]) {
        const { page, problems } = await openPage(browser, served.url, { width, scheme });
        await page.locator("main").waitFor();
        const hrefs = new Map(
          await page
            .locator("nav a")
            .evaluateAll((links) =>
              links.map((link) => [String(link.textContent), String(link.getAttribute("href"))]),
            ),
        );
        // Whoever looks at the screen, or gets a link, does not have it.
        expect(page.url()).not.toContain(served.token);
        for (const name of VIEWS) {
          await page.getByRole("navigation").getByRole("link", { name, exact: true }).click();
          const here = page.locator("nav a[aria-current=page]");
          await expect.poll(() => here.innerText()).toBe(name);
          await expect.poll(() => page.url()).toContain(hrefs.get(name));
          await expectAccessible(page);
          const overflow = await page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth",
          );
          expect(overflow, `${name} is wider than ${width}`).toBeLessThanOrEqual(0);
        }
        expect(problems).toEqual([]);
        await page.close();
      }
  });

  test("what is seen first fits what is served, and has its own address", async () => {
    const browser = await startBrowser();
    onTestFinished(() => browser.close());
    const firstOf = async (url: string): Promise<string> => {
      const { page, problems } = await openPage(browser, url);
      const here = await page.locator("nav a[aria-current=page]").innerText();
      const href = await page.locator("nav a[aria-current=page]").getAttribute("href");
      expect(page.url()).toContain(href);
      // Who asks for nothing sees the same.
      await page.getByRole("link", { name: "Tidemark", exact: true }).click();
      await expect.poll(() => page.url()).toContain(href);
      expect(problems).toEqual([]);
      await page.close();
      return here;
    };
    const up = await Served.start(["up", "--rate", "10"]);
    onTestFinished(() => up[Symbol.asyncDispose]());
    const { directory } = up;
    expect(await firstOf(up.url)).toBe("System");
    await using ui = await Served.start(["ui", directory]);
    expect(await firstOf(ui.url)).toBe("System");
    await up[Symbol.asyncDispose]();
    await expect
      .poll(async () => (await ui.ask("GET", "/api/about")).body["kind"])
      .toBe("directory");
    expect(await firstOf(ui.url)).toBe("Snapshots");
    // A page without any server.
    expect(await firstOf(PAGE_FILE)).toBe("Ordering lab");
  });

  test("without the token the page says what is missing", async () => {
    const browser = await startBrowser();
    onTestFinished(() => browser.close());
    await using served = await Served.start(["up", "--rate", "10"]);
    const { page } = await openPage(browser, `${served.origin}/#token=${"0".repeat(32)}`);
    await page.getByRole("alert").getByText("wants the token").waitFor();
  });
});
