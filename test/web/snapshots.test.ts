import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Redis } from "ioredis";
import type { Page } from "playwright-core";
import { describe, expect, onTestFinished, test } from "vitest";
import { directoryStore } from "../../src/runtime/directory-store.ts";
import type { Manifest } from "../../src/snapshot/manifest.ts";
import { filesBelow, temporaryDirectory, tidemark } from "../cli/support/command.ts";
import { freePorts } from "../support/ports.ts";
import {
  browserPath,
  expectAccessible,
  openPage,
  PAGE_FILE,
  startBrowser,
} from "./support/browser.ts";
import { Served } from "./support/served.ts";

/** It takes none by itself, so that what is listed is known. */
/** A machine may be slow. */
const SOON = { timeout: 30_000 };
const RUNNING = ["up", "--rate", "200", "--log", "always", "--interval", "1h"];

async function opened(url: string, options: Parameters<typeof openPage>[2] = {}) {
  const browser = await startBrowser();
  const one = await openPage(browser, url, options);
  onTestFinished(() => browser.close());
  await one.page.getByRole("link", { name: "Snapshots", exact: true }).click();
  return { browser, ...one };
}

/** Takes one by the page. Gives its id. */
async function take(page: Page, label: string): Promise<string> {
  await page.getByRole("textbox", { name: "Label of the next snapshot" }).fill(label);
  await page.getByRole("button", { name: "Take a snapshot" }).click();
  // While it is under way, there is nothing to compare.
  await page.getByRole("row").filter({ hasText: label }).getByRole("checkbox").waitFor();
  return await idOf(page, label);
}

async function idOf(page: Page, label: string): Promise<string> {
  return String(
    await page.getByRole("row").filter({ hasText: label }).getByRole("link").textContent(),
  );
}

