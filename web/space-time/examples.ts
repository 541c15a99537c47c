/** Traces to begin with; a test compares them with those of examples/traces. */

export interface Example {
  readonly name: string;
  readonly about: string;
  readonly text: string;
}

export const EXAMPLES: readonly Example[] = [
  {
    name: "paper-1985.jsonl",
    about:
      "The run of Chandy and Lamport 1985, Figures 7 and 8: two processes, and a snapshot whose state never was",
    text: `{"type":"history","format":"tidemark-history/1"}
{"process":"P","type":"record","snapshot":"P/1","values":{"state":"S_Send"}}
{"process":"P","type":"send","to":"Q","message":"marker","snapshot":"P/1"}
{"process":"P","type":"send","to":"Q","message":"M","values":{"state":"S_Wait"}}
{"process":"Q","type":"send","to":"P","message":"M'","values":{"state":"T_Wait"}}
{"process":"Q","type":"record","snapshot":"P/1"}
{"process":"Q","type":"send","to":"P","message":"marker","snapshot":"P/1"}
{"process":"Q","type":"receive","from":"P","message":"marker","snapshot":"P/1"}
{"process":"P","type":"receive","from":"Q","message":"M'","values":{"state":"S_Send"}}
{"process":"P","type":"receive","from":"Q","message":"marker","snapshot":"P/1"}
{"process":"Q","type":"receive","from":"P","message":"M","values":{"state":"T_Send"}}
`,
  },
  {
    name: "lecture.jsonl",
    about: "Three processes and a snapshot between their messages, as lectures draw it",
    text: `{"type":"history","format":"tidemark-history/1"}
{"process":"P1","type":"internal","text":"a"}
{"process":"P1","type":"send","to":"P2","message":"m1","text":"b"}
{"process":"P3","type":"send","to":"P2","message":"m2","text":"i"}
{"process":"P1","type":"record","snapshot":"P1/1"}
{"process":"P1","type":"send","to":"P2","message":"marker","snapshot":"P1/1"}
{"process":"P1","type":"send","to":"P3","message":"marker","snapshot":"P1/1"}
{"process":"P2","type":"receive","from":"P1","message":"m1","text":"f"}
{"process":"P2","type":"receive","from":"P3","message":"m2","text":"g"}
{"process":"P3","type":"record","snapshot":"P1/1"}
{"process":"P3","type":"receive","from":"P1","message":"marker","snapshot":"P1/1"}
{"process":"P3","type":"send","to":"P1","message":"marker","snapshot":"P1/1"}
{"process":"P3","type":"send","to":"P2","message":"marker","snapshot":"P1/1"}
{"process":"P2","type":"send","to":"P1","message":"m3","text":"h"}
{"process":"P1","type":"internal","text":"c"}
{"process":"P1","type":"receive","from":"P3","message":"marker","snapshot":"P1/1"}
{"process":"P2","type":"record","snapshot":"P1/1"}
{"process":"P2","type":"receive","from":"P3","message":"marker","snapshot":"P1/1"}
{"process":"P2","type":"send","to":"P1","message":"marker","snapshot":"P1/1"}
{"process":"P2","type":"send","to":"P3","message":"marker","snapshot":"P1/1"}
{"process":"P2","type":"receive","from":"P1","message":"marker","snapshot":"P1/1"}
{"process":"P3","type":"internal","text":"j"}
{"process":"P1","type":"receive","from":"P2","message":"m3","text":"d"}
{"process":"P1","type":"receive","from":"P2","message":"marker","snapshot":"P1/1"}
{"process":"P3","type":"receive","from":"P2","message":"marker","snapshot":"P1/1"}
{"process":"P1","type":"send","to":"P3","message":"m4","text":"e"}
{"process":"P3","type":"receive","from":"P1","message":"m4","text":"k"}
`,
  },
  {
    name: "overtaken-causal.jsonl",
    about: "An answer that overtakes its question",
    text: `{"type":"history","format":"tidemark-history/1"}
{"process":"ann","type":"multicast","group":"g","message":"question","order":"fifo"}
{"process":"ann","type":"deliver","group":"g","message":"question"}
{"process":"bob","type":"deliver","group":"g","message":"question"}
{"process":"bob","type":"multicast","group":"g","message":"answer","order":"fifo"}
{"process":"bob","type":"deliver","group":"g","message":"answer"}
{"process":"ann","type":"deliver","group":"g","message":"answer"}
{"process":"eve","type":"deliver","group":"g","message":"answer"}
{"process":"eve","type":"deliver","group":"g","message":"question"}
`,
  },
];
