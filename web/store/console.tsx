/** A console: what is typed there is asked at one replica, on a connection of its own. */

import { type KeyboardEvent, useEffect, useRef, useState, useSyncExternalStore } from "react";
import { splitWords } from "../../src/kv/line.ts";
import type { TypedReply } from "../../src/kv/reply-reader.ts";
import { Button } from "../parts/button.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { counted } from "../parts/words.ts";
import { bytesOf } from "./bytes.ts";
import { completionOf } from "./completion.ts";
import { type ConsoleEntry, consoleOf, isSecret } from "./console-session.ts";
import { goToPart, ReplicaChoice, replicaOf, type StorePartProps } from "./place.tsx";
import { replyLines } from "./reply-lines.ts";
import type { Words } from "./store-client.ts";

const HISTORY = "tidemark console";
const HISTORY_MAX = 200;
/** A line that was pasted may be of any size: no longer one is remembered, for a browser keeps a few megabytes, or shown whole. */
const LINE_CHARACTERS_MAX = 10_000;
const LINES = 200;
const LINES_MAX = 5_000;

/** What takes much away, or stops others, and what it does. */
const DANGEROUS: readonly (readonly [words: RegExp, does: string])[] = [
  [/^flushall\b/, "deletes every key of every database, at all replicas"],
  [/^flushdb\b/, "deletes every key of the selected database, at all replicas"],
  [/^swapdb\b/, "exchanges two databases, for all clients"],
  [/^shutdown\b/, "is to end a process of the store"],
  [/^debug\b/, "can stop a replica for a while"],
  [/^client (kill|pause|no-evict)\b/, "ends or stops connections of others"],
  [/^config set\b/, "changes how this replica serves all its clients"],
  [
    /^tidemark restore\b/,
    "has all replicas go back to a snapshot: what was written since is undone",
  ],
];

export function Console({ server, store, route }: StorePartProps) {
  const session = consoleOf(server);
  const state = useSyncExternalStore(
    (listener) => session.listen(listener),
    () => session.state,
  );
  const process = replicaOf(store, route[0] ?? (state.process || undefined));
  useEffect(() => session.choose(process), [session, process]);
  const [isAsked, setIsAsked] = useState<{ words: Words; does: string } | undefined>(undefined);
  const end = useRef<HTMLDivElement>(null);
  const last = state.entries.at(-1)?.id;
  // biome-ignore lint/correctness/useExhaustiveDependencies: what is new is shown
  useEffect(() => {
    end.current?.scrollTo({ top: end.current.scrollHeight });
  }, [last]);

  const send = (words: Words): void => {
    const text = words.join(" ").toLowerCase();
    const found = DANGEROUS.find(([one]) => one.test(text));
    if (found) setIsAsked({ words, does: found[1] });
    else session.send(words);
  };
  return (
    <section className="card console" aria-label="Console">
      <div className="bar">
        <ReplicaChoice store={store} value={process} onChoose={(one) => goToPart("console", one)} />
        <span className="dim" role="status">
          {state.waiting > 0 && `${counted(state.waiting, "command")} not answered yet`}
        </span>
        <span className="grow" />
        <Button isQuiet onClick={() => session.close()}>
          Reconnect
        </Button>
        <Button isQuiet onClick={() => session.clear()} isDisabled={state.entries.length === 0}>
          Clear
        </Button>
      </div>
      <div
        className="console-log"
        role="log"
        aria-label="Commands and replies"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, also by keyboard
        tabIndex={0}
        ref={end}
      >
        {state.entries.length === 0 && (
          <p className="dim">
            Type a command of Redis. Tab completes it, ↑ and ↓ go through what was typed before.
            Each page has a connection of its own, so MULTI, WATCH, SELECT and SUBSCRIBE work as in
            redis-cli.
          </p>
        )}
        {state.entries.map((entry) => (
          <Entry key={entry.id} entry={entry} />
        ))}
      </div>
      <Prompt prompt={state.prompt} onSend={send} onClear={() => session.clear()} />
      {isAsked && (
        <Dialog title="Is that meant?" onClose={() => setIsAsked(undefined)}>
          <p>
            <code>{isAsked.words.slice(0, 3).join(" ").toUpperCase()}</code> {isAsked.does}.
          </p>
          <div className="bar">
            <span className="grow" />
            <Button onClick={() => setIsAsked(undefined)}>Cancel</Button>
            <Button
              tone="bad"
              onClick={() => {
                session.send(isAsked.words);
                setIsAsked(undefined);
              }}
            >
              Do it
            </Button>
          </div>
        </Dialog>
      )}
    </section>
  );
}

function Entry({ entry }: { readonly entry: ConsoleEntry }) {
  switch (entry.kind) {
    case "command":
      return (
        <p className="console-command">
          <span className="dim">{entry.prompt}</span> {entry.line.slice(0, LINE_CHARACTERS_MAX)}
          {entry.line.length > LINE_CHARACTERS_MAX && "…"}
        </p>
      );
    case "note":
      return <p className={entry.isBad ? "bad" : "dim"}>{entry.text}</p>;
    case "reply":
      return <ReplyText reply={entry.reply} isUnasked={entry.tookMs === undefined} />;
  }
}

