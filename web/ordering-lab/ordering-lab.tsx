/**
 * Ordering lab: messages are drawn, the shipping machines carry, hold back and deliver them, and everything that they know can be looked
 * at, at any time. It needs no server.
 */

import "./ordering-lab.css";
import { useCallback, useDeferredValue, useEffect, useMemo, useState } from "react";
import type { VectorStamp } from "../../src/core/clock.ts";
import { usePage } from "../page.tsx";
import { Button } from "../parts/button.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { Diagram, type Pen, type Selected } from "./diagram.tsx";
import { momentsOf, spanOf } from "./drawing.ts";
import { Choice, NumberField, Segments, TextArea, TextField } from "./fields.tsx";
import { Inspector } from "./inspector.tsx";
import {
  type Conflict,
  judge,
  newConflict,
  plainClocks,
  plainConflicts,
  plainOf,
} from "./judge.ts";
import {
  EMPTY_LAB,
  freshName,
  type Lab,
  linkOf,
  MESSAGES_MAX,
  PROCESSES_MAX,
  PROCESSES_MIN,
  readLab,
  SNAPSHOTS_MAX,
  withMessage,
  withMessageChanged,
  withoutMessage,
  withoutProcess,
  withProcess,
  withProcessMoved,
  withProcessRenamed,
  withSnapshot,
  writeLab,
} from "./lab.ts";
import { goToPreset, routeOf, useLabHistory } from "./lab-history.ts";
import { lookAt, type Run, runLab } from "./lab-run.ts";
import { MessageTable, ORDER_OPTIONS } from "./message-table.tsx";
import { usePlay } from "./play.ts";
import { PRESETS } from "./presets.ts";
import { Promises } from "./promises.tsx";
import { SnapshotCard } from "./snapshot-card.tsx";

type Mode = "hold" | "refuse";

