/** What may be wider than there is room for: it is scrolled by itself, also by the keyboard. */

import type { ReactNode } from "react";

interface ScrollXProps {
  /** What is in it. */
  readonly label: string;
  readonly children: ReactNode;
}

export function ScrollX({ label, children }: ScrollXProps) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: who has no mouse scrolls it by its arrows
    // biome-ignore lint/a11y/useSemanticElements: a fieldset is for what is filled in
    <div className="scroll-x" role="group" aria-label={label} tabIndex={0}>
      {children}
    </div>
  );
}
