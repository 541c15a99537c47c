/** A value as a tree that opens where somebody looks. */

import { type ReactNode, useState } from "react";
import { shapeOf } from "../../src/snapshot/value-path.ts";
import { childrenOf, leafText } from "./literal.ts";

interface TreeProps {
  readonly value: unknown;
  /** What stands before it. */
  readonly name?: ReactNode;
  /** So many levels are open at first. @default 1 */
  readonly openLevels?: number;
}

/** So many children are shown, and as many more each time. */
const CHILDREN = 100;
const TEXT_LENGTH_MAX = 400;
/** What stands before the size of what is no plain object. */
const KIND = { set: "Set ", map: "Map ", error: "Error ", object: "" } as const;

export function Tree({ value, name, openLevels = 1 }: TreeProps) {
  const [isOpen, setIsOpen] = useState(openLevels > 0);
  const [shown, setShown] = useState(CHILDREN);
  const shape = shapeOf(value);
  if (shape === "leaf")
    return (
      <div className="tree-leaf">
        {name !== undefined && <span className="tree-name">{name}</span>}
        <Leaf value={value} />
      </div>
    );
  const children = childrenOf(value);
  const size = shape === "list" ? `[${children.length}]` : `${KIND[shape]}{${children.length}}`;
  return (
    <details
      className="tree"
      open={isOpen}
      onToggle={({ currentTarget }) => setIsOpen(currentTarget.open)}
    >
      <summary>
        {name !== undefined && <span className="tree-name">{name}</span>}
        <span className="tree-size">{size}</span>
      </summary>
      {isOpen && (
        <div className="tree-children">
          {children.slice(0, shown).map(([key, child]) => (
            <Tree key={key} name={key} value={child} openLevels={openLevels - 1} />
          ))}
          {children.length > shown && (
            <button
              type="button"
              className="button quiet"
              onClick={() => setShown(shown + CHILDREN)}
            >
              {children.length - shown} more
            </button>
          )}
        </div>
      )}
    </details>
  );
}

function Leaf({ value }: { readonly value: unknown }) {
  const text = leafText(value);
  const isLong = text.length > TEXT_LENGTH_MAX;
  return (
    <code className={`leaf-${typeof value}`} title={isLong ? text : undefined}>
      {isLong ? `${text.slice(0, TEXT_LENGTH_MAX)}…` : text}
    </code>
  );
}
