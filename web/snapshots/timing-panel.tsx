/** Where the time of a snapshot went, process by process. */

import { type AttemptShare, completeNote } from "../../src/snapshot/attempt.ts";
import type { Manifest } from "../../src/snapshot/manifest.ts";
import { ScrollX } from "../parts/scroll-x.tsx";
import { duration } from "../parts/words.ts";

const SHOWN = 100;

interface TimingProps {
  readonly startedAtMs: number;
  readonly shares: readonly AttemptShare[];
}

/** What a manifest says of it. */
export function timingOf(manifest: Manifest): TimingProps {
  const { startedAtMs, shares } = completeNote(manifest);
  return { startedAtMs, shares: shares.toSorted((a, b) => (a.process < b.process ? -1 : 1)) };
}

export function TimingPanel({ startedAtMs, shares }: TimingProps) {
  const rows = shares.slice(0, SHOWN).map((share) => {
    const delayMs = Math.max(0, share.recordedAtMs - startedAtMs);
    const { captureMs, recordingMs = 0, storedMs = 0 } = share;
    return {
      share,
      delayMs,
      captureMs,
      recordingMs,
      storedMs,
      endMs: delayMs + recordingMs + storedMs,
    };
  });
  const allMs = Math.max(0.001, ...rows.map(({ endMs }) => endMs));
  const width = (ms: number): string => `${(100 * ms) / allMs}%`;
  if (rows.length === 0) return <p className="dim">No process has noted its share.</p>;
  return (
    <>
      <p className="legend dim">
        <span className="swatch delay" /> until it recorded <span className="swatch recording" />{" "}
        recording channels, until the last marker <span className="swatch stored" /> writing. Each
        by its own clock: clocks that differ show as a delay.
      </p>
      <ScrollX label="Times">
        <table className="timing">
          <thead>
            <tr>
              <th>Process</th>
              <th className="bars">
                <span className="hidden">As a bar</span>
              </th>
              <th className="number">Start delay</th>
              <th className="number">Paused</th>
              <th className="number">Recording</th>
              <th className="number">Writing</th>
            </tr>
          </thead>
          <tbody>
            {rows.map(({ share, delayMs, captureMs, recordingMs, storedMs }) => (
              <tr key={share.process}>
                <th scope="row" className="mono">
                  {share.process}
                </th>
                <td className="bars" aria-hidden="true">
                  <span className="bar-line">
                    <span className="delay" style={{ width: width(delayMs) }} />
                    <span className="recording" style={{ width: width(recordingMs) }} />
                    <span className="stored" style={{ width: width(storedMs) }} />
                  </span>
                </td>
                <td className="number">{duration(delayMs)}</td>
                <td className="number">{duration(captureMs)}</td>
                <td className="number">
                  {share.recordingMs === undefined ? "not done" : duration(recordingMs)}
                </td>
                <td className="number">
                  {share.storedMs === undefined ? "not known" : duration(storedMs)}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </ScrollX>
      {shares.length > SHOWN && <p className="dim">{shares.length - SHOWN} more</p>}
    </>
  );
}
