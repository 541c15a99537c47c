/**
 * How much a test does: a sample on every `npm test`, the whole when it is soaked with
 * `npm run soak -- NAME` (or `all`). Write the name as a plain string: the tool finds it by reading.
 */
export function cases<T>(name: string, sample: T, whole: T): T {
  const soaked = process.env["TIDEMARK_SOAK"];
  return soaked === name || soaked === "all" ? whole : sample;
}
