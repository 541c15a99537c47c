/** Plays a lab: time goes on evenly, or, for who wants no motion, from event to event. */

import { useEffect, useRef, useState } from "react";

/** A whole lab is played in that time. */
const PLAY_MS = 7_000;
/** For who wants no motion: so long each event is shown. */
const STEP_MS = 900;

interface PlayOptions {
  /** When something happens, in ascending order. */
  readonly moments: readonly number[];
  readonly span: number;
  readonly cursorMs: number;
  /** Undefined: it has come to the end. */
  onTime(ms: number | undefined): void;
}

/** Whether it is played, and how to change that. */
export function usePlay(options: PlayOptions): readonly [boolean, (isPlaying: boolean) => void] {
  const [isPlaying, setIsPlaying] = useState(false);
  const latest = useRef(options);
  useEffect(() => {
    latest.current = options;
  });
  useEffect(() => {
    if (!isPlaying) return;
    let now = latest.current.cursorMs >= latest.current.span ? 0 : latest.current.cursorMs;
    /** Gives whether it goes on. */
    const show = (ms: number | undefined): boolean => {
      const isOver = ms === undefined || ms >= latest.current.span;
      if (isOver) setIsPlaying(false);
      else now = ms;
      latest.current.onTime(isOver ? undefined : ms);
      return !isOver;
    };
    show(now);
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      const timer = setInterval(
        () => show(latest.current.moments.find((one) => one > now)),
        STEP_MS,
      );
      return () => clearInterval(timer);
    }
    let before: number | undefined;
    let handle = requestAnimationFrame(function frame(timeMs) {
      const passedMs = timeMs - (before ?? timeMs);
      before = timeMs;
      if (show(now + (passedMs / PLAY_MS) * latest.current.span))
        handle = requestAnimationFrame(frame);
    });
    return () => cancelAnimationFrame(handle);
  }, [isPlaying]);
  return [isPlaying, setIsPlaying];
}
