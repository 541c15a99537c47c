/** The states of a snapshot, process by process; one of many slices page by page. */

import { useMemo, useState } from "react";
import type { PieceRecord } from "../../src/snapshot/manifest.ts";
import { hrefOf } from "../page.tsx";
import { Button } from "../parts/button.tsx";
import { shortText } from "../parts/literal.ts";
import { Tree } from "../parts/tree.tsx";
import { byteSize, counted, grouped } from "../parts/words.ts";
import { useLoaded } from "./loaded.ts";
import type { Source } from "./source.ts";

const SLICES_SHOWN = 25;
/** A state that is larger is shown when somebody asks. */
const AT_ONCE_BYTES = 4 << 20;
const PROCESSES_SHOWN = 60;

export function StatesPanel({
  source,
  process,
}: {
  readonly source: Source;
  readonly process: string | undefined;
}) {
  const { pieces } = source.manifest;
  const piece = pieces.find((one) => one.process === process) ?? pieces[0];
  if (!piece) return <p className="dim">No process took part.</p>;
  return (
    <div className="split">
      <nav aria-label="Processes" className="side">
        {pieces.slice(0, PROCESSES_SHOWN).map((one) => (
          <a
            key={one.process}
            href={hrefOf("snapshots", ...source.name, "states", one.process)}
            aria-current={one === piece ? "true" : undefined}
          >
            <span className="mono">{one.process}</span>
            <span className="dim">{byteSize(sizeOf(one))}</span>
          </a>
        ))}
        {pieces.length > PROCESSES_SHOWN && (
          <span className="dim">
            {grouped(pieces.length - PROCESSES_SHOWN)} more: by their address
          </span>
        )}
      </nav>
      <State key={piece.process} source={source} piece={piece} />
    </div>
  );
}

const sizeOf = ({ state }: PieceRecord): number =>
  state.parts.reduce((sum, { bytes }) => sum + bytes, 0);

function State({ source, piece }: { readonly source: Source; readonly piece: PieceRecord }) {
  const { state, timers = [] } = piece;
  return (
    <section className="grow state" aria-label={`State of ${piece.process}`}>
      <p className="dim">
        {state.encoding}, {byteSize(sizeOf(piece))}
        {state.sliced ? `, ${counted(state.parts.length, "slice")}` : ""}
        {timers.map(
          ({ name, afterMs }) => `, timer ${name} due ${Math.round(afterMs)} ms after it`,
        )}
      </p>
      {state.sliced ? (
        <Slices source={source} piece={piece} />
      ) : (
        <Slice
          source={source}
          process={piece.process}
          index={0}
          bytes={sizeOf(piece)}
          openLevels={2}
        />
      )}
    </section>
  );
}

/** Those that most are equal to are left out at first: a store has one for each of 16,384 slots, and most are empty. */
function Slices({ source, piece }: { readonly source: Source; readonly piece: PieceRecord }) {
  const { parts } = piece.state;
  const usual = useMemo(() => mostFrequent(parts.map(({ sha256 }) => sha256)), [parts]);
  const isMany = usual !== undefined && usual.count > 1 && usual.count * 2 > parts.length;
  const [isHidden, setIsHidden] = useState(isMany);
  const [from, setFrom] = useState(0);
  const indexes = useMemo(
    () => [...parts.keys()].filter((i) => !isHidden || parts[i]?.sha256 !== usual?.sha256),
    [parts, isHidden, usual],
  );
  const shown = indexes.slice(from, from + SLICES_SHOWN);
  return (
    <>
      <div className="bar">
        {isMany && (
          <label>
            <input
              type="checkbox"
              checked={isHidden}
              onChange={() => {
                setIsHidden(!isHidden);
                setFrom(0);
              }}
            />{" "}
            Leave out the {grouped(usual.count)} that are the same
          </label>
        )}
        <span className="grow" />
        <span className="dim">
          {indexes.length === 0
            ? "none"
            : `${grouped(from + 1)} to ${grouped(from + shown.length)} of ${grouped(indexes.length)}`}
        </span>
        <Button
          label="Slices before"
          isDisabled={from === 0}
          onClick={() => setFrom(Math.max(0, from - SLICES_SHOWN))}
        >
          ‹
        </Button>
        <Button
          label="Slices behind"
          isDisabled={from + SLICES_SHOWN >= indexes.length}
          onClick={() => setFrom(from + SLICES_SHOWN)}
        >
          ›
        </Button>
      </div>
      {shown.map((i) => (
        <Slice
          key={i}
          source={source}
          process={piece.process}
          index={i}
          bytes={parts[i]?.bytes ?? 0}
          openLevels={0}
          name={`[${i}]`}
        />
      ))}
    </>
  );
}

function mostFrequent(all: readonly string[]): { sha256: string; count: number } | undefined {
  const counts = new Map<string, number>();
  for (const one of all) counts.set(one, (counts.get(one) ?? 0) + 1);
  let most: { sha256: string; count: number } | undefined;
  for (const [sha256, count] of counts) if (count > (most?.count ?? 0)) most = { sha256, count };
  return most;
}

interface SliceProps {
  readonly source: Source;
  readonly process: string;
  readonly index: number;
  readonly bytes: number;
  readonly openLevels: number;
  readonly name?: string;
}

function Slice({ source, process, index, bytes, openLevels, name }: SliceProps) {
  const [isWanted, setIsWanted] = useState(bytes <= AT_ONCE_BYTES);
  const key = `${source.name} ${process} ${index}`;
  const { value, problem } = useLoaded(isWanted ? key : undefined, async () => ({
    value: await source.snapshot.slice(process, index),
  }));
  if (!isWanted)
    return (
      <p>
        {name} <Button onClick={() => setIsWanted(true)}>Show all {byteSize(bytes)}</Button>
      </p>
    );
  if (problem !== undefined)
    return (
      <p className="bad" role="alert">
        {name} {problem}
      </p>
    );
  if (!value) return <div className="tree-leaf dim">{name} …</div>;
  const title = name !== undefined && (
    <>
      {name} <span className="short">{shortText(value.value)}</span>
    </>
  );
  return <Tree value={value.value} name={title || undefined} openLevels={openLevels} />;
}
