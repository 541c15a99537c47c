/** Recording what the running system does: for a while, or again and again. */

import { useCallback, useEffect, useRef, useState } from "react";
import { parseTrace } from "../../src/trace/trace.ts";
import { usePage } from "../page.tsx";
import { Button } from "../parts/button.tsx";
import { clockTime, counted, duration } from "../parts/words.ts";

const TIMES_MS = [500, 2_000, 10_000];
/** Of each process, while it is followed: a window is shown whole, and then forgotten. */
const FOLLOWED_EVENTS = 20_000;
/** Between two windows, so that the picture can be looked at. */
const REST_MS = 400;

export function RecordBar() {
  const { server, opened, show, say } = usePage();
  const [forMs, setForMs] = useState(500);
  const [hasText, setHasText] = useState(true);
  const [hasSnapshot, setHasSnapshot] = useState(true);
  const [doing, setDoing] = useState<"nothing" | "recording" | "following">("nothing");
  const [windows, setWindows] = useState(0);
  const ending = useRef<AbortController | undefined>(undefined);
  useEffect(() => () => ending.current?.abort(), []);
  const stop = useCallback((): void => {
    ending.current?.abort();
    ending.current = undefined;
    setDoing("nothing");
  }, []);
  const shown = useRef(opened);
  // Who opens something else wants to look at that.
  useEffect(() => {
    if (opened === shown.current) return;
    shown.current = opened;
    if (!ending.current) return;
    stop();
    say("What the system does is not recorded any more, for something else was opened.");
  }, [opened, say, stop]);
  if (!server) return null;

  const record = async (
    name: string,
    signal: AbortSignal,
    more: { readonly events?: number; readonly snapshot?: boolean },
  ): Promise<void> => {
    const asked = { forMs, text: hasText, ...more };
    const answer = await server.fetch("POST", "/api/trace", asked, signal);
    const trace = parseTrace(await answer.text(), name);
    if (signal.aborted) return;
    if (trace.events.length === 0) throw new Error("nothing happened while it was recorded");
    shown.current = { kind: "trace", name, trace };
    show(shown.current);
  };
  const run = async (kind: "recording" | "following"): Promise<void> => {
    const end = new AbortController();
    ending.current = end;
    setDoing(kind);
    setWindows(0);
    try {
      for (let window = 1; !end.signal.aborted; window += 1) {
        const name = `recorded ${clockTime(Date.now())}`;
        await record(
          name,
          end.signal,
          kind === "following" ? { events: FOLLOWED_EVENTS } : { snapshot: hasSnapshot },
        );
        if (kind === "recording") break;
        setWindows(window);
        await new Promise((settle) => setTimeout(settle, REST_MS));
      }
    } catch (error) {
      if (!end.signal.aborted) say((error as Error).message, "bad");
    }
    // Another one may have begun since it was stopped.
    if (ending.current === end) stop();
  };
  const isIdle = doing === "nothing";
  return (
    <fieldset className="bar st-record">
      <legend className="hidden">Record the running system</legend>
      <label>
        <span className="hidden">For how long</span>
        <select
          value={forMs}
          disabled={!isIdle}
          onChange={({ target }) => setForMs(Number(target.value))}
        >
          {TIMES_MS.map((ms) => (
            <option key={ms} value={ms}>
              {duration(ms)}
            </option>
          ))}
        </select>
      </label>
      <label className="st-check">
        <input
          type="checkbox"
          checked={hasText}
          disabled={!isIdle}
          onChange={({ target }) => setHasText(target.checked)}
        />
        texts
      </label>
      <label className="st-check">
        <input
          type="checkbox"
          checked={hasSnapshot}
          disabled={!isIdle}
          onChange={({ target }) => setHasSnapshot(target.checked)}
        />
        a snapshot in it
      </label>
      <Button tone="main" isDisabled={!isIdle} onClick={() => void run("recording")}>
        {doing === "recording" ? "Recording…" : "Record"}
      </Button>
      <Button
        isPressed={doing === "following"}
        isDisabled={doing === "recording"}
        onClick={() => (doing === "following" ? stop() : void run("following"))}
      >
        {doing === "following" ? "Stop following" : "Follow"}
      </Button>
      {doing === "following" && (
        <span className="dim" role="status">
          {counted(windows, "window")} of {duration(forMs)}; what happens between them is not shown
        </span>
      )}
    </fieldset>
  );
}
