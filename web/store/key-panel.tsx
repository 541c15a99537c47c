/** What one key has, page by page, and what can be done with it. */

import { type ReactNode, useCallback, useEffect, useRef, useState } from "react";
import type { TypedReply } from "../../src/kv/reply-reader.ts";
import type { TypeName } from "../../src/kv/value.ts";
import type { PageStore } from "../../src/serve/web/api.ts";
import { hrefOf, usePage } from "../page.tsx";
import { Button } from "../parts/button.tsx";
import { Tree } from "../parts/tree.tsx";
import { byteSize, counted, duration, grouped } from "../parts/words.ts";
import { type PageServer, ServerError } from "../server.ts";
import { bytesIn, bytesOf, hexLines, shown, textOf } from "./bytes.ts";
import {
  BytesField,
  BytesHint,
  ExpireKey,
  FIELDS,
  FormDialog,
  RenameKey,
  useEdits,
} from "./key-dialogs.tsx";
import {
  expire,
  type KeyEdit,
  type KeyHead,
  pushElement,
  removeAt,
  removeElement,
  removeKey,
  rename,
  setElement,
  WHOLE,
  type WholeKey,
} from "./key-edits.ts";
import { OrderBadge, orderOf } from "./orders.tsx";
import { type KeysPlace, keyPart, TYPES } from "./place.tsx";
import { ScrollRegion } from "./scroll-region.tsx";
import {
  askStore,
  numberIn,
  scanned,
  textIn,
  textsIn,
  tryStore,
  type Words,
} from "./store-client.ts";

const ELEMENTS = 100;
const ELEMENTS_MAX = 2_000;
/** Of a string, at first. */
const STRING_BYTES = 64 * 1024;
/** What is deleted can come back if it is no more than that. */
const UNDO_BYTES = 128 * 1024;
const UNDO_ELEMENTS = 5_000;
/** Of a value in a table. */
const CELL_CHARACTERS = 200;

interface PanelProps {
  readonly server: PageServer;
  readonly store: PageStore;
  readonly place: KeysPlace & { readonly key: string };
  /** What it was called, and is called now. */
  readonly onChanged: (from: string, to: string) => void;
  readonly onClose: () => void;
}

/** Where a key is asked for. */
interface KeyAt {
  readonly process: string;
  readonly db: number;
  readonly key: string;
}

/** What is known of a key as a whole. */
interface Details extends KeyHead {
  readonly ttlMs: number;
  readonly bytes: number;
  readonly encoding: string;
}

const LENGTHS: Readonly<Record<TypeName, string>> = {
  ...{ string: "STRLEN", hash: "HLEN", list: "LLEN", set: "SCARD", zset: "ZCARD" },
};

/** @returns undefined if there is no such key @throws ServerError */
async function detailsOf(
  server: PageServer,
  { process, db, key }: KeyAt,
): Promise<Details | undefined> {
  const [type, deadline, ttl, bytes, encoding, ...lengths] = await tryStore(server, process, db, [
    ["TYPE", key],
    ["PEXPIRETIME", key],
    ["PTTL", key],
    ["MEMORY", "USAGE", key],
    ["OBJECT", "ENCODING", key],
    ...TYPES.map((one) => [LENGTHS[one], key]),
  ]);
  const at = TYPES.indexOf(textIn(type) as TypeName);
  if (at < 0) return undefined;
  return {
    ...{ key, type: TYPES[at] as TypeName },
    deadlineMs: numberIn(deadline) < 0 ? undefined : numberIn(deadline),
    ttlMs: numberIn(ttl),
    bytes: numberIn(bytes),
    encoding: textIn(encoding),
    length: numberIn(lengths[at]),
  };
}

