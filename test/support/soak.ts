/**
 * How much a test does: a sample on every `npm test`, the whole when it is soaked with
 * `npm run soak -- NAME` (or `all`). Write the name as a plain string: the tool finds it by reading.
 */
export function cases<T>(name: string, sample: T, whole: T): T {
  const soaked = process.env["TIDEMARK_SOAK"];
  return soaked === name || soaked === "all" ? whole : sample;
}

const SAY_EVERY_MS = 20_000;

/** The seeds from 1 to as many as `cases` gives; while they are soaked they say now and then how far they are. */
export function* seeds(name: string, sample: number, whole: number): Generator<number> {
  const many = cases(name, sample, whole);
  const tell = telling(name);
  for (let seed = 1; seed <= many; seed += 1) {
    yield seed;
    tell(`${seed} of ${many} seeds`);
  }
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
