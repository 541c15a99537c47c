// `npm run scale`: counts what one snapshot takes, by the shape of the channels and the number of processes, and writes
// docs/internals/scale.md and scale.svg. It needs `--expose-gc`, which the script gives.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { root } from "./run.ts";
import { type Counted, count, type Family, families, Network, place } from "./scale-network.ts";
import { countedPart, type Measured, measuredPart, plot } from "./scale-page.ts";

const USAGE = `Usage: npm run scale

Runs the snapshot machine in rings, binary trees, random graphs and full meshes of up to 1,000 processes (mesh: 300), and
writes docs/internals/scale.md and docs/internals/scale.svg. Takes some ten seconds.`;

const MEASURED_SIZES = [100, 300, 1000];
const ROUNDS = 11;
/** Of so many channels at least the recordings are measured together: the heap moves by some KB on its own. */
const CHANNELS_TOGETHER = 50_000;

const { values } = parseArgs({ options: { help: { type: "boolean", default: false } } });
if (values.help) console.log(USAGE);
else await scale();

async function scale(): Promise<void> {
  const counted: Counted[] = [];
  const measured: Measured[] = [];
  for (const family of families) {
    for (const processes of family.sizes) {
      const one = count(family, processes);
      counted.push(one);
      console.log(
        `${place(one).padEnd(24)} ${String(one.markers).padStart(7)} markers ${String(one.hops).padStart(5)} hops`,
      );
      if (MEASURED_SIZES.includes(processes)) measured.push(measure(family, one));
    }
  }
  const folder = join(root, "docs/internals");
  const text = `${countedPart(counted)}\n${measuredPart(measured)}`;
  await writeFile(join(folder, "scale.md"), text);
  await writeFile(join(folder, "scale.svg"), plot(counted));
  console.log("wrote docs/internals/scale.md and docs/internals/scale.svg");
}

function measure(family: Family, { processes, channels }: Counted): Measured {
  const topology = family.topology(processes);
  const times = Array.from({ length: ROUNDS }, () => {
    const network = new Network(topology);
    const startMs = performance.now();
    network.initiate(1);
    network.run();
    return performance.now() - startMs;
  });
  times.sort((a, b) => a - b);

  const network = new Network(topology);
  const together = Math.min(100, Math.ceil(CHANNELS_TOGETHER / channels));
  const before = heldBytes();
  network.initiate(together);
  while (network.recorded < together * processes) network.hop();
  const bytes = (heldBytes() - before) / together;
  // Used once more, so that nothing of it can be collected before it is measured.
  network.run();
  return { family: family.name, processes, channels, bytes, wallMs: times[ROUNDS >> 1] ?? 0 };
}

function heldBytes(): number {
  if (!globalThis.gc) throw new Error("start it with `npm run scale`: node needs --expose-gc");
  globalThis.gc();
  globalThis.gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