export function KeyPanel({ server, store, place, onChanged, onClose }: PanelProps) {
  const { process, db, key } = place;
  const { say } = usePage();
  const [details, setDetails] = useState<Details | undefined>(undefined);
  const [state, setState] = useState<"asking" | "there" | "gone">("asking");
  const [problem, setProblem] = useState("");
  const [count, setCount] = useState(0);
  const [asked, setAsked] = useState<"rename" | "expire" | "delete" | undefined>(undefined);
  const edit = useEdits(server, store, place);
  const { order, pattern } = orderOf(store, db, key);
  const again = useCallback(() => setCount((before) => before + 1), []);

  // biome-ignore lint/correctness/useExhaustiveDependencies: a higher count asks once more
  useEffect(() => {
    let isOver = false;
    detailsOf(server, { process, db, key }).then(
      (found) => {
        if (isOver) return;
        setDetails(found);
        setState(found ? "there" : "gone");
        setProblem("");
      },
      (error: Error) => !isOver && setProblem(error.message),
    );
    return () => {
      isOver = true;
    };
  }, [server, process, db, key, count]);

  const change = async (what: KeyEdit): Promise<void> => {
    await edit(key, what, () => {
      again();
      onChanged(key, key);
    });
  };
  const removeNow = async (isLossMeant: boolean): Promise<void> => {
    if (!details) return;
    const whole = await wholeOf(server, place, details);
    if (!whole && !isLossMeant) {
      setAsked("delete");
      return;
    }
    const seen = [
      { request: ["TYPE", key], reply: { type: "status", text: details.type } },
    ] as const;
    await change(removeKey(key, whole?.key, [...seen, ...(whole?.seen ?? [])]));
    setAsked(undefined);
  };
  const remove = (): void => {
    removeNow(false).catch((error: Error) => say(`It was not deleted: ${error.message}`, "bad"));
  };
  return (
    <section className="card key-panel" aria-label="Key">
      <div className="key-title">
        <h2 className="mono">{key === "" ? "(the empty key)" : shown(key)}</h2>
        <Button isQuiet label="Close the key" onClick={onClose}>
          ×
        </Button>
      </div>
      {problem !== "" && (
        <p className="bad" role="alert">
          {problem}
        </p>
      )}
      {state === "gone" && (
        <p>
          There is no such key in database {db} at {process}.{" "}
          <Button onClick={again}>Look again</Button>
        </p>
      )}
      {details && state === "there" && (
        <>
          <dl className="key-facts">
            <Fact name="Type">
              <span className={`badge type-${details.type}`}>{details.type}</span>
            </Fact>
            <Fact name="Order">
              <OrderBadge order={order} />
              {pattern !== undefined && <span className="dim"> {shown(pattern)}</span>}
            </Fact>
            <Fact name="Expires">
              {details.ttlMs < 0 ? "never" : `in ${duration(details.ttlMs)}`}
            </Fact>
            <Fact name={details.type === "string" ? "Bytes" : "Elements"}>
              {grouped(details.length)}
            </Fact>
            <Fact name="Memory">{byteSize(details.bytes)}</Fact>
            <Fact name="Kept as">{details.encoding}</Fact>
          </dl>
          <div className="bar">
            <Button onClick={() => setAsked("expire")}>Expire…</Button>
            <Button onClick={() => setAsked("rename")}>Rename…</Button>
            <a className="button" href={hrefOf("store", "replicas", String(db), keyPart(key))}>
              At every replica
            </a>
            <span className="grow" />
            <Button isQuiet onClick={again}>
              Look again
            </Button>
            <Button tone="bad" onClick={remove}>
              Delete
            </Button>
          </div>
          {details.type === "string" ? (
            <StringValue
              server={server}
              place={place}
              details={details}
              version={count}
              onEdit={change}
            />
          ) : (
            <Elements
              key={details.type}
              server={server}
              place={place}
              details={details}
              version={count}
              onEdit={change}
            />
          )}
        </>
      )}
      {asked === "rename" && (
        <RenameKey
          name={key}
          onClose={() => setAsked(undefined)}
          onSend={async (to) => {
            await edit(key, rename(key, to), (isUndone) =>
              isUndone ? onChanged(to, key) : onChanged(key, to),
            );
            setAsked(undefined);
          }}
        />
      )}
      {asked === "expire" && details && (
        <ExpireKey
          hasDeadline={details.deadlineMs !== undefined}
          onClose={() => setAsked(undefined)}
          onSend={async (deadlineMs) => {
            if (deadlineMs !== details.deadlineMs) await change(expire(details, deadlineMs));
            setAsked(undefined);
          }}
        />
      )}
      {asked === "delete" && details && (
        <FormDialog
          title="Delete it for good?"
          action="Delete"
          isBad
          onClose={() => setAsked(undefined)}
          onSend={() => removeNow(true)}
        >
          <p>
            The key has {byteSize(details.bytes)} in {counted(details.length, "element")}: too much
            to be kept here, so this cannot be undone. A snapshot keeps it.
          </p>
        </FormDialog>
      )}
    </section>
  );
}

