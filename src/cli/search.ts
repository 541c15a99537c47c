/**
 * What is searched for in a snapshot.
 *
 * A regular expression of the user's may take for ever on an unlucky text. So expressions are matched under a time limit. It is for many
 * texts at once; the text that it struck at gets all the time for itself, and if that is not enough it is an error that says where.
 */

import { TidemarkError, textOf } from "../core/error.ts";
import type { Matcher } from "../process/find.ts";
import { limited } from "./time-limit.ts";

const LIMIT_MS = 1_000;

/**
 * `TEXT`, as it is, or `/EXPRESSION/` with flags of i, m, s, u, v.
 * @throws TidemarkError `BAD_OPTION`
 */
export function parseSearch(text: string): Matcher {
  if (text === "") throw new TidemarkError("BAD_OPTION", "there is no text to search for");
  const [, source, flags = ""] = /^\/(.+)\/([a-z]*)$/s.exec(text) ?? [];
  if (source === undefined)
    return { name: text, match: (texts) => texts.map((one) => one.indexOf(text)) };
  const wrong = /[^imsuv]/.exec(flags)?.[0];
  if (wrong !== undefined)
    throw new TidemarkError("BAD_OPTION", `${text} has the flag ${wrong}: use i, m, s, u or v`);
  try {
    return expressionMatcher(text, new RegExp(source, flags));
  } catch (cause) {
    throw new TidemarkError("BAD_OPTION", textOf(cause), { cause });
  }
}

function expressionMatcher(name: string, expression: RegExp): Matcher {
  let texts: readonly string[] = [];
  let matches: number[] = [];
  const matchAll = (): void => {
    for (const text of texts.slice(matches.length))
      matches.push(expression.exec(text)?.index ?? -1);
  };
  const match = limited(matchAll, LIMIT_MS);
  return {
    name,
    limitMs: LIMIT_MS,
    match(all) {
      texts = all;
      matches = [];
      for (let stuckAt = -1; matches.length < texts.length && stuckAt < matches.length; ) {
        stuckAt = matches.length;
        match();
      }
      return matches;
    },
  };
}
