/** The table of all commands: what there is, and what `COMMAND` tells of it. */

import { CommandTable } from "./command.ts";
import { aclCommands } from "./commands/acl.ts";
import { bitCommands } from "./commands/bits.ts";
import { connectionCommands } from "./commands/connection.ts";
import { hashCommands } from "./commands/hashes.ts";
import { introspectionCommands } from "./commands/introspection.ts";
import { keyCommands } from "./commands/keys.ts";
import { listCommands } from "./commands/lists.ts";
import { pubsubCommands } from "./commands/pubsub.ts";
import { serverCommands } from "./commands/server.ts";
import { setCommands } from "./commands/sets.ts";
import { sortCommands } from "./commands/sort.ts";
import { sortedSetCommands } from "./commands/sorted-sets.ts";
import { stringCommands } from "./commands/strings.ts";
import { tidemarkCommands } from "./commands/tidemark.ts";

export const commandTable: CommandTable = new CommandTable([
  ...stringCommands,
  ...keyCommands,
  ...listCommands,
  ...hashCommands,
  ...setCommands,
  ...sortedSetCommands,
  ...bitCommands,
  ...sortCommands,
  ...connectionCommands,
  ...pubsubCommands,
  ...introspectionCommands,
  ...serverCommands,
  ...aclCommands,
  ...tidemarkCommands,
]);
