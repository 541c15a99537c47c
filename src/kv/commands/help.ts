/** Text for people. */

import type { Reply } from "../reply.ts";

/** The reply of a `HELP` subcommand. */
export function help(name: string, lines: readonly string[]) {
  return ({ reply }: { readonly reply: Reply }): void => {
    const all = [
      `${name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:`,
      ...lines,
      "HELP",
      "    Prints this help.",
    ];
    reply.array(all.length);
    for (const line of all) reply.simple(line);
  };
}
