/** The rooms of src and which may import which. Arrows point down only. */
import { type Files, type Import, parseModules, resolve } from "./modules.ts";

export interface Room {
  /** The rooms, or single files, it may import; `anything` is every room, door and package. */
  readonly mayImport: readonly string[] | "anything";
  /** A pure room does no I/O: it may import no package and nothing of Node. */
  readonly pure: boolean;
}

const library = [
  ...["core", "link", "snapshot", "multicast", "trace", "detect", "process", "kv", "bank", "sim"],
  ...["runtime", "nats"],
];

export const rooms: Readonly<Record<string, Room>> = {
  core: { pure: true, mayImport: [] },
  link: { pure: true, mayImport: ["core"] },
  snapshot: { pure: true, mayImport: ["core"] },
  multicast: { pure: true, mayImport: ["core"] },
  trace: { pure: true, mayImport: ["core"] },
  process: { pure: true, mayImport: ["core", "link", "snapshot", "multicast"] },
  detect: { pure: true, mayImport: ["core", "process", "snapshot", "trace"] },
  kv: { pure: true, mayImport: ["core", "process"] },
  bank: { pure: true, mayImport: ["core", "process"] },
  sim: { pure: true, mayImport: ["core", "link", "process", "snapshot", "trace"] },
  runtime: { pure: false, mayImport: ["core", "detect", "process", "snapshot", "trace"] },
  nats: {
    pure: false,
    mayImport: [
      ...["core", "process", "snapshot"],
      ...[
        "runtime/transport.ts",
        "runtime/snapshot-store.ts",
        "runtime/manifest-file.ts",
        "runtime/stream-transport.ts",
        "runtime/shared-read.ts",
        "runtime/order-log.ts",
      ],
    ],
  },
  serve: { pure: false, mayImport: library },
  cli: { pure: false, mayImport: "anything" },
};

/** Every import in src that the table forbids, one line each. */
export function badImports(files: Files, dependencies: readonly string[]): readonly string[] {
  const bad: string[] = [];
  for (const module of parseModules(files).values()) {
    const [top, name = "", below] = module.path.split("/");
    if (top === "web") {
      bad.push(...badImportsOfPage(module, dependencies));
      continue;
    }
    const door = below === undefined;
    const room = rooms[name];
    if (!door && room === undefined) {
      bad.push(`${module.path}: "${name}" is not a room; the rooms are in test/house/rooms.ts`);
      continue;
    }
    for (const { specifier, line } of module.imports) {
      const target = resolve(module.path, specifier);
      const rule =
        target === undefined
          ? packageRule(specifier, door ? undefined : room, dependencies)
          : door
            ? doorRule(target)
            : roomRule(name, room, target);
      if (rule !== undefined)
        bad.push(`${module.path}:${line}: imports "${specifier}", but ${rule}`);
    }
  }
  return bad;
}

/** The page runs in a browser: it may import pure rooms and packages, and of what is said to its server the types. */
const PAGE_TYPES: readonly string[] = ["src/serve/web/api.ts", "src/serve/system-methods.ts"];

function badImportsOfPage(
  { path, imports }: { readonly path: string; readonly imports: readonly Import[] },
  dependencies: readonly string[],
): readonly string[] {
  return imports.flatMap(({ specifier, line }) => {
    const target = resolve(path, specifier);
    const at = `${path}:${line}: imports "${specifier}", but`;
    if (target === undefined) {
      if (specifier.startsWith("node:")) return [`${at} a browser has nothing of Node`];
      return packageRule(specifier, undefined, dependencies) === undefined
        ? []
        : [`${at} it is not among the dependencies of package.json`];
    }
    const [top, room = ""] = target.split("/");
    const isRight = top === "web" || (top === "src" && rooms[room]?.pure === true);
    return isRight || PAGE_TYPES.includes(target)
      ? []
      : [`${at} the page may import only pure rooms, and types of ${PAGE_TYPES.join(" and ")}`];
  });
}

function packageRule(
  specifier: string,
  room: Room | undefined,
  dependencies: readonly string[],
): string | undefined {
  if (room?.pure === true) return "a pure room imports no package and nothing of Node";
  if (specifier.startsWith("node:")) return undefined;
  if (/^tidemark(\/|$)/.test(specifier)) return "src imports its own files by relative path";
  const name = specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
  return dependencies.includes(name)
    ? undefined
    : `"${name}" is not among the dependencies of package.json (built-ins are written node:…)`;
}

function doorRule(target: string): string | undefined {
  if (!target.startsWith("src/")) return "src imports only from src";
  return target.startsWith("src/cli/") ? "a public door may not import cli" : undefined;
}

function roomRule(name: string, room: Room | undefined, target: string): string | undefined {
  if (!target.startsWith("src/")) return "src imports only from src";
  const inside = target.slice("src/".length);
  const other = inside.split("/")[0] ?? "";
  const allowed = room?.mayImport ?? [];
  if (other === name || allowed === "anything") return undefined;
  if (allowed.includes(other) || allowed.includes(inside)) return undefined;
  return `${name} may import ${allowed.length === 0 ? "no other room" : `only ${allowed.join(", ")}`}`;
}
