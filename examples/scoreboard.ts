// A game whose scoreboard is a sorted set in a store of three replicas. docs/learn/replicas.md tells its story.
// Run: node examples/scoreboard.ts --help
import { setTimeout as pause } from "node:timers/promises";
import { type Options, runExample, until } from "./support/example.ts";
import { Lost, pairs, type Reply } from "./support/redis-client.ts";
import { Guest, type Replica, Replicas } from "./support/replicas.ts";
import { bar, cell, grouped, mark, paint, Screen, secondsText } from "./support/screen.ts";

const HELP = `Usage: node examples/scoreboard.ts [options]

Nine players score points at a store of three replicas, three players at each.
While they play a snapshot is taken, and a replica is killed and comes back; then
the store is restored to the snapshot, and they play on. All boards are compared
all the time.

  --seconds NUMBER  how long they play (default: 12)
  --kill REPLICA    who is killed: p1, p2 or p3 (default: p2)
  --port NUMBER     of the first replica; the others follow (default: 7379)
  --dir DIRECTORY   the store's; it is kept (default: one that is removed)
  --json            a line of JSON for each thing that happens
  -h, --help        this

While it runs: redis-cli -p 7381 ZRANGE board 0 -1 REV WITHSCORES

Exit status: 0; 1 if boards differ or a point is missing; 2 for a mistake in the
options; 130 if it was stopped with Ctrl-C.
`;

const PLAYERS = ["ada", "bea", "cleo", "dan", "eli", "fay", "gus", "hal", "ivy"];
/** Of each player, on average. */
const BETWEEN_POSTS_MS = 40;
const LOOK_EVERY_MS = 50;
/** Boards that are remembered, to be compared with those that others show later. */
const REMEMBERED = 10_000;

type Board = ReadonlyMap<string, number>;

class Player {
  readonly name: string;
  /** The place of the replica where this player is at home. */
  readonly home: number;
  /** What was on the board before. */
  before = 0;
  /** Points that the store has answered for. */
  answered = 0;
  /** And those that were on their way when a connection broke: they may count or not. */
  unsure = 0;
  posts = 0;
  unsurePosts = 0;

  constructor(name: string, home: number) {
    this.name = name;
    this.home = home;
  }

  get least(): number {
    return this.before + this.answered;
  }

  get most(): number {
    return this.least + this.unsure;
  }
}

class Game {
  readonly #replicas: Replicas;
  readonly players: readonly Player[] = PLAYERS.map((name, i) => new Player(name, i % 3));
  /** What each replica shows; undefined while it is away. */
  readonly boards: (Board | undefined)[] = [undefined, undefined, undefined];
  /** By the points of all, the board and whose it was. Points only grow: in one order, as many points are the same board. */
  readonly #seen = new Map<number, { readonly text: string; readonly by: number }>();
  compared = 0;
  different = 0;
  #isOn: boolean = false;
  #playing: Promise<unknown> = Promise.resolve();

  constructor(replicas: Replicas) {
    this.#replicas = replicas;
  }

  get posts(): number {
    return this.players.reduce((sum, { posts }) => sum + posts, 0);
  }

  /** All replicas are there, and show the same. */
  get isEqual(): boolean {
    const [first, ...others] = this.boards.map((board) => board && textOf(board));
    return first !== undefined && others.every((text) => text === first);
  }

  /** The points of each player are what the player knows of. */
  get isRight(): boolean {
    return this.boards.every((board) =>
      this.players.every(({ name, least, most }) => {
        const points = board?.get(name) ?? 0;
        return points >= least && points <= most;
      }),
    );
  }

  begin(): void {
    this.#isOn = true;
    this.#playing = Promise.all(this.players.map((player) => this.#play(player)));
  }

  /** When every answer is there. */
  async pause(): Promise<void> {
    this.#isOn = false;
    await this.#playing;
  }

  /** The board that all show is where players go on from. */
  goOn(): void {
    this.#seen.clear();
    for (const player of this.players) {
      player.before = this.boards[0]?.get(player.name) ?? 0;
      player.answered = 0;
      player.unsure = 0;
    }
  }

