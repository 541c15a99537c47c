/** Finds the files of src that nothing leads to and the exports that nobody uses. */
import { type Files, type Module, parseModules, resolve } from "./modules.ts";

/** Files that no import leads to from `roots`: the public doors, the bin and child-process entries. */
export function deadFiles(files: Files, roots: readonly string[]): readonly string[] {
  const modules = parseModules(files);
  const alive = new Set<string>();
  const waiting = [...roots];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const module = modules.get(path);
    if (module === undefined || alive.has(path)) continue;
    alive.add(path);
    for (const { specifier } of module.imports) {
      const target = resolve(path, specifier);
      if (target !== undefined) waiting.push(target);
    }
  }
  return [...modules.keys()]
    .filter((path) => !alive.has(path))
    .map(
      (path) => `${path}: no public door, bin or child process leads to it; import it or delete it`,
    );
}

/**
 * Exports of src that no other file of src imports and no door passes on. Two kinds are alive all
 * the same: a type that its own module uses, for it is part of the shape of something exported, and
 * a value that its own module uses and a test, bench or example (`users`) imports.
 */
export function deadExports(
  files: Files,
  doors: readonly string[],
  users: Files,
): readonly string[] {
  const modules = parseModules(files);
  const inSource = new Usage(modules);
  for (const door of doors) inSource.use(door, "*");
  for (const module of modules.values()) inSource.useImportsOf(module);
  const inTests = new Usage(modules);
  for (const module of parseModules(users).values()) inTests.useImportsOf(module);

  const dead: string[] = [];
  for (const { path, exports, uses } of modules.values()) {
    for (const { name, isType, line, from } of exports) {
      if (name === "*" || inSource.has(path, name)) continue;
      const usedHere = from === undefined && (uses.get(name) ?? 0) > 1;
      if (usedHere && (isType || inTests.has(path, name))) continue;
      dead.push(
        `${path}:${line}: nothing uses the export "${name}"; ` +
          (usedHere ? "drop the word export" : "delete it"),
      );
    }
  }
  return dead;
}

/** Which exports are in use, followed through modules that only pass them on. */
class Usage {
  readonly #modules: ReadonlyMap<string, Module>;
  readonly #used = new Set<string>();

  constructor(modules: ReadonlyMap<string, Module>) {
    this.#modules = modules;
  }

  has(path: string, name: string): boolean {
    return this.#used.has(`${path} ${name}`);
  }

  useImportsOf(module: Module): void {
    for (const { specifier, names } of module.imports) {
      const target = resolve(module.path, specifier);
      if (target === undefined) continue;
      for (const name of names) this.use(target, name);
    }
  }

  use(path: string, name: string): void {
    const module = this.#modules.get(path);
    if (module === undefined || this.has(path, name)) return;
    this.#used.add(`${path} ${name}`);
    const own = module.exports.some((entry) => entry.name === name);
    for (const entry of module.exports) {
      if (name === "*" && entry.name !== "*") this.use(path, entry.name);
      const passedOn = entry.name === name || (entry.name === "*" && !own);
      const target = entry.from && resolve(path, entry.from.specifier);
      if (!passedOn || entry.from === undefined || target === undefined) continue;
      this.use(target, entry.name === "*" ? name : entry.from.name);
    }
  }
}