function Fact({ name, children }: { readonly name: string; readonly children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** All that a key has, if it is little enough to be made again. */
async function wholeOf(
  server: PageServer,
  { process, db }: KeyAt,
  details: Details,
): Promise<{ readonly key: WholeKey; readonly seen: readonly SeenWhole[] } | undefined> {
  const { key, type, bytes, length } = details;
  if (bytes > UNDO_BYTES || (type !== "string" && length > UNDO_ELEMENTS)) return undefined;
  const reads = [WHOLE[type](key), ["PEXPIRETIME", key]] as const;
  const replies = await askStore(server, process, db, reads);
  const [value, deadline] = replies as readonly [TypedReply, TypedReply];
  const deadlineMs = numberIn(deadline) < 0 ? undefined : numberIn(deadline);
  const elements = type === "string" ? [textIn(value)] : flat(value);
  const seen = reads.map((request, i) => ({ request, reply: replies[i] as TypedReply }));
  return { key: { head: { ...details, deadlineMs }, elements }, seen };
}

interface SeenWhole {
  readonly request: Words;
  readonly reply: TypedReply;
}

/** The texts of a reply, also of lists in it. */
const flat = (reply: TypedReply): readonly string[] =>
  "items" in reply ? reply.items.flatMap(flat) : [textIn(reply)];

interface ValueProps {
  readonly server: PageServer;
  readonly place: PanelProps["place"];
  readonly details: Details;
  /** A higher one: it may have changed. */
  readonly version: number;
  readonly onEdit: (edit: KeyEdit) => Promise<void>;
}

type Form = "text" | "hex" | "json";

function StringValue({ server, place, details, version, onEdit }: ValueProps) {
  const { process, db, key } = place;
  const [value, setValue] = useState<string | undefined>(undefined);
  const [form, setForm] = useState<Form>("text");
  const [problem, setProblem] = useState("");
  const [draft, setDraft] = useState<string | undefined>(undefined);
  const isWhole = details.length <= STRING_BYTES;

  // biome-ignore lint/correctness/useExhaustiveDependencies: another version is asked for
  useEffect(() => {
    let isOver = false;
    const words = ["GETRANGE", key, "0", String(STRING_BYTES - 1)];
    askStore(server, process, db, [words]).then(
      ([reply]) => !isOver && setValue(textIn(reply)),
      (error: Error) => !isOver && setProblem(error.message),
    );
    return () => {
      isOver = true;
    };
  }, [server, process, db, key, version]);

  if (value === undefined)
    return <p className={problem === "" ? "string-value dim" : "bad"}>{problem || "Looking…"}</p>;
  const text = plainText(value);
  const json = isWhole && text !== undefined ? parsed(text) : undefined;
  const shownText = text ?? shown(value);
  const save = async (): Promise<void> => {
    if (draft === undefined) return;
    try {
      const bytes = text === undefined ? bytesIn(draft) : bytesOf(draft);
      if (bytes !== value) await onEdit(setElement(details, "", value, bytes));
      setDraft(undefined);
      setProblem("");
    } catch (error) {
      setProblem((error as Error).message);
    }
  };
  return (
    <>
      <div className="bar">
        {(["text", "hex", "json"] as const).map((one) => (
          <Button
            key={one}
            isPressed={form === one}
            isDisabled={one === "json" && json === undefined}
            onClick={() => setForm(one)}
          >
            {{ text: "Text", hex: "Hex", json: "JSON" }[one]}
          </Button>
        ))}
        <span className="dim">
          {text === undefined && form === "text" && "it is no plain text: bytes are shown as \\xff"}
          {!isWhole && ` the first ${byteSize(STRING_BYTES)} of ${byteSize(details.length)}`}
        </span>
        <span className="grow" />
        {form === "text" && draft !== undefined && draft !== shownText && (
          <>
            <Button onClick={() => setDraft(undefined)}>Leave it</Button>
            <Button tone="main" onClick={() => void save()}>
              Save
            </Button>
          </>
        )}
      </div>
      {problem !== "" && (
        <p className="bad" role="alert">
          {problem}
        </p>
      )}
      {form === "json" && json ? (
        <div className="string-value">
          <Tree value={json.value} openLevels={3} />
        </div>
      ) : form === "hex" ? (
        <pre
          className="string-value"
          // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, also by keyboard
          tabIndex={0}
        >
          {hexLines(value)}
        </pre>
      ) : (
        <textarea
          className="string-value mono"
          aria-label="Value"
          spellCheck={false}
          readOnly={!isWhole}
          value={draft ?? shownText}
          onChange={({ target }) => setDraft(target.value)}
        />
      )}
    </>
  );
}

/** What can be written into a field and read out of it again as it is. */
function plainText(bytes: string): string | undefined {
  const text = textOf(bytes);
  return text === undefined || /[^\P{C}\n\t]/u.test(text) ? undefined : text;
}

function parsed(text: string): { readonly value: unknown } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { value } : undefined;
  } catch {
    return undefined;
  }
}

