/**
 * An account (stream-bank.ts) in an OS process of its own, until its parent kills it. It begins so many transfers when it runs for the first time.
 *
 * usage: node stream-account-child.ts URL ID ACCOUNTS STREAMS TRANSFERS
 */
import { startNatsProcess } from "../../src/nats/nats-process.ts";
import {
  type Account,
  beginTransfers,
  NEW,
  receiveTransfer,
  type Transfer,
} from "./stream-bank.ts";

const [servers = "", id = "", accounts = "", streams = "", transfers = ""] = process.argv.slice(2);
const all = [accounts.split(","), streams.split(",")] as const;
// The parent is gone.
process.on("disconnect", () => process.exit(1));
const running = await startNatsProcess<Account, Transfer>({
  ...{ servers, id, prefix: "bank", reads: all[1], writes: all[1], initial: NEW },
  receive: receiveTransfer(...all),
});
running.ended.catch((error) => {
  process.stderr.write(`${id}: ${error}
`);
  process.exit(1);
});
await running.turn((state, turn) => beginTransfers(state, turn, ...all, Number(transfers)));
process.send?.({ running: true });
