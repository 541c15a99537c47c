/** Strongly connected components of a directed graph (Tarjan 1972), without recursion: graphs of objects are deep. */

/**
 * Each component once, every one after those that it leads to.
 * @param next where edges of a node lead; what is not among the nodes is passed over
 */
export function components(
  nodes: Iterable<string>,
  next: (node: string) => Iterable<string>,
): readonly (readonly string[])[] {
  const found: (readonly string[])[] = [];
  const known = new Set(nodes);
  const numbers = new Map<string, number>();
  const low = new Map<string, number>();
  const open: string[] = [];
  const isOpen = new Set<string>();
  const walk: { readonly node: string; readonly rest: Iterator<string> }[] = [];
  const enter = (node: string): void => {
    numbers.set(node, numbers.size);
    low.set(node, numbers.get(node) as number);
    open.push(node);
    isOpen.add(node);
    walk.push({ node, rest: next(node)[Symbol.iterator]() });
  };
  const lower = (node: string, to: number | undefined): void => {
    if ((to as number) < (low.get(node) as number)) low.set(node, to as number);
  };
  for (const root of known) {
    if (numbers.has(root)) continue;
    enter(root);
    for (let top = walk.at(-1); top; top = walk.at(-1)) {
      const { value, done } = top.rest.next();
      if (done !== true) {
        if (!known.has(value)) continue;
        if (!numbers.has(value)) enter(value);
        else if (isOpen.has(value)) lower(top.node, numbers.get(value));
        continue;
      }
      walk.pop();
      const { node } = top;
      const before = walk.at(-1);
      if (before) lower(before.node, low.get(node));
      if (low.get(node) !== numbers.get(node)) continue;
      const component = open.splice(open.lastIndexOf(node));
      for (const one of component) isOpen.delete(one);
      found.push(component);
    }
  }
  return found;
}