  async #play(player: Player): Promise<void> {
    const guest = new Guest(this.#replicas, player.home);
    while (this.#isOn) {
      const points = 1 + Math.floor(Math.random() * 9);
      try {
        const client = await guest.client();
        player.unsure += points;
        player.unsurePosts += 1;
        await client.ask("ZINCRBY", "board", points, player.name);
        player.unsure -= points;
        player.unsurePosts -= 1;
        player.answered += points;
        player.posts += 1;
      } catch (error) {
        if (!(error instanceof Lost)) throw error;
      }
      await pause(Math.random() * 2 * BETWEEN_POSTS_MS);
    }
    guest.leave();
  }

  /** Has a look at the board of each replica. */
  async look(): Promise<void> {
    await Promise.all(
      this.boards.map(async (_, i) => {
        const replies = await this.#replicas.look(i, [
          ["ZRANGE", "board", 0, -1, "REV", "WITHSCORES"],
        ]);
        const board = replies && boardIn(replies[0]);
        this.boards[i] = board;
        if (board) this.#compare(board, i);
      }),
    );
  }

  #compare(board: Board, by: number): void {
    const total = totalOf(board);
    const text = textOf(board);
    const seen = this.#seen.get(total);
    if (!seen) {
      this.#seen.set(total, { text, by });
      const [oldest] = this.#seen.keys();
      if (this.#seen.size > REMEMBERED && oldest !== undefined) this.#seen.delete(oldest);
    } else if (seen.text !== text) this.different += 1;
    else if (seen.by !== by) this.compared += 1;
  }

  close(): void {
    this.#isOn = false;
  }
}

const boardIn = (reply: Reply | undefined): Board =>
  new Map(pairs(reply).map(([name, points]) => [name, Number(points)]));

const textOf = (board: Board): string => JSON.stringify([...board]);
const totalOf = (board: Board): number => [...board.values()].reduce((sum, one) => sum + one, 0);

/** A row for each player, the best first, with the points as each replica has them. */
function tableOf(boards: readonly (Board | undefined)[], columns: number): string[] {
  const best = boards.find((board) => board !== undefined) ?? new Map();
  const most = Math.max(1, ...best.values());
  const wide = Math.max(10, Math.min(40, columns - 43));
  const row = (place: string, name: string, points: readonly string[], end = ""): string =>
    `${cell(place, 4)}  ${cell(name, 8, "left")}${points.join("")}${end && `  ${end}`}`;
  const heads = boards.map((board, i) =>
    board ? paint("dim", cell(`p${i + 1}`, 8)) : paint("red", cell(`p${i + 1} away`, 8)),
  );
  const rows = [...best].map(([name, points], i) => {
    const each = boards.map((board) => cell(board ? (board.get(name) ?? 0) : "·", 8));
    return row(String(i + 1), name, each, paint("cyan", bar(points / most, wide)));
  });
  return [row("", paint("dim", cell("player", 8, "left")), heads), ...rows];
}

