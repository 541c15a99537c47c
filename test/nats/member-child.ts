/** A member in an operating-system process of its own, to be killed. */
import { Membership } from "../../src/nats/members.ts";

const membership = await Membership.open({
  place: { servers: process.argv[2] as string, prefix: "shop", replicas: 1 },
  id: "a",
  configuration: {
    system: "shop/main.ä",
    processes: ["a", "b.1"],
    agreed: [{ what: "engine", value: "sequencer" }],
  },
  version: "1.2.3",
  renewMs: 50,
  onProblem: (problem) => {
    throw problem;
  },
});
membership.present(async () => ({ up: true }));
