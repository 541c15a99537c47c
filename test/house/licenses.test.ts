import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { judged } from "../../tools/audit.ts";
import {
  LICENSES_FILE,
  licensesPage,
  lockedPackages,
  refused,
  thirdParties,
} from "../../tools/licenses.ts";
import { root } from "../../tools/run.ts";
import { temporaryDirectory } from "../cli/support/command.ts";

test("everything that is published with the package has a license that may be", () => {
  const all = thirdParties(lockedPackages(), root);
  expect(refused(all)).toEqual([]);
  const names = all.map(({ name }) => name);
  // Those of package.json, what they bring, and what is built into the page.
  for (const name of ["fastify", "pino", "ajv", "react", "scheduler"])
    expect(names).toContain(name);
  for (const name of ["vitest", "typescript"]) expect(names).not.toContain(name);
  expect(readFileSync(join(root, LICENSES_FILE), "utf8"), "npm run licenses writes it").toBe(
    licensesPage(all),
  );
});

test("a license that may not be, that is none, or that is another one than in the lock is told", () => {
  const folder = temporaryDirectory();
  const lock = {
    "": { version: "1.0.0", license: "MIT" },
    "node_modules/free": { version: "1.0.0", license: "MIT" },
    "node_modules/free/node_modules/@its/own": { version: "2.0.0", license: "AGPL-3.0" },
    "node_modules/silent": { version: "3.0.0" },
    "node_modules/only-here": { version: "4.0.0", license: "GPL-3.0", dev: true },
  };
  const all = thirdParties(lock, folder);
  expect(refused(all)).toEqual(["@its/own 2.0.0: AGPL-3.0", "silent 3.0.0: no license"]);
  mkdirSync(join(folder, "node_modules/free"), { recursive: true });
  writeFileSync(join(folder, "node_modules/free/package.json"), '{"license":"SSPL-1.0"}');
  expect(() => thirdParties(lock, folder)).toThrow("its license is SSPL-1.0, and in the lock MIT");
});

const answer = (message: string): string => JSON.stringify({ message, error: {} });
const report = (severity?: string): string =>
  JSON.stringify({
    auditReportVersion: 2,
    vulnerabilities: severity ? { x: { name: "x", severity, range: "<2" } } : {},
  });

test.for([
  ["no weakness", 0, report(), true, /0 weaknesses/],
  ["one that is not high", 0, report("low"), true, /low: x <2/],
  ["one that is", 1, report("high"), false, /high: x <2/],
  [
    "nobody there",
    1,
    answer("request to x failed, reason: connect ECONNREFUSED x"),
    true,
    /NOTHING/,
  ],
  ["no name", 1, answer("request to x failed, reason: getaddrinfo ENOTFOUND x"), true, /NOTHING/],
  ["a registry without audits", 1, answer("405 Method Not Allowed - POST x"), true, /NOTHING/],
  ["no right to ask", 1, answer("401 Unauthorized - POST x"), false, /401/],
  ["something else", 1, answer("the lock cannot be read"), false, /lock/],
  ["no JSON", 1, "npm error", false, /did not answer/],
] as const)("an audit with %s", ([, status, stdout, isWell, text]) => {
  const { isWell: is, text: said } = judged(status, stdout);
  expect(is).toBe(isWell);
  expect(said).toMatch(text);
});
