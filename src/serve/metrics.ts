/**
 * What a running system says of itself to Prometheus: the table of all metrics, and the two text formats in which they are read.
 *
 * Theory of operation. Nothing is counted for this. When somebody asks, each process says what its machines count anyway, and this table
 * makes samples of it. So there is no registry whose values have to be kept in step, and one process can speak for others, which
 * is what libraries are not made for (`prom-client` counts in place, in one process, and in one format). Labels are names of processes,
 * groups and a few fixed words: never a key, a value or a text of somebody.
 */

import type { ProcessId } from "../core/id.ts";
import { ORDER_LEVELS, type OrderLevel } from "../core/order-level.ts";
import type { Detection } from "../detect/verdict.ts";
import type { HistogramMeasures, SnapshotMeasures } from "../runtime/snapshot-counts.ts";
import type { HostMeasures } from "./host-measures.ts";

type Found = Pick<Detection, "detector" | "detected">;

/** All that is known of a system when somebody asks. */
export interface SystemMeasures {
  readonly version: string;
  readonly kind: "bank" | "application" | "store";
  readonly processes: readonly {
    readonly process: ProcessId;
    readonly up: boolean;
    readonly restarts: number;
    /** Absent if it does not answer. */
    readonly host?: HostMeasures;
  }[];
  /** What standing detectors found the last time; absent if none ever looked. */
  readonly watch?: { readonly atMs: number; readonly detections: readonly Found[] };
}

type Labels = Readonly<Record<string, string>>;
type Sample = readonly [labels: Labels, value: number | HistogramMeasures];

/** A metric, as its table in the documentation has it. */
interface Metric {
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram";
  /** The last word of the name, but for `_total`; absent if it has none. */
  readonly unit?: "seconds" | "bytes";
  readonly labels: readonly string[];
  readonly help: string;
  readonly samples: (system: SystemMeasures) => Iterable<Sample>;
}

/** A metric of each process that answers. */
function ofHosts(
  measure: (host: HostMeasures) => Iterable<Sample> | number | HistogramMeasures | undefined,
): Metric["samples"] {
  return function* ({ processes }) {
    for (const { process, host } of processes) {
      const found = host && measure(host);
      if (found === undefined) continue;
      if (typeof found === "number" || "bounds" in found) yield [{ process }, found];
      else for (const [labels, value] of found) yield [{ process, ...labels }, value];
    }
  };
}

function ofPeers(
  measure: (peer: HostMeasures["running"]["peers"][string]) => number,
): Metric["samples"] {
  return ofHosts(({ running }) =>
    Object.entries(running.peers).map(([peer, one]): Sample => [{ peer }, measure(one)]),
  );
}

type Link = HostMeasures["running"]["peers"][string]["links"]["channel"];

function ofLinks(measure: (link: Link) => number): Metric["samples"] {
  return ofHosts(({ running }) =>
    Object.entries(running.peers).flatMap(([peer, { links }]) =>
      Object.entries(links).map(([link, one]): Sample => [{ peer, link }, measure(one)]),
    ),
  );
}

type Group = HostMeasures["running"]["groups"][string];

function ofGroups(measure: (group: Group) => number): Metric["samples"] {
  return ofHosts(({ running }) =>
    Object.entries(running.groups).map(([group, one]): Sample => [{ group }, measure(one)]),
  );
}

const LEVELS = Object.keys(ORDER_LEVELS) as readonly OrderLevel[];

function ofLevels(measure: (group: Group) => Group["held"]): Metric["samples"] {
  return ofHosts(({ running }) =>
    Object.entries(running.groups).flatMap(([group, one]) =>
      LEVELS.map((level): Sample => [{ group, level }, measure(one)[level] ?? 0]),
    ),
  );
}

const ofSnapshots = (
  measure: (counts: SnapshotMeasures) => number | HistogramMeasures | undefined,
): Metric["samples"] => ofHosts(({ running }) => measure(running.snapshots));

type Log = NonNullable<HostMeasures["running"]["log"]>;
const ofLogs = (measure: (log: Log) => number): Metric["samples"] =>
  ofHosts(({ running: { log } }) => log && measure(log));

type Store = NonNullable<HostMeasures["store"]>;
const ofStores = (measure: (store: Store) => number): Metric["samples"] =>
  ofHosts(({ store }) => store && measure(store));

