/** All messages of a lab with what became of them at each process, to be read and to be edited. */

import type { ProcessId } from "../../src/core/id.ts";
import { Button } from "../parts/button.tsx";
import { hueOf } from "./drawing.ts";
import { Choice, NumberField, TextField } from "./fields.tsx";
import {
  delayTo,
  destinationsOf,
  LAB_ORDERS,
  type Lab,
  type LabMessage,
  type LabOrder,
  withDelay,
  withMessageChanged,
  withoutMessage,
} from "./lab.ts";
import type { Run } from "./lab-run.ts";

/** What each order is called, and what it means. */
export const ORDER_OPTIONS: readonly (readonly [LabOrder, string])[] = LAB_ORDERS.map((order) => [
  order,
  order === "none"
    ? "none (beside the group)"
    : order === "reliable"
      ? "reliable, no order"
      : order,
]);
const ALL = "to all";

interface MessageTableProps {
  readonly lab: Lab;
  readonly run: Run;
  readonly wrong: ReadonlySet<string>;
  onChange(lab: Lab): void;
  onProblem(text: string): void;
}

export function MessageTable({ lab, run, wrong, onChange, onProblem }: MessageTableProps) {
  return (
    <div className="scroll-x">
      <table className="lab-messages">
        <thead>
          <tr>
            <th>Message</th>
            <th>From</th>
            <th>To</th>
            <th>Order</th>
            <th>Sent at</th>
            <th>Process</th>
            <th className="number">Takes, ms</th>
            <th className="number">Received</th>
            <th className="number">Delivered</th>
            <th className="number">Held</th>
            <th className="number">As its</th>
            <th>
              <span className="hidden">Remove</span>
            </th>
          </tr>
        </thead>
        {[...lab.messages]
          .sort((one, other) => one.atMs - other.atMs)
          .map((message) => (
            <Rows
              key={message.name}
              {...{ lab, run, message, onChange, onProblem }}
              isWrong={wrong.has(message.name)}
            />
          ))}
      </table>
      {lab.messages.length === 0 && (
        <p className="dim">No message yet: drag from one line of the diagram to another one.</p>
      )}
    </div>
  );
}

interface RowsProps extends Omit<MessageTableProps, "wrong"> {
  readonly message: LabMessage;
  readonly isWrong: boolean;
}

function Rows({ lab, run, message, isWrong, onChange, onProblem }: RowsProps) {
  const { name, from, to, order, atMs } = message;
  // Who sends to all delivers it as well.
  const receivers = to === undefined ? lab.processes : destinationsOf(lab, message);
  const change = (next: Partial<LabMessage>): void => onChange(withMessageChanged(lab, name, next));
  const toOptions: readonly (readonly [string, string])[] = [
    ["", ALL],
    ...lab.processes
      .filter((id) => id !== from)
      .map((id): readonly [string, string] => [id, `to ${id}`]),
  ];
  const cells = (
    <>
      <th scope="rowgroup" rowSpan={receivers.length}>
        <span className={`lab-swatch hue-${hueOf(lab, name)}`} aria-hidden="true" />
        <TextField
          className="lab-name"
          label={`Name of ${name}`}
          value={name}
          onDone={(text) => {
            const next = withMessageChanged(lab, name, { name: text.trim() });
            if (next.messages.some((one) => one.name === text.trim())) onChange(next);
            else onProblem("A message has a name of 1 to 24 characters that no other message has.");
          }}
        />
        {isWrong && <span className="bad">breaks an order</span>}
      </th>
      <td rowSpan={receivers.length}>
        <Choice
          isLabelHidden
          label={`Sender of ${name}`}
          value={from}
          options={lab.processes.map((id) => [id, id])}
          onDone={(id) => change({ from: id })}
        />
      </td>
      <td rowSpan={receivers.length}>
        <Choice
          isLabelHidden
          label={`Receivers of ${name}`}
          value={to ?? ""}
          options={toOptions}
          onDone={(id) => {
            if (id !== "") change({ to: id });
            else {
              const { to: _, ...all } = message;
              const messages = lab.messages.map((one) => (one === message ? all : one));
              onChange({ ...lab, messages });
            }
          }}
        />
      </td>
      <td rowSpan={receivers.length}>
        <Choice
          isLabelHidden
          label={`Order of ${name}`}
          value={order}
          options={ORDER_OPTIONS}
          onDone={(level) => change({ order: level })}
        />
      </td>
      <td rowSpan={receivers.length}>
        <NumberField
          label={`When ${name} is sent`}
          value={atMs}
          onDone={(ms) => change({ atMs: ms })}
        />
      </td>
    </>
  );
  return (
    <tbody data-message={name}>
      {receivers.map((id, i) => (
        <tr key={id} data-process={id}>
          {i === 0 && cells}
          <Fate {...{ lab, run, message, id, onChange }} />
          {i === 0 && (
            <td rowSpan={receivers.length}>
              <Button
                isQuiet
                label={`Remove ${name}`}
                onClick={() => onChange(withoutMessage(lab, name))}
              >
                ×
              </Button>
            </td>
          )}
        </tr>
      ))}
    </tbody>
  );
}

const ORDINALS = ["", "1st", "2nd", "3rd"];

/** What became of a message at one process. */
function Fate({
  lab,
  run,
  message,
  id,
  onChange,
}: {
  readonly lab: Lab;
  readonly run: Run;
  readonly message: LabMessage;
  readonly id: ProcessId;
  onChange(lab: Lab): void;
}) {
  const here = run.deliveries.filter(({ at }) => at === id);
  const place = here.findIndex((one) => one.message === message.name);
  const delivery = here[place];
  const heldMs = delivery ? delivery.deliveredMs - delivery.receivedMs : 0;
  return (
    <>
      <td>{id}</td>
      <td className="number">
        {id === message.from ? (
          <span className="dim">its own</span>
        ) : (
          <NumberField
            label={`How long ${message.name} takes to ${id}`}
            value={delayTo(lab, message, id)}
            onDone={(ms) => onChange(withDelay(lab, message.name, id, ms))}
          />
        )}
      </td>
      <td className="number">{delivery?.receivedMs ?? "–"}</td>
      <td className="number">{delivery?.deliveredMs ?? "–"}</td>
      <td className={heldMs > 0 ? "number warn" : "number dim"}>{heldMs > 0 ? heldMs : "–"}</td>
      <td className="number">{delivery ? (ORDINALS[place + 1] ?? `${place + 1}th`) : "–"}</td>
    </>
  );
}
