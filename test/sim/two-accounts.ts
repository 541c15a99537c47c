/** Two accounts with 10 each; one is asked to send 1, and takes a snapshot, at any time. */
import { defineWorld, type World } from "../../src/sim.ts";

const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);

export const twoAccounts: World<number, number, "give", null> = defineWorld({
  processes: ["p1", "p2"],
  application: () => {
    let money = 10;
    return {
      request: (id, _what, turn) => {
        money -= 1;
        turn.send(turn.peers, 1);
        turn.reply(id, null);
      },
      receive: (_from, amount) => {
        money += amount;
      },
      capture: () => money,
      restore: (state) => {
        money = state;
      },
    };
  },
  requests: [
    { of: "p1", request: "give" },
    { of: "p2", request: "give" },
  ],
  snapshots: ["p1"],
  always: {
    "snapshots add up": (view) =>
      view.snapshots.every(
        ({ states, inFlight }) =>
          sum(Object.values(states)) + sum(inFlight.flatMap(({ messages }) => messages)) === 20,
      ),
  },
});
