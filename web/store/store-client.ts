/** How the page asks the replicas of a store. */

import type { TypedReply } from "../../src/kv/reply-reader.ts";
import type { StoreAnswer } from "../../src/serve/web/api.ts";
import { type PageServer, ServerError } from "../server.ts";

/** Bytes, as texts with a character for each. */
export type Words = readonly string[];

/** What is to be so still when something is done. */
export interface Seen {
  readonly request: Words;
  readonly reply: TypedReply;
}

export interface AskOptions {
  readonly isTransaction?: boolean;
  readonly seen?: readonly Seen[];
}

/** Asks one replica. @throws ServerError also if one of the replies is an error */
export async function askStore(
  server: PageServer,
  process: string,
  db: number,
  requests: readonly Words[],
  options: AskOptions = {},
): Promise<readonly TypedReply[]> {
  const replies = await tryStore(server, process, db, requests, options);
  const error = replies.find(({ type }) => type === "error");
  if (error) throw new ServerError({ code: "SERVER_REFUSED", message: textIn(error) });
  return replies;
}

/** The same, with errors as replies. @throws ServerError if it does not answer */
export async function tryStore(
  server: PageServer,
  process: string,
  db: number,
  requests: readonly Words[],
  options: AskOptions = {},
): Promise<readonly TypedReply[]> {
  const [answer] = await askReplicas(server, [process], db, requests, options);
  if (answer?.problem) throw new ServerError(answer.problem);
  return answer?.replies ?? [];
}

/** Asks some replicas at the same time. @throws ServerError */
export async function askReplicas(
  server: PageServer,
  processes: readonly string[],
  db: number,
  requests: readonly Words[],
  options: AskOptions = {},
): Promise<readonly StoreAnswer[]> {
  const body = { processes, db, requests, ...options };
  const { answers } = await server.ask<{ answers: readonly StoreAnswer[] }>(
    ...(["POST", "/api/store/requests", body] as const),
  );
  return answers;
}

/** The text of a reply, if it has one. */
export const textIn = (reply: TypedReply | undefined): string =>
  reply && "text" in reply ? reply.text : "";

export const numberIn = (reply: TypedReply | undefined): number => Number(textIn(reply));

/** The texts of what is in a list. */
export const textsIn = (reply: TypedReply | undefined): readonly string[] =>
  reply && "items" in reply ? reply.items.map(textIn) : [];

/** Of a reply to a scan: where it goes on, and what it found. */
export function scanned(reply: TypedReply | undefined): readonly [string, readonly string[]] {
  const items = reply && "items" in reply ? reply.items : [];
  return [textIn(items[0]) || "0", textsIn(items[1])];
}
