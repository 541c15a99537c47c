/** Labs that everybody should have seen once. */

import { EMPTY_LAB, type Lab, type LabMessage, type LabOrder } from "./lab.ts";

/** See the head of the file. */
export interface Preset {
  readonly id: string;
  readonly lab: Lab;
}

/** `name from atMs order to:ms …`; behind `from>to` it is for one. */
function said(line: string): LabMessage {
  const [name = "", way = "", atMs = "", order = "", ...delays] = line.split(" ");
  const [from = "", to] = way.split(">");
  return {
    ...{ name, from, atMs: Number(atMs), order: order as LabOrder },
    ...(to === undefined ? {} : { to }),
    delays: delays.map((one) => {
      const [whom = "", ms = ""] = one.split(":");
      return { to: whom, ms: Number(ms) };
    }),
  };
}

function preset(
  id: string,
  title: string,
  see: string,
  messages: readonly string[],
  other: Partial<Lab> = {},
): Preset {
  return { id, lab: { ...EMPTY_LAB, title, see, messages: messages.map(said), ...other } };
}

const REPLY = (order: LabOrder): readonly string[] => [
  `question ann 40 ${order} bob:60 eve:300`,
  `answer bob 140 ${order} ann:70 eve:70`,
];
const TWO_WRITES = (order: LabOrder): readonly string[] => [
  `write-1 ann 40 ${order} bob:200 eve:90`,
  `write-2 eve 60 ${order} bob:60 ann:200`,
];

export const PRESETS: readonly Preset[] = [
  preset(
    "reply-overtakes",
    "A reply overtakes its question",
    "Nothing is late and nothing is lost, and yet eve has the answer before the question: without order a channel knows nothing of the other channels.",
    REPLY("none"),
  ),
  preset(
    "reply-waits",
    "The reply waits: causal order",
    "Bob had read the question when he answered, so his packet says that it comes after it: at eve the answer is held back until the question is there.",
    REPLY("causal"),
  ),
  preset(
    "fifo-is-not-enough",
    "FIFO order does not help a reply",
    "Ann and bob have sent one message each, so FIFO order has nothing to hold back: eve still has the answer first.",
    REPLY("fifo"),
  ),
  preset(
    "fifo-violation",
    "A FIFO violation",
    "The account is closed before it is open at eve: on channels without an order the later message of ann overtakes her earlier one.",
    ["open ann 40 none bob:80 eve:260", "close ann 120 none bob:80 eve:60"],
  ),
  preset(
    "fifo-order",
    "FIFO order numbers what a process sends",
    "Close comes to eve as packet 2 of ann, and packet 1 is not there: it is held back behind the gap until open has come.",
    ["open ann 40 fifo bob:80 eve:260", "close ann 120 fifo bob:80 eve:60"],
  ),
  preset(
    "two-writes",
    "Two writes, two orders",
    "Ann delivers write-1 and then write-2, eve the other way round: nobody sees anything odd, and the replicas differ for ever.",
    TWO_WRITES("causal"),
  ),
  preset(
    "sequencer",
    "Total order by a sequencer",
    "Ann, the sequencer, says in which order she got the writes; all deliver in that order, and bob, who has write-2 first, holds it back until her word is there.",
    TWO_WRITES("total"),
  ),
  preset(
    "agreed",
    "Total order by agreement",
    "Each proposes a place for each write, and the largest is taken: no member is special, and it takes two hops behind the message instead of one.",
    TWO_WRITES("total"),
    { total: "agreed" },
  ),
  preset(
    "third-process",
    "Causal order through a third process",
    "Eve answers bob, who has answered ann: both answers are with fay long before a, and both wait for it, for causal order goes the whole way back.",
    [
      "a ann 40 causal bob:60 eve:120 fay:480",
      "b bob 140 causal ann:60 eve:60 fay:90",
      "c eve 280 causal ann:60 bob:60 fay:60",
    ],
    { processes: ["ann", "bob", "eve", "fay"] },
  ),
  preset(
    "fifo-total-is-not-causal",
    "FIFO-total is not causal with the rest",
    "The price asks for FIFO-total order and bob's remark on it for FIFO order: neither is causal, so eve has the remark first. With causal-total and causal order it waits.",
    ["price ann 40 fifo-total bob:50 eve:360", "remark bob 160 fifo ann:60 eve:60"],
  ),
  preset(
    "beside-the-group",
    "What goes beside the group is not seen",
    "Bob tells eve by a message of the channel alone what he has read, and her causal reply comes to fay before its cause: no group sees what is said beside it.",
    [
      "news ann 40 causal bob:60 eve:400 fay:400",
      "whisper bob>eve 140 none eve:60",
      "reply eve 240 causal ann:60 bob:60 fay:60",
    ],
    { processes: ["ann", "bob", "eve", "fay"] },
  ),
  preset(
    "in-flight",
    "A snapshot with a message in flight",
    "The money has left ann and is not with bob when both record: it is in the state of the channel, so nothing is missing from the cut.",
    ["money ann>bob 60 none bob:260", "thanks bob>ann 380 none ann:80"],
    {
      processes: ["ann", "bob"],
      channels: "fifo",
      snapshots: [{ at: "bob", atMs: 120, delays: [] }],
    },
  ),
  preset(
    "lecture",
    "The example of the lecture notes",
    "P3's marker reaches P2 first, so P2 records after h; P1 has recorded before d comes: three states, and one message in flight, h→d.",
    [
      "b→f P1>P2 20 none P2:60",
      "i→g P3>P2 110 none P2:80",
      "h→d P2>P1 220 none P1:120",
      "e→k P1>P3 420 none P3:60",
    ],
    {
      processes: ["P1", "P2", "P3"],
      channels: "fifo",
      snapshots: [
        {
          at: "P1",
          atMs: 90,
          delays: [
            { from: "P1", to: "P3", ms: 50 },
            { from: "P3", to: "P2", ms: 110 },
            { from: "P3", to: "P1", ms: 130 },
            { from: "P1", to: "P2", ms: 210 },
          ],
        },
      ],
    },
  ),
  preset(
    "held-in-snapshot",
    "What is held back is in a state",
    "When eve records, the answer has come to her and is not delivered: it is no message in flight but a part of her state, and the question is on its way.",
    REPLY("causal"),
    { channels: "fifo", snapshots: [{ at: "eve", atMs: 240, delays: [] }] },
  ),
];
