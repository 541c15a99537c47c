/** What a process may keep at the most, whatever a peer sends: checked between any two of its turns. */

import type { LinkState } from "../../src/link/link.ts";
import type { ProcessState } from "../../src/process/process.ts";
import { COLOUR_MAX } from "../../src/snapshot/lai-yang.ts";

export interface Bounds {
  readonly processes: number;
  readonly windowBytes: number;
  readonly limitBytes: number;
  readonly maxFrameBytes: number;
}

/** Says what is beyond its bound; nothing if all is well. */
export function beyondBounds(
  { snapshots, collections, links }: ProcessState,
  { processes, windowBytes, limitBytes, maxFrameBytes }: Bounds,
): string | undefined {
  const sizes: [string, number, number][] = [
    ["recordings", snapshots.recordings.size, 1_024],
    ["snapshots in the colour", snapshots.colour.length, COLOUR_MAX],
    ["initiators", snapshots.over.size, processes],
    ["collections", collections.collections.size, 100],
    ["links", links.length, processes - 1],
  ];
  for (const [initiator, { ended }] of snapshots.over)
    sizes.push([`tombstones of ${initiator}`, ended.size, 4_096]);
  const linkSizes = (name: string, link: LinkState): void => {
    const queued = link.givenBytes - link.ackedBytes;
    sizes.push(
      [`early batches of ${name}`, link.early.size, 1_024],
      [`early bytes of ${name}`, link.earlyBytes, 2 * windowBytes + maxFrameBytes],
      [`bytes for ${name}`, queued, limitBytes + maxFrameBytes],
      [
        `untaken bytes of ${name}`,
        link.receivedBytes - link.takenBytes,
        4 * windowBytes + 2 * maxFrameBytes,
      ],
    );
  };
  for (const { peer, channel, control } of links) {
    linkSizes(`${peer}'s channel`, channel);
    linkSizes(`${peer}'s control`, control);
  }
  const beyond = sizes.find(([, size, most]) => size > most);
  return beyond && `${beyond[0]}: ${beyond[1]}, at the most ${beyond[2]} are right`;
}
