/** What may take for ever, such as a regular expression of the user's on an unlucky text: it is ended in the middle. */

import { createContext, Script } from "node:vm";
import { TidemarkError } from "../core/error.ts";
import type { FindAll } from "../trace/shiviz.ts";

/**
 * Gives a function that runs `work` and says whether it has come to its end; if it takes longer than the limit, it is ended where it is.
 */
export function limited(work: () => void, limitMs: number): () => boolean {
  // The limit is for everything that the script calls.
  const context = createContext({ work });
  const script = new Script("work()");
  return () => {
    try {
      script.runInContext(context, { timeout: limitMs });
      return true;
    } catch (thrown) {
      if ((thrown as { code?: unknown }).code !== "ERR_SCRIPT_EXECUTION_TIMEOUT") throw thrown;
      return false;
    }
  };
}

const AT_ONCE = 1_000;

/** Finds all matches of an expression, one after the other, unless it takes longer than the limit to find one. */
export function limitedFindAll(limitMs: number): FindAll {
  // There may be an expression of many texts, and one in the middle of another; what is limited is set up once.
  let search = (): void => undefined;
  const find = limited(() => search(), limitMs);
  return function* findAll(expression, text) {
    const own = new RegExp(expression.source, expression.flags);
    let found: RegExpExecArray[] = [];
    let next = 0;
    let isOver = false;
    const ownSearch = (): void => {
      while (found.length < AT_ONCE) {
        // What was found is kept by this one call; if it is ended before that, the same is found again.
        const last = found.at(-1);
        own.lastIndex = last ? endOf(last) : next;
        const match = own.exec(text);
        if (match) found.push(match);
        else {
          isOver = true;
          return;
        }
      }
    };
    while (!isOver) {
      search = ownSearch;
      if (!find() && found.length === 0)
        throw new TidemarkError(
          "BAD_OPTION",
          `the expression takes longer than ${limitMs} ms to find what comes next; try a simpler one than ${expression.source}`,
        );
      const matches = found;
      const last = matches.at(-1);
      if (last) next = endOf(last);
      found = [];
      yield* matches;
    }
  };
}

/** Where the next match begins at the earliest: never where an empty one was. */
const endOf = ({ 0: { length }, index }: RegExpExecArray): number => index + Math.max(1, length);
