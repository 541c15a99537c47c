/** Brings all processes back to a snapshot: first it says what that would take back. */

import { useState } from "react";
import type { PageRestoration, PageRestorePlan } from "../../src/serve/web/api.ts";
import { hrefOf, usePage, useTopic } from "../page.tsx";
import { Button } from "../parts/button.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { counted, duration, grouped } from "../parts/words.ts";
import { useLoaded } from "./loaded.ts";

const PROCESSES_SHOWN = 20;

interface RestoreDialogProps {
  readonly id: string;
  readonly onClose: () => void;
}

export function RestoreDialog({ id, onClose }: RestoreDialogProps) {
  const { server } = usePage();
  const plan = useLoaded(id, () =>
    server
      ? server.ask<PageRestorePlan>("POST", `/api/snapshots/${id}/restore/plan`, {})
      : Promise.reject(new Error("this page has no server")),
  );
  const [isSure, setIsSure] = useState(false);
  const restoration = useLoaded(isSure ? id : undefined, () =>
    server
      ? server.ask<PageRestoration>("POST", `/api/snapshots/${id}/restore`, {})
      : Promise.reject(new Error("this page has no server")),
  );
  const [typed, setTyped] = useState(false);
  return (
    <Dialog title={`Restore ${id}`} onClose={onClose}>
      {!isSure && plan.isLoading && (
        <p role="status">It is proven, and compared with what there is now…</p>
      )}
      {!isSure && plan.problem !== undefined && (
        <p className="bad" role="alert">
          It cannot be restored: {plan.problem}
        </p>
      )}
      {!isSure && plan.value && <Plan plan={plan.value} />}
      {!isSure && plan.value && (
        <label className="sure">
          <input
            type="checkbox"
            checked={typed}
            onChange={({ target }) => setTyped(target.checked)}
          />{" "}
          {plan.value.running
            ? "I want all processes to go back; requests that wait fail."
            : "I want the next start to go on from it."}
        </label>
      )}
      {isSure && restoration.isLoading && <Going />}
      {restoration.problem !== undefined && (
        <p className="bad" role="alert">
          It was not restored, as far as is known: {restoration.problem}
        </p>
      )}
      {restoration.value && <Result done={restoration.value} />}
      <div className="bar">
        <span className="grow" />
        <Button onClick={onClose}>{isSure ? "Close" : "Leave it as it is"}</Button>
        {!isSure && plan.value && (
          <Button tone="main" isDisabled={!typed} onClick={() => setIsSure(true)}>
            Restore
          </Button>
        )}
      </div>
    </Dialog>
  );
}

function Plan({ plan }: { readonly plan: PageRestorePlan }) {
  const { snapshot, now, isTaken, agoMs, snapshotsSince, processes, inFlight, running, reason } =
    plan;
  const known = processes.filter(({ sent }) => sent !== undefined);
  return (
    <div aria-live="polite">
      <p>
        {snapshot} is proven, and can be restored. Nothing has been changed yet. Compared with {now}
        , {isTaken ? "taken just now" : "the newest snapshot"}, a restore would
      </p>
      <ul>
        <li>take back what happened in {duration(Math.max(0, agoMs))},</li>
        <li>have {counted(inFlight, "message")} received again that were in flight,</li>
        <li>leave the {counted(snapshotsSince, "snapshot")} taken since where they are,</li>
        <li>
          {running
            ? "begin a new epoch at once."
            : "take effect when a system starts here: none runs now."}
        </li>
      </ul>
      {reason !== undefined && <p className="warn">No snapshot could be taken now: {reason}</p>}
      {known.length === 0 ? (
        <p className="dim">
          How many messages that are is not known: the two are not of one history.
        </p>
      ) : (
        <table aria-label="Messages that would be taken back">
          <thead>
            <tr>
              <th>Process</th>
              <th className="number">Sent since</th>
              <th className="number">Received since</th>
            </tr>
          </thead>
          <tbody>
            {known.slice(0, PROCESSES_SHOWN).map(({ process, sent = 0, received = 0 }) => (
              <tr key={process}>
                <th scope="row" className="mono">
                  {process}
                </th>
                <td className="number">{grouped(sent)}</td>
                <td className="number">{grouped(received)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {known.length > PROCESSES_SHOWN && (
        <p className="dim">
          {counted(known.length - PROCESSES_SHOWN, "process", "processes")} more
        </p>
      )}
    </div>
  );
}

/** Who is back already. */
function Going() {
  const { value } = useTopic("status");
  const processes = value?.processes ?? [];
  const epoch = Math.max(0, ...processes.map((one) => one.epoch));
  const there = processes.filter((one) => one.up && one.epoch === epoch).length;
  return (
    <p role="status">
      <progress aria-label="Restore" />{" "}
      {processes.length === 0
        ? "It is being restored…"
        : `It is being restored: ${there} of ${processes.length} are up in epoch ${epoch}…`}
    </p>
  );
}

function Result({ done }: { readonly done: PageRestoration }) {
  const { snapshot, running, epoch, absent, proof, reason } = done;
  if (!running)
    return (
      <p className="good" role="status">
        No system runs here: the next one that starts goes on from {snapshot}, in epoch {epoch}.
      </p>
    );
  return (
    <div role="status">
      <p className={absent.length === 0 && proof !== undefined ? "good" : "warn"}>
        Restored to {snapshot}: the system is in epoch {epoch}.
      </p>
      {absent.length > 0 && (
        <p>Not there in time, and follow when they come back: {absent.join(", ")}.</p>
      )}
      {proof !== undefined ? (
        <p>
          All processes go on: <a href={hrefOf("snapshots", ...proof.split("/"))}>{proof}</a> proves
          it.
        </p>
      ) : (
        <p className="bad">Not proven: {reason}</p>
      )}
    </div>
  );
}
