/** What takes a while to be there. */

import { useCallback, useEffect, useRef, useState } from "react";
import { usePage } from "../page.tsx";
import { openSource, type SnapshotName, type Source } from "./source.ts";

/** What became of it. */
export interface Loaded<T> {
  readonly value: T | undefined;
  readonly problem: string | undefined;
  readonly isLoading: boolean;
  again(): void;
}

/** Loads whenever the key is another one; undefined: loads nothing. What there was stays until there is something newer. */
export function useLoaded<T>(
  key: string | undefined,
  load: (signal: AbortSignal) => Promise<T>,
): Loaded<T> {
  const [found, setFound] = useState<{ key: string; value?: T; problem?: string } | undefined>(
    undefined,
  );
  const [count, setCount] = useState(0);
  const latest = useRef(load);
  latest.current = load;
  // biome-ignore lint/correctness/useExhaustiveDependencies: a higher count loads once more
  useEffect(() => {
    if (key === undefined) return;
    const over = new AbortController();
    latest.current(over.signal).then(
      (value) => over.signal.aborted || setFound({ key, value }),
      (error: Error) => over.signal.aborted || setFound({ key, problem: error.message }),
    );
    return () => over.abort();
  }, [key, count]);
  const isThis = found !== undefined && found.key === key;
  return {
    value: isThis ? found.value : undefined,
    problem: isThis ? found.problem : undefined,
    isLoading: key !== undefined && !isThis,
    again: useCallback(() => setCount((before) => before + 1), []),
  };
}

/** The snapshot of that name. */
export function useSource(name: SnapshotName): Loaded<Source> {
  const { server } = usePage();
  return useLoaded(`${name[0]}/${name[1]} ${server !== undefined}`, () => openSource(name, server));
}
