/** What a view says when it has nothing to show: why, and what to do. */

import type { ReactNode } from "react";

export function Empty({
  title,
  children,
}: {
  readonly title: string;
  readonly children?: ReactNode;
}) {
  return (
    <section className="empty">
      <h2>{title}</h2>
      {children}
    </section>
  );
}

/** A command that somebody may type. */
export function CommandLine({ children }: { readonly children: string }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: where it is too long it scrolls, also by keys
    <pre className="command-line" tabIndex={0}>
      {children}
    </pre>
  );
}