async function run({ seconds, port, victim, dir, json }: Options, stop: AbortSignal) {
  const screen = new Screen({ json });
  screen.draw([paint("dim", "a store of three replicas is starting")]);
  const replicas = await Replicas.start(port, dir, stop);
  const game = new Game(replicas);
  let looking = true;
  const draw = () => screen.draw(pictureOf(game, screen));
  const watch = async () => {
    while (looking) {
      await game.look();
      draw();
      await pause(LOOK_EVERY_MS);
    }
  };
  const watching = watch();
  const play = (share: number) => pause(share * seconds * 1000, undefined, { signal: stop });
  const allEqual = (what: string) => until(`all show the same, ${what}`, stop, () => game.isEqual);
  const checks: { readonly right: boolean; readonly text: string }[] = [];
  try {
    await allEqual("at the start");
    game.goOn();
    const ports = replicas.all.map(({ id, port }) => `${id} at port ${port}`).join(", ");
    screen.begin();
    screen.note("started", `three replicas: ${ports}`, { ports: replicas.all });
    game.begin();
    screen.note("play", "nine players begin, three at each replica");
    await play(0.3);

    // A snapshot, while everybody plays: at least what was answered before, at most what was posted until after.
    const least = new Map(game.players.map(({ name, least }) => [name, least]));
    const postsBefore = game.posts;
    const asked = replicas.all[(victim + 1) % 3] as Replica;
    const snapshot = await replicas.snapshot(asked);
    const most = new Map(game.players.map(({ name, most }) => [name, most]));
    const during = game.posts - postsBefore;
    const saved = `BGSAVE at ${asked.id}: ${snapshot} has all three replicas, at one cut`;
    screen.note("snapshot", saved, { snapshot, postsMeanwhile: during });
    await play(0.15);

    const dead = replicas.all[victim] as Replica;
    const postsAtDeath = game.posts;
    const killedMs = performance.now();
    const pid = await replicas.kill(dead);
    const next = replicas.all[(victim + 1) % 3]?.id;
    screen.note("killed", `kill -9 ${pid}, which is ${dead.id}: its players go on at ${next}`, {
      ...{ replica: dead.id, pid },
    });
    await until(`${dead.id} is away`, stop, () => game.boards[victim] === undefined);
    await allEqual(`when ${dead.id} is back`);
    const awayMs = performance.now() - killedMs;
    const meanwhile = game.posts - postsAtDeath;
    const back = `${dead.id} is back after ${secondsText(awayMs)}, with the board that the others have`;
    screen.note("back", back, {
      replica: dead.id,
      awayMs: Math.round(awayMs),
      postsMeanwhile: meanwhile,
    });
    await play(0.3);

    const settle = async (event: string, text: string) => {
      await game.look();
      await allEqual("when nobody plays");
      screen.note(event, text, { board: Object.fromEntries(game.boards[0] ?? []) });
      screen.show(tableOf(game.boards, screen.columns));
    };
    await game.pause();
    await settle("pause", "everybody pauses");
    const rightBefore = game.isRight;
    const unsure = game.players.reduce((sum, { unsurePosts }) => sum + unsurePosts, 0);
    const answered = game.posts;

    screen.note("restoring", `TIDEMARK RESTORE ${snapshot}`, { snapshot });
    const epoch = await replicas.restore(snapshot);
    await settle("restored", `all three are back at ${snapshot}, in epoch ${epoch}`);
    const isSnapshot = [...game.boards].every((board) =>
      PLAYERS.every((name) => {
        const points = board?.get(name) ?? 0;
        return points >= (least.get(name) ?? 0) && points <= (most.get(name) ?? 0);
      }),
    );
    game.goOn();
    game.begin();
    screen.note("play", "they play on from there");
    await play(0.25);
    await game.pause();
    await settle("pause", "everybody pauses");

    const times = `${grouped(game.compared)} times`;
    checks.push(
      {
        right: game.different === 0 && game.compared > 0,
        text: `boards of as many points were the same, at all replicas: compared ${times}`,
      },
      {
        right: rightBefore && game.isRight,
        text: `every point that was answered is there: ${grouped(answered)} posts, and ${unsure} that had no answer`,
      },
      {
        right: isSnapshot,
        text: `${snapshot} has what was answered before BGSAVE, and nothing from after its end`,
      },
    );
  } finally {
    looking = false;
    game.close();
    await watching.catch(() => {});
    await replicas.stop();
  }
  const right = checks.every((check) => check.right);
  screen.end(
    checks.map((check) => `${mark(check.right)} ${check.text}`),
    { right, posts: game.posts, compared: game.compared, different: game.different },
  );
  return right;
}

function pictureOf(game: Game, screen: Screen): string[] {
  const head = `${paint("bold", "scoreboard")}  a sorted set at three replicas`;
  const posts = `${grouped(game.posts)} posts  ${cell(screen.seconds, 7)}`;
  const gap = " ".repeat(Math.max(1, screen.columns - 1 - 42 - posts.length));
  const same = `${mark(game.different === 0)} the same board wherever compared, ${grouped(game.compared)} times`;
  return [`${head}${gap}${posts}`, "", ...tableOf(game.boards, screen.columns), "", `    ${same}`];
}

await runExample(HELP, { seconds: 12 }, run);
