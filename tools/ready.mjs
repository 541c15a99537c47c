// Runs before every npm script: makes node_modules match package-lock.json, and says so when that
// takes a while. Plain JavaScript without dependencies, for it runs on whatever Node is installed;
// the script proper then finds the pinned Node of node_modules/.bin.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const modules = join(root, "node_modules");
const stampFile = join(modules, ".tidemark-lock");
const lockText = readFileSync(join(root, "package-lock.json"), "utf8");
const wanted = createHash("sha256").update(lockText).digest("hex");

if (read(stampFile) !== wanted) {
  if (!installedByHand()) install();
  writeFileSync(stampFile, wanted);
}

/** @param {string} file */
function read(file) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

/** Whether somebody's own `npm ci` or `npm install` already put there what the lock asks for. */
function installedByHand() {
  const hidden = read(join(modules, ".package-lock.json"));
  if (hidden === undefined || !pinnedNodeWorks()) return false;
  try {
    const have = JSON.parse(hidden).packages;
    const want = JSON.parse(lockText).packages;
    return Object.keys(want).every(
      (path) =>
        path === "" ||
        (have[path] === undefined
          ? want[path].optional
          : have[path].integrity === want[path].integrity),
    );
  } catch {
    return false;
  }
}

/** The package `node` fetches its binary in an install script, which a machine may forbid. */
function pinnedNodeWorks() {
  if (["node", "node.exe"].some((name) => existsSync(join(modules, "node", "bin", name))))
    return true;
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  return major > 22 || (major === 22 && minor >= 18);
}

function install() {
  const began = Date.now();
  process.stderr.write("tidemark: installing the pinned dependencies with `npm ci` ... ");
  rmSync(stampFile, { force: true });
  const { command, prefix } = npm();
  const done = spawnSync(
    command,
    [...prefix, "ci", "--include=dev", "--no-audit", "--no-fund", "--loglevel=warn"],
    { cwd: root, env: outsideEnvironment(), encoding: "utf8", shell: prefix.length === 0 },
  );
  if (done.status === 0 && pinnedNodeWorks()) {
    process.stderr.write(`done in ${Math.round((Date.now() - began) / 1000)} s\n`);
    return;
  }
  process.stderr.write(`failed\n${done.stdout ?? ""}${done.stderr ?? ""}${done.error ?? ""}\n`);
  if (done.status === 0) {
    process.stderr.write(
      "tidemark: npm did not run the install script of the package `node`. Allow it " +
        "(`npm config set ignore-scripts false`) or use Node 22.18 or newer.\n",
    );
  }
  process.exit(done.status || 1);
}

/** The npm that started this script, run by the Node that it runs on itself. */
function npm() {
  const { npm_execpath: script, npm_node_execpath: node } = process.env;
  if (script?.endsWith("js") && existsSync(script)) {
    const outside = node !== undefined && !node.startsWith(modules) && existsSync(node);
    return { command: outside ? node : "node", prefix: [script] };
  }
  return { command: "npm", prefix: [] };
}

/** The environment without this node_modules on its PATH: `npm ci` is about to delete it. */
function outsideEnvironment() {
  const env = { ...process.env };
  for (const key of Object.keys(env)) {
    if (key.toUpperCase() !== "PATH") continue;
    env[key] = env[key]
      ?.split(delimiter)
      .filter((folder) => !folder.startsWith(modules))
      .join(delimiter);
  }
  return env;
}
