/** One process of a system on several machines as a member of it: on what it agrees with the others, and that it is there. */

import { isTidemarkError, TidemarkError } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import type { Agreement, Membership } from "../nats/members.ts";
import type { KvSystemOptions } from "../serve/kv-system.ts";
import type { Tell } from "./event-log.ts";
import type { HostedProcess } from "./hosted-process.ts";
import type { NatsPlace } from "./nats-options.ts";
import type { SupervisedProcess } from "./supervised-process.ts";
import { statusOf } from "./system.ts";
import { loadSystem, type SystemSource } from "./system-file.ts";
import { VERSION } from "./version.ts";

/** What of a plan matters here. */
interface MemberPlan {
  readonly id: ProcessId;
  readonly source: SystemSource;
  readonly processes: readonly ProcessId[];
  /** Where it listens. @default over NATS */
  readonly listen?: object;
  readonly nats?: NatsPlace;
}

/** What becomes of a process that has started. */
export interface StartedMember {
  readonly first: HostedProcess;
  /** Others see from now on that it is there. */
  present(supervised: SupervisedProcess): void;
  /** And that it has ended. */
  leave(how: "stopped" | "given up"): Promise<void>;
}

/** What is thrown where another one has what is needed to run under this id. */
const TAKEN = ["ADDRESS_IN_USE", "DUPLICATE_ID", "LOG_LOCKED"] as const;
/** The engines of total order by the names that `--order-engine` has. */
const ENGINES = { sequencer: "sequencer", agreed: "agreed", log: "jetstream" } as const;

/**
 * Starts it if it agrees with the others; where there is no NATS, nobody says on what.
 * @throws TidemarkError `CONFIGURATION_DIFFERS`, and what `start` throws: with who has the id, if somebody has
 */
export async function startAsMember(
  plan: MemberPlan,
  start: () => Promise<HostedProcess>,
  tell: Tell,
): Promise<StartedMember> {
  const { id, nats: place } = plan;
  if (!place) return { first: await start(), present: () => {}, leave: async () => {} };
  // Who has no NATS should not have to load it.
  const { Membership } = await import("../nats/members.ts");
  const configuration = {
    ...(await systemOf(plan)),
    processes: plan.processes,
  };
  const membership = await Membership.open({
    ...{ place, id, configuration, version: VERSION },
    onProblem: ({ code, message }) =>
      tell(message, { event: "process_problem", process: id, code }),
  });
  let first: HostedProcess;
  try {
    first = await start();
  } catch (error) {
    const named = await withHolder(error, id, membership);
    await membership.leave();
    throw named;
  }
  return {
    first,
    present(supervised) {
      membership.present(async () => {
        const { up, address, epoch } = await statusOf(supervised, 0);
        return { up, ...(address !== "" && { address }), ...(epoch > 0 && { epoch }) };
      });
    },
    leave: (how) => membership.leave(how),
  };
}

/** What is the system called, and what has to be the same everywhere? */
async function systemOf({
  source,
  listen,
}: MemberPlan): Promise<{ readonly system: string; readonly agreed: readonly Agreement[] }> {
  const transport = { what: "transport", value: listen ? "TCP" : "NATS" };
  if ("kv" in source)
    return { system: "tidemark/kv", agreed: [...agreementsOf(source.kv), transport] };
  const { system = "tidemark", order = "fifo", algorithm } = await loadSystem(source);
  return {
    system,
    agreed: [
      { what: "algorithm", value: algorithm ?? (order === "fifo" ? "chandy-lamport" : "lai-yang") },
      { what: "order of channels", value: order },
      transport,
    ],
  };
}

function agreementsOf({ total = "sequencer", namespaces }: KvSystemOptions): readonly Agreement[] {
  // Kept as bytes; people read them as what was typed.
  const typed = (patterns: readonly string[] = []): string =>
    patterns.map((one) => JSON.stringify(Buffer.from(one, "latin1").toString())).join(" ");
  return [
    { what: "--order-engine", value: ENGINES[total] },
    { what: "--causal", value: typed(namespaces?.causal) || "none" },
    { what: "--fifo", value: typed(namespaces?.fifo) || "none" },
  ];
}

/** The error; if it comes from another one with this id, it says who that is. */
async function withHolder(error: unknown, id: ProcessId, membership: Membership): Promise<unknown> {
  const code = TAKEN.find((one) => isTidemarkError(error, one));
  if (!code) return error;
  // Why it could not start is the news, whatever the servers say.
  const holder = await membership.holder().catch(() => undefined);
  if (holder === undefined) return error;
  const { message } = error as TidemarkError;
  return new TidemarkError(code, `${message}. ${id} runs already: ${holder}`, { cause: error });
}