export function OrderingLab() {
  const { say } = usePage();
  const { lab: saved, change, undo, redo, canUndo, canRedo } = useLabHistory();
  const [draft, setDraft] = useState<Lab | undefined>(undefined);
  const [mode, setMode] = useState<Mode>("hold");
  const [refused, setRefused] = useState<Conflict | undefined>(undefined);
  const [pen, setPen] = useState<Pen>({ makes: "message", toAll: true, order: "causal" });
  const [selected, setSelected] = useState<Selected | undefined>(undefined);
  const [showsProtocol, setShowsProtocol] = useState(true);
  const [showsWords, setShowsWords] = useState(false);
  const [at, setAt] = useState<number | undefined>(undefined);
  const [isSharing, setIsSharing] = useState(false);

  const lab = draft ?? saved;
  // What would come of it without order may follow a drag a little later, unless it is what is drawn.
  const laterLab = useDeferredValue(lab);
  const orderedLab = mode === "refuse" ? lab : laterLab;
  const plainLab = useMemo(() => plainOf(orderedLab), [orderedLab]);
  const plainRun = useMemo(() => runLab(plainLab), [plainLab]);
  const plain = useMemo(() => plainConflicts(orderedLab, plainRun), [orderedLab, plainRun]);
  const shownLab = mode === "refuse" ? plainLab : lab;
  const run = useMemo(() => (mode === "refuse" ? plainRun : runLab(lab)), [mode, plainRun, lab]);
  const asked = useMemo(() => judge(lab, run, { beside: false }), [lab, run]);
  const all = useMemo(() => judge(lab, run, { beside: true, order: "causal-total" }), [lab, run]);
  const span = spanOf(run);
  const cursorMs = Math.min(at ?? span, span);
  const lookedAt = useDeferredValue(
    useMemo(() => ({ lab: shownLab, cursorMs }), [shownLab, cursorMs]),
  );
  const looks = useMemo(() => lookAt(lookedAt.lab, Math.round(lookedAt.cursorMs)), [lookedAt]);
  const clocks = useMemo(() => plainClocks(run.events), [run]);
  const conflicts = mode === "refuse" ? plain : asked.conflicts;
  const wrong = useMemo(
    () => new Set((refused ? [refused] : conflicts).flatMap(({ messages }) => messages)),
    [refused, conflicts],
  );

  // Every change goes through this: in refuse mode not all do.
  const commit = useCallback(
    (next: Lab) => {
      const conflict = mode === "refuse" && next !== saved ? newConflict(saved, next) : undefined;
      setRefused(conflict);
      if (!conflict) change(next);
    },
    [mode, saved, change],
  );
  const problem = useCallback((text: string) => say(text, "bad"), [say]);

  const moments = useMemo(() => momentsOf(run), [run]);
  const [isPlaying, setIsPlaying] = usePlay({ moments, span, cursorMs, onTime: setAt });

  const stepBy = (by: -1 | 1): void => {
    setIsPlaying(false);
    const found =
      by > 0 ? moments.find((one) => one > cursorMs) : moments.findLast((one) => one < cursorMs);
    setAt(found ?? (by > 0 ? undefined : 0));
  };

  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      const isTyping =
        event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement;
      if (isTyping || !(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return;
      event.preventDefault();
      setRefused(undefined);
      if (event.shiftKey) redo();
      else undo();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [undo, redo]);

  const load = async (file: File): Promise<void> => {
    try {
      commit(readLab(await file.text()));
      setSelected(undefined);
      setAt(undefined);
    } catch (thrown) {
      problem(`${file.name} cannot be loaded: ${(thrown as Error).message}.`);
    }
  };
  const save = (): void => {
    const link = document.createElement("a");
    const url = URL.createObjectURL(new Blob([writeLab(saved)], { type: "application/json" }));
    link.href = url;
    link.download = `${saved.title.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-") || "lab"}.tidemark-lab.json`;
    link.click();
    URL.revokeObjectURL(url);
  };
  const preset = PRESETS.find((one) => one.lab === saved)?.id ?? "";
  const banner = refused ?? (mode === "refuse" ? plain[0] : asked.conflicts[0]);

  return (
    <section className="lab" aria-label="Ordering lab">
      <div className="lab-head-bar">
        <div className="lab-titles">
          <h1 className="hidden">Ordering lab</h1>
          <TextField
            className="lab-title"
            label="Title of the lab"
            value={saved.title === "" ? "A lab without a title" : saved.title}
            onDone={(title) => change({ ...saved, title: oneLine(title) })}
          />
          <TextArea
            className="lab-see"
            label="What there is to see"
            placeholder="Drag from one line to another one: that is a message. Here is room to say what there is to see."
            value={saved.see}
            onDone={(see) => change({ ...saved, see: oneLine(see) })}
          />
        </div>
        <div className="bar lab-files">
          <Choice
            label="Example"
            value={preset}
            options={[
              ["", "one of your own"],
              ...PRESETS.map(({ id, lab: { title } }): readonly [string, string] => [id, title]),
            ]}
            onDone={(id) => {
              setSelected(undefined);
              setRefused(undefined);
              setAt(undefined);
              if (id === "") change({ ...saved });
              else goToPreset(id);
            }}
          />
          <Button
            onClick={() => {
              setSelected(undefined);
              setRefused(undefined);
              change({ ...EMPTY_LAB });
            }}
          >
            New
          </Button>
          <Button onClick={save}>Save</Button>
          <label className="button">
            Load…
            <input
              type="file"
              className="hidden"
              accept=".json,application/json"
              onChange={({ target }) => {
                const [file] = target.files ?? [];
                if (file) void load(file);
                target.value = "";
              }}
            />
          </label>
          <Button onClick={() => setIsSharing(true)}>Share</Button>
          <Button
            label="Undo"
            isDisabled={!canUndo}
            onClick={() => {
              setRefused(undefined);
              undo();
            }}
          >
            ↶
          </Button>
          <Button
            label="Redo"
            isDisabled={!canRedo}
            onClick={() => {
              setRefused(undefined);
              redo();
            }}
          >
            ↷
          </Button>
        </div>
      </div>

      <div className="card lab-card">
        <div className="bar lab-tools">
          <Segments
            label="What breaks an order is"
            value={mode}
            options={[
              ["hold", "Hold back", "What comes too early is held back, by the machines that ship"],
              [
                "refuse",
                "Refuse",
                "Nothing is held back; what would break an order cannot be drawn",
              ],
            ]}
            onDone={(next) => {
              setRefused(undefined);
              setMode(next);
            }}
          />
          <Segments
            label="A drag makes"
            value={pen.makes === "snapshot" ? "snapshot" : pen.toAll ? "all" : "one"}
            options={[
              ["all", "To all", "Drag from a line to another one: a message to all"],
              ["one", "To one", "Drag from a line to another one: a message to that one"],
              ["snapshot", "Snapshot", "Click on a line: a snapshot begins there"],
            ]}
            onDone={(makes) =>
              setPen({
                ...pen,
                makes: makes === "snapshot" ? "snapshot" : "message",
                toAll: makes === "all",
              })
            }
          />
          <Choice
            label="order"
            value={pen.order}
            options={ORDER_OPTIONS}
            onDone={(order) => setPen({ ...pen, order })}
          />
          <span className="grow" />
          <Choice
            label="channels"
            value={saved.channels}
            options={[
              ["none", "without order"],
              ["fifo", "FIFO"],
            ]}
            onDone={(channels) => commit({ ...saved, channels })}
          />
          <Choice
            label="total order"
            value={saved.total}
            options={[
              ["sequencer", "by a sequencer"],
              ["agreed", "agreed"],
            ]}
            onDone={(total) => commit({ ...saved, total })}
          />
          <span className="lab-choice">
            <span>all else takes</span>
            <NumberField
              label="How long all else takes, in milliseconds"
              value={saved.delayMs}
              onDone={(ms) => commit({ ...saved, delayMs: Math.min(10_000, Math.max(1, ms)) })}
            />
            <span>ms</span>
          </span>
        </div>

        <p className={banner ? "lab-banner bad" : "lab-banner dim"} role="status">
          {banner
            ? `${refused ? "Refused" : "Broken"}: ${banner.promise}. ${sentence(banner.reason)}`
            : mode === "refuse"
              ? "Nothing is held back, and no order that is asked for is broken. What would break one cannot be drawn."
              : summary(run)}
        </p>

        <div className="lab-drawing">
          <Diagram
            {...{ lab, run, cursorMs, pen, wrong, selected, showsProtocol, showsWords }}
            onSelect={setSelected}
            onDraft={setDraft}
            onChange={commit}
            onCursor={(ms) => {
              setIsPlaying(false);
              setAt(ms);
            }}
          />
        </div>

        <div className="bar lab-time">
          <Button label="One event back" onClick={() => stepBy(-1)}>
            <Icon path="M3 3v10M13 3L6 8l7 5z" />
          </Button>
          <Button
            tone="main"
            label={isPlaying ? "Pause" : "Play"}
            onClick={() => setIsPlaying(!isPlaying)}
          >
            <Icon path={isPlaying ? "M5 3v10M11 3v10" : "M4 2l9 6l-9 6z"} />
          </Button>
          <Button label="One event on" onClick={() => stepBy(1)}>
            <Icon path="M13 3v10M3 3l7 5l-7 5z" />
          </Button>
          <input
            type="range"
            className="grow"
            aria-label="The time that is looked at"
            min={0}
            max={span}
            step={1}
            value={Math.round(cursorMs)}
            aria-valuetext={`${Math.round(cursorMs)} ms`}
            onChange={({ target }) => {
              setIsPlaying(false);
              setAt(Number(target.value));
            }}
          />
          <output className="mono lab-now">{Math.round(cursorMs)} ms</output>
          <label className="lab-check">
            <input
              type="checkbox"
              checked={showsProtocol}
              onChange={({ target }) => setShowsProtocol(target.checked)}
            />
            proposals and orders
          </label>
          <label className="lab-check">
            <input
              type="checkbox"
              checked={showsWords}
              onChange={({ target }) => setShowsWords(target.checked)}
            />
            acknowledgements
          </label>
        </div>
        <SelectedBar
          {...{ lab: saved, selected, run, clocks }}
          onChange={(next) => {
            commit(next);
          }}
          onSelect={setSelected}
        />
        <details className="lab-legend">
          <summary>How to draw, and how to read it</summary>
          <p>
            Drag from a line to another one: a message leaves where you begin, and comes where you
            end. Drag the square where it leaves, the head of its arrow, a marker or the time at the
            top. Arrow keys do the same with what has the focus, by 10 ms, with Shift by 50; Delete
            removes it, Ctrl+Z takes it back. Everything can be typed into the table of messages,
            too.
          </p>
          <p>
            Bars are the time for which a message is held back. Numbers on the lines are deliveries,
            in the order of each process; in a square, that of who sends it. Beside thin arrows, #1
            is a place that the sequencer gives, 1? one that is proposed, =1 one that is agreed. Of
            a snapshot, dashed arrows are markers, strips the channels that are being recorded, and
            the line is the cut.
          </p>
        </details>
      </div>

      <div className="lab-below">
        <section className="card" aria-labelledby="lab-promises">
          <h2 id="lab-promises">What is promised</h2>
          <Promises lab={lab} asked={asked} all={all} plain={plain} />
        </section>

        <section className="card" aria-labelledby="lab-looks">
          <h2 id="lab-looks">
            The machines at <span className="mono">{Math.round(cursorMs)} ms</span>
          </h2>
          <Inspector {...{ lab, run, looks, clocks, cursorMs }} />
          <p className="dim lab-note">
            The stamp, the places and the table of what each is known to have are in the state of
            the machine that ships. A group has one sequence of packets for each member, so a stamp
            is one number for each: its last causal packet that happened before now. The plain
            vector clock is worked out here, for comparison: it counts every multicast and every
            delivery, and no machine has it.
          </p>
        </section>

        {run.snapshots.map((snapshot, index) => (
          <SnapshotCard
            // biome-ignore lint/suspicious/noArrayIndexKey: a snapshot is known by its place in the lab
            key={index}
            {...{ lab, snapshot, index }}
            onChange={commit}
          />
        ))}

        <section className="card" aria-labelledby="lab-messages">
          <div className="bar">
            <h2 id="lab-messages" className="grow">
              Messages
            </h2>
            <Button
              isDisabled={saved.messages.length >= MESSAGES_MAX}
              onClick={() => {
                const name = freshName(saved);
                commit(
                  withMessage(saved, {
                    ...{ name, from: saved.processes[0] as string, order: pen.order, delays: [] },
                    atMs: Math.round(at ?? run.endMs),
                  }),
                );
                setSelected({ kind: "message", name });
              }}
            >
              Add a message
            </Button>
            <Button
              isDisabled={saved.snapshots.length >= SNAPSHOTS_MAX}
              onClick={() =>
                commit(withSnapshot(saved, saved.processes[0] as string, Math.round(at ?? 0)))
              }
            >
              Add a snapshot
            </Button>
          </div>
          <MessageTable {...{ lab, run, wrong }} onChange={commit} onProblem={problem} />
        </section>

        <section className="card" aria-labelledby="lab-processes">
          <div className="bar">
            <h2 id="lab-processes" className="grow">
              Processes
            </h2>
            <Button
              isDisabled={saved.processes.length >= PROCESSES_MAX}
              onClick={() => commit(withProcess(saved))}
            >
              Add a process
            </Button>
          </div>
          <ul className="lab-processes">
            {saved.processes.map((id, i) => (
              <li key={id} className="bar">
                <TextField
                  label={`Name of ${id}`}
                  value={id}
                  onDone={(typed) => {
                    try {
                      commit(withProcessRenamed(saved, id, typed.trim()));
                    } catch (thrown) {
                      problem(`${id} is not renamed: ${(thrown as Error).message}.`);
                    }
                  }}
                />
                <Button
                  isQuiet
                  label={`Move ${id} up`}
                  isDisabled={i === 0}
                  onClick={() => commit(withProcessMoved(saved, id, -1))}
                >
                  ↑
                </Button>
                <Button
                  isQuiet
                  label={`Move ${id} down`}
                  isDisabled={i === saved.processes.length - 1}
                  onClick={() => commit(withProcessMoved(saved, id, 1))}
                >
                  ↓
                </Button>
                <Button
                  isQuiet
                  label={`Remove ${id}`}
                  isDisabled={saved.processes.length <= PROCESSES_MIN}
                  onClick={() => {
                    setSelected(undefined);
                    commit(withoutProcess(saved, id));
                    say(`${id} is gone, with its messages.`, "plain", () => change(saved));
                  }}
                >
                  ×
                </Button>
              </li>
            ))}
          </ul>
          <p className="dim lab-note">
            The sequencer is the first of them by the alphabet; rename one to make it another.
          </p>
        </section>
      </div>

      {isSharing && (
        <Dialog title="Share this lab" onClose={() => setIsSharing(false)}>
          <ShareLink lab={saved} onSave={save} />
        </Dialog>
      )}
    </section>
  );
}

function Icon({ path }: { readonly path: string }) {
  return (
    <svg className="lab-icon" width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">
      <path d={path} />
    </svg>
  );
}

/** What has been done for the orders that were asked for. */
function summary({ deliveries }: Run): string {
  const times = deliveries
    .map(({ receivedMs, deliveredMs }) => deliveredMs - receivedMs)
    .filter((ms) => ms > 0);
  if (times.length === 0)
    return "Nothing had to be held back, and every order that is asked for is kept.";
  return `Every order that is asked for is kept: held back ${times.length === 1 ? "once" : `${times.length} times`}, for up to ${Math.max(...times)} ms.`;
}

/** As the form of a lab wants a text. */
const oneLine = (text: string): string =>
  text
    .replaceAll(/\p{C}+/gu, " ")
    .trim()
    .slice(0, 400)
    .trim();

const sentence = (text: string): string => `${text.slice(0, 1).toUpperCase()}${text.slice(1)}.`;

/** What is selected, and what can be done with it; it takes its room also if nothing is. */
function SelectedBar({
  lab,
  run,
  clocks,
  selected,
  onChange,
  onSelect,
}: {
  readonly lab: Lab;
  readonly run: Run;
  readonly clocks: readonly VectorStamp[];
  readonly selected: Selected | undefined;
  onChange(lab: Lab): void;
  onSelect(selected: Selected | undefined): void;
}) {
  const message =
    selected?.kind === "message"
      ? lab.messages.find(({ name }) => name === selected.name)
      : undefined;
  if (!message)
    return (
      <p className="lab-selected dim">
        {selected?.kind === "snapshot"
          ? `Snapshot ${selected.index + 1}: what it recorded stands below.`
          : "Select an arrow to change it. Arrow keys move what has the focus, Delete removes it."}
      </p>
    );
  const { name, order, from, to } = message;
  const stamp = run.deliveries.find((one) => one.message === name)?.stamp;
  const clock = clocks[run.events.findIndex((one) => one.message === name)] ?? {};
  const members = [...lab.processes].sort();
  const held = run.deliveries.filter(
    (one) => one.message === name && one.deliveredMs > one.receivedMs,
  );
  return (
    <div className="bar lab-selected">
      <strong>{name}</strong>
      <span className="dim">
        {from} → {to ?? "all"}
      </span>
      <Choice
        label="order"
        value={order}
        options={ORDER_OPTIONS}
        onDone={(level) => onChange(withMessageChanged(lab, name, { order: level }))}
      />
      <span className={held.length > 0 ? "warn grow" : "dim grow"}>
        {held.length === 0
          ? "held back nowhere"
          : `held back ${held.map(({ at, receivedMs, deliveredMs }) => `at ${at} for ${deliveredMs - receivedMs} ms`).join(", ")}`}
      </span>
      <span
        className="dim"
        title="Of the members, the last causal packet that happened before it; its sender's own number is in the sequence"
      >
        packet stamp{" "}
        <span className="mono">
          {stamp ? members.map((id, i) => `${id}:${stamp[i] ?? 0}`).join(" ") : "none"}
        </span>
      </span>
      <span className="dim" title="Worked out here, for comparison">
        plain vector{" "}
        <span className="mono">
          {members.map((id) => `${id}:${Object.hasOwn(clock, id) ? clock[id] : 0}`).join(" ")}
        </span>
      </span>
      <Button
        tone="bad"
        onClick={() => {
          onSelect(undefined);
          onChange(withoutMessage(lab, name));
        }}
      >
        Remove
      </Button>
    </div>
  );
}

function ShareLink({ lab, onSave }: { readonly lab: Lab; onSave(): void }) {
  const [isCopied, setIsCopied] = useState(false);
  const route = routeOf(lab);
  if (route === undefined)
    return (
      <>
        <p>This lab is too large for a link. Save it, and pass on the file.</p>
        <Button tone="main" onClick={onSave}>
          Save
        </Button>
      </>
    );
  const url = `${location.href.replace(/#.*/, "")}#/ordering-lab/${linkOf(lab) ?? route}`;
  return (
    <>
      <p>
        The whole lab is in the link. It opens wherever this page does, with or without a server.
      </p>
      <div className="bar">
        <input
          className="grow mono"
          aria-label="Link to this lab"
          readOnly
          value={url}
          onFocus={({ target }) => target.select()}
        />
        <Button
          tone="main"
          onClick={() => {
            navigator.clipboard.writeText(url).then(
              () => setIsCopied(true),
              () => setIsCopied(false),
            );
          }}
        >
          {isCopied ? "Copied" : "Copy"}
        </Button>
      </div>
    </>
  );
}