function* outcomes({ complete, abandoned, refused }: SnapshotMeasures): Iterable<Sample> {
  yield [{ outcome: "complete", cause: "" }, complete];
  for (const [outcome, causes] of Object.entries({ abandoned, refused }))
    for (const [cause, many] of Object.entries(causes)) yield [{ outcome, cause }, many];
}

const counter = (
  name: string,
  labels: readonly string[],
  help: string,
  samples: Metric["samples"],
): Metric => ({ name: `${name}_total`, type: "counter", ...unitOf(name), labels, help, samples });

const gauge = (
  name: string,
  labels: readonly string[],
  help: string,
  samples: Metric["samples"],
): Metric => ({ name, type: "gauge", ...unitOf(name), labels, help, samples });

const histogram = (name: string, help: string, samples: Metric["samples"]): Metric => ({
  ...{ name, type: "histogram", ...unitOf(name), labels: ["process"], help, samples },
});

function unitOf(name: string): Pick<Metric, "unit"> {
  const unit = (["seconds", "bytes"] as const).find((one) => name.endsWith(`_${one}`));
  return unit ? { unit } : {};
}

const P = ["process"] as const;
const PEER = ["process", "peer"] as const;
const LINK = ["process", "peer", "link"] as const;
const GROUP = ["process", "group"] as const;
const LEVEL = ["process", "group", "level"] as const;

