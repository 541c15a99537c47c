/** A home for the accounts of a scripted bank inside this Node process: quick, and without sockets or files. */
import { Account } from "../../src/bank/account.ts";
import type { AccountMethods, BankAccount, BankHome } from "../../src/cli/bank-master.ts";
import { ManualAccount, type RunningAccount } from "../../src/cli/manual-account.ts";
import { memoryStore } from "../../src/runtime/memory-store.ts";
import { MemoryNetwork } from "../../src/runtime/memory-transport.ts";
import { startProcess } from "../../src/runtime/running-process.ts";

type Method = keyof AccountMethods;

export async function memoryHome(problem: (text: string) => void): Promise<BankHome> {
  const network = new MemoryNetwork();
  const store = memoryStore();
  const accounts: RunningAccount[] = [];
  return {
    store,
    async start(id, money, others) {
      const account: RunningAccount = await startProcess({
        id,
        processes: [id, ...others],
        application: new Account({ money }),
        transport: network.transport(),
        store,
        seed: 0,
        receive: "manual",
        onProblem: ({ message }) => problem(message),
      });
      accounts.push(account);
      const manual = new ManualAccount(account);
      const methods: {
        [K in Method]?: (parameter: AccountMethods[K][0]) => Promise<AccountMethods[K][1]>;
      } = {
        async connect(addresses) {
          for (const [other, address] of Object.entries(addresses)) account.connect(other, address);
          return null;
        },
        async join({ process, address }) {
          account.join(process, address);
          return null;
        },
        request: (request) => account.request(request),
        begin: ({ timeoutMs }) => manual.begin(timeoutMs),
        settled: (snapshot) => manual.settled(snapshot),
        receive: ({ from, timeoutMs }) => manual.receive(from, timeoutMs),
        recorded: async (snapshot) => account.recorded(snapshot) ?? null,
      };
      const call = (method: Method, parameter: unknown): Promise<unknown> => {
        const perform = methods[method];
        if (!perform) throw new Error(`the master does not use ${method}`);
        return perform(parameter as never);
      };
      return { address: account.address, call: call as BankAccount["call"] };
    },
    async close() {
      await Promise.all(accounts.map((account) => account.stop()));
    },
  };
}
