/** What is picked: one process or one channel, with what it says of itself, and what may be done to it. */

import type { Explanation } from "../../src/process/process.ts";
import type { PageStatus } from "../../src/serve/web/api.ts";
import { hrefOf } from "../page.tsx";
import { byteSize, counted, duration, grouped } from "../parts/words.ts";
import { ChannelChaos, ProcessChaos } from "./chaos.tsx";
import type { Flow } from "./flow.ts";
import type { Picked } from "./system-view.tsx";
import { CONDITIONS, inFlightText, lagText, rateText } from "./words.ts";

const HELD_MAX = 10;

interface DetailProps {
  readonly status: PageStatus;
  readonly flow: Flow;
  readonly picked: Picked;
}

export function Detail({ status, flow, picked }: DetailProps) {
  const name = picked.process ?? `${picked.channel?.from} → ${picked.channel?.to}`;
  return (
    <section className="card detail" aria-labelledby="detail">
      <div className="bar">
        <h2 id="detail" className="grow">
          {name}
        </h2>
        <a className="button quiet" href={hrefOf("system")} aria-label={`Close ${name}`}>
          ×
        </a>
      </div>
      {picked.process === undefined ? (
        <Channel status={status} flow={flow} picked={picked} />
      ) : (
        <Process status={status} flow={flow} picked={picked} />
      )}
    </section>
  );
}

function Process({ status, flow, picked }: DetailProps) {
  const process = flow.processes.find(({ id }) => id === picked.process);
  if (!process) return <p>There is no process of that name.</p>;
  const { explanation } = status.processes.find((one) => one.process === process.id) ?? {};
  const { condition, pid, address, restarts, lastEnd, sentRate, receivedRate } = process;
  return (
    <>
      <p>
        {CONDITIONS[condition]}, process {pid} at <span className="mono">{address}</span>. Sends{" "}
        {rateText(sentRate)}, receives {rateText(receivedRate)}.
        {restarts > 0 &&
          ` It was started again ${counted(restarts, "time")}; it had ended by ${lastEnd}.`}
      </p>
      {explanation ? (
        <Explained explanation={explanation} nowMs={status.atMs} />
      ) : (
        <p className="warn">It does not answer, so it says nothing of itself.</p>
      )}
      {status.chaos && <ProcessChaos process={process} chaos={status.chaos} />}
    </>
  );
}

/** Snapshots that are under way, and what groups hold back. */
function Explained({
  explanation,
  nowMs,
}: {
  readonly explanation: Explanation;
  readonly nowMs: number;
}) {
  const { snapshots, groups, waits = [], waitsUnknown } = explanation;
  const held = Object.entries(groups).flatMap(([group, one]) =>
    one.held.map((packet) => ({ group, packet })),
  );
  const lines = [
    ...snapshots.map(
      ({ snapshot, sinceMs, waitsFor }) =>
        `${snapshot} is under way here for ${duration(Math.max(0, nowMs - sinceMs))}${waitsFor.length > 0 ? `, and waits for ${waitsFor.join(", ")}` : ""}`,
    ),
    ...held
      .slice(0, HELD_MAX)
      .map(
        ({ group, packet }) =>
          `packet ${packet.number} of ${packet.from} (${packet.kind}) is held back in group ${group}: it waits for ${packet.waitsFor === "word" ? "a word about its place" : packet.waitsFor === "majority" ? "a majority to have it" : "earlier packets"}`,
      ),
    ...(held.length > HELD_MAX
      ? [`and ${grouped(held.length - HELD_MAX)} more are held back`]
      : []),
    ...waits.map(
      (wait) =>
        `${wait.who ?? explanation.process} waits for ${wait.for.join(", ") || "nobody"}${wait.request === undefined ? "" : `: ${wait.request}`}`,
    ),
    ...(waitsUnknown === undefined ? [] : [`what it waits for is not known: ${waitsUnknown}`]),
  ];
  return lines.length === 0 ? (
    <p className="dim">No snapshot is under way, and nothing is held back.</p>
  ) : (
    <ul>
      {lines.map((line) => (
        <li key={line}>{line}</li>
      ))}
    </ul>
  );
}

function Channel({ status, flow, picked: { channel: named } }: DetailProps) {
  const { from = "", to = "" } = named ?? {};
  const channel = flow.channels.find((one) => one.from === from && one.to === to);
  if (!channel) return <p>There is no such channel.</p>;
  const waiting = (at: string) =>
    status.processes
      .find(({ process }) => process === at)
      ?.explanation?.channels.find((one) => one.from === from && one.to === to)?.waiting;
  const [sent, come] = [waiting(from), waiting(to)];
  const { rate, inFlight, lagMs, isCut, isUp, reason } = channel;
  return (
    <>
      <p>
        {isCut
          ? "Cut: nothing gets through until it is healed. "
          : isUp
            ? "Up. "
            : `Down: ${reason ?? "no reason is known"}. `}
        {to} takes {rateText(rate)}, with {inFlightText(inFlight)}
        {lagMs !== undefined &&
          lagMs > 0 &&
          `; at this rate that takes ${Number.isFinite(lagMs) ? lagText(lagMs) : "for ever"}`}
        .
      </p>
      <ul>
        <li>
          {from} has sent {counted(sent?.messages ?? 0, "message")} ({byteSize(sent?.bytes ?? 0)})
          that {to} has not acknowledged.
        </li>
        <li>
          {counted(come?.messages ?? 0, "message")} ({byteSize(come?.bytes ?? 0)}) have come to {to}{" "}
          and are not taken.
        </li>
      </ul>
      {status.chaos && <ChannelChaos channel={channel} />}
    </>
  );
}