/** An element of a hash, set, sorted set or list. */
interface Row {
  /** The field, the member, or the index. */
  readonly name: string;
  /** The value of a field, the score of a member, the element of a list. */
  readonly value: string;
}

interface Page {
  readonly rows: readonly Row[];
  /** Of a scan; or how many there are before the next page. */
  readonly next: string | undefined;
}

/** @throws ServerError */
async function pageOf(
  server: PageServer,
  { process, db, key }: KeyAt,
  type: Exclude<TypeName, "string">,
  from: string,
  match: string,
): Promise<Page> {
  const start = Number(from);
  const end = String(start + ELEMENTS - 1);
  const pattern = match === "" ? [] : ["MATCH", match];
  const scan = (name: string): Words => [name, key, from, "COUNT", String(ELEMENTS), ...pattern];
  const words: Readonly<Record<typeof type, Words>> = {
    hash: scan("HSCAN"),
    set: scan("SSCAN"),
    zset: pattern.length > 0 ? scan("ZSCAN") : ["ZRANGE", key, from, end, "WITHSCORES"],
    list: ["LRANGE", key, from, end],
  };
  const [reply] = await askStore(server, process, db, [words[type]]);
  if (type === "list") {
    const elements = textsIn(reply);
    const rows = elements.map((value, i) => ({ name: String(start + i), value }));
    return { rows, next: elements.length < ELEMENTS ? undefined : String(start + ELEMENTS) };
  }
  if (type === "zset" && pattern.length === 0) {
    const rows = pairsOf(reply ? flat(reply) : []);
    return { rows, next: rows.length < ELEMENTS ? undefined : String(start + ELEMENTS) };
  }
  const [cursor, found] = scanned(reply);
  const rows = type === "set" ? found.map((name) => ({ name, value: "1" })) : pairsOf(found);
  return { rows, next: cursor === "0" ? undefined : cursor };
}

const pairsOf = (texts: readonly string[]): readonly Row[] =>
  texts.flatMap((name, i) => (i % 2 === 0 ? [{ name, value: texts[i + 1] ?? "" }] : []));

