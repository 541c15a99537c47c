import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { createGzip, gzipSync } from "node:zlib";
import type { Request } from "playwright-core";
import { describe, expect, onTestFinished, test } from "vitest";
import {
  browserPath,
  expectAccessible,
  openPage,
  PAGE_FILE,
  startBrowser,
} from "./support/browser.ts";
import { Served } from "./support/served.ts";

/** More than a gigabyte when it is unpacked. */
function much(): Promise<Buffer> {
  const megabyte = Buffer.alloc(1 << 20);
  const parts = Array.from({ length: 1_025 }, () => megabyte);
  return buffer(Readable.from(parts).pipe(createGzip({ level: 1 })));
}

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

  test("where one is, is seen, also where there is no room for the names of all views", async () => {
    const browser = await startBrowser();
    onTestFinished(() => browser.close());
    const width = 390;
    const { page } = await openPage(browser, PAGE_FILE, { width });
    for (const name of ["Store", "System", "Properties"]) {
      await page.evaluate(`location.hash = "#/${name.toLowerCase()}"`);
      const here = page.locator("nav a[aria-current=page]").filter({ hasText: name });
      const box = async () => {
        const { x, width: wide } = (await here.boundingBox()) ?? { x: -1, width: 0 };
        return x >= 0 && x + wide <= width;
      };
      await expect.poll(box).toBe(true);
    }
  });

  test("an address that somebody has written by hand is taken as it stands", async () => {
    const browser = await startBrowser();
    onTestFinished(() => browser.close());
    await using served = await Served.start(["up", "--rate", "10"]);
    const { page, problems } = await openPage(browser, served.url);
    await page.goto(`${served.origin}/#/system/process/100%`);
    await page.getByText("There is no process of that name.").waitFor();
    await page.getByRole("heading", { name: "100%" }).waitFor();
    expect(problems).toEqual([]);
  });

  test("whoever goes on before anything is drawn has the token all the same", async () => {
    const browser = await startBrowser();
    onTestFinished(() => browser.close());
    await using served = await Served.start(["up", "--rate", "10"]);
    const { page } = await openPage(browser, "about:blank");
    await page.addInitScript(
      `document.addEventListener("DOMContentLoaded", () => (location.hash = "#/system/process/nobody"))`,
    );
    await page.goto(served.url);
    await page.getByText("There is no process of that name.").waitFor();
  });

  test("what somebody is about to press stays where it is, whatever else becomes known", async () => {
    const browser = await startBrowser();
    onTestFinished(() => browser.close());
    await using served = await Served.start(["up", "--rate", "10"]);
    for (const width of [1440, 390]) {
      const page = await browser.newPage({ viewport: { width, height: 900 } });
      const { promise: released, resolve: release } = Promise.withResolvers<void>();
      await page.route("**/api/about", async (route) => {
        await released;
        await route.continue();
      });
      await page.goto(served.url);
      const links = page.getByRole("navigation", { name: "Views" }).getByRole("link");
      // Where they are scrolled to does not count.
      const places = (): Promise<unknown> =>
        links.evaluateAll((all) =>
          all.map((one) => {
            const { offsetLeft, offsetTop, offsetWidth } = one as unknown as Record<string, number>;
            return [offsetLeft, offsetTop, offsetWidth];
          }),
        );
      const link = links.filter({ hasText: "Snapshots" });
      await link.hover();
      const before = await places();
      await page.mouse.down();
      release();
      await page.getByText("All is well").waitFor();
      await page.mouse.up();
      await expect.poll(() => link.getAttribute("aria-current")).toBe("page");
      expect(await places()).toEqual(before);
      await page.close();
    }
  });

  test("a page that nobody sees leaves its connection to other pages, and follows when it is seen", async () => {
    const browser = await startBrowser();
    onTestFinished(() => browser.close());
    await using served = await Served.start(["up", "--rate", "10"]);
    const { page, problems } = await openPage(browser, served.url);
    await page.getByText("All is well").waitFor();
    const show = (isHidden: boolean): Promise<void> =>
      page.evaluate(
        `Object.defineProperty(document, "hidden", { value: ${isHidden}, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));`,
      );
    const isStream = (request: Request): boolean => request.url().includes("/api/events");
    const [over] = await Promise.all([page.waitForEvent("requestfailed", isStream), show(true)]);
    expect(over.failure()?.errorText).toBe("net::ERR_ABORTED");
    await Promise.all([page.waitForRequest(isStream), show(false)]);
    await page.getByText("All is well").waitFor();
    expect(problems).toEqual([]);
  });

  test("a server that was started again tells an old page that its token is not the one", async () => {
    const browser = await startBrowser();
    onTestFinished(() => browser.close());
    const first = await Served.start(["up", "--rate", "10"]);
    const { directory, url, origin } = first;
    const { page } = await openPage(browser, url);
    await page.getByText("All is well").waitFor();
    await first[Symbol.asyncDispose]();
    await page.getByText("the server does not answer: it may have ended").first().waitFor();
    await using _ = await Served.start(["ui", directory, "--ui-port", new URL(origin).port]);
    await page.getByText("this server wants the token").first().waitFor();
  });

  test("without the token the page says what is missing", async () => {
    const browser = await startBrowser();
    onTestFinished(() => browser.close());
    await using served = await Served.start(["up", "--rate", "10"]);
    const { page } = await openPage(browser, `${served.origin}/#token=${"0".repeat(32)}`);
    await page.getByRole("alert").getByText("wants the token").waitFor();
    // That is not a server that has ended.
    await page.getByRole("navigation").getByRole("link", { name: "Properties" }).click();
    await page.locator("main").getByText("wants the token").waitFor();
    const { page: without } = await openPage(browser, served.origin);
    await without.getByRole("alert").getByText("wants the token").waitFor();
    // The right URL in the same tab is enough.
    for (const one of [page, without]) {
      await one.goto(served.url);
      await one.getByRole("alert").waitFor({ state: "detached" });
      await expect.poll(() => one.url()).not.toContain("token");
      await one.getByRole("navigation").getByRole("link", { name: "System" }).click();
      await one.getByRole("heading", { name: "Processes and channels" }).waitFor();
    }
  });

  test("an address that is no encoding of anything leads to the view that it names", async () => {
    const browser = await startBrowser();
    onTestFinished(() => browser.close());
    for (const [path, name] of [
      ["space-time/event/%E0%A4%A", "Space-time"],
      ["properties/ask/%", "Properties"],
      ["ordering-lab/%E0%A4%A", "Ordering lab"],
    ]) {
      const { page, problems } = await openPage(browser, `${PAGE_FILE}#/${path}`);
      await page.locator("nav a[aria-current=page]").getByText(String(name)).waitFor();
      expect(problems).toEqual([]);
      await page.close();
    }
  });

  test("a file that is none of ours, or damaged, is told in words, and what is open stays", async () => {
    const browser = await startBrowser();
    onTestFinished(() => browser.close());
    const { page, problems } = await openPage(browser, PAGE_FILE);
    const open = (name: string, buffer: Buffer): Promise<void> =>
      page
        .locator("header input[type=file]")
        .setInputFiles({ name, mimeType: "application/octet-stream", buffer });
    const trace = '{"process":"p","type":"internal"}\n';
    await open("whole.jsonl.gz", gzipSync(trace.repeat(2)));
    await page.getByText("2 events of 1 process").waitFor();
    for (const [name, bytes, said] of [
      ["bytes", Buffer.from([0xff, 0xfe, 0, 1]), "it is no text in UTF-8"],
      ["app.log", Buffer.from("10:00 it began\n"), "tidemark trace import"],
      ["cut.jsonl.gz", gzipSync(trace.repeat(500)).subarray(0, 40), "cut off or damaged"],
      ["more.jsonl.gz", await much(), "more than a gigabyte"],
    ] as const) {
      await open(name, bytes);
      await page.locator(".notice").getByText(`${name} cannot be shown`).getByText(said).waitFor();
      expect(await page.locator(".title").innerText()).toBe("whole.jsonl.gz");
    }
    expect(problems).toEqual([]);
  });

  test("of two files that are opened one upon the other the last is shown, also if the first takes longer", async () => {
    const browser = await startBrowser();
    onTestFinished(() => browser.close());
    const { page, problems } = await openPage(browser, PAGE_FILE);
    await page.locator("main").waitFor();
    // What is evaluated in the page stands as text: tests know no names of a browser.
    await page.evaluate(`(async () => {
      const line = '{"process":"p","type":"internal"}\\n';
      const packed = new Blob([line.repeat(200_000)])
        .stream()
        .pipeThrough(new CompressionStream("gzip"));
      const first = new File([await new Response(packed).blob()], "first.jsonl.gz");
      for (const file of [first, new File([line], "second.jsonl")]) {
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(file);
        const drop = new DragEvent("drop", { bubbles: true, dataTransfer });
        document.querySelector(".shell").dispatchEvent(drop);
      }
    })()`);
    const title = page.locator(".title");
    await title.getByText("second.jsonl").waitFor();
    // Until what was opened first would have come.
    await page.locator("header input[type=file]").setInputFiles({
      ...{ name: "third.jsonl", mimeType: "", buffer: Buffer.from("{}") },
    });
    await page.locator(".notice").getByText("third.jsonl cannot be shown").waitFor();
    expect(await title.innerText()).toBe("second.jsonl");
    expect(problems).toEqual([]);
  });

  test("a hint where to drop goes away with what was dragged", async () => {
    const browser = await startBrowser();
    onTestFinished(() => browser.close());
    const { page, problems } = await openPage(browser, PAGE_FILE);
    await page.locator("main").waitFor();
    const hint = page.getByText("Drop a trace, a snapshot or a lab");
    const drag = (type: string, over: string): Promise<void> =>
      page.evaluate(`{
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([], "x"));
        const relatedTarget = document.querySelector("${over}");
        const event = new DragEvent("${type}", { bubbles: true, dataTransfer, relatedTarget });
        document.querySelector("main").dispatchEvent(event);
      }`);
    await drag("dragover", "header");
    await hint.waitFor();
    // From a part of the page to another one it stays.
    await drag("dragleave", "header");
    expect(await hint.isVisible()).toBe(true);
    await drag("dragleave", "html");
    await hint.waitFor({ state: "detached" });
    expect(problems).toEqual([]);
  });

  test("a view that fails says so, and the others are there", async () => {
    const browser = await startBrowser();
    onTestFinished(() => browser.close());
    const page = await browser.newPage();
    // What no browser of today is without.
    await page.addInitScript("delete globalThis.ResizeObserver");
    await page.goto(`${PAGE_FILE}#/space-time`);
    await page.getByRole("button", { name: /Chandy and Lamport 1985/ }).click();
    await page.getByRole("heading", { name: "Space-time cannot be shown" }).waitFor();
    await page.getByRole("navigation").getByRole("link", { name: "Properties" }).click();
    await page.getByRole("textbox", { name: "Expression" }).waitFor();
  });
});
