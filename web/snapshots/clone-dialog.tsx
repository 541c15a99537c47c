/** Copies a snapshot into another directory, for a second system to begin from: first it says what that would be. */

import { type FormEvent, useState } from "react";
import { shellWord } from "../../src/core/shell-word.ts";
import type { PageClone, PageCloneRequest } from "../../src/serve/web/api.ts";
import { usePage } from "../page.tsx";
import { Button } from "../parts/button.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { CommandLine } from "../parts/empty.tsx";
import { byteSize, counted } from "../parts/words.ts";

interface CloneDialogProps {
  readonly id: string;
  readonly system: string;
  readonly processes: readonly string[];
  readonly onClose: () => void;
}

type Step =
  | { readonly is: "asking" | "looking" | "copying" }
  | { readonly is: "planned" | "done"; readonly clone: PageClone }
  | { readonly is: "failed"; readonly message: string };

export function CloneDialog({ id, system, processes, onClose }: CloneDialogProps) {
  const { server } = usePage();
  const [directory, setDirectory] = useState("");
  const [names, setNames] = useState("");
  const [other, setOther] = useState("");
  const [step, setStep] = useState<Step>({ is: "asking" });
  const request = (): PageCloneRequest => ({
    directory,
    ...(names.trim() === "" ? {} : { rename: parseNames(names) }),
    ...(other === "" ? {} : { system: other }),
  });
  const ask = async (path: string, doing: "looking" | "copying", done: "planned" | "done") => {
    setStep({ is: doing });
    try {
      const clone = await server?.ask<PageClone>("POST", `/api/snapshots/${id}/${path}`, request());
      if (clone) setStep({ is: done, clone });
    } catch (error) {
      setStep({ is: "failed", message: (error as Error).message });
    }
  };
  const plan = (event: FormEvent) => {
    event.preventDefault();
    void ask("clone/plan", "looking", "planned");
  };
  const isBusy = step.is === "looking" || step.is === "copying";
  const edit = (set: (text: string) => void) => (text: string) => {
    set(text);
    setStep({ is: "asking" });
  };
  if (step.is === "done")
    return (
      <Dialog title={`Clone ${id}`} onClose={onClose}>
        <div role="status">
          <p className="good">
            {step.clone.snapshot} is in {step.clone.directory} as {step.clone.copy}, and epoch{" "}
            {step.clone.epoch} begins there from it.
          </p>
          <p>
            The second system begins when {step.clone.processes.join(", ")} of system{" "}
            {step.clone.system} start there. To look at it:
          </p>
          <CommandLine>{`tidemark ui ${shellWord(step.clone.directory)}`}</CommandLine>
        </div>
        <div className="bar">
          <span className="grow" />
          <Button onClick={onClose}>Close</Button>
        </div>
      </Dialog>
    );
  return (
    <Dialog title={`Clone ${id}`} onClose={onClose}>
      <form className="stack" onSubmit={plan}>
        <label>
          Directory of the second system
          <input
            required
            value={directory}
            placeholder="staging"
            onChange={({ target }) => edit(setDirectory)(target.value)}
          />
        </label>
        <label>
          New names of processes
          <input
            value={names}
            placeholder={`${processes[0] ?? "p1"}=a`}
            onChange={({ target }) => edit(setNames)(target.value)}
          />
        </label>
        <label>
          Name of the system
          <input
            value={other}
            placeholder={system}
            maxLength={256}
            onChange={({ target }) => edit(setOther)(target.value)}
          />
        </label>
        <div role="status">
          {step.is === "asking" && (
            <p className="dim">
              The first system runs on, and knows nothing of the second one. Nothing is copied yet.
            </p>
          )}
          {isBusy && (
            <p>
              <progress aria-label="Clone" />{" "}
              {step.is === "looking"
                ? "It is proven, and the directory looked at…"
                : "It is being copied…"}
            </p>
          )}
          {step.is === "planned" && (
            <p>
              It is proven. {byteSize(step.clone.bytes)} would be copied into{" "}
              <strong className="mono">{step.clone.directory}</strong> as {step.clone.copy}: system{" "}
              {step.clone.system} with{" "}
              {counted(step.clone.processes.length, "process", "processes")},{" "}
              {step.clone.processes.join(", ")}. Epoch {step.clone.epoch} would begin there from it.
            </p>
          )}
          {step.is === "failed" && (
            <p className="bad" role="alert">
              It cannot be cloned: {step.message}
            </p>
          )}
        </div>
        <div className="bar">
          <span className="grow" />
          <Button onClick={onClose}>Cancel</Button>
          {step.is === "planned" ? (
            <Button tone="main" onClick={() => void ask("clone", "copying", "done")}>
              Clone
            </Button>
          ) : (
            <button type="submit" className="button main" disabled={isBusy}>
              See what it would be
            </button>
          )}
        </div>
      </form>
    </Dialog>
  );
}

/** As in p1=a,p2=b. @throws Error */
function parseNames(text: string): Record<string, string> {
  return Object.fromEntries(
    text.split(",").map((pair) => {
      const [was = "", is = "", ...more] = pair.split("=").map((name) => name.trim());
      if (was === "" || is === "" || more.length > 0)
        throw new Error(`${text}: write old=new for each process, as in p1=a,p2=b`);
      return [was, is];
    }),
  );
}
