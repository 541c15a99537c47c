/** What may come next in a line of the console, from the table of commands. */

import type { KnownCommand } from "../../src/kv/command.ts";
import { syntaxOf } from "../../src/kv/commands/introspection.ts";
import { commandTable } from "../../src/kv/commands.ts";

/** A word that may stand at the end of the line. */
export interface Suggestion {
  /** The whole line with it. */
  readonly line: string;
  readonly word: string;
  readonly summary: string;
}

export interface Completion {
  readonly suggestions: readonly Suggestion[];
  /** Of the command that stands there: its words, and what it does. */
  readonly syntax: string | undefined;
  readonly summary: string | undefined;
}

const SUGGESTIONS_MAX = 8;

export function completionOf(line: string): Completion {
  const [, before = "", word = ""] = /^(.*?)(\S*)$/s.exec(line) ?? [];
  const earlier = before.trim() === "" ? [] : before.trim().toLowerCase().split(/\s+/);
  const [name, second] = earlier;
  const command = name === undefined ? undefined : commandTable.get(name);
  const chosen = command?.subcommands?.find((one) => one.name === second) ?? command;
  const isContainer = command?.subcommands !== undefined && name !== "command";
  const words = (
    all: readonly (readonly [word: string, summary: string])[],
  ): readonly Suggestion[] =>
    all
      .filter(([one]) => one.startsWith(word.toUpperCase()) && one !== word.toUpperCase())
      .slice(0, SUGGESTIONS_MAX)
      .map(([one, summary]) => ({ line: `${before}${one} `, word: one, summary }));
  if (name === undefined) {
    const exact = commandTable.get(word.toLowerCase());
    return {
      suggestions: word === "" ? [] : words(commandTable.commands.map(described)),
      ...(exact ? about(exact) : NOTHING),
    };
  }
  if (!command || !chosen) return { suggestions: [], ...NOTHING };
  const subcommands = earlier.length === 1 ? (command.subcommands ?? []).map(described) : [];
  const exact = command.subcommands?.find((one) => one.name === word.toLowerCase());
  if (subcommands.length > 0 && (isContainer || word !== ""))
    return { suggestions: words(subcommands), ...about(exact ?? command, exact && command) };
  const container = chosen === command ? undefined : command;
  const used = new Set(earlier.map((one) => one.toUpperCase()));
  // Words of the syntax in capitals are meant as they are.
  const tokens = syntaxIn(chosen, container).match(/(?<![a-z-])[A-Z][A-Z0-9_]*(?![a-z])/g) ?? [];
  const left = [...new Set(tokens)].filter((token) => !used.has(token));
  return {
    suggestions: word === "" ? [] : words(left.map((token) => [token, ""])),
    ...about(chosen, container),
  };
}

const NOTHING = { syntax: undefined, summary: undefined };

const described = ({ upperName, summary }: KnownCommand): readonly [string, string] => [
  upperName,
  summary,
];

function syntaxIn({ name, subcommands }: KnownCommand, container?: KnownCommand): string {
  if (subcommands && name !== "command") return subcommands.map((one) => one.upperName).join(" | ");
  return syntaxOf(container ? `${container.name}|${name}` : name);
}

function about(command: KnownCommand, container?: KnownCommand): Omit<Completion, "suggestions"> {
  const name = `${container ? `${container.upperName} ` : ""}${command.upperName}`;
  return {
    syntax: `${name} ${syntaxIn(command, container)}`.trim(),
    summary: command.summary,
  };
}
