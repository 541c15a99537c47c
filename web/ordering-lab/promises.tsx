/** What is promised of the order of deliveries, whether it is kept, and what would come of it if nothing were held back. */

import { ORDER_LEVELS, type OrderPromise } from "../../src/core/order-level.ts";
import type { Conflict, Judgement } from "./judge.ts";
import type { Lab } from "./lab.ts";

interface PromisesProps {
  readonly lab: Lab;
  /** Of what was asked for. */
  readonly asked: Judgement;
  /** By every order there is, whoever asked for it. */
  readonly all: Judgement;
  /** Of what was asked for, if nothing is held back. */
  readonly plain: readonly Conflict[];
}

const PROMISES: readonly OrderPromise[] = ["FIFO order", "causal order", "total order"];

export function Promises({ lab, asked, all, plain }: PromisesProps) {
  const reasonIn = (conflicts: readonly Conflict[], promise: string): string | undefined =>
    conflicts.find((one) => one.promise === promise)?.reason;
  return (
    <table className="lab-promises">
      <thead>
        <tr>
          <th>Promise</th>
          <th>Asked for by</th>
          <th>What came of it</th>
          <th>If nothing were held back</th>
        </tr>
      </thead>
      <tbody>
        {PROMISES.map((promise) => {
          const by = lab.messages.filter(
            ({ order }) => order !== "none" && ORDER_LEVELS[order].includes(promise),
          );
          const broken = reasonIn(asked.conflicts, promise);
          const unasked = reasonIn(all.conflicts, promise);
          const without = reasonIn(plain, promise);
          return (
            <tr key={promise}>
              <th scope="row">{promise}</th>
              <td data-label="Asked for by">
                {by.length === 0
                  ? "nobody"
                  : by.length === lab.messages.length
                    ? "all messages"
                    : by.map(({ name }) => name).join(", ")}
              </td>
              <td data-label="What came of it">
                {broken !== undefined ? (
                  <span className="bad">✗ Broken: {broken}</span>
                ) : unasked !== undefined ? (
                  <span className="warn">
                    {by.length > 0 && "✓ Kept between those. "}Not promised for all, and not so:{" "}
                    {unasked}
                  </span>
                ) : by.length > 0 ? (
                  <span className="good">✓ Kept</span>
                ) : (
                  <span className="dim">So by chance</span>
                )}
              </td>
              <td data-label="If nothing were held back">
                {without !== undefined ? (
                  <span className="bad">✗ {without}</span>
                ) : (
                  <span className="dim">{by.length > 0 ? "So by chance" : "–"}</span>
                )}
              </td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
