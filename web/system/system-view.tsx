/** The system that runs, live: its processes and channels as a picture and as tables, what holds it up, and what was said of it. */

import "./system-view.css";
import { type ReactNode, useEffect, useMemo, useState } from "react";
import type { PageStatus } from "../../src/serve/web/api.ts";
import { hrefOf, usePage, useRoute, useTopic } from "../page.tsx";
import { CommandLine, dirOption, Empty } from "../parts/empty.tsx";
import { counted, duration, grouped } from "../parts/words.ts";
import { Causes } from "./causes.tsx";
import { Detail } from "./detail.tsx";
import { flowOf, type Looks, withLook } from "./flow.ts";
import { Matrix } from "./matrix.tsx";
import { Notes } from "./notes.tsx";
import { PICTURE_MAX, Picture } from "./picture.tsx";
import { ChannelTable, ProcessTable } from "./tables.tsx";
import { TakeSnapshot } from "./take-snapshot.tsx";

export function SystemView() {
  const { server, about } = usePage();
  const { value: status, problem } = useTopic("status");
  if (!server)
    return (
      <Empty title="No system is connected">
        <p>
          This page was opened without a server, or without its token. To see a system live, start
          one, and open the address that it names:
        </p>
        <CommandLine>tidemark up --chaos --log always</CommandLine>
      </Empty>
    );
  if (about?.kind === "file")
    return (
      <Empty title="A file is open, and no system">
        <p>To see the system that runs in a directory:</p>
        <CommandLine>tidemark ui .tidemark</CommandLine>
      </Empty>
    );
  if (!status || (problem !== undefined && status.processes.length === 0))
    return problem === undefined ? (
      <Empty title="Asking the system …" />
    ) : (
      <Empty title="No system runs here">
        <p>{problem}</p>
        <p>It is shown as soon as one runs in this directory:</p>
        <CommandLine>{`tidemark up${dirOption(about)}`}</CommandLine>
      </Empty>
    );
  return <Live status={status} problem={problem} />;
}

function Live({
  status,
  problem,
}: {
  readonly status: PageStatus;
  readonly problem: string | undefined;
}) {
  const [looks, setLooks] = useState<Looks>([]);
  useEffect(() => setLooks((before) => withLook(before, status)), [status]);
  const flow = useMemo(() => flowOf(status, looks), [status, looks]);
  const [, what = "", ...names] = useRoute();
  const { processes } = flow;
  if (processes.length === 0) return <Empty title="The system is starting …" />;
  const isSmall = processes.length <= PICTURE_MAX;
  const shown = what === "matrix" || !isSmall ? "matrix" : "picture";
  const picked = pickedOf(what, names);
  return (
    <div className={problem === undefined ? "system" : "system is-stale"}>
      {problem !== undefined && (
        <p className="card bad" role="alert">
          {problem}. What is shown is from {duration(Math.max(0, Date.now() - status.atMs))} ago; it
          goes on as soon as there is an answer.
        </p>
      )}
      <section className="card system-head" aria-label="Summary">
        <Facts status={status} />
        <TakeSnapshot isBank={status.kind === "bank"} />
      </section>
      <div className="system-top">
        <section className="card system-stage" aria-labelledby="system-stage">
          <div className="bar">
            <h2 id="system-stage" className="grow">
              Processes and channels
            </h2>
            {isSmall && (
              <nav className="segments" aria-label="How they are shown">
                <a href={hrefOf("system")} aria-current={shown === "picture" ? "true" : undefined}>
                  Picture
                </a>
                <a
                  href={hrefOf("system", "matrix")}
                  aria-current={shown === "matrix" ? "true" : undefined}
                >
                  Matrix
                </a>
              </nav>
            )}
          </div>
          {shown === "picture" ? <Picture flow={flow} picked={picked} /> : <Matrix flow={flow} />}
        </section>
        <div className="system-side">
          {picked && <Detail status={status} flow={flow} picked={picked} />}
          <Causes status={status} />
          <Notes />
        </div>
      </div>
      <ProcessTable flow={flow} chaos={status.chaos} />
      <ChannelTable flow={flow} chaos={status.chaos} />
    </div>
  );
}

/** What the address names. */
export interface Picked {
  readonly process?: string;
  readonly channel?: { readonly from: string; readonly to: string };
}

function pickedOf(what: string, [first, second]: readonly string[]): Picked | undefined {
  if (what === "process" && first !== undefined) return { process: first };
  if (what === "channel" && first !== undefined && second !== undefined)
    return { channel: { from: first, to: second } };
  return undefined;
}

const KINDS = { bank: "A bank", application: "An application", store: "A store" } as const;

function Facts({ status }: { readonly status: PageStatus }) {
  const { kind, processes, startedAtMs, atMs, snapshots, expected, causes, pid } = status;
  const epoch = Math.max(...processes.map((one) => one.epoch));
  const up = processes.filter((one) => one.up && one.explanation).length;
  const isWell = up === processes.length && causes.late.length === 0 && causes.heldBy.length === 0;
  const state = isWell
    ? "All is well"
    : causes.late.length > 0
      ? `${grouped(causes.late.length)} late`
      : "Not all are there";
  return (
    <dl className="facts">
      <Fact name={KINDS[kind]}>{counted(processes.length, "process", "processes")}</Fact>
      <Fact name="State">
        <span className={isWell ? "good" : "warn"} data-testid="state">
          {isWell ? "●" : "▲"} {state}
        </span>
      </Fact>
      <Fact name="Up">
        {up} of {processes.length}
      </Fact>
      <Fact name="Epoch">{epoch}</Fact>
      <Fact name="Running for">
        {duration(Math.max(0, Math.floor((atMs - startedAtMs) / 1_000) * 1_000))}
      </Fact>
      <Fact name="Snapshots by itself">{grouped(snapshots)}</Fact>
      {expected !== undefined && <Fact name="Money in all">{grouped(expected)}</Fact>}
      <Fact name="Its own pid">{pid}</Fact>
    </dl>
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
