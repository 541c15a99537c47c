#!/usr/bin/env node
// What is compiled once is kept, also for the operating-system processes that are started from here. It lies where
// nobody can put anything who could not change the program as well; if it cannot be written there, so be it.
import { enableCompileCache } from "node:module";
import { fileURLToPath } from "node:url";

enableCompileCache(fileURLToPath(new URL("../../node_modules/.cache/tidemark", import.meta.url)));
const { runCommandLine } = await import("./command-line.ts");
// Not awaited: a file of the user's may wait for ever, and Node would blame this line. What such a file left running does
// not keep the command, once all that it printed has left, or it was told that it could not.
void runCommandLine(process.argv.slice(2)).then(() =>
  process.stdout.write("", () => process.stderr.write("", () => setImmediate(process.exit))),
);
