/** What all views know: what the page came from, what was opened, where it is, and how to say something. */

import {
  createContext,
  type ReactNode,
  useCallback,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore,
} from "react";
import type { PageAbout, PageTopic, PageTopics } from "../src/serve/web/api.ts";
import { type OpenedFile, type OpenedLab, openFile } from "./open-file.ts";
import { PageServer, type ServerError, type Told } from "./server.ts";
import { openShared } from "./shared-file.ts";

/** See the head of the file. */
export interface Page {
  /** Absent if the page is a file, or has no token. */
  readonly server: PageServer | undefined;
  readonly about: PageAbout | undefined;
  /** Why nothing can be asked. */
  readonly problem: ServerError | undefined;
  /** The trace or snapshot that was dropped, chosen, or named to `tidemark ui`. */
  readonly opened: OpenedFile | undefined;
  /** In the same way, a lab: it is beside what else was opened. */
  readonly lab: OpenedLab | undefined;
  /** Reads a file and shows it, or says why not. */
  open(file: File): Promise<void>;
  /** Shows a trace or a snapshot that was made here. */
  show(opened: OpenedFile): void;
  say(text: string, tone?: Notice["tone"], undo?: () => void): void;
  readonly notices: readonly Notice[];
  dismiss(notice: Notice): void;
}

/** Something that is said for a while. */
export interface Notice {
  readonly number: number;
  readonly text: string;
  readonly tone: "good" | "bad" | "plain";
  readonly undo: (() => void) | undefined;
}

