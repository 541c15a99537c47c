/** What somebody may do to a system that is there to be disturbed. Each button says what will happen. */

import { useState } from "react";
import type { ChaosStatus, Disturbance } from "../../src/serve/system-methods.ts";
import { usePage } from "../page.tsx";
import { Button } from "../parts/button.tsx";
import { Dialog } from "../parts/dialog.tsx";
import type { ChannelFlow, ProcessFlow } from "./flow.ts";

/** Does it, and says that it was done, with how to undo it; or why not. */
function useDisturb(): (what: Disturbance, done: string, undo?: Disturbance) => void {
  const { server, say } = usePage();
  const ask = (what: Disturbance): Promise<unknown> =>
    server?.ask("POST", "/api/disturbances", what) ?? Promise.resolve();
  const failed = ({ message }: Error): void => say(`It was not done: ${message}`, "bad");
  return (what, done, undo) => {
    ask(what).then(() => say(done, "plain", undo && (() => void ask(undo).catch(failed))), failed);
  };
}

export function ProcessChaos({
  process: { id, pid, condition },
  chaos,
}: {
  readonly process: ProcessFlow;
  readonly chaos: ChaosStatus;
}) {
  const disturb = useDisturb();
  const [isAsking, setIsAsking] = useState(false);
  const isDown = condition === "down";
  const halt: Disturbance = { what: "halt", process: id };
  const resume: Disturbance = { what: "resume", process: id };
  return (
    <span className="chaos">
      {condition === "halted" ? (
        <Button
          label={`Resume ${id}: process ${pid} gets SIGCONT and goes on`}
          onClick={() => disturb(resume, `${id} goes on.`)}
        >
          Resume
        </Button>
      ) : (
        <Button
          isDisabled={isDown}
          label={`Halt ${id}: process ${pid} gets SIGSTOP and does nothing until it is resumed`}
          onClick={() =>
            disturb(halt, `${id} is halted: it does nothing until it is resumed.`, resume)
          }
        >
          Halt
        </Button>
      )}
      <Button
        tone="bad"
        isDisabled={isDown}
        label={`Kill ${id}: you are asked first`}
        onClick={() => setIsAsking(true)}
      >
        Kill …
      </Button>
      {isAsking && (
        <Dialog title={`Kill ${id}?`} onClose={() => setIsAsking(false)}>
          <p>
            Process {pid} gets SIGKILL: it ends at once, in the middle of whatever it does.{" "}
            {consequence(id, chaos)}
          </p>
          <div className="bar">
            <span className="grow" />
            <Button onClick={() => setIsAsking(false)}>Leave it alone</Button>
            <Button
              tone="bad"
              onClick={() => {
                setIsAsking(false);
                disturb({ what: "kill", process: id }, `${id} was killed.`);
              }}
            >
              Kill {id}
            </Button>
          </div>
        </Dialog>
      )}
    </span>
  );
}

/** What follows when it is killed. */
function consequence(id: string, { log, restarts }: ChaosStatus): string {
  if (restarts === 0)
    return log === undefined
      ? `It is not started again, for nothing is logged (--log): its state is lost, and the whole system ends.`
      : `It is not started again (--restarts 0), and the whole system ends. Its log stays.`;
  if (log === undefined)
    return `It is started again, but without its state, for nothing is logged (--log): what ${id} knew is lost.`;
  return `It is started again and goes on from its log: nothing is lost.`;
}

export function ChannelChaos({ channel: { from, to, isCut } }: { readonly channel: ChannelFlow }) {
  const disturb = useDisturb();
  const cut: Disturbance = { what: "cut", from, to };
  const heal: Disturbance = { what: "heal", from, to };
  return isCut ? (
    <Button
      label={`Heal ${from} → ${to}: what was sent meanwhile arrives`}
      onClick={() => disturb(heal, `${from} → ${to} is healed: what was sent meanwhile arrives.`)}
    >
      Heal
    </Button>
  ) : (
    <Button
      label={`Cut ${from} → ${to}: nothing of what ${from} sends gets through to ${to}, nor what it acknowledges`}
      onClick={() =>
        disturb(cut, `${from} → ${to} is cut: nothing gets through until it is healed.`, heal)
      }
    >
      Cut
    </Button>
  );
}
