/** `tidemark kv import` and `export` in this operating-system process: to start another one takes longer than most of what they do. */

import { vi } from "vitest";
import { kvExportCommand } from "../../../src/cli/kv-export.ts";
import { kvImportCommand } from "../../../src/cli/kv-import.ts";
import { isTidemarkError } from "../../../src/index.ts";
import type { Ended } from "./command.ts";

/** What the command does with these arguments; none of them may be one that it refuses. */
export async function transfer([name, ...args]: readonly string[]): Promise<Ended> {
  const said = { log: "", error: "" };
  const spies = (["log", "error"] as const).map((to) =>
    vi.spyOn(console, to).mockImplementation((text: unknown) => {
      said[to] += `${text}\n`;
    }),
  );
  let status = 0;
  try {
    const command = name === "import" ? kvImportCommand() : kvExportCommand();
    await command.parseAsync(args, { from: "user" });
    status = Number(process.exitCode ?? 0);
  } catch (error) {
    if (!isTidemarkError(error)) throw error;
    status = 1;
    said.error += `tidemark: ${error.message}\n`;
  } finally {
    process.exitCode = undefined;
    for (const spy of spies) spy.mockRestore();
  }
  return { status, stdout: said.log, stderr: said.error };
}