async function goTo(page: Page, path: string): Promise<void> {
  await page.evaluate(`location.hash = ${JSON.stringify(`#/snapshots${path}`)}`);
}

const isProven = (page: Page) => page.getByRole("status").filter({ hasText: "✓ Consistent" });
const isNotProven = (page: Page) => page.getByRole("alert").filter({ hasText: "✗ Not proven" });

async function expectNoOverflow(page: Page): Promise<void> {
  const overflow = await page.evaluate(
    "document.documentElement.scrollWidth - document.documentElement.clientWidth",
  );
  expect(overflow).toBeLessThanOrEqual(0);
}

/** Changes one byte of the first state of a snapshot, and says in which file. */
function damage(directory: string, id: string): string {
  const json = readFileSync(join(directory, "snapshots", `${id.replace("/", "-")}.json`), "utf8");
  const { pieces } = JSON.parse(json) as Pick<Manifest, "pieces">;
  const part = pieces[0]?.state.parts[0];
  if (!part) throw new Error(`${id} has no state`);
  const { sha256, pack = sha256, offset = 0 } = part;
  const file = join(directory, "parts", pack.slice(0, 2), pack);
  const bytes = readFileSync(file);
  bytes[offset + 1] = Number(bytes[offset + 1]) ^ 1;
  writeFileSync(file, bytes);
  return pack;
}

describe.skipIf(browserPath === undefined)("snapshots on the page", { timeout: 180_000 }, () => {
  test("are taken, opened, proven, compared, restored and cloned, of a running system", async () => {
    await using served = await Served.start(RUNNING);
    const { page, problems } = await opened(served.url);
    const first = await take(page, "first");
    const second = await take(page, "second");

    // What is in it, and its proof.
    await page.getByRole("link", { name: first, exact: true }).click();
    await isProven(page).getByText("12 channels of 4 processes").waitFor();
    await page.getByRole("region", { name: "State of p1" }).getByText("balance").waitFor();
    await page.getByRole("link", { name: "p3" }).click();
    await page.getByRole("region", { name: "State of p3" }).getByText("balance").waitFor();
    expect(page.url()).toMatch(/states\/p3$/);
    await page.getByRole("link", { name: "In flight" }).click();
    const matrix = page.getByRole("table", { name: "Messages in flight from each process" });
    await expect.poll(() => matrix.getByRole("row").count(), SOON).toBe(5);
    const shown = JSON.parse(
      (await tidemark(["show", first, "--json", "--dir", served.directory])).stdout,
    );
    for (const { from, to, messages } of shown.channels) {
      const many = `${messages.length} message${messages.length === 1 ? "" : "s"} from ${from} to ${to}`;
      await matrix.getByRole("link", { name: many }).click();
      const table = page.getByRole("region", { name: `Messages from ${from} to ${to}` });
      if (messages.length === 0) await table.getByText("Nothing is in flight").waitFor();
      else
        await expect
          .poll(() => table.getByRole("row").nth(1).locator("td").first().textContent(), SOON)
          .toBe(String(messages[0].amount));
    }
    for (const name of ["Certificate", "Timing", "Find"]) {
      await page.getByRole("link", { name, exact: true }).click();
      await expectAccessible(page);
    }
    await page.getByRole("textbox", { name: "Path" }).fill("$.balance");
    await page.getByRole("button", { name: "Find" }).click();
    await page.getByRole("status").getByText("4 values found.").waitFor();

    // Compared with the other.
    await page.getByRole("combobox", { name: "Compare with" }).fill(second);
    await page.getByRole("button", { name: "Compare", exact: true }).click();
    await page.getByRole("link", { name: "The other way round" }).click();
    await page.getByRole("status").getByText("changed").waitFor();
    expect(page.url()).toContain(`#/snapshots/${first}/diff/${second}`);
    const changed = page.getByRole("region", { name: "State of p1" });
    await changed.getByRole("rowheader", { name: "$.transfers" }).waitFor();
    await expectAccessible(page);

    // Restored: first what that would take back.
    await goTo(page, `/${first}`);
    await page.getByRole("button", { name: "Restore…" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("table", { name: "Messages that would be taken back" }).waitFor();
    await expectAccessible(page);
    expect(await dialog.getByRole("button", { name: "Restore" }).isDisabled()).toBe(true);
    await dialog.getByRole("checkbox").check();
    await dialog.getByRole("button", { name: "Restore" }).click();
    await dialog.getByText("the system is in epoch 2").waitFor({ timeout: 60_000 });
    await dialog.getByText("proves it").waitFor();
    const { processes } = (await served.ask("GET", "/api/about")).body as { processes: string[] };
    expect(processes).toHaveLength(4);
    await dialog.getByRole("button", { name: "Close" }).click();
    await expect
      .poll(
        async () => (await tidemark(["status", "--json", "--dir", served.directory])).stdout,
        SOON,
      )
      .toContain('"epoch":2');

    // The next start needs it: it cannot be deleted. Another one can, and is asked for.
    await page.getByRole("link", { name: "All snapshots" }).click();
    const row = page.getByRole("row").filter({ hasText: "first" });
    await row.getByText("the present epoch began from it").waitFor();
    expect(await row.getByRole("button", { name: "Delete" }).count()).toBe(0);
    await page.getByRole("button", { name: `Delete ${second}` }).click();
    await page.getByRole("button", { name: "Delete it" }).click();
    await expect
      .poll(() => page.getByRole("link", { name: second, exact: true }).count(), SOON)
      .toBe(0);

    // A label is changed, and changed back.
    await page.getByRole("button", { name: `Label ${first}` }).click();
    await page.getByRole("textbox", { name: "Label", exact: true }).fill("renamed");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByRole("cell", { name: "renamed" }).waitFor();
    await page.getByRole("button", { name: "Undo" }).click();
    await page.getByRole("cell", { name: "first" }).waitFor();

    // Cloned: first what that would be.
    const elsewhere = join(temporaryDirectory(), "staging");
    await goTo(page, `/${first}`);
    await page.getByRole("button", { name: "Clone…" }).click();
    await page.getByRole("textbox", { name: "Directory of the second system" }).fill(elsewhere);
    await page.getByRole("textbox", { name: "New names of processes" }).fill("p1=a");
    await page.getByRole("button", { name: "See what it would be" }).click();
    await dialog.getByText("a, p2, p3, p4").waitFor();
    expect(filesBelow(join(elsewhere, "..")), "a dry run writes nothing").toEqual([]);
    await page.getByRole("button", { name: "Clone", exact: true }).click();
    await dialog.getByText("epoch 2 begins there from it").waitFor();
    expect((await tidemark(["verify", elsewhere])).status).toBe(0);
    expect(problems).toEqual([]);
  });

  test("are opened from a file, without any server, and compared; a damaged one is told where", async () => {
    await using served = await Served.start(RUNNING);
    const { page, browser, problems } = await opened(served.url);
    const [first, second] = [await take(page, "first"), await take(page, "second")];
    const files: string[] = [];
    for (const id of [first, second]) {
      await goTo(page, `/${id}`);
      const [download] = await Promise.all([
        page.waitForEvent("download"),
        page.getByRole("button", { name: "Download" }).click(),
      ]);
      const file = join(temporaryDirectory(), download.suggestedFilename());
      await download.saveAs(file);
      files.push(file);
    }
    expect(files[0]).toMatch(/p[1-4]-[12]\.tar$/);
    expect(problems).toEqual([]);

    // A page that is a file, and asks nobody.
    const offline = await openPage(browser, PAGE_FILE);
    await offline.page.route("http://**", (route) => route.abort());
    const choose = async (file: string) =>
      await offline.page.locator('header input[type="file"]').setInputFiles(file);
    await choose(String(files[0]));
    await isProven(offline.page).waitFor();
    await offline.page.getByRole("region", { name: "State of p1" }).getByText("balance").waitFor();
    await expectAccessible(offline.page);
    await choose(String(files[1]));
    await isProven(offline.page).getByText("4 processes").waitFor();
    const name = String(files[0]?.split("/").at(-1));
    await offline.page.getByRole("combobox", { name: "Compare with" }).fill(name);
    await offline.page.getByRole("button", { name: "Compare", exact: true }).click();
    await offline.page
      .getByRole("region", { name: "State of p1" })
      .getByRole("rowheader", { name: "$.transfers" })
      .waitFor();

    // One byte of a state.
    const bytes = readFileSync(String(files[0]));
    const at = bytes.indexOf("transfers");
    bytes[at] = Number(bytes[at]) ^ 1;
    const damaged = join(temporaryDirectory(), "damaged.tar");
    writeFileSync(damaged, bytes);
    await choose(damaged);
    await isNotProven(offline.page).getByText("is not what was written; it is pieces[p").waitFor();
    // And what is no archive at all.
    const cut = join(temporaryDirectory(), "cut.tar");
    writeFileSync(cut, bytes.subarray(0, 1_000));
    await choose(cut);
    await offline.page.getByText("it ends too early").waitFor();
    expect(offline.problems).toEqual([]);
  });

  test("of a directory in which nothing runs are shown, proven and restored for the next start", async () => {
    const directory = temporaryDirectory();
    {
      await using served = await Served.start(RUNNING, directory);
      for (const label of ["first", "second"])
        expect((await served.ask("POST", "/api/snapshots", { label })).status).toBe(200);
    }
    await using served = await Served.start(["ui", directory]);
    for (const options of [
      { scheme: "dark", width: 1440 },
      { scheme: "light", width: 390 },
    ] as const) {
      const { page, problems } = await opened(served.url, options);
      await page.getByText("No system runs here.").waitFor();
      expect(await page.getByRole("button", { name: "Take a snapshot" }).count()).toBe(0);
      await expectAccessible(page);
      await expectNoOverflow(page);
      const id = await idOf(page, "first");
      for (const part of ["states", "in-flight", "certificate", "timing", "find"]) {
        await goTo(page, `/${id}/${part}`);
        await isProven(page).waitFor();
        await expectAccessible(page);
        await expectNoOverflow(page);
      }
      // There is nothing to ask a system that does not run, and the page says so on its console.
      expect(problems).toEqual([]);
    }
    const { page } = await opened(served.url);
    const id = await idOf(page, "first");
    await goTo(page, `/${id}`);
    await page.getByRole("button", { name: "Restore…" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("none runs now").waitFor();
    await dialog.getByRole("checkbox").check();
    await dialog.getByRole("button", { name: "Restore" }).click();
    await dialog.getByText(`goes on from ${id}, in epoch 2`).waitFor();
    const again = await tidemark(["history", "--dir", directory]);
    expect(again.status).toBe(0);

    // Damaged on the disk: the page finds it out by itself, and says in which file.
    await goTo(page, "");
    const second = await idOf(page, "second");
    const file = damage(directory, second);
    await goTo(page, `/${second}`);
    await isNotProven(page).getByText(file).waitFor();
    await isNotProven(page).getByText("pieces[p1].state.parts[#0]").waitFor();
    await page.getByRole("button", { name: "Restore…" }).click();
    await page.getByRole("dialog").getByText("It cannot be restored").waitFor();
    await page.keyboard.press("Escape");
    const download = page.getByRole("button", { name: "Download" });
    await download.click();
    await page.getByText(`${second} was not downloaded: the server broke off`).waitFor();

    // A label may be one long word.
    const label = "w".repeat(256);
    expect((await served.ask("PATCH", `/api/snapshots/${second}`, { label })).status).toBe(200);
    await page.setViewportSize({ width: 390, height: 844 });
    await goTo(page, `/${id}/diff/${second}`);
    await page.getByRole("heading", { name: label }).waitFor();
    // So may be the path of what is damaged.
    await page
      .getByText(/^The comparison ended too early/)
      .filter({ hasText: file })
      .waitFor();
    await expectNoOverflow(page);
    await goTo(page, `/${second}`);
    await page.getByText(label).first().waitFor();
    await expectNoOverflow(page);

    // Deleted by somebody else while it is looked at.
    rmSync(join(directory, "snapshots", `${second.replace("/", "-")}.json`));
    await download.click();
    await page.getByText(`${second} was not downloaded: there is no snapshot`).waitFor();
  });

  test("of which a directory has none yet are taken by a command for that directory", async () => {
    const directory = join(temporaryDirectory(), "no one's");
    mkdirSync(directory);
    await using served = await Served.start(["ui", directory]);
    const { page } = await opened(served.url);
    const dir = `--dir '${directory.replace("'", "'\\''")}'`;
    await page.getByText(`tidemark snapshot --label good ${dir}`).waitFor();
    await page.getByRole("link", { name: "System", exact: true }).click();
    await page.getByText(`tidemark up ${dir}`).waitFor();
    await page.getByRole("link", { name: "Store", exact: true }).click();
    await page.getByText(`tidemark kv --causal 'cart:*' ${dir}`).waitFor();
  });

  test("of a store are looked into slice by slice: what nobody looks at is not loaded", async () => {
    const port = await freePorts(3);
    await using served = await Served.start([
      ...["kv", "--port", String(port), "--interval", "1h"],
    ]);
    const redis = new Redis(port);
    const keys = Array.from({ length: 20_000 }, (_, i) => [`key:${i}`, `value ${i}`] as const);
    await redis.mset(keys.flat());
    await redis.set("key:7", "a needle");
    redis.disconnect();
    const { page, problems } = await opened(served.url);
    const id = await take(page, "store");
    const asked: number[] = [];
    page.on("request", (request) => {
      if (request.url().endsWith("/parts"))
        asked.push((request.postDataJSON() as { parts: string[] }).parts.length);
    });
    await goTo(page, `/${id}/states/p1`);
    await isProven(page).waitFor();
    const state = page.getByRole("region", { name: "State of p1" });
    await state.getByText(/1 to 25 of [0-9,]+/).waitFor();
    const slices = Number(
      String(await state.getByText(/, [0-9,]+ slices/).textContent())
        .match(/, ([0-9,]+) slices/)?.[1]
        ?.replaceAll(",", ""),
    );
    expect(slices).toBeGreaterThan(200);
    // All replicas have the same slices: the proof has read each of them once, and the view a few.
    const most = asked.reduce((sum, count) => sum + count, 0);
    expect(most).toBeLessThan(1.5 * slices);
    await state.getByRole("button", { name: "Slices behind" }).click();
    await state.getByText("26 to 50").waitFor();
    await expectAccessible(page);

    // Found where it is, in each of the replicas, with few questions.
    asked.length = 0;
    await goTo(page, `/${id}/find`);
    await page.getByRole("searchbox", { name: "Text" }).fill("A NEEDLE");
    await page.getByRole("button", { name: "Find" }).click();
    await page.getByRole("status").getByText("3 values found.").waitFor();
    expect(await page.getByRole("cell", { name: '"a needle"' }).count()).toBe(3);
    expect(asked.length).toBeLessThan(slices / 10);

    // What there is too much of is cut off, and said.
    await page.getByRole("searchbox", { name: "Text" }).fill("value");
    await page.getByRole("button", { name: "Find" }).click();
    await page.getByRole("status").getByText("The first 100 values").waitFor();
    expect(problems).toEqual([]);
  });

  test("that were abandoned are told with the reason, and where it got stuck", async () => {
    const directory = temporaryDirectory();
    const store = directoryStore(directory);
    const atMs = Date.now() - 1_000;
    const attempt = { snapshot: "p1/1", by: "p1" } as const;
    await store.note({ ...attempt, note: "begun", atMs, epoch: 1, processes: 2, label: "never" });
    await store.note({
      ...{ ...attempt, note: "abandoned", atMs: atMs + 500, reason: "timeout of 500 ms" },
      share: { process: "p1", recordedAtMs: atMs + 1, captureMs: 2, recordingMs: 30 },
      ...{ waitsFor: ["the marker of p2"], unclosed: ["p2"] },
    });
    await store.note({ note: "refused", by: "p2", atMs, reason: "p1 cannot be reached" });
    onTestFinished(() => store.close());
    await using served = await Served.start(["ui", directory]);
    const { page, problems } = await opened(served.url);
    await page.getByRole("button", { name: "Failed attempts" }).click();
    await page.getByRole("cell", { name: "p1 cannot be reached" }).waitFor();
    await page.getByRole("cell", { name: "held up by p2" }).waitFor();
    await page.getByRole("searchbox").fill("held up");
    await expect.poll(() => page.getByRole("row").count(), SOON).toBe(2);
    await page.getByRole("link", { name: "p1/1" }).click();
    await page.getByText("p1 waited for the marker of p2").waitFor();
    await page.getByRole("alert").getByText("timeout of 500 ms").waitFor();
    await page.getByRole("cell", { name: "30 ms" }).waitFor();
    await expectAccessible(page);
    // One that is under way is told of as such, until it has ended.
    await store.note({
      ...{ snapshot: "p2/1", by: "p2", note: "begun" },
      atMs,
      epoch: 1,
      processes: 2,
    });
    await goTo(page, "/p2/1");
    await page.getByText("no end is noted yet").waitFor();
    await store.note({
      ...{ snapshot: "p2/1", by: "p2", note: "abandoned", atMs: atMs + 9, waitsFor: [] },
      reason: "somebody gave up",
    });
    await page.getByRole("alert").getByText("somebody gave up").waitFor();
    // That there is no snapshot of that name is what the server says.
    for (const problem of problems) expect(problem).toContain("404");
  });

  test("that are encrypted are shown to who has the key", async () => {
    const directory = temporaryDirectory();
    const file = join(temporaryDirectory(), "key");
    writeFileSync(file, "7".repeat(64));
    const other = join(temporaryDirectory(), "other");
    writeFileSync(other, "8".repeat(64));
    const once = ["up", "--rate", "10", "--count", "1", "--no-ui", "--key-file", file];
    expect((await tidemark([...once, "--dir", directory])).status).toBe(0);
    for (const [args, code, words] of [
      [[], "KEY_REQUIRED", "no key was given"],
      [["--key-file", other], "WRONG_KEY", "key"],
    ] as const) {
      await using served = await Served.start(["ui", directory, ...args]);
      const { page, problems } = await opened(served.url);
      await page.getByRole("alert").getByText(words).waitFor();
      expect(await served.ask("GET", "/api/snapshots")).toMatchObject({
        status: 403,
        body: { code },
      });
      for (const problem of problems) expect(problem).toContain("403");
    }
    await using served = await Served.start(["ui", directory, "--key-file", file]);
    const { page } = await opened(served.url);
    await page.getByRole("rowheader").getByRole("link").first().click();
    await isProven(page).waitFor();
    await page.getByRole("region", { name: "State of p1" }).getByText("balance").waitFor();
  });
});
