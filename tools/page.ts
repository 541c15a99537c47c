// `npm run page`: builds the page of web/ as one HTML file, dist/page/index.html, unless it is newer than all that it is made of.
// One file, so that it opens without any server, can be sent to somebody, and a browser may be told to run nothing else.
import { mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { build, type Rolldown } from "vite";
import { root } from "./run.ts";

const target = join(root, "dist/page/index.html");
const sources = ["web", "src", "package-lock.json", "tools/page.ts"];

if (process.argv.includes("--force") || (await newest(sources)) > (await changedMs(target)))
  await buildPage();

async function buildPage(): Promise<void> {
  const began = performance.now();
  const built = (await build({
    root: join(root, "web"),
    configFile: false,
    logLevel: "warn",
    resolve: { conditions: ["tidemark-source", "module", "browser", "production"] },
    define: { "process.env.NODE_ENV": '"production"' },
    build: {
      write: false,
      target: "es2024",
      assetsInlineLimit: Number.MAX_SAFE_INTEGER,
      cssCodeSplit: false,
      modulePreload: false,
      rolldownOptions: { output: { codeSplitting: false } },
    },
  })) as Rolldown.RolldownOutput;
  await mkdir(join(root, "dist/page"), { recursive: true });
  await writeFile(target, inOneFile(built.output));
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  process.stderr.write(`tidemark: the page was built in ${seconds} s\n`);
}

/** Scripts and styles in the place of what leads to them. */
function inOneFile(output: Rolldown.RolldownOutput["output"]): string {
  let page = "";
  const contents = new Map<string, string>();
  for (const one of output) {
    const content = one.type === "chunk" ? one.code : String(one.source);
    if (one.fileName === "index.html") page = content;
    else contents.set(`/${one.fileName}`, content);
  }
  const contentOf = (name: string): string => {
    const content = contents.get(name);
    if (content === undefined) throw new Error(`the page leads to ${name}, which was not built`);
    contents.delete(name);
    return content;
  };
  let script = "";
  page = page
    .replace(/<script type="module"[^>]* src="([^"]*)"><\/script>\s*/, (_, name: string) => {
      // Nothing in it may end the element.
      script = contentOf(name).replaceAll("</script", "<\\/script").replaceAll("<!--", "<\\!--");
      return "";
    })
    .replace(
      /<link rel="stylesheet"[^>]* href="([^"]*)">/,
      (_, name: string) => `<style>${contentOf(name)}</style>`,
    );
  const left = [...contents.keys()].join(", ");
  if (left !== "") throw new Error(`nothing in the page leads to ${left}`);
  // It looks for its place, so it comes after it.
  return page.replace("</body>", () => `<script type="module">${script}</script>\n</body>`);
}

async function newest(paths: readonly string[]): Promise<number> {
  let ms = 0;
  for (const path of paths) {
    const full = join(root, path);
    ms = Math.max(ms, await changedMs(full));
    const isFolder = (await stat(full)).isDirectory();
    const below = isFolder ? await readdir(full, { recursive: true, withFileTypes: true }) : [];
    for (const entry of below)
      ms = Math.max(ms, await changedMs(join(entry.parentPath, entry.name)));
  }
  return ms;
}

/** When a file was changed; 0 if it is not there. */
async function changedMs(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.mtimeMs ?? 0;
}
