/** The value behind `LPUSH`. */

import type { Aggregate } from "../value.ts";

export class List implements Aggregate {
  readonly type = "list";
  readonly encoding = "quicklist";
  readonly version: number;
  readonly elements: string[];

  constructor(version: number, elements: string[] = []) {
    this.version = version;
    this.elements = elements;
  }

  get length(): number {
    return this.elements.length;
  }

  get memoryBytes(): number {
    return this.elements.length * 32;
  }

  clone(version: number): List {
    return new List(version, [...this.elements]);
  }

  encode(): unknown {
    return this.elements;
  }

  static decode(image: unknown, version: number): List {
    return new List(version, [...(image as string[])]);
  }
}
