/**
 * The value behind `LPUSH`: a list in chunks, so that both ends are near, the middle is found by walking chunks and not elements, and a
 * change while a snapshot is taken copies one chunk.
 */

import type { Aggregate } from "../value.ts";

const CHUNK_ELEMENTS = 128;
/** Of an element, beside its text. */
const ELEMENT_BYTES = 24;

interface Chunk {
  readonly version: number;
  readonly elements: string[];
}

/** See the head of the file. There are no empty chunks. */
export class List implements Aggregate {
  readonly type = "list";
  readonly encoding = "quicklist";
  readonly version: number;
  readonly #chunks: Chunk[];
  #length: number;

  constructor(version: number, chunks: Chunk[] = [], length: number = 0) {
    this.version = version;
    this.#chunks = chunks;
    this.#length = length;
  }

  get length(): number {
    return this.#length;
  }

  get memoryBytes(): number {
    let bytes = 0;
    for (const { elements } of this.#chunks)
      for (const element of elements) bytes += ELEMENT_BYTES + element.length;
    return bytes;
  }

  push(element: string, atHead: boolean): void {
    const chunks = this.#chunks;
    let at = atHead ? 0 : chunks.length - 1;
    if (chunks.length === 0 || (chunks[at] as Chunk).elements.length >= CHUNK_ELEMENTS) {
      const chunk = { version: this.version, elements: [] };
      if (atHead) chunks.unshift(chunk);
      else chunks.push(chunk);
      at = atHead ? 0 : chunks.length - 1;
    }
    const elements = this.#own(at);
    if (atHead) elements.unshift(element);
    else elements.push(element);
    this.#length += 1;
  }

  pop(fromHead: boolean): string | undefined {
    if (this.#length === 0) return undefined;
    const at = fromHead ? 0 : this.#chunks.length - 1;
    const elements = this.#own(at);
    const element = fromHead ? elements.shift() : elements.pop();
    if (elements.length === 0) this.#chunks.splice(at, 1);
    this.#length -= 1;
    return element;
  }

  /** @param index from 0, less than the length */
  get(index: number): string | undefined {
    const [chunk, at] = this.#find(index);
    return this.#chunks[chunk]?.elements[at];
  }

  set(index: number, element: string): void {
    const [chunk, at] = this.#find(index);
    this.#own(chunk)[at] = element;
  }

  /** Before what is there now. */
  insert(index: number, element: string): void {
    if (index >= this.#length) {
      this.push(element, false);
      return;
    }
    const [chunk, at] = this.#find(index);
    const elements = this.#own(chunk);
    elements.splice(at, 0, element);
    this.#length += 1;
    if (elements.length <= 2 * CHUNK_ELEMENTS) return;
    const rest = elements.splice(CHUNK_ELEMENTS);
    this.#chunks.splice(chunk + 1, 0, { version: this.version, elements: rest });
  }

  /** Removes elements that are equal to one: at most so many, from that end. Gives how many. */
  remove(element: string, limit: number, fromHead: boolean): number {
    let removed = 0;
    const chunks = this.#chunks;
    for (
      let chunk = fromHead ? 0 : chunks.length - 1;
      chunk >= 0 && chunk < chunks.length && removed < limit;
      chunk += fromHead ? 1 : -1
    ) {
      const { elements } = chunks[chunk] as Chunk;
      if (!elements.includes(element)) continue;
      const kept: string[] = [];
      for (let i = 0; i < elements.length; i += 1) {
        const one = elements[fromHead ? i : elements.length - 1 - i] as string;
        if (removed < limit && one === element) removed += 1;
        else kept.push(one);
      }
      if (!fromHead) kept.reverse();
      chunks[chunk] = { version: this.version, elements: kept };
    }
    if (removed > 0) this.#dropEmpty();
    this.#length -= removed;
    return removed;
  }

  /** Keeps the elements from one index up to before another. */
  trim(start: number, end: number): void {
    let at = 0;
    for (let chunk = 0; chunk < this.#chunks.length; chunk += 1) {
      const { elements } = this.#chunks[chunk] as Chunk;
      const { length } = elements;
      const from = Math.max(0, start - at);
      const to = Math.min(length, end - at);
      if (from > 0 || to < length)
        this.#chunks[chunk] = {
          version: this.version,
          elements: from < to ? elements.slice(from, to) : [],
        };
      at += length;
    }
    this.#dropEmpty();
    this.#length = Math.max(0, Math.min(end, this.#length) - start);
  }

  /** The elements from one index up to before another. */
  range(start: number, end: number): string[] {
    const found: string[] = [];
    let [chunk, at] = this.#find(start);
    while (found.length < end - start) {
      const elements = this.#chunks[chunk]?.elements;
      if (!elements) break;
      for (; at < elements.length && found.length < end - start; at += 1)
        found.push(elements[at] as string);
      chunk += 1;
      at = 0;
    }
    return found;
  }

  /** The indexes at which an element stands, from that end on. */
  *find(element: string, fromHead: boolean, lookedAt: number): IterableIterator<number> {
    const chunks = this.#chunks;
    let left = lookedAt;
    let before = fromHead ? 0 : this.#length;
    for (let i = 0; i < chunks.length; i += 1) {
      const { elements } = chunks[fromHead ? i : chunks.length - 1 - i] as Chunk;
      if (!fromHead) before -= elements.length;
      for (let j = 0; j < elements.length; j += 1) {
        if (left === 0) return;
        left -= 1;
        const at = fromHead ? j : elements.length - 1 - j;
        if (elements[at] === element) yield before + at;
      }
      if (fromHead) before += elements.length;
    }
  }

  clone(version: number): List {
    return new List(version, [...this.#chunks], this.#length);
  }

  encode(): unknown {
    return this.#chunks.map(({ elements }) => elements);
  }

  static decode(image: unknown, version: number): List {
    const chunks = (image as string[][]).map((elements) => ({ version, elements: [...elements] }));
    return new List(
      version,
      chunks,
      chunks.reduce((sum, { elements }) => sum + elements.length, 0),
    );
  }

  /** The chunk of an index, and where in it; behind the last one for one that is too large. */
  #find(index: number): readonly [chunk: number, at: number] {
    const chunks = this.#chunks;
    if (index > this.#length / 2) {
      let end = this.#length;
      for (let chunk = chunks.length - 1; chunk >= 0; chunk -= 1) {
        const { length } = (chunks[chunk] as Chunk).elements;
        end -= length;
        if (index >= end) return index - end < length ? [chunk, index - end] : [chunks.length, 0];
      }
    }
    let rest = index;
    for (let chunk = 0; chunk < chunks.length; chunk += 1) {
      const { length } = (chunks[chunk] as Chunk).elements;
      if (rest < length) return [chunk, rest];
      rest -= length;
    }
    return [chunks.length, 0];
  }

  #own(index: number): string[] {
    const chunk = this.#chunks[index] as Chunk;
    if (chunk.version === this.version) return chunk.elements;
    const own = { version: this.version, elements: [...chunk.elements] };
    this.#chunks[index] = own;
    return own.elements;
  }

  #dropEmpty(): void {
    const chunks = this.#chunks;
    let kept = 0;
    for (const chunk of chunks) {
      if (chunk.elements.length === 0) continue;
      chunks[kept] = chunk;
      kept += 1;
    }
    chunks.length = kept;
  }
}
