/** Whether something can have been so in the opened trace, and whether it must have been: worked out here, in the browser. */

import { type FormEvent, useDeferredValue, useEffect, useMemo, useRef, useState } from "react";
import { CausalOrder, type Frontier } from "../../src/trace/causal-order.ts";
import { parseExpression } from "../../src/trace/expression.ts";
import {
  type DefinitelyVerdict,
  definitely,
  firstObserved,
  type PossiblyVerdict,
  possibly,
  type Way,
} from "../../src/trace/possibly.ts";
import { StateIndex } from "../../src/trace/state-index.ts";
import type { Trace } from "../../src/trace/trace.ts";
import { goTo, hrefOf, usePage, useRoute } from "../page.tsx";
import { Button } from "../parts/button.tsx";
import { CommandLine } from "../parts/empty.tsx";
import { counted, grouped } from "../parts/words.ts";
import { cutText } from "../space-time/cuts.ts";
import { EXAMPLE_EXPRESSION, exampleTrace } from "./example.ts";

export function Ask({
  trace,
  isLive,
}: {
  readonly trace: Trace | undefined;
  readonly isLive: boolean;
}) {
  const { show } = usePage();
  const began = useMemo(() => (trace ? begin(trace) : undefined), [trace]);
  return (
    <section className="card ask" aria-labelledby="ask">
      <h2 id="ask">Possibly and definitely</h2>
      <p className="dim">
        A trace does not say in which order things happened that knew nothing of each other. So: can
        it have been so, at some consistent cut? And must it have been so at some time, whatever the
        order?
      </p>
      {began === undefined ? (
        <div className="ask-empty">
          <p>No trace is open. Drop a file onto this page, or choose one with Open…</p>
          {isLive && <p>This records what the running system does for five seconds:</p>}
          <CommandLine>tidemark trace record --for 5s &gt; run.jsonl</CommandLine>
          <p>
            <Button
              onClick={() => {
                show(exampleTrace());
                goTo("properties", "ask", EXAMPLE_EXPRESSION);
              }}
            >
              Try it with an example
            </Button>
          </p>
        </div>
      ) : typeof began === "string" ? (
        <p className="bad">Nothing can be asked of this trace: {began}</p>
      ) : (
        <Asking {...began} />
      )}
    </section>
  );
}

interface Begun {
  readonly order: CausalOrder;
  readonly states: StateIndex;
}

/** Or why it cannot. */
function begin(trace: Trace): Begun | string {
  try {
    return { order: new CausalOrder(trace), states: new StateIndex(trace) };
  } catch (error) {
    return (error as Error).message;
  }
}

interface Answer {
  readonly order: CausalOrder;
  readonly expression: string;
  readonly possibly: PossiblyVerdict;
  readonly definitely: DefinitelyVerdict;
  /** After how many events of the order of the lines. */
  readonly observed: number | undefined;
}

const BUDGETS = [10_000, 100_000, 1_000_000] as const;
const BUDGET_USUAL = 100_000;
const EXPRESSION_MAX = 2_000;
/** Until the browser has painted that it is being worked out. */
const PAINT_MS = 30;

