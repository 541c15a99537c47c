// `npm run fuzz`: gives every entrance from the network what nobody should send it, whole, and says how many cases it was.
import { spawn } from "node:child_process";
import { parseArgs } from "node:util";
import { root } from "./run.ts";

/** The soaks of each entrance; each prints a line `fuzzed ENTRANCE COUNT` for what it gave to one. */
const SOAKS = [
  ...["fuzz-frames", "tcp-fuzz", "tcp-answers", "tls-fuzz"],
  ...["resp-fuzz", "resp-differential", "http-fuzz", "control-fuzz", "nats-fuzz", "order-log-fuzz"],
];

process.exitCode = await main();

async function main(): Promise<number> {
  try {
    parseArgs({ options: {} });
  } catch (thrown) {
    console.error(`error: ${(thrown as Error).message}\nusage: npm run fuzz`);
    return 2;
  }
  const counts = new Map<string, number>();
  const failed: string[] = [];
  const startMs = performance.now();
  for (const soak of SOAKS) {
    const { status, fuzzed } = await soaked(soak);
    for (const [entrance, count] of fuzzed)
      counts.set(entrance, (counts.get(entrance) ?? 0) + count);
    if (status !== 0 || fuzzed.length === 0) failed.push(soak);
  }
  const minutes = ((performance.now() - startMs) / 60_000).toFixed(1);
  for (const [entrance, count] of counts)
    console.log(`${entrance.padEnd(16)}${count.toLocaleString("en").padStart(12)}`);
  const all = [...counts.values()].reduce((sum, count) => sum + count, 0);
  console.log(
    `${"all".padEnd(16)}${all.toLocaleString("en").padStart(12)} cases in ${minutes} min`,
  );
  if (failed.length > 0) console.error(`failed: ${failed.join(", ")}`);
  return failed.length > 0 ? 1 : 0;
}

/** Runs a soak, shows what it prints, and takes the lines that count out of it. */
function soaked(name: string): Promise<{
  readonly status: number;
  readonly fuzzed: readonly (readonly [entrance: string, count: number])[];
}> {
  return new Promise((resolve) => {
    console.log(`== ${name}`);
    const child = spawn(process.execPath, ["tools/soak.ts", name], {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let all = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => {
        all += text;
        process.stdout.write(text);
      });
    child.on("close", (code) => {
      const fuzzed = [...all.matchAll(/^fuzzed (.+) (\d+)$/gm)].map(
        ([, entrance = "", count]) => [entrance, Number(count)] as const,
      );
      resolve({ status: code ?? 1, fuzzed });
    });
  });
}
