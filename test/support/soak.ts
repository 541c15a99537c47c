/**
 * How much a test does: a sample on every `npm test`, the whole when it is soaked with
 * `npm run soak -- NAME` (or `all`). Write the name as a plain string: the tool finds it by reading.
 */
export function cases<T>(name: string, sample: T, whole: T): T {
  const soaked = process.env["TIDEMARK_SOAK"];
  return soaked === name || soaked === "all" ? whole : sample;
}

/** Says how many cases a test has given to an entrance; `npm run fuzz` adds them up. */
export function fuzzed(entrance: string, count: number): void {
  if (process.env["TIDEMARK_SOAK"]) process.stderr.write(`fuzzed ${entrance} ${count}\n`);
}

const SAY_EVERY_MS = 20_000;

/**
 * The seeds from 1 to as many as `cases` gives, or those that `npm run soak -- NAME --seeds FROM..TO` asks for: a part of a long soak, or
 * one seed that failed. While they are soaked they say now and then how far they are.
 */
export function* seeds(name: string, sample: number, whole: number): Generator<number> {
  const { first, last } = asked(name) ?? { first: 1, last: cases(name, sample, whole) };
  const tell = telling(name);
  for (let seed = first; seed <= last; seed += 1) {
    yield seed;
    tell(`seed ${seed} of ${first} to ${last}`);
  }
}

/** The seeds that the person who soaks has asked for. */
function asked(name: string): { readonly first: number; readonly last: number } | undefined {
  const range = process.env["TIDEMARK_SOAK"] === name && process.env["TIDEMARK_SEEDS"];
  if (range === undefined || range === false || range === "") return undefined;
  const [first, last] = range.split("..").map(Number);
  if (first === undefined || last === undefined) throw new Error(`TIDEMARK_SEEDS is ${range}`);
  return { first, last };
}

/** Takes how far something is whenever that changes, and says it now and then. */
export function telling(name: string): (far: string) => void {
  const startMs = performance.now();
  let saidMs = startMs;
  return (far) => {
    const nowMs = performance.now();
    if (nowMs - saidMs < SAY_EVERY_MS) return;
    saidMs = nowMs;
    const seconds = Math.round((nowMs - startMs) / 1000);
    process.stderr.write(`${name}: ${far}, ${seconds} s\n`);
  };
}
