// Writes THIRD-PARTY-LICENSES.md: every package that is published with, or built into, this one, and its licence. A test compares.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./run.ts";

export const LICENSES_FILE: string = "THIRD-PARTY-LICENSES.md";

/** Licences that ask for no more than to be named. */
const ALLOWED: readonly string[] = [
  ...[
    "MIT",
    "ISC",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "Apache-2.0",
    "0BSD",
    "BlueOak-1.0.0",
    "Unlicense",
  ],
];

/** What Vite builds into the page, though it is not installed with the package. */
const BUILT_IN: readonly string[] = ["react", "react-dom", "scheduler"];

/** A package of the lock. */
interface LockedPackage {
  readonly version?: string;
  readonly license?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
}

export interface ThirdParty {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  /** Where it lies, if it is installed here: one that is for another machine is not. */
  readonly folder?: string;
  readonly isBuiltIn: boolean;
}

/**
 * Everything that comes with the package, by its lock, in order.
 * @throws Error if a licence in the lock is not what the package says
 */
export function thirdParties(
  lock: Readonly<Record<string, LockedPackage>>,
  at: string,
): ThirdParty[] {
  const found = new Map<string, ThirdParty>();
  for (const [path, { version = "", license = "", dev }] of Object.entries(lock)) {
    const name = path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
    const isBuiltIn = BUILT_IN.includes(name);
    if (path === "" || (dev === true && !isBuiltIn)) continue;
    const folder = join(at, path);
    const isThere = existsSync(join(folder, "package.json"));
    if (isThere) {
      const said = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
      const its = typeof said.license === "string" ? said.license : said.license?.type;
      if (its !== license)
        throw new Error(`${name} ${version}: its license is ${its}, and in the lock ${license}`);
    }
    found.set(`${name}@${version}`, {
      ...{ name, version, license, isBuiltIn },
      ...(isThere && { folder }),
    });
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, one]) => one);
}

/** What may not be published with this package, each with why. */
export function refused(all: readonly ThirdParty[]): readonly string[] {
  return all
    .filter(({ license }) => !ALLOWED.includes(license))
    .map(({ name, version, license }) => `${name} ${version}: ${license || "no license"}`);
}

/** The page that is published. */
export function licensesPage(all: readonly ThirdParty[]): string {
  const row = ({ name, version, license }: ThirdParty): string =>
    `| ${name} | ${version} | ${license} |`;
  const head = ["| package | version | license |", "|---|---|---|"];
  const builtIn = all.filter(({ isBuiltIn }) => isBuiltIn);
  const texts = new Map<string, string[]>();
  for (const one of builtIn) {
    const text = licenseText(one);
    texts.set(text, [...(texts.get(text) ?? []), one.name]);
  }
  return `${[
    "# Licenses of others",
    "",
    "Packages that are installed with Tidemark; the text of each license is in its package.",
    "",
    ...head,
    ...all.filter(({ isBuiltIn }) => !isBuiltIn).map(row),
    "",
    "Packages that are built into the page, with their licenses.",
    "",
    ...head,
    ...builtIn.map(row),
    ...[...texts].flatMap(([text, names]) => [
      "",
      `## ${names.join(", ")}`,
      "",
      "```",
      text,
      "```",
    ]),
  ].join("\n")}\n`;
}

function licenseText({ name, folder = "" }: ThirdParty): string {
  const file = readdirSync(folder).find((one) => /^licen[cs]e/i.test(one));
  if (file === undefined) throw new Error(`${name} has no text of its license`);
  return readFileSync(join(folder, file), "utf8").trim();
}

export function lockedPackages(): Readonly<Record<string, LockedPackage>> {
  return JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages;
}

if (import.meta.main)
  writeFileSync(join(root, LICENSES_FILE), licensesPage(thirdParties(lockedPackages(), root)));
