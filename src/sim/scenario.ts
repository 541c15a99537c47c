/**
 * Scenarios: what happens to a few processes, statement by statement, in a text file (`*.tide`); what comes of it is text,
 * too, and can be kept beside it as what is expected. They drive the processes that ship, as explore.ts does.
 *
 * The first line is a comment that says why the scenario exists. Then one statement a line; `#` begins a comment:
 *
 *     processes p1 p2 p3
 *     channels mesh              or: channels p1→p2 p2→p1 (also written p1->p2)
 *     step p1 a                  something happens inside p1
 *     send p1 p2 b f             p1 sends; b is the event at the sender, f the one at the receiver (default: the same)
 *     receive p2 p1              p2 receives the next message or marker from p1
 *     hold p1 p2                 receiving from p1 at p2 is not possible until: release p1 p2
 *     snapshot p1                p1 begins a snapshot; snapshots are named p1/1, p1/2 …
 *     deliver                    everything is received that is not held: the first sender's first, and so on
 *     expect p1 a b              the events at p1 so far
 *     expect p1→p2 f             what is in flight, by the receiver's events; markers as marker
 *     expect p1/1 p1 a           what the snapshot recorded of p1
 *     expect p1/1 p1→p2 f        and of the channel
 *     expect p1/1 incomplete
 */

import { TidemarkError, textOf } from "../core/error.ts";
import {
  isProcessId,
  isSnapshotId,
  type ProcessId,
  parseSnapshotId,
  type SnapshotId,
} from "../core/id.ts";
import type { Channel } from "../core/topology.ts";
import { Search } from "./explore.ts";
import type { SeenSnapshot } from "./seen.ts";
import { defineWorld, type World } from "./world.ts";

/** What a scenario comes to. */
export interface ScenarioOutcome {
  /** What happened, line by line, and each snapshot when it was complete. */
  readonly text: string;
  /** What was expected and is not so, as `FILE:LINE: reason`. */
  readonly failures: readonly string[];
}

/** A message: its name at the sender and at the receiver. */
interface Letter {
  readonly send: string;
  readonly receive: string;
}

type Request = { readonly step: string } | { readonly to: ProcessId; readonly letter: Letter };

type ScenarioWorld = World<Letter, readonly string[], Request, null>;
type ScenarioSearch = Search<Letter, readonly string[], Request, null>;

interface Statement {
  readonly line: number;
  readonly text: string;
  readonly act: (stage: Stage) => void;
}

/**
 * Runs a scenario.
 * @param file named in messages
 * @throws TidemarkError `BAD_OPTION` as `FILE:LINE: reason` for what is no scenario, or cannot happen
 *
 * @example
 * ```ts
 * import { runScenario } from "tidemark/sim";
 * const { text, failures } = runScenario(
 *   ["# a message in flight", "processes p q", "send p q hello", "snapshot q", "receive p q",
 *     "receive q p", "receive q p", "expect q/1 p→q hello"].join("\n"),
 *   "flight.tide",
 * );
 * if (failures.length > 0 || !text.includes("p→q  hello")) throw new Error(failures.join());
 * ```
 */
export function runScenario(text: string, file: string): ScenarioOutcome {
  return new Scenario(text, file).run();
}

class Scenario {
  readonly #file: string;
  readonly #statements: Statement[] = [];
  #processes: readonly ProcessId[] = [];
  #channels: "mesh" | readonly Channel[] | undefined;
  readonly #requests: { readonly of: ProcessId; readonly request: Request }[] = [];
  readonly #snapshots: ProcessId[] = [];

