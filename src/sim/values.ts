/** Values of applications, whatever they are: as texts that tell any two apart, and copied. */

/** As arguments of one call, more would not fit the stack. */
const CHARACTERS_AT_ONCE = 8192;

/** A character for each byte. */
export function textOfBytes(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += CHARACTERS_AT_ONCE)
    text += String.fromCharCode(...bytes.subarray(at, at + CHARACTERS_AT_ONCE));
  return text;
}

/**
 * The same text for the same value, and another for any other: `null`, `undefined`, what is left out and `NaN` differ, and so do `0`
 * and `-0`, a date and its text. Of an object of a class it knows what can be listed of it, `toString` and `toJSON`.
 *
 * @param within the objects that it is in
 */
export function keyOf(value: unknown, within: object[] = []): string {
  if (typeof value === "string") return quoted(value);
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value !== "object" || value === null) return String(value);
  if (value instanceof Uint8Array) return `bytes ${value.length}:${textOfBytes(value)}`;
  if (within.includes(value)) return `^${within.indexOf(value)}`;
  within.push(value);
  const key = keyOfObject(value, within);
  within.pop();
  return key;
}

/** Its length says where it ends. */
const quoted = (text: string): string => `"${text.length}:${text}`;

function keyOfObject(value: object, within: object[]): string {
  let text = "";
  if (Array.isArray(value)) {
    for (let at = 0; at < value.length; at += 1)
      text += at in value ? `${keyOf(value[at], within)},` : ",";
    return `[${text}]`;
  }
  if (value instanceof Map) {
    for (const [key, one] of value) text += `${keyOf(key, within)}:${keyOf(one, within)},`;
    return `map{${text}}`;
  }
  if (value instanceof Set) {
    for (const one of value) text += `${keyOf(one, within)},`;
    return `set{${text}}`;
  }
  for (const name of Object.keys(value))
    text += `${quoted(name)}${keyOf((value as Record<string, unknown>)[name], within)},`;
  if (isPlain(value)) return `{${text}}`;
  const { constructor: made, toJSON } = value as { readonly toJSON?: unknown } & object;
  const json = typeof toJSON === "function" ? keyOf(toJSON.call(value), within) : "";
  return `${made?.name} ${quoted(String(value))} ${json}{${text}}`;
}

/**
 * A copy of lists, maps, sets, bytes and plain objects, all through. What is of another class stays the same object.
 *
 * @param copies by what they were made of
 */
export function copyOfData<T>(value: T, copies: Map<unknown, unknown> = new Map()): T {
  const known = copies.get(value);
  if (known !== undefined) return known as T;
  const kept = <C>(copy: C): C => {
    copies.set(value, copy);
    return copy;
  };
  const data: unknown = value;
  let copy = data;
  if (Array.isArray(data)) {
    const list = kept(new Array<unknown>(data.length));
    // What was left out stays so.
    data.forEach((one, at) => {
      list[at] = copyOfData(one, copies);
    });
    copy = list;
  } else if (data instanceof Map) {
    const map = kept(new Map<unknown, unknown>());
    for (const [key, one] of data) map.set(copyOfData(key, copies), copyOfData(one, copies));
    copy = map;
  } else if (data instanceof Set) {
    const set = kept(new Set<unknown>());
    for (const one of data) set.add(copyOfData(one, copies));
    copy = set;
  } else if (data instanceof Uint8Array) copy = kept(Uint8Array.prototype.slice.call(data));
  else if (typeof data === "object" && data !== null && isPlain(data)) {
    const object = kept(Object.create(Object.getPrototypeOf(data)) as Record<string, unknown>);
    // Not an assignment: one name would be taken for the prototype.
    for (const [name, one] of Object.entries(data))
      Object.defineProperty(object, name, {
        ...{ value: copyOfData(one, copies), writable: true, enumerable: true, configurable: true },
      });
    copy = object;
  }
  return copy as T;
}

function isPlain(value: object): boolean {
  const made: unknown = Object.getPrototypeOf(value);
  return made === null || made === Object.prototype;
}
