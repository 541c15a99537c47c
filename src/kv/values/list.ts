/**
 * The value behind `LPUSH`: a list in chunks, so that both ends are near, the middle is found by walking chunks and not elements, and a
 * change while a snapshot is taken copies one chunk.
 */

import { type Item, type ItemReader, PART } from "../items.ts";
import type { Aggregate } from "../value.ts";

/** A chunk takes no more elements, at an end, if it has so many, or so many bytes. */
const CHUNK_ELEMENTS = 128;
const CHUNK_BYTES = 64 * 1024;
/** Of an element, beside its text. */
const ELEMENT_BYTES = 24;

interface Chunk {
  readonly version: number;
  readonly elements: string[];
  /** Of all its elements, with what each takes beside its text. */
  bytes: number;
}

const bytesOf = (element: string): number => ELEMENT_BYTES + element.length;

function chunkOf(version: number, elements: string[]): Chunk {
  let bytes = 0;
  for (const element of elements) bytes += bytesOf(element);
  return { version, elements, bytes };
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
    return this.#chunks.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  push(element: string, atHead: boolean): void {
    const chunks = this.#chunks;
    const last = chunks[atHead ? 0 : chunks.length - 1];
    if (!last || last.elements.length >= CHUNK_ELEMENTS || last.bytes >= CHUNK_BYTES) {
      const chunk = { version: this.version, elements: [], bytes: 0 };
      if (atHead) chunks.unshift(chunk);
      else chunks.push(chunk);
    }
    const chunk = this.#own(atHead ? 0 : chunks.length - 1);
    if (atHead) chunk.elements.unshift(element);
    else chunk.elements.push(element);
    chunk.bytes += bytesOf(element);
    this.#length += 1;
  }

  pop(fromHead: boolean): string | undefined {
    if (this.#length === 0) return undefined;
    const at = fromHead ? 0 : this.#chunks.length - 1;
    const chunk = this.#own(at);
    const element = (fromHead ? chunk.elements.shift() : chunk.elements.pop()) as string;
    chunk.bytes -= bytesOf(element);
    if (chunk.elements.length === 0) {
      if (fromHead) this.#chunks.shift();
      else this.#chunks.pop();
    }
    this.#length -= 1;
    return element;
  }

  /** @param index from 0, less than the length */
  get(index: number): string | undefined {
    const [chunk, at] = this.#find(index);
    return this.#chunks[chunk]?.elements[at];
  }

  set(index: number, element: string): void {
    const [place, at] = this.#find(index);
    const chunk = this.#own(place);
    chunk.bytes += bytesOf(element) - bytesOf(chunk.elements[at] as string);
    chunk.elements[at] = element;
  }

  /** Before what is there now. */
  insert(index: number, element: string): void {
    if (index >= this.#length) {
      this.push(element, false);
      return;
    }
    const [place, at] = this.#find(index);
    const chunk = this.#own(place);
    const { elements } = chunk;
    elements.splice(at, 0, element);
    chunk.bytes += bytesOf(element);
    this.#length += 1;
    const isFull = elements.length > CHUNK_ELEMENTS || chunk.bytes > CHUNK_BYTES;
    if (!isFull || elements.length === 1) return;
    // In halves, so that more has room there.
    const rest = chunkOf(this.version, elements.splice(elements.length >>> 1));
    chunk.bytes -= rest.bytes;
    this.#chunks.splice(place + 1, 0, rest);
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
      chunks[chunk] = chunkOf(this.version, kept);
    }
    if (removed > 0) this.#dropEmpty();
    this.#length -= removed;
    return removed;
  }

  /** Keeps the elements from one index up to before another. */
  trim(start: number, end: number): void {
    const chunks = this.#chunks;
    const to = Math.min(end, this.#length);
    if (start >= to) {
      chunks.length = 0;
      this.#length = 0;
      return;
    }
    // The end first: so the chunks before it stay where they are.
    const [last, lastAt] = this.#find(to - 1);
    chunks.length = last + 1;
    this.#keep(last, 0, lastAt + 1);
    this.#length = to;
    const [first, firstAt] = this.#find(start);
    this.#keep(first, firstAt, Number.POSITIVE_INFINITY);
    if (first > 0) chunks.splice(0, first);
    this.#length = to - start;
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

  get elements(): number {
    return this.#length;
  }

  *items(): Generator<Item> {
    let isFirst = true;
    for (const { elements } of this.#chunks) {
      if (!isFirst) yield PART;
      isFirst = false;
      yield* elements;
    }
  }

  static decode(items: ItemReader, version: number): List {
    const chunks: Chunk[] = [];
    let elements: string[] = [];
    let length = 0;
    for (let item = items.next(); item !== undefined; item = items.next()) {
      if (item === PART) {
        chunks.push(chunkOf(version, elements));
        elements = [];
        continue;
      }
      elements.push(item as string);
      length += 1;
    }
    if (length > 0) chunks.push(chunkOf(version, elements));
    return new List(version, chunks, length);
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

  #own(index: number): Chunk {
    const chunk = this.#chunks[index] as Chunk;
    const { version } = this;
    if (chunk.version === version) return chunk;
    const own = { version, elements: [...chunk.elements], bytes: chunk.bytes };
    this.#chunks[index] = own;
    return own;
  }

  /** Of a chunk, only what stands from one place up to before another. */
  #keep(index: number, from: number, to: number): void {
    const { elements } = this.#chunks[index] as Chunk;
    if (from > 0 || to < elements.length)
      this.#chunks[index] = chunkOf(this.version, elements.slice(from, to));
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
