/** One snapshot, taken apart: on the server, or from a file. */

import { useEffect, useState } from "react";
import type { PageSnapshots } from "../../src/serve/web/api.ts";
import type { Attempt } from "../../src/snapshot/attempt.ts";
import { summarise } from "../../src/snapshot/manifest.ts";
import { goTo, hrefOf, usePage } from "../page.tsx";
import { Button } from "../parts/button.tsx";
import { Empty } from "../parts/empty.tsx";
import { Tabs } from "../parts/tabs.tsx";
import { byteSize, clockTime, counted, duration } from "../parts/words.ts";
import { CertificatePanel, useProof, VerdictLine } from "./certificate-panel.tsx";
import { CloneDialog } from "./clone-dialog.tsx";
import { FindPanel } from "./find-panel.tsx";
import { FlightPanel } from "./flight-panel.tsx";
import { type Loaded, useLoaded, useSource } from "./loaded.ts";
import { RestoreDialog } from "./restore-dialog.tsx";
import { Delete, Relabel } from "./snapshot-list.tsx";
import { isFileName, openedSources, type SnapshotName, type Source } from "./source.ts";
import { StatesPanel } from "./states-panel.tsx";
import { TimingPanel, timingOf } from "./timing-panel.tsx";

/** So often it is looked whether an attempt that is under way has ended. */
const LOOK_MS = 1_000;
const TABS = [
  ["states", "States"],
  ["in-flight", "In flight"],
  ["certificate", "Certificate"],
  ["timing", "Timing"],
  ["find", "Find"],
] as const;

interface DetailProps {
  readonly name: SnapshotName;
  readonly tab: string | undefined;
  readonly rest: readonly string[];
}

export function SnapshotDetail({ name, tab = "states", rest }: DetailProps) {
  const { server } = usePage();
  const loaded = useSource(name);
  const isFile = isFileName(name);
  const id = name.join("/");
  const hasAttempt = !isFile && server !== undefined;
  const attempt = useLoaded(hasAttempt ? id : undefined, async () =>
    server
      ? (await server.ask<{ attempt?: Attempt }>("GET", `/api/snapshots/${id}/attempt`)).attempt
      : undefined,
  );
  const isMissing = loaded.problem !== undefined;
  const isOpen = isMissing && attempt.value?.outcome === "open";
  const isDone = isMissing && attempt.value?.outcome === "complete";
  const { again } = loaded;
  const { again: askAgain } = attempt;
  // One that is under way is opened as soon as it is there.
  useEffect(() => {
    if (!isOpen) return;
    const timer = setInterval(askAgain, LOOK_MS);
    return () => clearInterval(timer);
  }, [isOpen, askAgain]);
  useEffect(() => {
    if (isDone) again();
  }, [isDone, again]);
  if (loaded.problem !== undefined)
    return <Without id={id} problem={loaded.problem} attempt={attempt.value} />;
  if (!loaded.value) return <p className="dim">…</p>;
  return (
    <Detail
      source={loaded.value}
      tab={tab}
      rest={rest}
      loaded={loaded}
      tookMs={attempt.value?.tookMs}
    />
  );
}

function Back() {
  return (
    <a className="button quiet" href={hrefOf("snapshots")}>
      ‹ All snapshots
    </a>
  );
}

/** There is no snapshot, or it cannot be read: what is known of the attempt all the same. */
function Without({
  id,
  problem,
  attempt,
}: {
  readonly id: string;
  readonly problem: string;
  readonly attempt: Attempt | undefined;
}) {
  if (!attempt || attempt.outcome === "complete")
    return (
      <Empty title={`${id} cannot be shown`}>
        <p role="alert">{problem}</p>
        <Back />
      </Empty>
    );
  const { outcome, reason, initiator, startedAtMs, tookMs, waits, unclosed, unstored } = attempt;
  return (
    <section className="card snapshot-detail" aria-label={`Attempt ${id}`}>
      <div className="bar">
        <Back />
        <h2 className="mono">{id}</h2>
        <strong className="bad">{outcome === "open" ? "no end is noted yet" : outcome}</strong>
      </div>
      <p>
        {initiator} began it at {clockTime(startedAtMs)}
        {tookMs === undefined ? "" : `, and it was over after ${duration(Math.max(0, tookMs))}`}.
        There is no snapshot.
      </p>
      {reason !== undefined && <p role="alert">Reason: {reason}</p>}
      {unclosed.length > 0 && <p>Channels were not all closed at {unclosed.join(", ")}.</p>}
      {unstored.length > 0 && <p>Pieces were not stored of {unstored.join(", ")}.</p>}
      {waits.length > 0 && (
        <ul>
          {waits.map(({ process, waitsFor }) => (
            <li key={process}>
              {process} waited for {waitsFor.join(", ")}
            </li>
          ))}
        </ul>
      )}
      <TimingPanel startedAtMs={startedAtMs} shares={attempt.shares} />
    </section>
  );
}

