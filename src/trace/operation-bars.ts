/**
 * What clients asked, as text: a row for each operation, in which a bar goes from when it was asked to when it was answered. Time runs to
 * the right, and only shows what came before what: each moment at which something begins or ends has a column of its own.
 */

import type { Contradiction, Operation } from "./consistency.ts";
import { formatReply } from "./store-model.ts";

const STEP = 3;
const WORDS_MAX = 60;
const CLIENT_MAX = 16;

/** Draws operations. `├──┤` from asked to answered, `├┄┄` never answered, `✗` cannot be. */
export function drawOperations({ operations, wrong }: Contradiction): string {
  const times = operations.flatMap(({ calledAt, returnedAt = calledAt }) => [calledAt, returnedAt]);
  const moments = [...new Set(times)].sort((a, b) => a - b);
  const column = (at: number): number => moments.indexOf(at) * STEP;
  const width = moments.length * STEP;
  const name = Math.max(...operations.map(({ client }) => short(client, CLIENT_MAX).length));
  return operations
    .map((one, i) => {
      const { client, calledAt, returnedAt } = one;
      const from = column(calledAt);
      const end = returnedAt === undefined ? width - 1 : column(returnedAt) + 1;
      const inside = (returnedAt === undefined ? "┄" : "─").repeat(Math.max(0, end - from - 1));
      const bar = `${" ".repeat(from)}${i === wrong ? "✗" : "├"}${inside}${returnedAt === undefined ? "" : "┤"}`;
      return `${short(client, CLIENT_MAX).padEnd(name)}  ${bar.padEnd(width + 1)}  ${labelOf(one)}`;
    })
    .join("\n");
}

function labelOf({ command, transaction, returnedAt, reply }: Operation): string {
  const inside = transaction?.map((words) => words.join(" ")).join("; ");
  const asked = inside === undefined ? command.join(" ") : `${command.join(" ")} { ${inside} }`;
  const answer = returnedAt === undefined ? "" : ` → ${short(formatReply(reply), WORDS_MAX)}`;
  return `${short(asked, WORDS_MAX)}${answer}`;
}

function short(text: string, length: number): string {
  const clean = text.replaceAll(/\p{C}/gu, "?");
  return clean.length > length ? `${clean.slice(0, length - 1)}…` : clean;
}
