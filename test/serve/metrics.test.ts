import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { HistogramMeasures, SnapshotMeasures } from "../../src/runtime/snapshot-counts.ts";
import type { HostMeasures } from "../../src/serve/host-measures.ts";
import { formatFor, METRICS, metricsText, type SystemMeasures } from "../../src/serve/metrics.ts";
import { readMetrics } from "./prometheus.ts";

const natural = fc.nat({ max: 2 ** 40 });

const histogram = (): fc.Arbitrary<HistogramMeasures> =>
  fc
    .uniqueArray(fc.double({ min: 1e-6, max: 1e12, noNaN: true }), { maxLength: 6 })
    .chain((bounds) =>
      fc.record({
        bounds: fc.constant([...bounds].sort((a, b) => a - b)),
        counts: fc.array(fc.nat(), { minLength: bounds.length + 1, maxLength: bounds.length + 1 }),
        sum: fc.double({ min: 0, max: 1e15, noNaN: true }),
      }),
    );

const snapshots: fc.Arbitrary<SnapshotMeasures> = fc.record(
  {
    begun: natural,
    complete: natural,
    abandoned: fc.record({ timeout: natural, other: natural }, { requiredKeys: [] }),
    refused: fc.record({ process_lost: natural }, { requiredKeys: [] }),
    completeAtMs: natural,
    cutSeconds: histogram(),
    tookSeconds: histogram(),
    captureSeconds: histogram(),
    storeSeconds: histogram(),
    stateBytes: histogram(),
    inFlightBytes: histogram(),
  },
  {
    requiredKeys: [
      ...(["begun", "complete", "abandoned", "refused", "cutSeconds", "tookSeconds"] as const),
      ...(["captureSeconds", "storeSeconds", "stateBytes", "inFlightBytes"] as const),
    ],
  },
);

const link = fc.record({
  sentBytes: natural,
  receivedBytes: natural,
  waitingBytes: natural,
  resent: natural,
  repeated: natural,
});

/** Names of groups are an application's: they may hold anything. */
const name = fc.string({ unit: "grapheme", maxLength: 12 });

const host: fc.Arbitrary<HostMeasures> = fc.record(
  {
    running: fc.record(
      {
        epoch: natural,
        restores: natural,
        peers: fc.dictionary(
          fc.constantFrom("p1", "p2", "p3"),
          fc.record({
            up: fc.boolean(),
            sent: natural,
            received: natural,
            untaken: natural,
            links: fc.record({ channel: link, control: link }),
          }),
        ),
        groups: fc.dictionary(
          name,
          fc.record({
            delivered: fc.record({ fifo: natural, "causal-total": natural }, { requiredKeys: [] }),
            held: fc.record({ total: natural }, { requiredKeys: [] }),
            unstableBytes: natural,
            gaps: natural,
          }),
        ),
        snapshotsUnderWay: natural,
        snapshots,
        requests: fc.record({ waiting: natural, held: natural }),
        log: fc.record({
          appendedBytes: natural,
          unsettledBytes: natural,
          unsyncedBytes: natural,
          flushes: natural,
          bytesSinceCapture: natural,
          stalled: fc.boolean(),
          replayedRecords: natural,
          replayMs: fc.double({ min: 0, max: 1e9, noNaN: true }),
        }),
      },
      {
        requiredKeys: [
          ...(["epoch", "restores", "peers", "groups", "snapshotsUnderWay"] as const),
          ...(["snapshots", "requests"] as const),
        ],
      },
    ),
    usage: fc.record(
      {
        startedAtMs: natural,
        cpuSeconds: fc.double({ min: 0, max: 1e9, noNaN: true }),
        residentBytes: natural,
        heapUsedBytes: natural,
        externalBytes: natural,
        loopDelay: fc.record({ medianMs: natural, p99Ms: natural, maxMs: natural }),
      },
      {
        requiredKeys: [
          "startedAtMs",
          "cpuSeconds",
          "residentBytes",
          "heapUsedBytes",
          "externalBytes",
        ],
      },
    ),
    store: fc.record({
      clients: natural,
      blocked: natural,
      connections: natural,
      rejected: natural,
      commands: natural,
      keys: natural,
      deadlines: natural,
      expiries: natural,
      evicted: natural,
      records: natural,
      memoryBytes: natural,
      memoryLimitBytes: natural,
    }),
  },
  { requiredKeys: ["running", "usage"] },
);

const system: fc.Arbitrary<SystemMeasures> = fc.record(
  {
    version: fc.string({ unit: "grapheme" }),
    kind: fc.constantFrom("bank", "application", "store"),
    processes: fc
      .uniqueArray(fc.constantFrom("p1", "p2", "a.b-c_d"))
      .chain((ids) =>
        fc.tuple(
          ...ids.map((process) =>
            fc.record(
              { process: fc.constant(process), up: fc.boolean(), restarts: natural, host },
              { requiredKeys: ["process", "up", "restarts"] },
            ),
          ),
        ),
      ),
    watch: fc.record({
      atMs: natural,
      detections: fc.array(
        fc.record({
          detector: fc.constantFrom("deadlock", "sum=money", "sum=gold:3", "token=x", "of-my-own"),
          detected: fc.constantFrom(true, false, null),
          sentence: fc.string(),
        }),
      ),
    }),
  },
  { requiredKeys: ["version", "kind", "processes"] },
);

