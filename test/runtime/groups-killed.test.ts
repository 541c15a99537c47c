// A member of a group over TCP is killed in the middle of multicasting at full load: those who live on agree.
import { test } from "vitest";
import { cases } from "../support/soak.ts";
import { killMembers } from "./group-deaths.ts";

test("who lives on agrees on what a member had sent that was killed", {
  timeout: 3_600_000,
}, async () => {
  await killMembers("groups-killed", cases("groups-killed", 2, 100));
});