function Asking({ order, states }: Begun) {
  const [, what, linked] = useRoute();
  const asked = what === "ask" ? linked : undefined;
  const [text, setText] = useState(asked ?? "");
  const [budget, setBudget] = useState<number>(BUDGET_USUAL);
  const [answer, setAnswer] = useState<Answer | undefined>(undefined);
  const [isWorking, setIsWorking] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const checked = useDeferredValue(text);
  const wrong = useMemo(() => problemOf(checked, states), [checked, states]);

  const work = (expression: string): void => {
    setIsWorking(true);
    setTimeout(() => {
      const can = possibly(order, expression, { budget });
      const must = definitely(order, expression, { budget });
      const observed = can.holds ? firstObserved(order, expression) : undefined;
      setAnswer({ order, expression, possibly: can, definitely: must, observed });
      setIsWorking(false);
    }, PAINT_MS);
  };
  // What a link asks is answered at once.
  // biome-ignore lint/correctness/useExhaustiveDependencies: another budget alone asks nothing
  useEffect(() => {
    if (asked === undefined) return;
    setText(asked);
    if (asked.trim() !== "" && !problemOf(asked, states)) work(asked);
  }, [asked, order]);
  const ask = (event: FormEvent): void => {
    event.preventDefault();
    if (text.trim() === "" || problemOf(text, states)) return;
    if (text === asked) work(text);
    else goTo("properties", "ask", text);
  };
  const insert = (name: string): void => {
    const at = input.current?.selectionStart ?? text.length;
    const [word = ""] = /[\w.`-]*$/.exec(text.slice(0, at)) ?? [];
    setText(text.slice(0, at - word.length) + name + text.slice(at));
    input.current?.focus();
  };
  return (
    <>
      <form onSubmit={ask}>
        <div className="bar">
          <input
            ref={input}
            className="expression mono"
            aria-label="Expression"
            aria-invalid={wrong !== undefined}
            aria-describedby="expression-problem"
            placeholder="a.balance + b.balance < 100"
            maxLength={EXPRESSION_MAX}
            spellCheck={false}
            autoComplete="off"
            value={text}
            onChange={({ target }) => setText(target.value)}
          />
          <label className="bar">
            up to
            <select value={budget} onChange={({ target }) => setBudget(Number(target.value))}>
              {BUDGETS.map((one) => (
                <option key={one} value={one}>
                  {grouped(one)} cuts
                </option>
              ))}
            </select>
          </label>
          <button
            type="submit"
            className="button main"
            // What was typed a moment ago is not checked yet: who presses Enter at once is heard.
            disabled={text.trim() === "" || (wrong !== undefined && checked === text) || isWorking}
          >
            Ask
          </button>
        </div>
        <div id="expression-problem" className="problem" role="status">
          {wrong && <Problem text={checked} {...wrong} />}
        </div>
      </form>
      <Names states={states} text={text} insert={insert} />
      <div className="answers" aria-live="polite">
        {isWorking ? (
          <p className="dim">It is being worked out …</p>
        ) : (
          answer?.order === order && (
            <Answered
              answer={answer}
              order={order}
              states={states}
              isOld={answer.expression !== text}
            />
          )
        )}
      </div>
    </>
  );
}

interface Wrong {
  readonly reason: string;
  /** From 0. */
  readonly at: number | undefined;
}

function problemOf(text: string, states: StateIndex): Wrong | undefined {
  if (text.trim() === "") return undefined;
  try {
    parseExpression(text, states);
    return undefined;
  } catch (error) {
    const { message } = error as Error;
    const [, at, reason = message] =
      /^the expression is wrong at character ([0-9]+)(?:, .*?)?: (.*)$/s.exec(message) ?? [];
    return { reason, at: at === undefined ? undefined : Number(at) - 1 };
  }
}

/** The expression once more, with the place at which it is wrong. */
function Problem({ text, reason, at }: Wrong & { readonly text: string }) {
  const [word = " "] = /^(?:[\w.]+|.)/s.exec(text.slice(at ?? 0)) ?? [];
  return (
    <>
      {at !== undefined && (
        <pre>
          {text.slice(0, at)}
          <mark>{word}</mark>
          {text.slice(at + word.length)}
        </pre>
      )}
      <p className="bad">
        {at !== undefined && `At character ${at + 1}: `}
        {reason}
      </p>
    </>
  );
}

const NAMES_MAX = 24;
const FORMS = ["inflight()", "inflight(p, q)", "sum(x)", "count(x)", "all(x)", "any(x)"] as const;

/** What may stand in an expression: names that begin like the word that is being written, or all. */
function Names({
  states,
  text,
  insert,
}: {
  readonly states: StateIndex;
  readonly text: string;
  readonly insert: (name: string) => void;
}) {
  const names = useMemo(
    () =>
      states.trace.processes.flatMap((process, p) =>
        states.names(p).map((name) => `${quoted(process)}.${quoted(name)}`),
      ),
    [states],
  );
  const [word = ""] = /[\w.`-]*$/.exec(text) ?? [];
  const alike = names.filter((name) => name.startsWith(word) && name !== word);
  const shown = word !== "" && alike.length > 0 ? alike : names;
  return (
    <div className="names">
      <p className="dim">
        {names.length === 0
          ? "No process has values in this trace: only messages in flight can be asked for."
          : "Values:"}
        {shown.slice(0, NAMES_MAX).map((name) => (
          <button
            key={name}
            type="button"
            className="button quiet mono"
            onClick={() => insert(name)}
          >
            {name}
          </button>
        ))}
        {shown.length > NAMES_MAX && `and ${grouped(shown.length - NAMES_MAX)} more`}
      </p>
      <details>
        <summary>How to write it</summary>
        <p>
          <code>process.value</code>, numbers, "texts", true, false, null; <code>+ - * /</code>,{" "}
          <code>== != &lt; &lt;= &gt; &gt;=</code>, <code>&amp;&amp; || !</code>. Names with other
          characters stand in <code>`backquotes`</code>.{" "}
          {FORMS.map((form) => (
            <code key={form}>{form} </code>
          ))}{" "}
          A value holds until its process says another one; before the first there is none, and no
          comparison with it holds.
        </p>
      </details>
    </div>
  );
}

const quoted = (name: string): string => (/^[A-Za-z_]\w*$/.test(name) ? name : `\`${name}\``);

const WAYS: Readonly<Record<Way, string>> = {
  conjunctive: "straight, process by process",
  linear: "straight, process by process",
  sum: "by a minimum cut",
  slice: "by a search among the cuts that are left",
  lattice: "by a search among all cuts",
  ends: "it holds at the first cut or at the last",
  orders: "by trying a few orders",
};

const howText = (ways: readonly Way[], explored: number): string =>
  `${[...new Set(ways.map((way) => WAYS[way]))].join("; ") || "by what it says"}${explored > 0 ? `; ${counted(explored, "cut")} looked at` : ""}`;

function Answered({
  answer: { expression, possibly: can, definitely: must, observed },
  order,
  states,
  isOld,
}: Begun & { readonly answer: Answer; readonly isOld: boolean }) {
  return (
    <div className={isOld ? "answer is-old" : "answer"}>
      <p>
        <code>{expression}</code>
      </p>
      <div className="columns">
        <section aria-labelledby="possibly">
          <h3 id="possibly">
            Possibly: <Yes holds={can.holds} />
          </h3>
          <p className="dim">{can.holds === null ? can.reason : howText(can.ways, can.explored)}</p>
          {can.holds === true && (
            <>
              <p>
                It can have been so, at the cut{" "}
                <a href={hrefOf("space-time", "cut", cutText(can.cut))}>
                  {countsText(order, can.cut)}
                </a>
                .
              </p>
              <Values states={states} cut={can.cut} />
              <p className="dim">{observedText(order, observed)}</p>
            </>
          )}
          {can.holds === false && <p>There is no consistent cut at which it holds.</p>}
        </section>
        <section aria-labelledby="definitely">
          <h3 id="definitely">
            Definitely: <Yes holds={must.holds} />
          </h3>
          <p className="dim">
            {must.holds === null ? must.reason : howText(must.ways, must.explored)}
          </p>
          {must.holds === true && (
            <p>It was so at some time, in whatever order the events happened.</p>
          )}
          {must.holds === false && (
            <>
              <p>In this order, which is possible as well, it never holds:</p>
              <Order order={order} events={must.order} />
            </>
          )}
        </section>
      </div>
    </div>
  );
}

function Yes({ holds }: { readonly holds: boolean | null }) {
  if (holds === null) return <span className="warn">unknown</span>;
  return <span className={holds ? "main-colour" : ""}>{holds ? "yes" : "no"}</span>;
}

const PROCESSES_MAX = 12;

function countsText({ trace }: CausalOrder, cut: Frontier): string {
  const counts = trace.processes.slice(0, PROCESSES_MAX).map((name, p) => `${name}=${cut[p]}`);
  return `${counts.join(" ")}${trace.processes.length > PROCESSES_MAX ? " …" : ""}`;
}

function eventText({ events, processes }: Trace, e: number): string {
  const { process = 0, position = 0, type = "", peer, text } = events[e] ?? {};
  const whom = peer === undefined ? "" : ` ${type === "send" ? "to" : "from"} ${peer}`;
  return `${processes[process]}:${position + 1} ${text ?? `${type}${whom}`}`;
}

function observedText({ trace, linear }: CausalOrder, observed: number | undefined): string {
  if (observed === undefined)
    return "In the order in which the trace is told, it holds at no time.";
  const event = linear[observed - 1];
  return `In the order in which the trace is told, it first holds ${event === undefined ? "at the beginning" : `after ${eventText(trace, event)}`}.`;
}

const VALUES_MAX = 100;

function Values({ states, cut }: { readonly states: StateIndex; readonly cut: Frontier }) {
  const rows = [...states.values(cut)].flatMap(([process, values]) =>
    Object.entries(values).map(([name, value]) => ({ process, name, value })),
  );
  const inFlight = states.inFlight(cut);
  return (
    <div className="scroll-x">
      <table>
        <caption className="hidden">Values and messages in flight at the cut</caption>
        <tbody>
          {rows.slice(0, VALUES_MAX).map(({ process, name, value }) => (
            <tr key={`${process} ${name}`}>
              <th scope="row">
                {process}.{name}
              </th>
              <td className="mono">{JSON.stringify(value)}</td>
            </tr>
          ))}
          {inFlight.slice(0, VALUES_MAX).map(({ from, to, messages }) => (
            <tr key={`${from} → ${to}`}>
              <th scope="row">
                {from} → {to}
              </th>
              <td>{counted(messages, "message")} in flight</td>
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length > VALUES_MAX && <p>and {grouped(rows.length - VALUES_MAX)} more values</p>}
    </div>
  );
}

const EVENTS_MAX = 200;

function Order({
  order: { trace },
  events,
}: {
  readonly order: CausalOrder;
  readonly events: Int32Array;
}) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls can be scrolled by keys
    <ol className="order mono" tabIndex={0} aria-label="An order in which it never holds">
      {[...events.subarray(0, EVENTS_MAX)].map((e) => (
        <li key={e}>{eventText(trace, e)}</li>
      ))}
      {events.length > EVENTS_MAX && <li>and {grouped(events.length - EVENTS_MAX)} more</li>}
    </ol>
  );
}