function Detail({
  source,
  tab,
  rest,
  loaded,
  tookMs,
}: Omit<DetailProps, "name"> & {
  readonly source: Source;
  readonly loaded: Loaded<Source>;
  /** Until it was stored, if that is noted. */
  readonly tookMs: number | undefined;
}) {
  const proof = useProof(source);
  const { manifest, name, title } = source;
  const isFile = isFileName(name);
  const summary = summarise(manifest);
  return (
    <section className="card snapshot-detail" aria-label={`Snapshot ${title}`}>
      <div className="bar">
        <Back />
        <h2 className="mono">{title}</h2>
        {manifest.label !== undefined && <strong>{manifest.label}</strong>}
        <span className="grow" />
        <CompareWith source={source} />
        {!isFile && <Acts source={source} onChange={loaded.again} />}
      </div>
      <dl className="facts">
        {isFile && <Fact name="Snapshot">{manifest.id}</Fact>}
        <Fact name="Taken">
          <span title={new Date(manifest.startedAtMs).toISOString()}>
            {clockTime(manifest.startedAtMs)}
          </span>{" "}
          by {manifest.initiator}
        </Fact>
        <Fact name="Cut made in">{duration(manifest.cutMs)}</Fact>
        <Fact name="System">
          {manifest.system}, epoch {manifest.epoch}
        </Fact>
        <Fact name="Processes">
          {counted(summary.processes, "process", "processes")},{" "}
          {counted(manifest.channels.length, "channel")}
        </Fact>
        <Fact name="In flight">{counted(summary.inFlight, "message")}</Fact>
        <Fact name="Size">{byteSize(summary.bytes)}</Fact>
        {manifest.renamed && (
          <Fact name="Renamed">
            {manifest.renamed.map(({ was, is }) => `${was} → ${is}`).join(", ")}
          </Fact>
        )}
        {tookMs !== undefined && <Fact name="Stored after">{duration(Math.max(0, tookMs))}</Fact>}
      </dl>
      <VerdictLine proof={proof} />
      <Tabs
        label="Parts of the snapshot"
        className="tabs"
        tabs={TABS.map(([path, word]) => ({
          name: word,
          href: hrefOf("snapshots", ...name, path),
          isCurrent: path === tab,
        }))}
      />
      {tab === "states" && <StatesPanel source={source} process={rest[0]} />}
      {tab === "in-flight" && <FlightPanel source={source} channel={rest} />}
      {tab === "certificate" && <CertificatePanel source={source} proof={proof} />}
      {tab === "timing" && <TimingPanel {...timingOf(manifest)} />}
      {tab === "find" && <FindPanel source={source} />}
      {!TABS.some(([path]) => path === tab) && <p>There is nothing of that name to see.</p>}
    </section>
  );
}

function Fact({ name, children }: { readonly name: string; readonly children: React.ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** Another one by its id, or a file that was opened. */
function CompareWith({ source }: { readonly source: Source }) {
  const [text, setText] = useState("");
  const files = openedSources().filter(({ name }) => String(name) !== String(source.name));
  const name = nameOfText(text, files);
  return (
    <form
      className="bar compare"
      onSubmit={(event) => {
        event.preventDefault();
        if (name) goTo("snapshots", ...name, "diff", ...source.name);
      }}
    >
      <input
        aria-label="Compare with"
        placeholder="Compare with p1/7"
        list="opened-files"
        size={16}
        value={text}
        onChange={({ target }) => setText(target.value)}
      />
      <datalist id="opened-files">
        {files.map(({ title }) => (
          <option key={title}>{title}</option>
        ))}
      </datalist>
      <button type="submit" className="button" disabled={!name}>
        Compare
      </button>
    </form>
  );
}

function nameOfText(text: string, files: readonly Source[]): SnapshotName | undefined {
  const file = files.find(({ title }) => title === text);
  const [, process, count] = /^\s*([\w.-]+)\/([0-9]+)\s*$/.exec(text) ?? [];
  return (
    file?.name ?? (process !== undefined && count !== undefined ? [process, count] : undefined)
  );
}

function Acts({ source, onChange }: { readonly source: Source; readonly onChange: () => void }) {
  const { server, say } = usePage();
  const { id, label, system, processes } = source.manifest;
  const [isOpen, setIsOpen] = useState<"restore" | "clone" | undefined>(undefined);
  const [isLoading, setIsLoading] = useState(false);
  const inUse = useLoaded(server ? "in use" : undefined, async () =>
    server ? (await server.ask<PageSnapshots>("GET", "/api/snapshots?limit=1")).inUse : undefined,
  );
  const download = async () => {
    if (!server) return;
    setIsLoading(true);
    try {
      const bytes = await server.bytes("GET", `/api/snapshots/${id}/file`);
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([bytes]));
      link.download = `${id.replace("/", "-")}.tar`;
      link.click();
      // The browser has begun to read it by then.
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    } catch (error) {
      say(`${id} was not downloaded: ${(error as Error).message}`, "bad");
    } finally {
      setIsLoading(false);
    }
  };
  return (
    <>
      <Relabel id={id} label={label} onChange={onChange} />
      <Button isDisabled={isLoading} onClick={() => void download()}>
        {isLoading ? "Downloading…" : "Download"}
      </Button>
      <Button onClick={() => setIsOpen("clone")}>Clone…</Button>
      <Button onClick={() => setIsOpen("restore")}>Restore…</Button>
      <Delete
        id={id}
        label={label}
        isDisabled={inUse.isLoading || inUse.value === id}
        onDeleted={() => goTo("snapshots")}
      />
      {isOpen === "restore" && (
        <RestoreDialog
          id={id}
          onClose={() => {
            setIsOpen(undefined);
            inUse.again();
          }}
        />
      )}
      {isOpen === "clone" && (
        <CloneDialog
          id={id}
          system={system}
          processes={processes}
          onClose={() => setIsOpen(undefined)}
        />
      )}
    </>
  );
}
