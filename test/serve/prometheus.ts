/** A strict reader of what Prometheus scrapes, written from the description of the formats and not from what writes them. */

export interface Series {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Family {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly unit: string | undefined;
  readonly series: readonly Series[];
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*/;
const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  gauge: [""],
  histogram: ["_bucket", "_sum", "_count"],
};

/** @throws Error with the line for what is not as the format has it */
export function readMetrics(text: string, isOpen = false): ReadonlyMap<string, Family> {
  if (!text.endsWith("\n")) throw new Error("the last line has no end");
  const lines = text.slice(0, -1).split("\n");
  if (isOpen && lines.pop() !== "# EOF") throw new Error("OpenMetrics ends with # EOF");
  const families = new Map<string, Family & { series: Series[] }>();
  const seen = new Set<string>();
  let family: (Family & { series: Series[] }) | undefined;
  for (const [i, line] of lines.entries()) {
    const wrong = (why: string): Error => new Error(`line ${i + 1}: ${why}: ${line}`);
    const [, word, name = "", said = ""] = /^# (TYPE|HELP|UNIT) (\S+) (.*)$/.exec(line) ?? [];
    if (word === "TYPE") {
      if (families.has(name)) throw wrong("the family is there twice");
      family = { name, type: said, help: "", unit: undefined, series: [] };
      families.set(name, family);
    } else if (word !== undefined) {
      if (family?.name !== name || family.series.length > 0) throw wrong("out of place");
      if (word === "UNIT" && (!isOpen || !name.endsWith(`_${said}`))) throw wrong("a wrong unit");
      Object.assign(family, word === "HELP" ? { help: said } : { unit: said });
    } else {
      const series = readSeries(line, wrong);
      const counted = isOpen || family?.type !== "counter" ? family?.name : undefined;
      const base = counted ?? family?.name.replace(/_total$/, "");
      const suffixes = family?.type === "counter" ? ["_total"] : SUFFIXES[family?.type ?? ""];
      if (!family || !suffixes?.some((suffix) => series.name === `${base}${suffix}`))
        throw wrong("a sample of no family, or of another one");
      const key = `${series.name}${JSON.stringify(Object.entries(series.labels).sort())}`;
      if (seen.has(key)) throw wrong("the sample is there twice");
      seen.add(key);
      family.series.push(series);
    }
  }
  for (const one of families.values()) checkFamily(one);
  return families;
}

function readSeries(line: string, wrong: (why: string) => Error): Series {
  const name = NAME.exec(line)?.[0];
  if (name === undefined) throw wrong("no name");
  let rest = line.slice(name.length);
  const labels: Record<string, string> = {};
  if (rest.startsWith("{")) {
    rest = rest.slice(1);
    while (!rest.startsWith("}")) {
      const found = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|(?=\}))/.exec(rest);
      const [all = "", label = "", value = ""] = found ?? [];
      if (all === "") throw wrong("a label that cannot be read");
      if (Object.hasOwn(labels, label)) throw wrong("a label twice");
      labels[label] = value.replaceAll(/\\(.)/g, (_, one) => (one === "n" ? "\n" : one));
      rest = rest.slice(all.length);
    }
    rest = rest.slice(1);
  }
  const [, said = ""] = /^ (\S+)$/.exec(rest) ?? [];
  const value = said === "+Inf" ? Number.POSITIVE_INFINITY : Number(said);
  if (said === "" || Number.isNaN(value)) throw wrong("no value");
  return { name, labels, value };
}

function checkFamily({ name, type, help, series }: Family): void {
  if (help === "") throw new Error(`${name} has no help`);
  if (type === "counter" && series.some(({ value }) => !(value >= 0)))
    throw new Error(`${name} counts less than nothing`);
  if (type !== "histogram") return;
  const buckets = new Map<string, Series[]>();
  for (const one of series.filter((each) => each.name === `${name}_bucket`)) {
    const { le: _, ...labels } = one.labels;
    const key = JSON.stringify(labels);
    buckets.set(key, [...(buckets.get(key) ?? []), one]);
  }
  for (const [key, all] of buckets) {
    const bounds = all.map(({ labels }) => Number(labels["le"]?.replace("+Inf", "Infinity")));
    const counts = all.map(({ value }) => value);
    const ascends = (list: readonly number[], least: number): boolean =>
      list.every((one, i) => i === 0 || one - Number(list[i - 1]) >= least);
    const total = series.find(
      (one) => one.name === `${name}_count` && JSON.stringify(one.labels) === key,
    );
    if (!ascends(bounds, Number.MIN_VALUE) || bounds.at(-1) !== Number.POSITIVE_INFINITY)
      throw new Error(`${name}: bounds do not ascend to infinity`);
    if (!ascends(counts, 0) || counts.at(-1) !== total?.value)
      throw new Error(`${name}: buckets do not add up`);
  }
}
