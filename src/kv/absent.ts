/**
 * What Redis has and the store has not: why, for those who ask for it; and in which categories it is, for rules that were written for
 * Redis name it too.
 */

const RUN_BY_TIDEMARK = "replicas are processes of a system, which is run by tidemark";

const unsupported = (name: string, reason: string): string =>
  `ERR ${name.toUpperCase()} is not supported by Tidemark: ${reason}`;

const REASONS: readonly (readonly [reason: string, names: string])[] = [
  [
    "scripts and functions do not run here; MULTI and EXEC do several commands as one",
    "eval evalsha eval_ro evalsha_ro script fcall fcall_ro function",
  ],
  [
    "there are no streams",
    "xadd xack xautoclaim xclaim xdel xgroup xinfo xlen xpending xrange xread xreadgroup xrevrange xsetid xtrim",
  ],
  [
    "there are no geographic indexes",
    "geoadd geodist geohash geopos georadius georadius_ro georadiusbymember georadiusbymember_ro geosearch geosearchstore",
  ],
  ["there are no HyperLogLogs", "pfadd pfcount pfdebug pfmerge pfselftest"],
  ["it loads no modules", "module"],
  [
    "it has no values in the format of Redis; COPY copies a key",
    "dump restore restore-asking migrate",
  ],
  ["channels of shards need a cluster of Redis", "spublish ssubscribe sunsubscribe"],
  ["it is no cluster of Redis; every replica has all keys", "asking readonly readwrite"],
  [RUN_BY_TIDEMARK, "failover psync sync replconf"],
  ["whoever runs the system stops it", "shutdown"],
  ["each process keeps its log itself", "bgrewriteaof"],
];

const reasons: ReadonlyMap<string, string> = new Map(
  REASONS.flatMap(([reason, names]) => names.split(" ").map((name) => [name, reason] as const)),
);

/** Why there is no such command here, if Redis has it. */
export function absence(name: string): string | undefined {
  const reason = reasons.get(name.toLowerCase());
  return reason === undefined ? undefined : unsupported(name, reason);
}

/** That there are no other replicas than those of the system. */
export const replicasAreOfSystem = (name: string): string => unsupported(name, RUN_BY_TIDEMARK);

/** Categories, and the commands that are in them; of one in a container, the name of that stands in front. */
const CATEGORIES = `
admin slow dangerous: bgrewriteaof failover psync replconf shutdown sync module|list module|load module|loadex module|unload
admin slow dangerous: cluster|addslots cluster|addslotsrange cluster|bumpepoch cluster|count-failure-reports cluster|delslots
admin slow dangerous: cluster|delslotsrange cluster|failover cluster|flushslots cluster|forget cluster|meet cluster|replicas
admin slow dangerous: cluster|replicate cluster|reset cluster|saveconfig cluster|set-config-epoch cluster|setslot cluster|slaves
fast connection: asking readonly readwrite
hyperloglog admin slow dangerous: pfselftest
write hyperloglog admin slow dangerous: pfdebug
write hyperloglog fast: pfadd
write hyperloglog slow: pfmerge
read hyperloglog slow: pfcount
keyspace read slow: dump
keyspace write slow dangerous: migrate restore restore-asking
pubsub fast: spublish
pubsub slow: pubsub|shardchannels pubsub|shardnumsub ssubscribe sunsubscribe
read geo slow: geodist geohash geopos georadius_ro georadiusbymember_ro geosearch
write geo slow: geoadd georadius georadiusbymember geosearchstore
read stream fast: xlen
read stream slow: xinfo|consumers xinfo|groups xinfo|stream xpending xrange xrevrange
read stream slow blocking: xread
write stream fast: xack xadd xautoclaim xclaim xdel xsetid
write stream slow: xgroup|create xgroup|createconsumer xgroup|delconsumer xgroup|destroy xgroup|setid xtrim
write stream slow blocking: xreadgroup
stream slow: xgroup|help xinfo|help
slow: cluster|help cluster|links function module module|help script xgroup xinfo
slow scripting: eval eval_ro evalsha evalsha_ro fcall fcall_ro function|dump function|help function|kill function|list function|stats
slow scripting: script|debug script|exists script|flush script|help script|kill script|load
write slow scripting: function|delete function|flush function|load function|restore
`;

/** By the full names of commands that are not here, their categories. */
export const absentCategories: ReadonlyMap<string, readonly string[]> = new Map(
  CATEGORIES.trim()
    .split("\n")
    .flatMap((line) => {
      const [categories = "", names = ""] = line.split(": ");
      return names.split(" ").map((name) => [name, categories.split(" ")] as const);
    }),
);
