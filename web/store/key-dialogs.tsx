/** What is asked when a key or an element is added, changed, renamed, or given another time. */

import { type FormEvent, type ReactNode, useId, useState } from "react";
import type { TypeName } from "../../src/kv/value.ts";
import type { PageStore } from "../../src/serve/web/api.ts";
import { usePage } from "../page.tsx";
import { Button } from "../parts/button.tsx";
import { Dialog } from "../parts/dialog.tsx";
import type { PageServer } from "../server.ts";
import { bytesIn, shown } from "./bytes.ts";
import { addKey, type KeyEdit } from "./key-edits.ts";
import { orderOf } from "./orders.tsx";
import { type KeysPlace, TYPES } from "./place.tsx";
import { askStore } from "./store-client.ts";

/** Does what changes a key, says so, and has it undone if somebody wants that; `then` is told which of the two was done. */
export function useEdits(
  server: PageServer,
  store: PageStore,
  { process, db }: Pick<KeysPlace, "process" | "db">,
): (key: string, edit: KeyEdit, then: (isUndone: boolean) => void) => Promise<void> {
  const { say } = usePage();
  const run = async (
    key: string,
    edit: KeyEdit,
    then: (isUndone: boolean) => void,
    isUndone: boolean = false,
  ): Promise<void> => {
    const { requests, seen, text, undo } = edit;
    // Keys that converge are in no transaction.
    const isTransaction = orderOf(store, db, key).order === "total";
    const options = isTransaction ? { isTransaction, ...(seen.length > 0 && { seen }) } : {};
    await askStore(server, process, db, requests, options);
    then(isUndone);
    const back = (): void => {
      if (!undo) return;
      run(key, undo, then, true).catch((error: Error) =>
        say(`It was not undone: ${error.message}`, "bad"),
      );
    };
    say(text, "good", undo && back);
  };
  return run;
}

/** A question with a form in it; what goes wrong is said there. */
export function FormDialog({
  title,
  action,
  isBad = false,
  children,
  onClose,
  onSend,
}: {
  readonly title: string;
  readonly action: string;
  readonly isBad?: boolean;
  readonly children: ReactNode;
  readonly onClose: () => void;
  /** Throws what is wrong. */
  readonly onSend: () => Promise<void>;
}) {
  const [problem, setProblem] = useState("");
  const [isSending, setIsSending] = useState(false);
  const send = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    setIsSending(true);
    try {
      await onSend();
    } catch (error) {
      setProblem((error as Error).message);
      setIsSending(false);
    }
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <form className="key-form" onSubmit={(event) => void send(event)}>
        {children}
        {problem !== "" && (
          <p className="bad" role="alert">
            {problem}
          </p>
        )}
        <div className="bar">
          <span className="grow" />
          <Button onClick={onClose}>Cancel</Button>
          <button
            type="submit"
            className={isBad ? "button bad" : "button main"}
            disabled={isSending}
          >
            {action}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** Bytes, as people write them. */
export function BytesField({
  label,
  value,
  onChange,
  isLong = false,
}: {
  readonly label: string;
  readonly value: string;
  readonly onChange: (text: string) => void;
  readonly isLong?: boolean;
}) {
  const id = useId();
  const common = {
    id,
    className: "mono",
    spellCheck: false,
    autoComplete: "off",
    autoCapitalize: "off",
    value,
  } as const;
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {isLong ? (
        <textarea {...common} rows={4} onChange={({ target }) => onChange(target.value)} />
      ) : (
        <input {...common} onChange={({ target }) => onChange(target.value)} />
      )}
    </div>
  );
}

/** Said below fields of bytes. */
export function BytesHint() {
  return (
    <p className="dim hint">
      Text is kept as UTF-8. Any byte can be written as <code>\xff</code>, a line's end as{" "}
      <code>\n</code>, a backslash as <code>\\</code>.
    </p>
  );
}