/** Every metric there is. The documentation has this table; a test compares them. */
export const METRICS: readonly Metric[] = [
  gauge(
    "tidemark_build_info",
    ["version", "kind"],
    "1; what runs: bank, application or store, and of which version of Tidemark.",
    ({ version, kind }) => [[{ version, kind }, 1]],
  ),
  gauge("tidemark_process_up", P, "1 if the process runs and answers, else 0.", ({ processes }) =>
    processes.map(({ process, up, host }): Sample => [{ process }, up && host ? 1 : 0]),
  ),
  counter(
    "tidemark_process_restarts",
    P,
    "How often the process was started again since the system was started.",
    ({ processes }) => processes.map(({ process, restarts }): Sample => [{ process }, restarts]),
  ),
  gauge(
    "tidemark_process_start_time_seconds",
    P,
    "When the operating-system process was started, since 1970.",
    ofHosts(({ usage }) => usage.startedAtMs / 1000),
  ),
  counter(
    "tidemark_process_cpu_seconds",
    P,
    "Processor time, of the user and of the system.",
    ofHosts(({ usage }) => usage.cpuSeconds),
  ),
  gauge(
    "tidemark_process_resident_bytes",
    P,
    "Memory that the operating system gives the process.",
    ofHosts(({ usage }) => usage.residentBytes),
  ),
  gauge(
    "tidemark_process_heap_used_bytes",
    P,
    "Of the heap of V8, what is in use.",
    ofHosts(({ usage }) => usage.heapUsedBytes),
  ),
  gauge(
    "tidemark_process_external_bytes",
    P,
    "Buffers and what else V8 knows of outside its heap.",
    ofHosts(({ usage }) => usage.externalBytes),
  ),
  gauge(
    "tidemark_event_loop_delay_seconds",
    ["process", "quantile"],
    "How late timers were over the last 10 s or more; quantile 1 is the longest. Measured from the first scrape on.",
    ofHosts(({ usage: { loopDelay } }) => {
      if (!loopDelay) return undefined;
      const { medianMs, p99Ms, maxMs } = loopDelay;
      return [
        [{ quantile: "0.5" }, medianMs / 1000],
        [{ quantile: "0.99" }, p99Ms / 1000],
        [{ quantile: "1" }, maxMs / 1000],
      ];
    }),
  ),
  gauge(
    "tidemark_epoch",
    P,
    "The epoch in which the process is; raised by every restore.",
    ofHosts(({ running }) => running.epoch),
  ),
  counter(
    "tidemark_restores",
    P,
    "How often the process has gone to a later epoch since it was started.",
    ofHosts(({ running }) => running.restores),
  ),
  gauge(
    "tidemark_requests_waiting",
    P,
    "Requests from outside that wait for an answer.",
    ofHosts(({ running }) => running.requests.waiting),
  ),
  gauge(
    "tidemark_requests_held",
    P,
    "Of these, those that are held back, for a channel or the log is congested.",
    ofHosts(({ running }) => running.requests.held),
  ),
  gauge(
    "tidemark_peer_up",
    PEER,
    "1 if the process reaches that peer, else 0.",
    ofPeers(({ up }) => (up ? 1 : 0)),
  ),
  counter(
    "tidemark_messages_sent",
    PEER,
    "Messages that the process has sent on its channel to that peer, packets of groups among them.",
    ofPeers(({ sent }) => sent),
  ),
  counter(
    "tidemark_messages_received",
    PEER,
    "Messages that the process has received on the channel from that peer.",
    ofPeers(({ received }) => received),
  ),
  gauge(
    "tidemark_messages_untaken",
    PEER,
    "Messages and markers that have come from that peer and that the process has not taken.",
    ofPeers(({ untaken }) => untaken),
  ),
  counter(
    "tidemark_link_sent_bytes",
    LINK,
    "Bytes of bodies given to a link: channel carries messages and markers, control what is said of snapshots.",
    ofLinks(({ sentBytes }) => sentBytes),
  ),
  counter(
    "tidemark_link_received_bytes",
    LINK,
    "Bytes of bodies that a link has handed up.",
    ofLinks(({ receivedBytes }) => receivedBytes),
  ),
  gauge(
    "tidemark_link_waiting_bytes",
    LINK,
    "Bytes that were given to a link and that the peer has not acknowledged.",
    ofLinks(({ waitingBytes }) => waitingBytes),
  ),
  counter(
    "tidemark_link_resent_frames",
    LINK,
    "Frames that were sent again: by a timer on a network that may lose them, or after a connection was lost.",
    ofLinks(({ resent }) => resent),
  ),
  counter(
    "tidemark_link_repeated_frames",
    LINK,
    "Frames that came a second time, and were dropped.",
    ofLinks(({ repeated }) => repeated),
  ),
  counter(
    "tidemark_group_delivered_messages",
    LEVEL,
    "Messages of a group that were delivered here, by the order that they asked for.",
    ofLevels(({ delivered }) => delivered),
  ),
  gauge(
    "tidemark_group_held_messages",
    LEVEL,
    "Messages of a group that are here and held back, by the order that they ask for.",
    ofLevels(({ held }) => held),
  ),
  gauge(
    "tidemark_group_unstable_bytes",
    GROUP,
    "Bytes of own packets that not all members are known to have.",
    ofGroups(({ unstableBytes }) => unstableBytes),
  ),
  gauge(
    "tidemark_group_gaps",
    GROUP,
    "Members of whom a packet is known to be missing here.",
    ofGroups(({ gaps }) => gaps),
  ),
  gauge(
    "tidemark_snapshots_under_way",
    P,
    "Snapshots in which the process takes part at the moment.",
    ofHosts(({ running }) => running.snapshotsUnderWay),
  ),
  counter(
    "tidemark_snapshots_begun",
    P,
    "Snapshots that the process began.",
    ofSnapshots(({ begun }) => begun),
  ),
  counter(
    "tidemark_snapshots_ended",
    ["process", "outcome", "cause"],
    "What came of snapshots that the process was asked for: complete, abandoned or refused; and a code for why.",
    ofHosts(({ running }) => outcomes(running.snapshots)),
  ),
  gauge(
    "tidemark_snapshot_last_complete_timestamp_seconds",
    P,
    "When the newest snapshot was complete that the process began since it was started.",
    ofSnapshots(({ completeAtMs }) => completeAtMs && completeAtMs / 1000),
  ),
  histogram(
    "tidemark_snapshot_cut_seconds",
    "From the beginning of a snapshot until all processes had closed their channels; at its initiator.",
    ofSnapshots(({ cutSeconds }) => cutSeconds),
  ),
  histogram(
    "tidemark_snapshot_duration_seconds",
    "From the beginning of a snapshot until it was stored as a whole; at its initiator.",
    ofSnapshots(({ tookSeconds }) => tookSeconds),
  ),
  histogram(
    "tidemark_snapshot_capture_seconds",
    "How long the process paused to record its state.",
    ofSnapshots(({ captureSeconds }) => captureSeconds),
  ),
  histogram(
    "tidemark_snapshot_store_seconds",
    "How long it took to store the piece of the process.",
    ofSnapshots(({ storeSeconds }) => storeSeconds),
  ),
  histogram(
    "tidemark_snapshot_state_bytes",
    "The state in the piece of the process.",
    ofSnapshots(({ stateBytes }) => stateBytes),
  ),
  histogram(
    "tidemark_snapshot_in_flight_bytes",
    "Messages in flight in the piece of the process.",
    ofSnapshots(({ inFlightBytes }) => inFlightBytes),
  ),
  counter(
    "tidemark_log_appended_bytes",
    P,
    "Bytes of the input log, with what frames its records; it goes on where the program before left off.",
    ofLogs(({ appendedBytes }) => appendedBytes),
  ),
  counter(
    "tidemark_log_flushes",
    P,
    "How often the input log was flushed to the disk.",
    ofLogs(({ flushes }) => flushes),
  ),
  gauge(
    "tidemark_log_unsettled_bytes",
    P,
    "Bytes of the input log that nothing may be done for yet, by its policy.",
    ofLogs(({ unsettledBytes }) => unsettledBytes),
  ),
  gauge(
    "tidemark_log_unsynced_bytes",
    P,
    "Bytes of the input log that are not known to be on the disk: what a loss of power may cost.",
    ofLogs(({ unsyncedBytes }) => unsyncedBytes),
  ),
  gauge(
    "tidemark_log_since_capture_bytes",
    P,
    "Bytes of inputs since the state was captured last: what would have to be replayed.",
    ofLogs(({ bytesSinceCapture }) => bytesSinceCapture),
  ),
  gauge(
    "tidemark_log_stalled",
    P,
    "1 if the input log cannot be written at present, else 0.",
    ofLogs(({ stalled }) => (stalled ? 1 : 0)),
  ),
  gauge(
    "tidemark_log_replayed_records",
    P,
    "Inputs that were replayed when the process came back.",
    ofLogs(({ replayedRecords }) => replayedRecords),
  ),
  gauge(
    "tidemark_log_replay_seconds",
    P,
    "How long that took.",
    ofLogs(({ replayMs }) => replayMs / 1000),
  ),
  gauge(
    "tidemark_store_clients",
    P,
    "Clients of the store that are connected.",
    ofStores(({ clients }) => clients),
  ),
  gauge(
    "tidemark_store_blocked_clients",
    P,
    "Of these, those that wait in a blocking command.",
    ofStores(({ blocked }) => blocked),
  ),
  counter(
    "tidemark_store_connections",
    P,
    "Connections of clients there have been.",
    ofStores(({ connections }) => connections),
  ),
  counter(
    "tidemark_store_rejected_connections",
    P,
    "Connections that were refused, for there were maxclients.",
    ofStores(({ rejected }) => rejected),
  ),
  counter(
    "tidemark_store_commands",
    P,
    "Commands of clients that were done.",
    ofStores(({ commands }) => commands),
  ),
  counter(
    "tidemark_store_records",
    P,
    "Records of writes in total order that the replica has done: the same number, the same state.",
    ofStores(({ records }) => records),
  ),
  gauge(
    "tidemark_store_keys",
    P,
    "Keys in all databases.",
    ofStores(({ keys }) => keys),
  ),
  gauge(
    "tidemark_store_keys_with_deadline",
    P,
    "Of these, those that have a deadline.",
    ofStores(({ deadlines }) => deadlines),
  ),
  counter(
    "tidemark_store_expired_keys",
    P,
    "Keys that the replica took away for their deadline was over.",
    ofStores(({ expiries }) => expiries),
  ),
  counter(
    "tidemark_store_evicted_keys",
    P,
    "Keys that this server gave up because memory was short.",
    ofStores(({ evicted }) => evicted),
  ),
  gauge(
    "tidemark_store_memory_bytes",
    P,
    "Memory as maxmemory counts it.",
    ofStores(({ memoryBytes }) => memoryBytes),
  ),
  gauge(
    "tidemark_store_memory_limit_bytes",
    P,
    "maxmemory; 0: none.",
    ofStores(({ memoryLimitBytes }) => memoryLimitBytes),
  ),
  gauge(
    "tidemark_detector_true",
    ["detector"],
    "How many standing detectors of that kind found at their last look that it is so.",
    ({ watch }) => kindsOf(watch?.detections ?? [], true),
  ),
  gauge(
    "tidemark_detector_unknown",
    ["detector"],
    "How many of that kind could not tell.",
    ({ watch }) => kindsOf(watch?.detections ?? [], null),
  ),
  gauge(
    "tidemark_detector_last_look_timestamp_seconds",
    [],
    "When standing detectors of the page looked last.",
    ({ watch }) => (watch ? [[{}, watch.atMs / 1000]] : []),
  ),
];

