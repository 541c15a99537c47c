/** What each process is like at one moment: what it has delivered, what it holds back and why, and what its machines know. */

import type { VectorStamp } from "../../src/core/clock.ts";
import type { ProcessId } from "../../src/core/id.ts";
import type { GroupState } from "../../src/multicast/group.ts";
import { hueOf } from "./drawing.ts";
import type { Lab } from "./lab.ts";
import type { Look, Run } from "./lab-run.ts";

interface InspectorProps {
  readonly lab: Lab;
  readonly run: Run;
  readonly looks: readonly Look[];
  /** Beside the events of the run. */
  readonly clocks: readonly VectorStamp[];
  readonly cursorMs: number;
}

export function Inspector({ lab, run, looks, clocks, cursorMs }: InspectorProps) {
  const nameOf = (from: ProcessId, number: number): string => {
    const message = lab.messages.find(
      (one) => one.from === from && run.sends.get(one.name)?.number === number,
    );
    return message?.name ?? `packet ${number} of ${from}`;
  };
  const isTotal = lab.messages.some(({ order }) => order.includes("total"));
  return (
    <div className="lab-looks">
      {lab.processes.map((id) => {
        const look = looks.find(({ process }) => process === id);
        if (!look) return undefined;
        const last = run.events.findLastIndex(
          ({ process, atMs }) => process === id && atMs <= cursorMs,
        );
        return (
          <section key={id} className="lab-look" aria-label={`${id} at that time`}>
            <h4>
              {id}
              {isTotal && look.explanation.sequencer === id && (
                <span className="lab-badge">sequencer</span>
              )}
            </h4>
            <Names title="Delivered" lab={lab} names={look.delivered} />
            <h5>Held back</h5>
            {look.held.length === 0 ? (
              <p className="dim">nothing</p>
            ) : (
              <ul className="lab-why">
                {look.held.map(({ message, why }) => (
                  <li key={message}>
                    <Chip lab={lab} name={message} /> {forAnother(lab, message, id)}
                    {why}
                  </li>
                ))}
              </ul>
            )}
            <Order group={look.group} nameOf={nameOf} />
            {look.recordings.map(({ snapshot, channels }) => (
              <div key={snapshot}>
                <h5>Snapshot {snapshot + 1}: channels</h5>
                <ul className="lab-plain">
                  {channels.map(({ from, isClosed, ...content }) => (
                    <li key={from}>
                      from {from}: {isClosed ? "closed" : <strong>recording</strong>},{" "}
                      <Content {...content} />
                    </li>
                  ))}
                </ul>
              </div>
            ))}
            <h5>Stamp in the machine</h5>
            <Stamp members={look.group.members} counts={look.group.stamp} />
            <h5>Plain vector clock</h5>
            <Stamp
              members={look.group.members}
              counts={look.group.members.map((member) => {
                const clock = clocks[last] ?? {};
                return Object.hasOwn(clock, member) ? (clock[member] ?? 0) : 0;
              })}
            />
            <details>
              <summary>Matrix: what each is known to have</summary>
              <Matrix group={look.group} />
            </details>
          </section>
        );
      })}
    </div>
  );
}

/** What is for one member has its place in the queues of all. */
function forAnother(lab: Lab, message: string, id: ProcessId): string {
  const to = lab.messages.find(({ name }) => name === message)?.to;
  return to === undefined || to === id ? "" : `is for ${to}, and has its place here too: `;
}

function Chip({ lab, name }: { readonly lab: Lab; readonly name: string }) {
  return (
    <span className={`lab-chip hue-${hueOf(lab, name)}`}>
      <span className="lab-swatch" aria-hidden="true" />
      {name}
    </span>
  );
}

/** Names of messages, in an order that matters. */
export function Names({
  title,
  lab,
  names,
}: {
  readonly title: string;
  readonly lab: Lab;
  readonly names: readonly string[];
}) {
  return (
    <>
      <h5>{title}</h5>
      {names.length === 0 ? (
        <p className="dim">nothing</p>
      ) : (
        <ol className="lab-names">
          {names.map((name) => (
            <li key={name}>
              <Chip lab={lab} name={name} />
            </li>
          ))}
        </ol>
      )}
    </>
  );
}

/** What is on a channel, or was. */
export function Content({
  messages,
  words,
}: {
  readonly messages: readonly string[];
  readonly words: readonly string[];
}) {
  if (messages.length + words.length === 0) return "empty";
  return (
    <>
      <strong>{messages.join(", ")}</strong>
      {messages.length > 0 && words.length > 0 && ", and "}
      {words.length > 0 && <span className="dim">of the group: {words.join("; ")}</span>}
    </>
  );
}

/** By name of the process: a number each. */
function Stamp({
  members,
  counts,
}: {
  readonly members: readonly ProcessId[];
  readonly counts: readonly number[];
}) {
  return (
    <p className="mono lab-stamp">
      [
      {members.map((member, i) => (
        <span key={member} className={counts[i] ? undefined : "dim"}>
          {member}:{counts[i] ?? 0}
        </span>
      ))}
      ]
    </p>
  );
}

/** What the total order has come to here. */
function Order({
  group: { order, members },
  nameOf,
}: {
  readonly group: GroupState;
  nameOf(from: ProcessId, number: number): string;
}) {
  const named = (origin: number, number: number): string =>
    nameOf(members[origin] as ProcessId, number);
  if (!("clock" in order)) {
    if (order.line.length === 0) return undefined;
    return (
      <>
        <h5>Ordered, not delivered</h5>
        <p>{order.line.map(({ origin, number }) => named(origin, number)).join(", then ")}</p>
      </>
    );
  }
  if (order.line.length === 0 && order.open.size === 0) return undefined;
  return (
    <>
      <h5>Places (the largest is {order.clock})</h5>
      <ol className="lab-plain">
        {order.line.map(({ origin, number, place, agreed }) => (
          <li key={`${origin}/${number}`}>
            {named(origin, number)} at {place}, {agreed ? "agreed" : "proposed"}
          </li>
        ))}
        {[...order.open].map(([number, { place, missing }]) => (
          <li key={number} className="dim">
            own packet {number}: {place} so far, not heard of{" "}
            {missing.map((one) => members[one]).join(", ")}
          </li>
        ))}
      </ol>
    </>
  );
}

/** A matrix clock over packets: a line for each member. */
function Matrix({ group: { members, have } }: { readonly group: GroupState }) {
  return (
    <table className="lab-matrix mono">
      <thead>
        <tr>
          <th>
            <span className="hidden">Who has</span>
          </th>
          {members.map((of) => (
            <th key={of} scope="col">
              {of}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {members.map((member, row) => (
          <tr key={member}>
            <th scope="row">{member}</th>
            {members.map((of, column) => (
              <td key={of}>{have[row]?.[column] ?? 0}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
