/**
 * The rules of the course once more, as plainly as they can be put: no machine of src, every link looked at in every tick, and the
 * algorithm of the 1985 paper by the book. What the simulator gives is compared with it.
 */

type Item = { readonly due: number; readonly tokens?: number; readonly snapshot?: number };

interface Taken {
  readonly tokens: Map<string, number>;
  /** By `FROM TO`, in order. */
  readonly messages: Map<string, number[]>;
  /** Links whose marker has come. */
  readonly closed: Set<string>;
}

const ascending = (names: Iterable<string>): string[] => [...names].sort();

/** See the head of the file. */
export class TokenModel {
  readonly balances: Map<string, number>;
  readonly trace: string[] = [];
  readonly #links = new Map<string, Item[]>();
  readonly #draw: () => number;
  readonly #taken: Taken[] = [];
  #time = 0;
  #told = -1;

  constructor(
    balances: ReadonlyMap<string, number>,
    links: Iterable<readonly [string, string]>,
    draw: () => number,
  ) {
    this.balances = new Map(balances);
    for (const [from, to] of links) this.#links.set(`${from} ${to}`, []);
    this.#draw = draw;
  }

  balance(server: string): number {
    return this.balances.get(server) ?? 0;
  }

  send(from: string, to: string, tokens: number): void {
    this.#tell(
      `${from} has ${this.balance(from)} token(s)`,
      `${from} sent ${tokens} tokens to ${to}`,
    );
    this.balances.set(from, this.balance(from) - tokens);
    this.#put(from, to, { tokens });
  }

  snapshot(server: string): void {
    const id = this.#taken.length;
    this.#tell(`${server} has ${this.balance(server)} token(s)`, `${server} startSnapshot(${id})`);
    this.#taken.push({ tokens: new Map(), messages: new Map(), closed: new Set() });
    this.#record(server, id);
    this.#tellIfDone(server, id);
  }

  tick(): void {
    this.#time += 1;
    for (const from of ascending(this.balances.keys())) {
      for (const to of this.#outgoing(from)) {
        const link = this.#link(from, to);
        const head = link.at(0);
        if (!head || head.due > this.#time) continue;
        link.shift();
        this.#receive(from, to, head);
        break;
      }
    }
  }

  /** Gives the blocks of all snapshots. */
  finish(): string[] {
    const open = (): boolean => this.#taken.some(({ closed }) => closed.size < this.#links.size);
    while (open()) this.tick();
    for (let i = 0; i < 6; i += 1) this.tick();
    return this.#taken.map(({ tokens, messages }, id) =>
      [
        id,
        ...ascending(tokens.keys()).map((server) => `${server} ${tokens.get(server)}`),
        ...ascending(this.balances.keys()).flatMap((from) =>
          this.#outgoing(from).flatMap((to) =>
            (messages.get(`${from} ${to}`) ?? []).map((n) => `${from} ${to} token(${n})`),
          ),
        ),
        "",
      ].join("\n"),
    );
  }

  #receive(from: string, to: string, { tokens, snapshot }: Item): void {
    if (tokens !== undefined) {
      this.#tell(
        `${to} has ${this.balance(to)} token(s)`,
        `${to} received ${tokens} tokens from ${from}`,
      );
      this.balances.set(to, this.balance(to) + tokens);
      for (const { tokens: recorded, messages, closed } of this.#taken) {
        const link = `${from} ${to}`;
        if (!recorded.has(to) || closed.has(link)) continue;
        messages.set(link, [...(messages.get(link) ?? []), tokens]);
      }
    } else if (snapshot !== undefined) {
      this.#tell(`${to} received marker(${snapshot}) from ${from}`);
      if (!this.#taken[snapshot]?.tokens.has(to)) this.#record(to, snapshot);
      this.#taken[snapshot]?.closed.add(`${from} ${to}`);
      this.#tellIfDone(to, snapshot);
    }
  }

  #record(server: string, snapshot: number): void {
    this.#taken[snapshot]?.tokens.set(server, this.balance(server));
    for (const to of this.#outgoing(server)) {
      this.#tell(`${server} sent marker(${snapshot}) to ${to}`);
      this.#put(server, to, { snapshot });
    }
  }

  #tellIfDone(server: string, snapshot: number): void {
    const incoming = [...this.#links.keys()].filter((link) => link.endsWith(` ${server}`));
    if (incoming.every((link) => this.#taken[snapshot]?.closed.has(link)))
      this.#tell(`${server} endSnapshot(${snapshot})`);
  }

  #put(from: string, to: string, content: Omit<Item, "due">): void {
    this.#link(from, to).push({ due: this.#time + 1 + this.#draw(), ...content });
  }

  #outgoing(from: string): string[] {
    return ascending(
      [...this.#links.keys()].flatMap((link) => {
        const [source, to = ""] = link.split(" ");
        return source === from ? [to] : [];
      }),
    );
  }

  #link(from: string, to: string): Item[] {
    return this.#links.get(`${from} ${to}`) ?? [];
  }

  #tell(...lines: readonly string[]): void {
    if (this.#told !== this.#time) this.trace.push(`Time ${this.#time}:`);
    this.#told = this.#time;
    this.trace.push(...lines.map((line) => `\t${line}`));
  }
}