/** By kind: what stands behind a `=` is somebody's text. */
function kindsOf(detections: readonly Found[], detected: Detection["detected"]): readonly Sample[] {
  const kinds = new Map<string, number>();
  for (const one of detections) {
    const kind = /^(deadlock|termination|garbage|sum|token)\b/.exec(one.detector)?.[0] ?? "other";
    kinds.set(kind, (kinds.get(kind) ?? 0) + (one.detected === detected ? 1 : 0));
  }
  return [...kinds].map(([detector, many]) => [{ detector }, many]);
}

/** The text formats of Prometheus 0.0.4 and of OpenMetrics 1.0. */
export type MetricsFormat = "text" | "openmetrics";

export const CONTENT_TYPES: Readonly<Record<MetricsFormat, string>> = {
  text: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

/** The format that a request would rather have: what is said in plain text anybody reads. */
export function formatFor(accept: string | undefined): MetricsFormat {
  let best: { readonly format: MetricsFormat; readonly quality: number } | undefined;
  for (const part of (accept ?? "").toLowerCase().split(",")) {
    const [type = "", ...parameters] = part.split(";").map((one) => one.trim());
    const format = FORMATS.get(type);
    const said = parameters.find((one) => one.startsWith("q="))?.slice("q=".length);
    const quality = said === undefined ? 1 : Number(said);
    if (format && quality > 0 && quality > (best?.quality ?? 0)) best = { format, quality };
  }
  return best?.format ?? "text";
}

const FORMATS: ReadonlyMap<string, MetricsFormat> = new Map([
  ["application/openmetrics-text", "openmetrics"],
  ["text/plain", "text"],
  ["text/*", "text"],
  ["*/*", "text"],
]);

/** All metrics that have a value. */
export function metricsText(system: SystemMeasures, format: MetricsFormat): string {
  const lines: string[] = [];
  for (const { name, type, unit, help, samples } of METRICS) {
    const found = [...samples(system)];
    if (found.length === 0) continue;
    const isOpen = format === "openmetrics";
    const family = isOpen && type === "counter" ? name.slice(0, -"_total".length) : name;
    lines.push(`# TYPE ${family} ${type}`);
    if (isOpen && unit) lines.push(`# UNIT ${family} ${unit}`);
    lines.push(`# HELP ${family} ${escaped(help, isOpen)}`);
    for (const [labels, value] of found) {
      if (typeof value === "number") lines.push(`${name}${labelsText(labels)} ${value}`);
      else lines.push(...histogramLines(name, labels, value));
    }
  }
  if (format === "openmetrics") lines.push("# EOF");
  return `${lines.join("\n")}\n`;
}

function histogramLines(
  name: string,
  labels: Labels,
  { bounds, counts, sum }: HistogramMeasures,
): readonly string[] {
  let total = 0;
  const buckets = counts.map((count, i) => {
    total += count;
    const bound = bounds[i];
    // Both formats say the same of one bucket, so that it is one.
    const le = bound === undefined ? "+Inf" : Number.isInteger(bound) ? `${bound}.0` : `${bound}`;
    return `${name}_bucket${labelsText({ ...labels, le })} ${total}`;
  });
  const text = labelsText(labels);
  return [...buckets, `${name}_sum${text} ${sum}`, `${name}_count${text} ${total}`];
}

function labelsText(labels: Labels): string {
  const said = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value, true)}"`);
  return said.length === 0 ? "" : `{${said.join(",")}}`;
}

function escaped(text: string, quotes: boolean): string {
  const plain = text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
  return quotes ? plain.replaceAll('"', '\\"') : plain;
}
