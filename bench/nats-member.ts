/**
 * The plain client: one process that publishes to a stream of JetStream and reads all of it, with what `@nats-io/jetstream` has for that and
 * nothing else. Its words: `each` message by itself or `batched`, the servers, the replicas, the name of the stream.
 */

import { type JetStreamClient, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { serveMember } from "./member.ts";

const [, , kind = "each", servers = "", replicas = "1", stream = "bench"] =
  process.argv as string[];

/** Publications that are not acknowledged, at the most: more of them bring no more. */
const UNDER_WAY = kind === "each" ? 512 : 16;
/** As much as goes into one packet of a group. */
const BATCH_BYTES = 16_000;

let client: JetStreamClient;
let self = "";
let received = 0;
let listener: ((message: Uint8Array) => void) | undefined;

const subject = `${stream}.log`;

/** Who sends stands in the last byte of each. */
const mark = (message: Uint8Array): Uint8Array => {
  message[message.length - 1] = Number(self.slice(1));
  return message;
};

async function publishOnAndOn(content: Uint8Array): Promise<never> {
  for (;;) await client.publish(subject, content);
}

serveMember({
  async open(id) {
    self = id;
    const connection = await connect({ servers: servers.split(",") });
    const manager = await jetstreamManager(connection);
    const settings = { name: stream, subjects: [subject], num_replicas: Number(replicas) };
    await manager.streams.add(settings);
    client = jetstream(connection);
    return id;
  },
  async connect() {
    const consumer = await client.consumers.get(stream, { filter_subjects: subject });
    await consumer.consume({
      max_messages: 1_000,
      callback: ({ data }) => {
        if (data[data.length - 1] === Number(self.slice(1))) return;
        received += kind === "each" ? 1 : Math.floor(data.length / 100);
        listener?.(data);
      },
    });
  },
  flood(message) {
    const many = kind === "each" ? 1 : Math.floor(BATCH_BYTES / message.length);
    const content = new Uint8Array(message.length * many).fill(7);
    for (let i = 0; i < UNDER_WAY; i += 1) void publishOnAndOn(mark(content));
  },
  received: () => received,
  send(message) {
    void client.publish(subject, mark(message.slice()));
  },
  listen(hear) {
    listener = hear;
  },
  snapshot: () => Promise.reject(new Error("a plain client takes no snapshot")),
});
