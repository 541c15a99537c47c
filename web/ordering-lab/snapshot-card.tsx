/** What a snapshot of a lab came to: the states that were recorded, and what was in flight. */

import { Button } from "../parts/button.tsx";
import { counted } from "../parts/words.ts";
import { Choice, NumberField } from "./fields.tsx";
import { Content, Names } from "./inspector.tsx";
import { type Lab, withoutSnapshot, withSnapshotChanged } from "./lab.ts";
import type { RunSnapshot } from "./lab-run.ts";

interface SnapshotCardProps {
  readonly lab: Lab;
  readonly snapshot: RunSnapshot;
  readonly index: number;
  onChange(lab: Lab): void;
}

export function SnapshotCard({ lab, snapshot, index, onChange }: SnapshotCardProps) {
  const { pieces, recorded, cutMs, problem } = snapshot;
  const planned = lab.snapshots[index];
  if (!planned) return undefined;
  const inFlight = [...pieces].flatMap(([to, { channels }]) =>
    channels
      .filter(({ messages, words }) => messages.length + words.length > 0)
      .map((channel) => ({ to, ...channel })),
  );
  const count = inFlight.reduce((sum, { messages }) => sum + messages.length, 0);
  return (
    <section className="card lab-snapshot" aria-label={`Snapshot ${index + 1}`}>
      <div className="bar">
        <h3 className="grow">
          Snapshot {index + 1} <span className="dim mono">{snapshot.id}</span>
        </h3>
        <Choice
          label="begun by"
          value={planned.at}
          options={lab.processes.map((id) => [id, id])}
          onDone={(at) => onChange(withSnapshotChanged(lab, index, { at }))}
        />
        <NumberField
          label={`When snapshot ${index + 1} begins`}
          value={planned.atMs}
          onDone={(atMs) => onChange(withSnapshotChanged(lab, index, { atMs }))}
        />
        <span>ms</span>
        <Button
          isQuiet
          label={`Remove snapshot ${index + 1}`}
          onClick={() => onChange(withoutSnapshot(lab, index))}
        >
          ×
        </Button>
      </div>
      {problem !== undefined && <p className="bad">It was not taken: {problem}</p>}
      {cutMs !== undefined && (
        <p>
          The cut was made at {cutMs} ms: {counted(pieces.size, "state")},{" "}
          {counted(count, "message")} in flight.
        </p>
      )}
      <div className="lab-looks">
        {lab.processes.map((id) => {
          const piece = pieces.get(id);
          if (!piece) return undefined;
          return (
            <section key={id} className="lab-look" aria-label={`State of ${id}`}>
              <h4>
                {id} <span className="dim">recorded at {recorded.get(id)} ms</span>
              </h4>
              <Names title="Sent" lab={lab} names={piece.sent} />
              <Names title="Delivered" lab={lab} names={piece.delivered} />
              {piece.held.length > 0 && <Names title="Held back" lab={lab} names={piece.held} />}
            </section>
          );
        })}
      </div>
      <h4>In flight</h4>
      {inFlight.length === 0 ? (
        <p className="dim">Nothing: every channel was empty.</p>
      ) : (
        <ul className="lab-plain">
          {inFlight.map(({ from, to, ...content }) => (
            <li key={`${from} ${to}`}>
              {from} → {to}: <Content {...content} />
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