describe("what is served is well formed, whatever the system says", () => {
  test.for(["text", "openmetrics"] as const)("as %s", (format) => {
    fc.assert(
      fc.property(system, (measures) => {
        const families = readMetrics(metricsText(measures, format), format === "openmetrics");
        for (const { name: family, labels } of METRICS) {
          const shown = format === "openmetrics" ? family.replace(/_total$/, "") : family;
          for (const series of families.get(shown)?.series ?? [])
            for (const label of Object.keys(series.labels))
              expect([...labels, "le"], series.name).toContain(label);
        }
      }),
      { numRuns: 200, seed: 5 },
    );
  });

  test("and both formats say the same", () => {
    fc.assert(
      fc.property(system, (measures) => {
        const samples = (format: "text" | "openmetrics") =>
          [
            ...readMetrics(metricsText(measures, format), format === "openmetrics").values(),
          ].flatMap(({ series }) => series);
        expect(samples("openmetrics")).toEqual(samples("text"));
      }),
      { numRuns: 50, seed: 6 },
    );
  });
});

test("names are by the conventions of Prometheus", () => {
  expect(new Set(METRICS.map(({ name: one }) => one)).size).toBe(METRICS.length);
  for (const { name: one, type, help, labels } of METRICS) {
    expect(one).toMatch(/^tidemark_[a-z0-9]+(_[a-z0-9]+)*$/);
    expect(one.endsWith("_total"), one).toBe(type === "counter");
    expect(one).not.toMatch(/_(ms|milliseconds|kb|mb|percent|count|sum|bucket)(_|$)/);
    expect(help).toMatch(/\.$/);
    // Never one that holds what somebody wrote.
    for (const label of labels)
      expect([
        ...["process", "peer", "link", "group", "level", "outcome", "cause"],
        ...["quantile", "detector", "version", "kind"],
      ]).toContain(label);
  }
});

test("of a detector its kind is told, and not what it was asked with", () => {
  const detection = (detector: string, detected: boolean | null) => ({ detector, detected });
  const detections = [
    detection("sum=secret", true),
    detection("sum=gold:3", true),
    detection("token=x", null),
    detection("deadlock", false),
  ];
  const text = metricsText(
    { version: "1", kind: "bank", processes: [], watch: { atMs: 1000, detections } },
    "text",
  );
  expect(text).not.toContain("secret");
  const found = readMetrics(text);
  const values = (family: string) =>
    Object.fromEntries(
      found.get(family)?.series.map(({ labels, value }) => [labels["detector"], value]) ?? [],
    );
  expect(values("tidemark_detector_true")).toEqual({ sum: 2, token: 0, deadlock: 0 });
  expect(values("tidemark_detector_unknown")).toEqual({ sum: 0, token: 1, deadlock: 0 });
});

test.for([
  [undefined, "text"],
  ["", "text"],
  ["*/*", "text"],
  ["text/html,*/*;q=0.8", "text"],
  ["application/openmetrics-text", "openmetrics"],
  [
    "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3",
    "openmetrics",
  ],
  ["application/openmetrics-text;q=0.2, text/plain;q=0.3", "text"],
  ["application/openmetrics-text;q=0", "text"],
  ["application/openmetrics-text;q=much", "text"],
  ["Application/OpenMetrics-Text", "openmetrics"],
  ["constructor, __proto__", "text"],
] as const)("who accepts %j gets %s", ([accept, format]) => {
  expect(formatFor(accept)).toBe(format);
});

describe("the reader of this test reports a planted fault", () => {
  test.for([
    ["# TYPE a gauge\n# HELP a x.\na 1", "no end"],
    ["# TYPE a gauge\n# HELP a x.\na 1\na 2\n", "twice"],
    ["# TYPE a gauge\n# HELP a x.\nb 1\n", "no family"],
    ["# TYPE a_total counter\n# HELP a_total x.\na 1\n", "no family"],
    ['# TYPE a gauge\n# HELP a x.\na{b="1} 1\n', "cannot be read"],
    ['# TYPE a gauge\n# HELP a x.\na{b="1",b="2"} 1\n', "a label twice"],
    ["# TYPE a gauge\n# HELP a x.\na much\n", "no value"],
    ["# TYPE a gauge\na 1\n", "no help"],
    ["# TYPE a_total counter\n# HELP a_total x.\na_total -1\n", "less than nothing"],
    ['# TYPE h histogram\n# HELP h x.\nh_bucket{le="1"} 1\nh_sum 1\nh_count 1\n', "infinity"],
    [
      '# TYPE h histogram\n# HELP h x.\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n',
      "do not add up",
    ],
  ] as const)("%j", ([text, reason]) => {
    expect(() => readMetrics(text)).toThrow(reason);
  });
});
