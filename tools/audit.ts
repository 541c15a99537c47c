// `npm run audit`: `npm audit` of what is published, as CI runs it. Known weaknesses that are high or worse are a failure. That the
// registry cannot be asked is not, for nothing is known then; it is said.
import { spawnSync } from "node:child_process";
import { root } from "./run.ts";

const ARGS = ["audit", "--omit=dev", "--audit-level=high", "--json"];
/** It is not there, or it is one that knows nothing of weaknesses. */
const OUT_OF_REACH =
  /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH)\b|network timeout|^(404|405|5\d\d) /;

interface Report {
  readonly auditReportVersion?: number;
  readonly vulnerabilities?: Readonly<
    Record<string, { readonly name: string; readonly severity: string; readonly range: string }>
  >;
  readonly message?: string;
}

/** What the output of `npm audit --json` comes to. */
export function judged(
  status: number | null,
  stdout: string,
): { readonly isWell: boolean; readonly text: string } {
  let report: Report;
  try {
    report = JSON.parse(stdout);
  } catch {
    return { isWell: false, text: `npm audit did not answer in JSON: ${stdout.slice(0, 500)}` };
  }
  if (report.auditReportVersion !== undefined) {
    const found = Object.values(report.vulnerabilities ?? {}).map(
      ({ name, severity, range }) => `  ${severity}: ${name} ${range}`,
    );
    const text = [`npm audit: ${found.length} weaknesses are known`, ...found].join("\n");
    return { isWell: status === 0, text };
  }
  const why = String(report.message ?? "it does not say why");
  if (OUT_OF_REACH.test(why))
    return {
      isWell: true,
      text: `npm audit: NOTHING WAS AUDITED, for the registry cannot be asked: ${why.split(" - ")[0]}`,
    };
  return { isWell: false, text: `npm audit failed: ${why}` };
}

if (import.meta.main) {
  const { status, stdout } = spawnSync("npm", ARGS, {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
    timeout: 120_000,
  });
  const { isWell, text } = judged(status, stdout ?? "");
  console.log(text);
  process.exitCode = isWell ? 0 : 1;
}