const Context = createContext<Page | undefined>(undefined);
const TOKEN = "tidemark token";
const TOKEN_PATTERN = /[#&]token=([0-9a-f]+)/;
const NOTICE_MS = 8_000;

export function usePage(): Page {
  const page = useContext(Context);
  if (!page) throw new Error("there is no page around this");
  return page;
}

const isServed = (): boolean => location.protocol.startsWith("http");

/** The token is taken out of the address, so that nobody who looks at the screen, or gets a link, has it. */
export function serverOfAddress(): PageServer | undefined {
  if (!isServed()) return undefined;
  const [, token] = TOKEN_PATTERN.exec(location.hash) ?? [];
  if (token !== undefined) {
    sessionStorage.setItem(TOKEN, token);
    const rest = location.hash.replace(TOKEN_PATTERN, "");
    history.replaceState(null, "", rest === "" ? "#" : rest);
  }
  const kept = token ?? sessionStorage.getItem(TOKEN);
  return kept === null ? undefined : new PageServer(kept);
}

/** Before any view is there, for the address is that of what is in the page. */
function sharedOfPage(): { readonly opened?: OpenedFile; readonly problem?: string } {
  try {
    const opened = openShared();
    return opened ? { opened } : {};
  } catch (error) {
    return { problem: (error as Error).message };
  }
}

interface PageProviderProps {
  /** The one that the page came from. */
  readonly from: PageServer | undefined;
  readonly children: ReactNode;
}

export function PageProvider({ from, children }: PageProviderProps) {
  const [server, setServer] = useState(from);
  const [about, setAbout] = useState<PageAbout>();
  const [problem, setProblem] = useState<ServerError>();
  const [shared] = useState(sharedOfPage);
  const [opened, setOpened] = useState<OpenedFile | undefined>(shared.opened);
  const [lab, setLab] = useState<OpenedLab>();
  const [notices, setNotices] = useState<readonly Notice[]>([]);

  const dismiss = useCallback((notice: Notice) => {
    setNotices((all) => all.filter((one) => one !== notice));
  }, []);
  const say = useCallback<Page["say"]>(
    (text, tone = "plain", undo = undefined) => {
      const notice: Notice = { number: Math.random(), text, tone, undo };
      // Once is enough, and three at once.
      setNotices((all) => [...all.filter((one) => one.text !== text).slice(-2), notice]);
      // What went wrong stays until it was read.
      if (tone !== "bad") setTimeout(() => dismiss(notice), NOTICE_MS);
    },
    [dismiss],
  );
  const opening = useRef<Promise<void>>(Promise.resolve());
  const open = useCallback(
    (file: File) => {
      const read = async (): Promise<void> => {
        try {
          const found = await openFile(file);
          if (found.kind === "lab") setLab(found);
          else setOpened(found);
        } catch (error) {
          say(`${file.name} cannot be shown: ${(error as Error).message}`, "bad");
        }
      };
      // One after another: what was opened last is what is shown, also if another one took longer to read.
      opening.current = opening.current.then(read);
      return opening.current;
    },
    [say],
  );

  useEffect(() => {
    if (shared.problem !== undefined)
      say(`what is in this page cannot be shown: ${shared.problem}`, "bad");
  }, [shared, say]);
  useEffect(() => {
    // The URL that a server printed, pasted into the tab of one before it, loads nothing anew.
    const arrive = (): void => {
      if (!TOKEN_PATTERN.test(location.hash)) return;
      setProblem(undefined);
      setServer(serverOfAddress());
    };
    addEventListener("hashchange", arrive);
    return () => removeEventListener("hashchange", arrive);
  }, []);
  useEffect(() => {
    if (server || !isServed()) return;
    // Whoever lost the token is told so. A page that is merely kept somewhere else has no server that would say that.
    new PageServer("").ask("GET", "/api/about").catch((refused: ServerError) => {
      if (refused.code === "UNAUTHORIZED") setProblem(refused);
    });
  }, [server]);
  useEffect(() => {
    if (!server) return;
    let isOver = false;
    let stopListening = (): void => {};
    const ask = async (): Promise<PageAbout> => {
      const found = await server.ask<PageAbout>("GET", "/api/about");
      // What is seen first depends on what is in the file.
      if (found.kind === "file") {
        const bytes = await server.bytes("GET", "/api/file");
        if (!isOver) await open(new File([bytes], found.title));
      }
      if (!isOver) setAbout(found);
      document.title = `${found.title} · Tidemark`;
      return found;
    };
    const begin = async (): Promise<void> => {
      const { kind } = await ask();
      if (kind !== "file" && !isOver)
        stopListening = listenForChanges(server, () => ask().catch(() => {}));
    };
    begin().catch(setProblem);
    return () => {
      isOver = true;
      stopListening();
    };
  }, [server, open]);

  const page = useMemo<Page>(
    () => ({ server, about, problem, opened, lab, open, show: setOpened, say, notices, dismiss }),
    [server, about, problem, opened, lab, open, say, notices, dismiss],
  );
  return <Context value={page}>{children}</Context>;
}

/** A system may be started, and end, while the page is open: then something else is served. */
function listenForChanges(server: PageServer, changed: () => void): () => void {
  const lifeOf = (): string => {
    const { value, problem } = server.told("status");
    return problem === undefined ? `${value?.startedAtMs}` : "down";
  };
  let life = "undefined";
  return server.listen("status", () => {
    const now = lifeOf();
    if (now !== life) changed();
    life = now;
  });
}

const NOTHING: Told<never> = { value: undefined, problem: undefined, missed: 0 };

/** What the server tells of a topic, as long as somebody looks. */
export function useTopic<K extends PageTopic>(topic: K): Told<PageTopics[K]> {
  const { server } = usePage();
  const subscribe = useCallback(
    (listener: () => void) => server?.listen(topic, listener) ?? (() => {}),
    [server, topic],
  );
  return useSyncExternalStore(subscribe, () => server?.told(topic) ?? NOTHING);
}

/** What became of a question. */
export interface Asked<T> {
  readonly value: T | undefined;
  readonly problem: ServerError | undefined;
  readonly isAsking: boolean;
  /** Asks once more; what there is stays until the answer is there. */
  again(): void;
}

/** Asks the server by GET whenever the path is another one; undefined: asks nothing. */
export function useAsk<T>(path: string | undefined): Asked<T> {
  const { server } = usePage();
  const [answer, setAnswer] = useState<
    { path: string; value?: T; problem?: ServerError } | undefined
  >(undefined);
  const [count, setCount] = useState(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a higher count asks once more
  useEffect(() => {
    if (path === undefined || !server) return;
    let isOver = false;
    server.ask<T>("GET", path).then(
      (value) => !isOver && setAnswer({ path, value }),
      (problem: ServerError) => !isOver && setAnswer({ path, problem }),
    );
    return () => {
      isOver = true;
    };
  }, [server, path, count]);
  const found = answer !== undefined && answer.path === path ? answer : undefined;
  return {
    value: found?.value,
    problem: found?.problem,
    isAsking: path !== undefined && server !== undefined && found === undefined,
    again: useCallback(() => setCount((before) => before + 1), []),
  };
}

/** The parts of the address behind `#/`, decoded: a view, and what it shows. */
export function useRoute(): readonly string[] {
  const subscribe = useCallback((listener: () => void) => {
    addEventListener("hashchange", listener);
    return () => removeEventListener("hashchange", listener);
  }, []);
  const hash = useSyncExternalStore(subscribe, () => location.hash);
  return useMemo(() => routeIn(hash), [hash]);
}

/** The same at this moment, for what was begun somewhere and has ended later. */
export const routeNow = (): readonly string[] => routeIn(location.hash);

const routeIn = (hash: string): readonly string[] =>
  hash
    .replace(/^#\/?/, "")
    .split("/")
    .filter((part) => part !== "")
    .map(decoded);

/** What somebody has cut off or typed may be no encoding of anything: then it stands for itself. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** An address in the page. */
export const hrefOf = (...parts: readonly string[]): string =>
  `#/${parts.map(encodeURIComponent).join("/")}`;

/** Goes there. */
export function goTo(...parts: readonly string[]): void {
  location.hash = hrefOf(...parts);
}