function Elements({ server, place, details, version, onEdit }: ValueProps) {
  const { process, db, key } = place;
  const { say } = usePage();
  const type = details.type as Exclude<TypeName, "string">;
  const [rows, setRows] = useState<readonly Row[]>([]);
  const [next, setNext] = useState<string | undefined>(undefined);
  const [isAsking, setIsAsking] = useState(true);
  const [problem, setProblem] = useState("");
  const [text, setText] = useState("");
  const [match, setMatch] = useState("");
  const [edited, setEdited] = useState<Row | "new" | undefined>(undefined);
  const [nameLabel, valueLabel] = FIELDS[type];

  const shownRows = useRef(0);
  shownRows.current = rows.length;
  const ask = useCallback(
    async (from: string, before: readonly Row[], least: number): Promise<void> => {
      setIsAsking(true);
      try {
        let found = before;
        let at: string | undefined = from;
        do {
          const page: Page = await pageOf(server, { process, db, key }, type, at, match);
          const known = new Set(found.map(({ name }) => name));
          found = [...found, ...page.rows.filter(({ name }) => !known.has(name))];
          at = page.next;
        } while (at !== undefined && found.length < least);
        setRows(found);
        setNext(at);
        setProblem("");
      } catch (error) {
        setProblem((error as ServerError).message);
      }
      setIsAsking(false);
    },
    [server, process, db, key, type, match],
  );
  // biome-ignore lint/correctness/useExhaustiveDependencies: another version is asked for
  useEffect(() => {
    // As much as there was.
    void ask("0", [], shownRows.current);
  }, [ask, version]);

  const remove = (row: Row): void => {
    const before = rows.find(({ name }) => Number(name) === Number(row.name) - 1)?.value;
    // No element is like it.
    const mark = `\0tidemark ${crypto.randomUUID()}`;
    const what =
      type === "list"
        ? removeAt(details, Number(row.name), row.value, before, mark)
        : removeElement(details, row.name, row.value);
    onEdit(what).catch((error: Error) => say(`It was not deleted: ${error.message}`, "bad"));
  };
  return (
    <>
      <form
        className="bar"
        onSubmit={(event) => {
          event.preventDefault();
          try {
            setMatch(bytesIn(text));
            setProblem("");
          } catch (error) {
            setProblem((error as Error).message);
          }
        }}
      >
        {type !== "list" && (
          <>
            <input
              type="search"
              className="mono grow"
              aria-label={`${nameLabel}s like`}
              placeholder={`${nameLabel.toLowerCase()}s like…`}
              value={text}
              onChange={({ target }) => setText(target.value)}
            />
            <button type="submit" className="button">
              Look
            </button>
          </>
        )}
        {type === "list" && <span className="grow" />}
        <Button onClick={() => setEdited("new")}>
          Add {type === "hash" ? "a field" : type === "list" ? "an element" : "a member"}
        </Button>
      </form>
      {problem !== "" && (
        <p className="bad" role="alert">
          {problem}
        </p>
      )}
      <ScrollRegion className="elements" label="Elements">
        <table>
          <thead>
            <tr>
              <th className={type === "list" ? "number" : undefined}>
                {type === "list" ? "Index" : nameLabel}
              </th>
              {valueLabel !== "" && (
                <th className={type === "zset" ? "number" : undefined}>{valueLabel}</th>
              )}
              <th>
                <span className="hidden">What can be done</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={row.name}>
                <td className={type === "list" ? "number dim" : "mono cell"}>{cell(row.name)}</td>
                {valueLabel !== "" && (
                  <td className={type === "zset" ? "number" : "mono cell"}>{cell(row.value)}</td>
                )}
                <td className="element-actions">
                  {type !== "set" && (
                    <Button isQuiet label={`Edit ${cell(row.name)}`} onClick={() => setEdited(row)}>
                      ✎
                    </Button>
                  )}
                  <Button isQuiet label={`Delete ${cell(row.name)}`} onClick={() => remove(row)}>
                    ×
                  </Button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </ScrollRegion>
      <div className="bar">
        <span className="dim" role="status">
          {isAsking
            ? "Looking…"
            : `${grouped(rows.length)} of ${counted(details.length, "element")}`}
        </span>
        <span className="grow" />
        <Button
          isDisabled={next === undefined || isAsking || rows.length >= ELEMENTS_MAX}
          onClick={() => next !== undefined && void ask(next, rows, 0)}
        >
          More
        </Button>
      </div>
      {edited !== undefined && (
        <EditElement
          details={details}
          row={edited === "new" ? undefined : edited}
          onClose={() => setEdited(undefined)}
          read={async (name) => {
            const [reply] = await askStore(server, process, db, [readOf(type, key, name)]);
            return reply?.type === "null" || (type === "set" && textIn(reply) === "0")
              ? undefined
              : type === "set"
                ? "1"
                : textIn(reply);
          }}
          onSend={async (what) => {
            await onEdit(what);
            setEdited(undefined);
          }}
        />
      )}
    </>
  );
}

