/** What no text of the project may hold, each with what to write instead. */
import type { Files } from "./modules.ts";

interface Rule {
  readonly what: RegExp;
  readonly instead: string;
}

const lineLimit = 140;

// Written in pieces, so that this file keeps the rules too.
const code: readonly Rule[] = [
  {
    what: new RegExp(`\\b(${["TO" + "DO", "FIX" + "ME", "X" + "XX"].join("|")})\\b`),
    instead: "do it now, or say plainly in a comment what is not covered",
  },
  { what: new RegExp(`\\bas ${"any"}\\b`), instead: "narrow the type, or use unknown" },
  { what: new RegExp(`@ts-${"ignore"}`), instead: "@ts-expect-error with the reason" },
  { what: /\t/, instead: "spaces" },
];

const source: readonly Rule[] = [
  {
    what: new RegExp(`^.{${lineLimit + 1},}$`),
    instead: `at most ${lineLimit} characters in a line`,
  },
];

const everywhere: readonly Rule[] = [
  {
    what: /(?<![\w.~/-])\/(work|root|home\/\w+|Users\/\w+)\//,
    instead: "a path relative to the project, or ~ for the home folder",
  },
  {
    what: /\bhttps?:\/\/(registry|npm|nexus|artifactory|verdaccio)\b(?!js\.com)/,
    instead: "no registry's address: the package name is enough",
  },
];

const lock: readonly Rule[] = [
  {
    what: /"resolved": "(?:https?|git)/,
    instead: "a lock made with the project's .npmrc, which names no registry",
  },
];

/** Every line that breaks a rule of its file. */
export function badText(files: Files): readonly string[] {
  const bad: string[] = [];
  for (const [path, text] of files) {
    const rules = rulesFor(path);
    text.split("\n").forEach((line, index) => {
      for (const { what, instead } of rules) {
        const found = what.exec(line)?.[0];
        if (found === undefined) continue;
        const shown = found.length > 60 ? `${found.slice(0, 57)}...` : found;
        bad.push(`${path}:${index + 1}: has ${JSON.stringify(shown)}; write instead: ${instead}`);
      }
    });
  }
  return bad;
}

function rulesFor(path: string): readonly Rule[] {
  const rules = [...everywhere];
  if (/\.(ts|tsx|mjs|js)$/.test(path)) rules.push(...code);
  if (path.startsWith("src/")) rules.push(...source);
  if (path === "package-lock.json") rules.push(...lock);
  return rules;
}