function ReplyText({
  reply,
  isUnasked,
}: {
  readonly reply: TypedReply;
  readonly isUnasked: boolean;
}) {
  const [most, setMost] = useState(LINES);
  const { lines, count } = replyLines(reply, most);
  return (
    <div className={isUnasked ? "console-reply unasked" : "console-reply"}>
      {lines.map(({ text, isError }, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: lines of a reply never change their places
        <div key={i} className={isError ? "bad" : undefined}>
          {text}
        </div>
      ))}
      {count > lines.length &&
        (most < LINES_MAX ? (
          <Button isQuiet onClick={() => setMost(LINES_MAX)}>
            {counted(count - lines.length, "more line")}
          </Button>
        ) : (
          <div className="dim">{counted(count - lines.length, "more line")}</div>
        ))}
    </div>
  );
}

function historyOf(): readonly string[] {
  try {
    return JSON.parse(sessionStorage.getItem(HISTORY) ?? "[]") as readonly string[];
  } catch {
    return [];
  }
}

function Prompt({
  prompt,
  onSend,
  onClear,
}: {
  readonly prompt: string;
  readonly onSend: (words: Words) => void;
  readonly onClear: () => void;
}) {
  const [line, setLine] = useState("");
  const [history, setHistory] = useState(historyOf);
  /** Which of the history is shown, from its end; 0: what is being typed. */
  const [back, setBack] = useState(0);
  const [draft, setDraft] = useState("");
  const [problem, setProblem] = useState("");
  /** Suggestions that Tab goes through: of the line as it was, and which of them. */
  const [cycle, setCycle] = useState<{ of: string; at: number } | undefined>(undefined);
  const [isHidden, setIsHidden] = useState(false);
  const { suggestions, syntax, summary } = completionOf(cycle?.of ?? line);

  const type = (text: string): void => {
    setLine(text);
    setBack(0);
    setProblem("");
    setCycle(undefined);
    setIsHidden(false);
  };
  const enter = (): void => {
    const words = splitWords(bytesOf(line));
    if (!words) {
      setProblem("a quote is not closed, or something stands right behind it");
      return;
    }
    if (words.length === 0) return;
    if (!isSecret(words) && line.length <= LINE_CHARACTERS_MAX) {
      const kept = [...history.filter((one) => one !== line), line].slice(-HISTORY_MAX);
      setHistory(kept);
      sessionStorage.setItem(HISTORY, JSON.stringify(kept));
    }
    type("");
    onSend(words);
  };
  const go = (by: number): void => {
    const to = Math.max(0, Math.min(history.length, back + by));
    if (back === 0 && to > 0) setDraft(line);
    setBack(to);
    setCycle(undefined);
    setIsHidden(to > 0);
    setLine(to === 0 ? draft : (history[history.length - to] ?? ""));
  };
  const complete = (event: KeyboardEvent): void => {
    if (isHidden || suggestions.length === 0) return;
    event.preventDefault();
    const step = event.shiftKey ? suggestions.length - 1 : 1;
    const at = cycle ? (cycle.at + step) % suggestions.length : 0;
    const chosen = suggestions[at];
    if (!chosen) return;
    setCycle(suggestions.length === 1 ? undefined : { of: cycle?.of ?? line, at });
    setLine(chosen.line);
  };
  const press = (event: KeyboardEvent): void => {
    if (event.key === "Enter") {
      // Whoever has the focus next is not to be pressed by it.
      event.preventDefault();
      enter();
    } else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      event.preventDefault();
      go(event.key === "ArrowUp" ? 1 : -1);
    } else if (event.key === "Tab") complete(event);
    else if (event.key === "Escape") {
      setIsHidden(true);
      setCycle(undefined);
    } else if (event.key === "l" && event.ctrlKey) {
      event.preventDefault();
      onClear();
    }
  };
  return (
    <div className="console-prompt">
      <div className="console-line">
        <span className="dim" aria-hidden="true">
          {prompt}
        </span>
        <input
          aria-label={`Command ${prompt}`}
          aria-describedby="console-hint"
          placeholder="SET greeting hello"
          autoComplete="off"
          autoCapitalize="off"
          spellCheck={false}
          value={line}
          onChange={({ target }) => type(target.value)}
          onKeyDown={press}
        />
        <Button tone="main" onClick={enter} isDisabled={line.trim() === ""}>
          Send
        </Button>
      </div>
      <p id="console-hint" className="console-hint" aria-live="polite">
        {problem !== "" ? (
          <span className="bad">{problem}</span>
        ) : (
          syntax !== undefined && (
            <>
              <code>{syntax}</code> <span className="dim">{summary}</span>
            </>
          )
        )}
      </p>
      <ul className="console-suggestions" aria-label="Completions">
        {!isHidden &&
          suggestions.map(({ line: whole, word, summary: does }, i) => (
            <li key={word}>
              <button
                type="button"
                className={cycle?.at === i ? "button quiet chosen" : "button quiet"}
                tabIndex={-1}
                title={does}
                onClick={() => type(whole)}
              >
                <code>{word}</code>
              </button>
            </li>
          ))}
      </ul>
    </div>
  );
}
