// `npm run pictures`: writes the space-time diagrams that the documentation shows, from the traces of examples/traces.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { CausalOrder, drawSvg, type LayoutOptions, layOut, parseTrace } from "tidemark/trace";
import { root } from "./run.ts";

/** A picture, and what it is made of. */
export interface Picture {
  /** Where it is, from the folder of the project. */
  readonly file: string;
  /** The file of examples/traces. */
  readonly trace: string;
  readonly title: string;
  readonly options: (order: CausalOrder) => LayoutOptions;
}

export const pictures: readonly Picture[] = [
  {
    file: "docs/learn/pictures/lecture.svg",
    trace: "lecture.jsonl",
    title: "Three processes take a snapshot; one message is in flight",
    options: (order) => ({ cut: order.cutOf("P1/1") }),
  },
  {
    file: "docs/learn/pictures/orphan.svg",
    trace: "lecture.jsonl",
    title: "A cut that is not consistent: P2 has received what P3 has not sent",
    options: (order) => ({ cut: order.frontier(new Map(Object.entries({ P1: 2, P2: 3 }))) }),
  },
  {
    file: "docs/learn/pictures/paper-1985.svg",
    trace: "paper-1985.jsonl",
    title: "The run of section 4 of Chandy and Lamport's paper, with the cut that it records",
    options: (order) => ({ cut: order.cutOf("P/1") }),
  },
  {
    file: "docs/learn/pictures/held-back.svg",
    trace: "held-back.jsonl",
    title: "An answer that comes before its question is held back",
    options: () => ({ time: "clock" }),
  },
  {
    file: "docs/learn/pictures/overtaken-fifo.svg",
    trace: "overtaken-fifo.jsonl",
    title: "Without FIFO order, Eve gets Ann's second message before her first",
    options: () => ({}),
  },
  {
    file: "docs/learn/pictures/overtaken-causal.svg",
    trace: "overtaken-causal.jsonl",
    title: "Without causal order, Eve gets the answer before the question",
    options: () => ({}),
  },
  {
    file: "docs/learn/pictures/two-orders.svg",
    trace: "two-orders.jsonl",
    title: "Without total order, Bob ends with another price than Ann and Eve",
    options: () => ({}),
  },
  {
    file: "docs/learn/pictures/waiting.svg",
    trace: "waiting.jsonl",
    title: "Three that wait for each other, two of the requests still in flight",
    options: (order) => ({
      cut: order.frontier(new Map(Object.entries({ ann: 2, bob: 3, eve: 2 }))),
    }),
  },
];

/** As it is drawn now. */
export function drawPicture({ trace, title, options }: Picture): string {
  const text = readFileSync(join(root, "examples/traces", trace), "utf8");
  const order = new CausalOrder(parseTrace(text, trace));
  return drawSvg(layOut(order, options(order)), title);
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  for (const picture of pictures) {
    const file = join(root, picture.file);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, drawPicture(picture));
    console.log(picture.file);
  }