/** Which fields an element of a type has. */
export const FIELDS: Readonly<Record<TypeName, readonly [name: string, value: string]>> = {
  string: ["", "Value"],
  hash: ["Field", "Value"],
  list: ["", "Element"],
  set: ["Member", ""],
  zset: ["Member", "Score"],
};

export function AddKey({
  server,
  store,
  place,
  onClose,
  onDone,
}: {
  readonly server: PageServer;
  readonly store: PageStore;
  readonly place: KeysPlace;
  readonly onClose: () => void;
  readonly onDone: (key: string, isUndone: boolean) => void;
}) {
  const run = useEdits(server, store, place);
  const [key, setKey] = useState("");
  const [type, setType] = useState<TypeName>("string");
  const [name, setName] = useState("");
  const [value, setValue] = useState("");
  const [seconds, setSeconds] = useState("");
  const [nameLabel, valueLabel] = FIELDS[type];
  const add = async (): Promise<void> => {
    const bytes = bytesIn(key);
    const deadlineMs = seconds === "" ? undefined : deadlineAfter(seconds);
    const elements = [
      ...(nameLabel === "" ? [] : [bytesIn(name)]),
      ...(valueLabel === "" ? [] : [bytesIn(value)]),
    ];
    const head = { key: bytes, type, deadlineMs, length: 1 };
    if (orderOf(store, place.db, bytes).order !== "total") {
      const [there] = await askStore(server, place.process, place.db, [["EXISTS", bytes]]);
      if (there && "text" in there && there.text !== "0")
        throw new Error("there is that key already");
    }
    await run(bytes, addKey({ head, elements }), (isUndone) => onDone(bytes, isUndone));
  };
  return (
    <FormDialog title="Add a key" action="Add" onClose={onClose} onSend={add}>
      <BytesField label="Key" value={key} onChange={setKey} />
      <label className="field">
        Type
        <select value={type} onChange={({ target }) => setType(target.value as TypeName)}>
          {TYPES.map((one) => (
            <option key={one} value={one}>
              {one}
            </option>
          ))}
        </select>
      </label>
      {nameLabel !== "" && <BytesField label={nameLabel} value={name} onChange={setName} />}
      {valueLabel !== "" && (
        <BytesField label={valueLabel} value={value} onChange={setValue} isLong={type !== "zset"} />
      )}
      <BytesField
        label="Expires after seconds (empty: never)"
        value={seconds}
        onChange={setSeconds}
      />
      <BytesHint />
    </FormDialog>
  );
}

/** @throws Error */
function deadlineAfter(seconds: string): number {
  const after = Number(seconds);
  if (seconds.trim() === "" || !(after > 0) || after > 1e10)
    throw new Error("after so many seconds: a number above 0");
  return Math.round(Date.now() + after * 1000);
}

/** Another name. */
export function RenameKey({
  name,
  onClose,
  onSend,
}: {
  readonly name: string;
  readonly onClose: () => void;
  readonly onSend: (to: string) => Promise<void>;
}) {
  const [to, setTo] = useState(shown(name));
  return (
    <FormDialog
      title="Rename the key"
      action="Rename"
      onClose={onClose}
      onSend={() => onSend(bytesIn(to))}
    >
      <BytesField label="New name" value={to} onChange={setTo} />
      <BytesHint />
    </FormDialog>
  );
}

/** Another time at which a key is over. */
export function ExpireKey({
  hasDeadline,
  onClose,
  onSend,
}: {
  readonly hasDeadline: boolean;
  readonly onClose: () => void;
  readonly onSend: (deadlineMs: number | undefined) => Promise<void>;
}) {
  const [seconds, setSeconds] = useState("");
  return (
    <FormDialog
      title="When the key expires"
      action="Set"
      onClose={onClose}
      onSend={() => onSend(seconds === "" ? undefined : deadlineAfter(seconds))}
    >
      <BytesField
        label="After so many seconds from now (empty: never)"
        value={seconds}
        onChange={setSeconds}
      />
      <p className="dim hint">
        {hasDeadline ? "It has a time now." : "It has none now."} Every replica takes it away at
        that time.
      </p>
    </FormDialog>
  );
}
