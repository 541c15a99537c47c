/**
 * The language of the scripted bank: what its lines mean, and what its results look like. The language calls a
 * process a node and a marker a token, and so does whatever its users read.
 */

/** One line of a script. All numbers are whole and exact. */
export type Command =
  | { readonly name: "StartMaster" | "KillAll" | "ReceiveAll" | "CollectState" | "PrintSnapshot" }
  | { readonly name: "CreateNode"; readonly node: number; readonly money: number }
  | { readonly name: "Send"; readonly from: number; readonly to: number; readonly amount: number }
  /** Without `from`: from any channel that is not empty. */
  | { readonly name: "Receive"; readonly to: number; readonly from?: number }
  | { readonly name: "BeginSnapshot"; readonly node: number };

/** What an observer has gathered of a snapshot. */
export interface CollectedSnapshot {
  /** The money of each node, ascending by number. */
  readonly nodes: readonly { readonly node: number; readonly money: number }[];
  /** The money in transit on each channel, ascending by source, then destination. */
  readonly channels: readonly {
    readonly from: number;
    readonly to: number;
    readonly money: number;
  }[];
}

/** The parameters of each command; one that ends in "?" may be left out. */
const PARAMETERS = {
  StartMaster: [],
  KillAll: [],
  CreateNode: ["node", "money"],
  Send: ["from", "to", "amount"],
  Receive: ["to", "from?"],
  ReceiveAll: [],
  BeginSnapshot: ["node"],
  CollectState: [],
  PrintSnapshot: [],
} as const satisfies Record<Command["name"], readonly string[]>;

/** A line beyond this is not a command. */
const LINE_CHARACTERS = 1000;
/** The largest number up to which all are exact: no id, balance or sum goes beyond. */
export const NUMBER_MAX: number = Number.MAX_SAFE_INTEGER;

/** The command in a line, or what is wrong with the line; `undefined` if it is blank. */
export function parseLine(line: string): Command | { readonly problem: string } | undefined {
  if (line.length > LINE_CHARACTERS)
    return { problem: `the line has more than ${LINE_CHARACTERS} characters` };
  const [name, ...words] = line.trim().split(/\s+/);
  if (!name) return undefined;
  if (!isName(name)) return { problem: `unknown command ${quote(name)}${advice(name)}` };
  const parameters: readonly string[] = PARAMETERS[name];
  const needed = parameters.filter((parameter) => !parameter.endsWith("?"));
  if (words.length < needed.length || words.length > parameters.length)
    return {
      problem: `${name} takes ${numberOfArguments(needed.length, parameters.length)}, not ${words.length}: ${usage(name)}`,
    };
  const values: Record<string, number> = {};
  for (const [i, word] of words.entries()) {
    const parameter = (parameters[i] as string).replace("?", "");
    const value = /^[0-9]+$/.test(word) ? Number(word) : Number.NaN;
    // More than there can be is more than the sender has: that is no mistake, the sending fails.
    if (parameter === "amount" && value > NUMBER_MAX) {
      values[parameter] = NUMBER_MAX + 1;
      continue;
    }
    if (!(value <= NUMBER_MAX))
      return {
        problem: `${quote(word)} cannot be "${parameter}" of ${name}: use a whole number from 0 to ${NUMBER_MAX}`,
      };
    values[parameter] = value;
  }
  return { name, ...values } as Command;
}

/** The lines of a text that comes in pieces. What is beyond the longest line that can be right is left out. */
export async function* splitLines(pieces: AsyncIterable<string>): AsyncGenerator<string> {
  let line = "";
  for await (const piece of pieces) {
    let at = 0;
    for (let end = piece.indexOf("\n"); end >= 0; end = piece.indexOf("\n", at)) {
      yield line + piece.slice(at, Math.min(end, at + LINE_CHARACTERS + 1));
      line = "";
      at = end + 1;
    }
    line += piece.slice(at, at + Math.max(0, LINE_CHARACTERS + 1 - line.length));
  }
  if (line !== "") yield line;
}

/** What `PrintSnapshot` prints. */
export function formatSnapshot({ nodes, channels }: CollectedSnapshot): string {
  const lines = [
    "---Node states",
    ...nodes.map(({ node, money }) => `node ${node} = ${money}`),
    "---Channel states",
    ...channels.map(({ from, to, money }) => `channel (${from} -> ${to}) = ${money}`),
  ];
  return `${lines.join("\n")}\n`;
}

const isName = (name: string): name is Command["name"] => Object.hasOwn(PARAMETERS, name);

function advice(name: string): string {
  const names = Object.keys(PARAMETERS);
  const meant = names.find((known) => known.toLowerCase() === name.toLowerCase());
  return meant ? `: did you mean ${meant}?` : `: the commands are ${names.join(", ")}`;
}

function usage(name: Command["name"]): string {
  const words = PARAMETERS[name].map((parameter) =>
    parameter.endsWith("?") ? `[${parameter.replace("?", "")}]` : parameter,
  );
  return [name, ...words].join(" ");
}

function numberOfArguments(least: number, most: number): string {
  if (most === 0) return "no argument";
  return least < most ? `${least} or ${most} arguments` : `${most} argument${most > 1 ? "s" : ""}`;
}

/** What a script says may be long. */
function quote(text: string): string {
  return `"${text.length > 40 ? `${text.slice(0, 40)}…` : text}"`;
}
