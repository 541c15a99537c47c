/** Takes a snapshot of the running system, and says what came of it. */

import { type FormEvent, useState } from "react";
import type { SnapshotResult } from "../../src/serve/system-methods.ts";
import { hrefOf, usePage } from "../page.tsx";
import { counted, duration, grouped } from "../parts/words.ts";

const LABEL_CHARACTERS = 256;

type Outcome =
  | { readonly type: "taking" }
  | { readonly type: "taken"; readonly result: SnapshotResult }
  | { readonly type: "failed"; readonly message: string };

export function TakeSnapshot({ isBank }: { readonly isBank: boolean }) {
  const { server } = usePage();
  const [label, setLabel] = useState("");
  const [outcome, setOutcome] = useState<Outcome | undefined>(undefined);
  const isTaking = outcome?.type === "taking";
  const take = (event: FormEvent): void => {
    event.preventDefault();
    if (!server || isTaking) return;
    setOutcome({ type: "taking" });
    const body = label.trim() === "" ? {} : { label: label.trim() };
    server.ask<SnapshotResult>("POST", "/api/snapshots", body).then(
      (result) => {
        setOutcome({ type: "taken", result });
        setLabel("");
      },
      ({ message }: Error) => setOutcome({ type: "failed", message }),
    );
  };
  return (
    <form className="take-snapshot" onSubmit={take}>
      <div className="bar">
        <input
          aria-label="Label of the snapshot"
          placeholder="Label, if it is to stay"
          maxLength={LABEL_CHARACTERS}
          value={label}
          onChange={({ target }) => setLabel(target.value)}
        />
        <button type="submit" className="button main" disabled={isTaking}>
          Take a snapshot
        </button>
      </div>
      <p className="outcome" role="status">
        {outcome ? (
          <Told outcome={outcome} />
        ) : (
          <span className="dim">The system goes on meanwhile.</span>
        )}
      </p>
    </form>
  );

  function Told({ outcome: told }: { readonly outcome: Outcome }) {
    if (told.type === "taking") return <>It is being taken …</>;
    if (told.type === "failed")
      return <span className="bad">There is no snapshot: {told.message}</span>;
    const { snapshot, consistent, problem, messagesInFlight, durationMs, processes, markers } =
      told.result;
    const { sum, expected, amountInFlight = 0 } = told.result;
    const isRight = consistent && (!isBank || sum === expected);
    const flight = `${counted(messagesInFlight, "message")} in flight`;
    return (
      <>
        <a href={hrefOf("snapshots", ...snapshot.split("/"))}>{snapshot}</a>{" "}
        <span className={isRight ? "good" : "bad"}>
          {consistent ? "is proven consistent" : `is not proven: ${problem}`}
          {isBank && sum !== undefined && expected !== undefined && (
            <>
              {" "}
              and {sum === expected ? "adds up" : "does not add up"}: {grouped(sum)} of{" "}
              {grouped(expected)}
            </>
          )}
        </span>
        .{" "}
        {isBank && sum !== undefined ? (
          <>
            {grouped(sum - amountInFlight)} in accounts + {grouped(amountInFlight)} in {flight}.
          </>
        ) : (
          <>{flight}.</>
        )}{" "}
        The cut took {duration(durationMs)} and {counted(markers, "marker")} among{" "}
        {counted(processes, "process", "processes")}.
      </>
    );
  }
}
