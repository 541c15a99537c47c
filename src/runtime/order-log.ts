/**
 * The port to a log that stands beside the processes and gives groups their total order (`total: "log"` of a group), and one in memory.
 *
 * What such a log must do stands at the head of multicast/log-order.ts: it takes texts, and gives all of them, each at its position, to
 * everybody in the same order. Texts of another epoch are not given.
 */

import type { TidemarkError } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";

/** A log, for `startProcess`; each process has one of its own, which leads to the same texts. */
export interface OrderLog {
  /** Begins to read behind a position. Until it is closed. */
  open(what: OpenedOrderLog, events: OrderLogEvents): OrderLogReader;
}

/** Which log is opened, by whom. */
export interface OpenedOrderLog {
  readonly system: string;
  readonly process: ProcessId;
  readonly group: string;
  readonly epoch: number;
  /** The last position of that epoch that has been read; 0 if none has. */
  readonly position: number;
}

/** What the owner hears. Not within `open`. */
export interface OrderLogEvents {
  /** It is there, for the first time or again: what was written and has not been read may be lost. */
  opened(): void;
  /** Texts, in their order: each line by line. Positions ascend, from 1, not necessarily one by one. */
  read(position: number, text: string): void;
  /** It cannot be read or written just now. It goes on trying. */
  problem(error: TidemarkError): void;
  /** What this process needs is not there any more: it cannot go on. */
  lost(error: TidemarkError): void;
}

export interface OrderLogReader {
  /** Comes back to all who read; or, if the log was lost meanwhile, to nobody. */
  write(text: string): void;
  close(): Promise<void>;
}

interface Text {
  readonly key: string;
  readonly text: string;
}

/**
 * A log for processes in one program, as `MemoryNetwork` is a network: for tests, and to try things out. Without limits; it ends with
 * the program.
 *
 * @example
 * ```ts
 * import { Grouped, groupedCodecs, jsonCodec, MemoryNetwork, MemoryOrderLog, memoryStore, startProcess } from "tidemark";
 *
 * const ids = ["ann", "bob"];
 * const codecs = { messageCodec: jsonCodec<string>(), stateCodec: jsonCodec<unknown>() };
 * const [network, orderLog] = [new MemoryNetwork(), new MemoryOrderLog()];
 * const heard: string[] = [];
 * const running = await Promise.all(
 *   ids.map((id) =>
 *     startProcess({
 *       ...{ id, processes: ids, orderLog, transport: network.transport(), store: memoryStore() },
 *       ...groupedCodecs<string, null>(codecs),
 *       application: new Grouped<string, null, string, null>({
 *         self: id,
 *         groups: { chat: { members: ids, total: "log" } },
 *         messageCodec: codecs.messageCodec,
 *         application: {
 *           request: (request, line, turn) => {
 *             turn.multicast("chat", line, { order: "total" });
 *             turn.reply(request, null);
 *           },
 *           deliver: (_group, { message }) => void heard.push(message),
 *           capture: () => null,
 *           restore: () => {},
 *         },
 *       }),
 *     }),
 *   ),
 * );
 * await running[0]?.request("hello");
 * while (heard.length < 2) await new Promise((done) => setTimeout(done, 5));
 * await Promise.all(running.map((one) => one.stop()));
 * ```
 */
export class MemoryOrderLog implements OrderLog {
  readonly #texts: Text[] = [];
  readonly #readers = new Set<() => void>();

  open({ system, group, epoch, position }: OpenedOrderLog, events: OrderLogEvents): OrderLogReader {
    const key = JSON.stringify([system, group, epoch]);
    let read = position;
    let open = true;
    const goOn = (): void => {
      for (; open && read < this.#texts.length; read += 1) {
        const one = this.#texts[read] as Text;
        if (one.key === key) events.read(read + 1, one.text);
      }
    };
    this.#readers.add(goOn);
    queueMicrotask(() => {
      if (!open) return;
      events.opened();
      goOn();
    });
    return {
      write: (text) => {
        this.#texts.push({ key, text });
        for (const reader of this.#readers) queueMicrotask(reader);
      },
      close: async () => {
        open = false;
        this.#readers.delete(goOn);
      },
    };
  }
}
