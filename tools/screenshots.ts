// `npm run screenshots`: writes the pictures of the page in docs/use/pictures, of a bank and a store that run while they are taken. It
// needs Chromium.
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium, type Page } from "playwright-core";
import { root } from "./run.ts";

interface Picture {
  readonly name: string;
  readonly of: "bank" | "store";
  readonly scheme: "light" | "dark";
  /** Goes to what is shown; or says why there is nothing to show, and the picture stays as it is. */
  readonly show: (page: Page) => Promise<string | undefined>;
}

const IN_FLIGHT_MIN = 10;
const RECORDINGS_MAX = 40;

const pictures: readonly Picture[] = [
  {
    name: "system",
    of: "bank",
    scheme: "dark",
    async show(page) {
      await goTo(page, "System");
      // Rates are known after a while.
      await page.waitForTimeout(6_000);
    },
  },
  {
    name: "snapshot",
    of: "bank",
    scheme: "light",
    async show(page) {
      await goTo(page, "Snapshots");
      await page
        .getByRole("link", { name: /^p[0-9]+\/[0-9]+$/ })
        .first()
        .click();
      await page.waitForTimeout(2_000);
    },
  },
  {
    name: "space-time",
    of: "bank",
    scheme: "dark",
    async show(page) {
      await goTo(page, "Space-time");
      const record = page.getByRole("button", { name: "Record", exact: true });
      const snapshots = page.getByRole("combobox", { name: /^Snapshot/ });
      // On a quiet machine most snapshots fall between messages, and a cut that nothing crosses shows little.
      let inFlight = 0;
      for (let i = 0; i < RECORDINGS_MAX && inFlight < IN_FLIGHT_MIN; i += 1) {
        await record.click();
        await page.getByText(/^Recording/).waitFor({ state: "detached" });
        await snapshots.selectOption({ index: 1 });
        const said = await page.getByRole("region", { name: "Cut" }).innerText();
        inFlight = Number(/([\d,]+) messages in flight/.exec(said)?.[1] ?? 0);
      }
      if (inFlight < IN_FLIGHT_MIN)
        return `of ${RECORDINGS_MAX} recordings none had ${IN_FLIGHT_MIN} messages in flight: with other work on the machine there are more`;
      for (let i = 0; i < 2; i += 1) await page.getByRole("button", { name: "−" }).click();
      await page.waitForTimeout(1_000);
      return undefined;
    },
  },
  {
    name: "ordering-lab",
    of: "bank",
    scheme: "light",
    async show(page) {
      await goTo(page, "Ordering lab");
      await page.waitForTimeout(1_000);
    },
  },
  {
    name: "properties",
    of: "bank",
    scheme: "light",
    async show(page) {
      await goTo(page, "Properties");
      await page.getByRole("button", { name: "Start watching" }).click();
      await page.waitForTimeout(9_000);
    },
  },
  {
    name: "store",
    of: "store",
    scheme: "dark",
    async show(page) {
      await goTo(page, "Store");
      await page.getByText("scores", { exact: true }).click();
      await page.waitForTimeout(3_000);
    },
  },
];

const folder = join(root, "docs/use/pictures");
await mkdir(folder, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
try {
  await take("bank", ["up", "--rate", "300", "--log", "everysec", "--chaos"]);
  await take("store", ["kv", "--port", "17379", "--causal", "cart:*"]);
} finally {
  await browser.close();
}

async function take(of: Picture["of"], args: readonly string[]): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "tidemark-screenshots-"));
  const main = ["--conditions=tidemark-source", join(root, "src/cli/main.ts")];
  const child = spawn(process.execPath, [...main, ...args, "--new"], {
    cwd: directory,
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const url = await new Promise<string>((settle, reject) => {
      let said = "";
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        said += text;
        const [found] = /http:\S+#token=[0-9a-f]+/.exec(said) ?? [];
        if (found !== undefined) settle(found);
      });
      child.once("exit", () => reject(new Error(`${args[0]} ended: ${said}`)));
    });
    if (of === "store") await fill(url);
    for (const { name, scheme, show } of pictures.filter((one) => one.of === of)) {
      const page = await browser.newPage({
        viewport: { width: 1280, height: 800 },
        colorScheme: scheme,
      });
      await page.goto(url);
      const problem = await show(page);
      if (problem === undefined) await page.screenshot({ path: join(folder, `${name}.png`) });
      await page.close();
      console.log(
        `docs/use/pictures/${name}.png${problem === undefined ? "" : ` stays: ${problem}`}`,
      );
    }
  } finally {
    child.kill("SIGINT");
    await new Promise((settle) => child.once("exit", settle));
    await rm(directory, { recursive: true });
  }
}

async function goTo(page: Page, view: string): Promise<void> {
  await page.getByRole("navigation").getByRole("link", { name: view, exact: true }).click();
}

/** Something to look at. */
async function fill(url: string): Promise<void> {
  const token = url.slice(url.indexOf("token=") + "token=".length);
  const requests = [
    ["SET", "greeting", "hello"],
    ["SET", "page:home:views", "1702", "EX", "86400"],
    ["HSET", "user:ada", "name", "Ada", "born", "1815", "wrote", "Note G"],
    ["ZADD", "scores", "12", "ada", "40", "grace", "31", "edsger"],
    ["SADD", "cart:ada", "pen", "ink", "paper"],
    ["RPUSH", "jobs", "weave", "count", "print"],
  ];
  const answer = await fetch(new URL("/api/store/requests", url), {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ processes: ["p1"], db: 0, requests }),
  });
  if (!answer.ok) throw new Error(await answer.text());
}
