/** What a view says when it has nothing to show: why, and what to do. */

import type { ReactNode } from "react";
import { shellWord } from "../../src/core/shell-word.ts";
import type { PageAbout } from "../../src/serve/web/api.ts";

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

/** For a command: that it is for the directory that is shown, if one is. */
export function dirOption(about: PageAbout | undefined): string {
  return about?.kind === "directory" ? ` --dir ${shellWord(about.title)}` : "";
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