const readOf = (type: Exclude<TypeName, "string">, key: string, name: string): Words =>
  ({
    hash: ["HGET", key, name],
    set: ["SISMEMBER", key, name],
    zset: ["ZSCORE", key, name],
    list: ["LINDEX", key, name],
  })[type];

function cell(bytes: string): string {
  const text = shown(bytes.slice(0, CELL_CHARACTERS));
  return bytes.length > CELL_CHARACTERS ? `${text}… (${byteSize(bytes.length)})` : text;
}

function EditElement({
  details,
  row,
  read,
  onClose,
  onSend,
}: {
  readonly details: Details;
  /** Undefined: a new one. */
  readonly row: Row | undefined;
  /** The value of an element; undefined: there is none. */
  readonly read: (name: string) => Promise<string | undefined>;
  readonly onClose: () => void;
  readonly onSend: (edit: KeyEdit) => Promise<void>;
}) {
  const { type } = details;
  const [nameLabel, valueLabel] = FIELDS[type];
  const [name, setName] = useState(row ? shown(row.name) : "");
  const [value, setValue] = useState(row ? shown(row.value) : "");
  const [end, setEnd] = useState<"first" | "last">("last");
  const send = async (): Promise<void> => {
    const bytes = valueLabel === "" ? "1" : bytesIn(value);
    if (type === "list" && !row) await onSend(pushElement(details, end, bytes));
    else if (row) {
      if (bytes === row.value) onClose();
      else await onSend(setElement(details, row.name, row.value, bytes));
    } else {
      const named = bytesIn(name);
      if ((await read(named)) !== undefined)
        throw new ServerError({
          code: "BUSY",
          message: `there is such a ${nameLabel.toLowerCase()} already`,
        });
      await onSend(setElement(details, named, undefined, bytes));
    }
  };
  const what =
    type === "list" && row ? `element ${row.name}` : nameLabel.toLowerCase() || "element";
  return (
    <FormDialog
      title={
        row
          ? `Change ${type === "list" ? what : `the ${what}`}`
          : `Add ${type === "list" ? "an element" : `a ${what}`}`
      }
      action={row ? "Save" : "Add"}
      onClose={onClose}
      onSend={send}
    >
      {nameLabel !== "" &&
        (row ? (
          <p className="mono">{cell(row.name)}</p>
        ) : (
          <BytesField label={nameLabel} value={name} onChange={setName} />
        ))}
      {valueLabel !== "" && (
        <BytesField label={valueLabel} value={value} onChange={setValue} isLong={type !== "zset"} />
      )}
      {type === "list" && !row && (
        <label className="field">
          Where
          <select value={end} onChange={({ target }) => setEnd(target.value as "first" | "last")}>
            <option value="last">at the end</option>
            <option value="first">at the beginning</option>
          </select>
        </label>
      )}
      <BytesHint />
    </FormDialog>
  );
}
