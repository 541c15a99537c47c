/** Links to parts of which one is shown: that one is seen, also where there is no room for all. */

import { useLayoutEffect, useRef } from "react";

interface Tab {
  readonly name: string;
  readonly href: string;
  readonly isCurrent: boolean;
}

interface TabsProps {
  readonly label: string;
  readonly className?: string;
  readonly tabs: readonly Tab[];
}

export function Tabs({ label, className, tabs }: TabsProps) {
  const nav = useRef<HTMLElement>(null);
  const current = tabs.find(({ isCurrent }) => isCurrent)?.href;
  // biome-ignore lint/correctness/useExhaustiveDependencies: which one is seen changes when another one is current
  useLayoutEffect(() => {
    const link = nav.current?.querySelector("[aria-current]");
    if (!nav.current || !link) return;
    const [all, one] = [nav.current.getBoundingClientRect(), link.getBoundingClientRect()];
    // The browser's own way may move the page as well.
    nav.current.scrollLeft += one.left - all.left - (all.width - one.width) / 2;
  }, [current]);
  return (
    <nav ref={nav} aria-label={label} className={className}>
      {tabs.map(({ name, href, isCurrent }) => (
        <a key={href} href={href} aria-current={isCurrent ? "page" : undefined}>
          {name}
        </a>
      ))}
    </nav>
  );
}