  constructor(text: string, file: string) {
    this.#file = file;
    const lines = text.replace(/^\uFEFF/, "").split(/\r?\n/);
    if (!/^#\s*\S/.test(lines[0] ?? ""))
      this.#fail(1, "the first line is a comment that says why the scenario exists");
    for (const [i, raw] of lines.entries()) {
      const words = raw.replace(/#.*$/, "").trim().split(/\s+/);
      if (words[0] !== "") this.#parse(i + 1, raw.replace(/#.*$/, "").trim(), words);
    }
    if (this.#processes.length === 0) this.#fail(lines.length, "no processes are named");
  }

  #fail(line: number, reason: string): never {
    throw new TidemarkError("BAD_OPTION", `${this.#file}:${line}: ${reason}`);
  }

  #parse(line: number, text: string, [verb = "", ...words]: readonly string[]): void {
    const need = (count: number, form: string): void => {
      if (words.length !== count) this.#fail(line, `"${text}": write ${form}`);
    };
    const process = (word: string | undefined): ProcessId => {
      if (word !== undefined && this.#processes.includes(word)) return word;
      return this.#fail(line, `there is no process ${word ?? ""}`);
    };
    const add = (act: Statement["act"]): void => {
      this.#statements.push({ line, text, act });
    };
    const channel = (from: ProcessId, to: ProcessId): Channel => {
      const [here, there] = [process(from), process(to)];
      const exists =
        this.#channels === undefined || this.#channels === "mesh"
          ? here !== there
          : this.#channels.some((one) => one.from === here && one.to === there);
      return exists ? { from, to } : this.#fail(line, `there is no channel ${from}→${to}`);
    };
    const [first, second, third, fourth] = words;
    switch (verb) {
      case "processes":
        if (this.#processes.length > 0) this.#fail(line, "processes are named once");
        for (const word of words)
          if (!isProcessId(word)) this.#fail(line, `"${word}" is no name for a process`);
        if (new Set(words).size < words.length) this.#fail(line, "a process is named twice");
        if (words.length === 0) this.#fail(line, "write processes p1 p2");
        this.#processes = words;
        break;
      case "channels":
        if (this.#statements.length > 0) this.#fail(line, "channels come before what happens");
        if (this.#channels !== undefined) this.#fail(line, "channels are named once");
        this.#channels = first === "mesh" && words.length === 1 ? first : this.#list(line, words);
        break;
      case "step": {
        need(2, "step p1 a");
        const of = process(first);
        this.#requests.push({ of, request: { step: second as string } });
        add((stage) => stage.take({ type: "request", process: of }));
        break;
      }
      case "send": {
        if (words.length !== 3) need(4, "send p1 p2 b, or send p1 p2 b f");
        const [of, to] = [process(first), process(second)];
        const letter = { send: third as string, receive: fourth ?? (third as string) };
        this.#requests.push({ of, request: { to, letter } });
        add((stage) => stage.take({ type: "request", process: of }));
        break;
      }
      case "receive": {
        need(2, "receive p2 p1");
        const [to, from] = [process(first), process(second)];
        add((stage) => stage.receive(to, from));
        break;
      }
      case "hold":
      case "release": {
        need(2, `${verb} p1 p2`);
        const { from, to } = channel(process(first), process(second));
        add((stage) => stage.hold(from, to, verb === "hold"));
        break;
      }
      case "snapshot": {
        need(1, "snapshot p1");
        const by = process(first);
        this.#snapshots.push(by);
        add((stage) => stage.take({ type: "snapshot", process: by }));
        break;
      }
      case "deliver":
        need(0, "deliver");
        add((stage) => stage.deliver());
        break;
      case "expect":
        this.#expect(line, words, process, channel, add);
        break;
      default:
        this.#fail(
          line,
          `"${verb}" is no statement: processes, channels, step, send, receive, hold, release, snapshot, deliver, expect`,
        );
    }
  }

  /** The channels that a line names. */
  #list(line: number, words: readonly string[]): readonly Channel[] {
    const channels: Channel[] = [];
    for (const word of words) {
      const one = asChannel(word);
      if (!one) return this.#fail(line, `"${word}" is no channel: write p1→p2`);
      const { from, to } = one;
      for (const id of [from, to])
        if (!this.#processes.includes(id)) this.#fail(line, `there is no process ${id}`);
      if (from === to) this.#fail(line, `${from} cannot have a channel to itself`);
      if (channels.some((other) => other.from === from && other.to === to))
        this.#fail(line, `the channel ${from}→${to} is named twice`);
      channels.push(one);
    }
    return channels;
  }

  #expect(
    line: number,
    words: readonly string[],
    process: (word: string | undefined) => ProcessId,
    channel: (from: ProcessId, to: ProcessId) => Channel,
    add: (act: Statement["act"]) => void,
  ): void {
    const [what = "", ...rest] = words;
    if (!isSnapshotId(what)) {
      const found = asChannel(what);
      if (found) {
        const one = channel(found.from, found.to);
        add((stage) => stage.expect(stage.inFlight(one), rest));
      } else {
        const id = process(what);
        add((stage) => stage.expect(stage.events(id), rest));
      }
      return;
    }
    const { initiator, count } = parseSnapshotId(what);
    process(initiator);
    const begun = this.#snapshots.filter((by) => by === initiator).length >= count;
    const ask = (found: (stage: Stage) => readonly string[] | undefined, expected = rest): void =>
      add((stage) => {
        if (!begun) throw new Unexpected("that is not begun");
        stage.expect(found(stage), expected);
      });
    const [part = "", ...expected] = rest;
    if (part === "incomplete" && expected.length === 0) {
      ask((stage) => (stage.seen(what) ? ["complete"] : ["incomplete"]));
      return;
    }
    if (part === "") this.#fail(line, "write expect p1/1 p1 a, or expect p1/1 p1→p2 f");
    const found = asChannel(part);
    if (found) {
      const one = channel(found.from, found.to);
      ask((stage) => stage.recorded(what, one), expected);
    } else {
      const id = process(part);
      ask((stage) => stage.seen(what)?.states[id], expected);
    }
  }

  run(): ScenarioOutcome {
    const world: ScenarioWorld = defineWorld<Letter, readonly string[], Request, null>({
      processes: this.#processes,
      channels: this.#channels ?? "mesh",
      application: () => {
        const events: string[] = [];
        return {
          request(id, request, turn) {
            if ("step" in request) events.push(request.step);
            else {
              events.push(request.letter.send);
              turn.send(request.to, request.letter);
            }
            turn.reply(id, null);
          },
          receive(_from, { receive }) {
            events.push(receive);
          },
          capture: () => events,
          restore() {},
        };
      },
      requests: this.#requests,
      snapshots: this.#snapshots,
    });
    let stage: Stage;
    try {
      stage = new Stage(new Search(world), this.#processes);
    } catch (error) {
      return this.#fail(1, textOf(error));
    }
    const failures: string[] = [];
    for (const { line, text, act } of this.#statements) {
      try {
        act(stage);
      } catch (error) {
        if (error instanceof Unexpected)
          failures.push(`${this.#file}:${line}: ${text}: ${error.message}`);
        else this.#fail(line, `"${text}" cannot happen: ${textOf(error)}`);
      }
    }
    return { text: stage.lines.map((one) => `${one}\n`).join(""), failures };
  }
}

/** What was expected is not so. */
class Unexpected extends Error {}

/** A scenario while it goes on. */
class Stage {
  readonly lines: string[] = [];
  readonly #search: ScenarioSearch;
  readonly #processes: readonly ProcessId[];
  readonly #held = new Set<string>();
  #shown = 0;

  constructor(search: ScenarioSearch, processes: readonly ProcessId[]) {
    this.#search = search;
    this.#processes = processes;
  }

  take(step: Parameters<ScenarioSearch["take"]>[0]): void {
    const text = this.#search.take(step);
    if (text === undefined) throw new Error("nothing like it is left to be done");
    if (this.#search.wrong !== undefined) throw new Error(this.#search.wrong);
    if (step.type === "receive") {
      const what = text.slice(text.indexOf(": ") + 2);
      this.lines.push(`${step.process} receives from ${step.from}: ${readable(what)}`);
    } else if (step.type === "snapshot") this.lines.push(text);
    else this.lines.push(`${step.process}: ${this.events(step.process).at(-1)}`);
    this.#settle();
  }

  receive(to: ProcessId, from: ProcessId): void {
    if (this.#held.has(`${from}→${to}`)) throw new Error(`what ${from} sends to ${to} is held`);
    if (!this.#search.heads().some((head) => head.from === from && head.to === to))
      throw new Error(`nothing is on the way from ${from} to ${to}`);
    this.take({ type: "receive", process: to, from });
  }

  hold(from: ProcessId, to: ProcessId, held: boolean): void {
    if (held) this.#held.add(`${from}→${to}`);
    else this.#held.delete(`${from}→${to}`);
    this.lines.push(`${from}→${to} is ${held ? "held" : "released"}`);
  }

  deliver(): void {
    for (;;) {
      const next = this.#search.heads().find(({ from, to }) => !this.#held.has(`${from}→${to}`));
      if (!next) return;
      this.receive(next.to, next.from);
    }
  }

  events(id: ProcessId): readonly string[] {
    return this.#search.viewNow().state(id) ?? [];
  }

  inFlight({ from, to }: Channel): readonly string[] {
    return this.#search
      .viewNow()
      .inFlight(from, to)
      .map(({ receive }) => receive);
  }

  seen(id: SnapshotId): SeenSnapshot<Letter, readonly string[]> | undefined {
    return this.#search.viewNow().snapshots.find((one) => one.id === id);
  }

  recorded(id: SnapshotId, { from, to }: Channel): readonly string[] | undefined {
    const channel = this.seen(id)?.inFlight.find((one) => one.from === from && one.to === to);
    return channel?.messages.map(({ receive }) => receive);
  }

  expect(found: readonly string[] | undefined, expected: readonly string[]): void {
    if (found === undefined) throw new Unexpected("that is not complete");
    if (found.join(" ") !== expected.join(" "))
      throw new Unexpected(`it is ${found.length === 0 ? "nothing" : found.join(" ")}`);
  }

  /** Words between initiator and participants are not on the channels: they arrive at once. */
  #settle(): void {
    for (;;) {
      const next = this.#search.heads().find(({ text }) => text === "control");
      if (!next) break;
      this.#search.take({ type: "receive", process: next.to, from: next.from });
    }
    const { snapshots } = this.#search.viewNow();
    // A view lists them by initiator: what is new may stand anywhere.
    if (snapshots.length === this.#shown) return;
    this.#shown = snapshots.length;
    for (const snapshot of snapshots)
      if (!this.lines.includes(`snapshot ${snapshot.id}`)) this.#show(snapshot);
  }

  #show({ id, states, inFlight }: SeenSnapshot<Letter, readonly string[]>): void {
    this.lines.push(`snapshot ${id}`);
    for (const process of this.#processes)
      this.lines.push(`  ${process}  ${states[process]?.join(" ") ?? ""}`.trimEnd());
    const order = (id: ProcessId): number => this.#processes.indexOf(id);
    const channels = [...inFlight].sort(
      (a, b) => order(a.from) - order(b.from) || order(a.to) - order(b.to),
    );
    for (const { from, to, messages } of channels)
      if (messages.length > 0)
        this.lines.push(`  ${from}→${to}  ${messages.map(({ receive }) => receive).join(" ")}`);
  }
}

function asChannel(word: string): Channel | undefined {
  const [from, to, ...more] = word.split(/→|->/);
  return from && to && more.length === 0 && isProcessId(from) && isProcessId(to)
    ? { from, to }
    : undefined;
}

/** A message by its name at the receiver; a marker as it is. */
function readable(what: string): string {
  if (!what.startsWith("{")) return what;
  return (JSON.parse(`[${what}]`) as Letter[]).map(({ receive }) => receive).join(" ");
}
