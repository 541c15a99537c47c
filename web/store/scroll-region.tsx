/** What is larger than its place, and scrolls there: by keyboard as well. */

import type { ReactNode } from "react";

export function ScrollRegion({
  label,
  className = "scroll-x",
  children,
}: {
  readonly label: string;
  readonly className?: string;
  readonly children: ReactNode;
}) {
  return (
    <section
      className={className}
      aria-label={label}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, also by keyboard
      tabIndex={0}
    >
      {children}
    </section>
  );
}
