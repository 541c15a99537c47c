/** A long list, page by page. */

import { type ReactNode, useState } from "react";
import { Button } from "../parts/button.tsx";
import { grouped } from "../parts/words.ts";

interface PagesProps<T> {
  readonly all: ArrayLike<T>;
  readonly size: number;
  /** Of what, for those who do not see it. */
  readonly label: string;
  /** The page on which this one is shown first; undefined: stays. */
  readonly at?: number | undefined;
  readonly children: (items: readonly T[], first: number) => ReactNode;
}

export function Pages<T>({ all, size, label, at, children }: PagesProps<T>) {
  const [page, setPage] = useState(0);
  const [shownAt, setShownAt] = useState(at);
  if (at !== shownAt) {
    setShownAt(at);
    if (at !== undefined && at >= 0) setPage(Math.floor(at / size));
  }
  const last = Math.max(0, Math.ceil(all.length / size) - 1);
  const first = Math.min(page, last) * size;
  const end = Math.min(all.length, first + size);
  const items = Array.from({ length: end - first }, (_, i) => all[first + i] as T);
  return (
    <>
      {children(items, first)}
      {last > 0 && (
        <nav className="bar st-pages" aria-label={label}>
          <Button label="Previous page" isDisabled={page === 0} onClick={() => setPage(page - 1)}>
            ‹
          </Button>
          <span>
            {grouped(first + 1)}–{grouped(end)} of {grouped(all.length)}
          </span>
          <Button
            label="Next page"
            isDisabled={page >= last}
            onClick={() => setPage(Math.min(last, page + 1))}
          >
            ›
          </Button>
        </nav>
      )}
    </>
  );
}
