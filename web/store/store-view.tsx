/** The store that runs: its keys, a console, its replicas, which keys are in which order, and what clients ask. */

import "./store.css";
import { type ComponentType, type FormEvent, useState } from "react";
import type { SnapshotResult } from "../../src/serve/system-methods.ts";
import { hrefOf, usePage, useRoute, useTopic } from "../page.tsx";
import { Button } from "../parts/button.tsx";
import { CommandLine, dirOption, Empty } from "../parts/empty.tsx";
import { Tabs } from "../parts/tabs.tsx";
import type { PageServer } from "../server.ts";
import { bytesOf } from "./bytes.ts";
import { Console } from "./console.tsx";
import { KeyBrowser } from "./key-browser.tsx";
import { LiveCommands } from "./live-commands.tsx";
import { Orders } from "./orders.tsx";
import type { StorePartProps } from "./place.tsx";
import { Replicas } from "./replicas.tsx";

const PARTS: readonly {
  readonly path: string;
  readonly name: string;
  readonly Part: ComponentType<StorePartProps>;
}[] = [
  { path: "keys", name: "Keys", Part: KeyBrowser },
  { path: "console", name: "Console", Part: Console },
  { path: "replicas", name: "Replicas", Part: Replicas },
  { path: "orders", name: "Orders", Part: Orders },
  { path: "commands", name: "Live commands", Part: LiveCommands },
];

export function StoreView() {
  const { server, about } = usePage();
  // A directory may get a store, and lose it, while the page is open.
  const isPossible = about?.kind === "store" || about?.kind === "directory";
  if (!server || (about && !isPossible)) return <NoStore />;
  return <RunningStore server={server} />;
}

function NoStore({ why }: { readonly why?: string }) {
  const { about } = usePage();
  return (
    <Empty title="No store runs here">
      <p>
        {why ??
          "The store is a replicated key-value store that clients of Redis talk to. Start one, and open the page it names:"}
      </p>
      <CommandLine>{`tidemark kv --causal 'cart:*'${dirOption(about)}`}</CommandLine>
    </Empty>
  );
}

function RunningStore({ server }: { readonly server: PageServer }) {
  const { value: store, problem } = useTopic("store");
  const [, path = "keys", ...route] = useRoute();
  if (!store)
    return problem === undefined ? (
      <Empty title="Asking the replicas…" />
    ) : (
      <NoStore why={problem} />
    );
  const part = PARTS.find((one) => one.path === path);
  return (
    <div className="store">
      <div className="store-bar">
        <Tabs
          label="Store"
          className="store-parts"
          tabs={PARTS.map((one) => ({
            name: one.name,
            href: hrefOf("store", one.path),
            isCurrent: one === part,
          }))}
        />
        <SnapshotButton server={server} />
      </div>
      {problem !== undefined && (
        <p className="card bad" role="alert">
          {problem}
        </p>
      )}
      {store.wantsPassword ? (
        <Password server={server} />
      ) : part ? (
        <part.Part server={server} store={store} route={route} />
      ) : (
        <Empty title="There is no part of the store of that name" />
      )}
    </div>
  );
}

function SnapshotButton({ server }: { readonly server: PageServer }) {
  const { say } = usePage();
  const [isTaking, setIsTaking] = useState(false);
  const take = async (): Promise<void> => {
    setIsTaking(true);
    try {
      const { snapshot, consistent, problem } = await server.ask<SnapshotResult>(
        ...(["POST", "/api/snapshots", {}] as const),
      );
      if (consistent) say(`${snapshot} has the whole store at one cut`, "good");
      else say(`${snapshot} is not consistent: ${problem}`, "bad");
    } catch (error) {
      say(`No snapshot was taken: ${(error as Error).message}`, "bad");
    } finally {
      setIsTaking(false);
    }
  };
  return (
    <Button onClick={() => void take()} isDisabled={isTaking}>
      {isTaking ? "Taking a snapshot…" : "Take a snapshot"}
    </Button>
  );
}

/** Of a store that has one, which only its own command knows. */
function Password({ server }: { readonly server: PageServer }) {
  const [password, setPassword] = useState("");
  const [problem, setProblem] = useState("");
  const send = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    try {
      await server.ask("POST", "/api/store/password", { password: bytesOf(password) });
      setProblem("");
    } catch (error) {
      setProblem((error as Error).message);
    }
    setPassword("");
  };
  return (
    <form className="card store-password" onSubmit={(event) => void send(event)}>
      <h2>The store wants its password</h2>
      <p className="dim">
        The server of this page keeps it in memory until it ends; it is written nowhere.
      </p>
      <div className="bar">
        <label>
          Password{" "}
          <input
            type="password"
            autoComplete="off"
            value={password}
            onChange={({ target }) => setPassword(target.value)}
          />
        </label>
        <button type="submit" className="button main" disabled={password === ""}>
          Connect
        </button>
      </div>
      {problem !== "" && (
        <p className="bad" role="alert">
          {problem}
        </p>
      )}
    </form>
  );
}
