/** `ACL`: users, and what was denied to them. */

import { indexIn } from "../arguments.ts";
import { type Call, type Command, chosen, Refusal } from "../command.ts";
import type { Selector } from "../permissions.ts";
import type { User } from "../users.ts";
import { help } from "./help.ts";
import { CATEGORIES, everyCommand } from "./introspection.ts";

const NO_FILE =
  "ERR This store is not configured to use a file of users. You may want to start it with --users FILE";
const PASSWORD_BITS = 256;
const PASSWORD_BITS_MAX = 4096;
const LOGGED = 10;

function categories({ reply, server }: Call, args: readonly string[]): void {
  if (args.length > 3) throw new Refusal(wrongWords(args));
  const [, , category] = args;
  if (category === undefined) {
    reply.bulks(CATEGORIES);
    return;
  }
  const name = category.toLowerCase();
  if (!CATEGORIES.includes(name))
    throw new Refusal(`ERR Unknown category '${category.slice(0, 128)}'`);
  reply.bulks(
    [...everyCommand(server.commands)].filter(([, all]) => all.includes(name)).map(([one]) => one),
  );
}

const wrongWords = (args: readonly string[]): string =>
  `ERR unknown subcommand or wrong number of arguments for '${args[1]?.slice(0, 128)}'. Try ACL HELP.`;

function getUser({ reply, server }: Call, args: readonly string[]): void {
  const user = server.users.get(args[2] as string);
  if (!user) {
    reply.null();
    return;
  }
  const { flags, passwords, selectors } = user;
  const [root, ...others] = selectors;
  reply.map(6);
  reply.bulk("flags");
  reply.set(flags.length);
  for (const flag of flags) reply.bulk(flag);
  reply.bulk("passwords");
  reply.bulks(passwords);
  describe(root);
  reply.bulk("selectors");
  reply.array(others.length);
  for (const selector of others) {
    reply.map(3);
    describe(selector);
  }

  function describe({ commandRules, keyRules, channelRules }: Selector): void {
    for (const text of ["commands", commandRules, "keys", keyRules, "channels", channelRules])
      reply.bulk(text);
  }
}

function generatePassword({ reply, server }: Call, args: readonly string[]): void {
  if (args.length > 3) throw new Refusal(wrongWords(args));
  const bits = args.length > 2 ? indexIn(args[2]) : PASSWORD_BITS;
  if (bits <= 0 || bits > PASSWORD_BITS_MAX)
    throw new Refusal(
      `ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to ${PASSWORD_BITS_MAX}`,
    );
  reply.bulk(server.secret(Math.ceil(bits / 4)));
}

/** Whether a user could do something, without that it is done. */
function dryRun({ reply, server }: Call, args: readonly string[]): void {
  const user = server.users.get(args[2] as string);
  if (!user) throw new Refusal(`ERR User '${args[2]}' not found`);
  const words = args.slice(3);
  const found = server.command(words[0] as string);
  const isContainer = found?.subcommands !== undefined && words.length > 1;
  const named = words[1]?.toLowerCase();
  if (!found || (isContainer && !found.subcommands?.some(({ name }) => name === named)))
    throw new Refusal(`ERR Command '${words[0]}' not found`);
  const command = chosen(found, words);
  const denial = user.denial(command, words);
  if (!denial) {
    reply.ok();
    return;
  }
  const name = command === found ? found.name : `${found.name}|${command.name}`;
  reply.bulk(
    denial.reason === "command"
      ? `This user has no permissions to run the '${name}' command`
      : `This user has no permissions to access the '${words[denial.at]}' ${denial.reason}`,
  );
}

function log({ reply, server, nowMs }: Call, args: readonly string[]): void {
  if (args.length > 3) throw new Refusal(wrongWords(args));
  const { log: denied } = server.users;
  if (args[2]?.toUpperCase() === "RESET") {
    denied.clear();
    reply.ok();
    return;
  }
  const count = args[2] === undefined ? LOGGED : Math.max(0, indexIn(args[2]));
  const shown = denied.requests.slice(0, count);
  reply.array(shown.length);
  for (const { count: times, reason, context, object, user, atMs, client } of shown) {
    reply.map(7);
    reply.bulk("count");
    reply.integer(times);
    for (const text of ["reason", reason, "context", context, "object", object, "username", user])
      reply.bulk(text);
    reply.bulk("age-seconds");
    reply.double((nowMs - atMs) / 1000);
    reply.bulk("client-info");
    reply.bulk(client);
  }
}

const listed =
  (tell: (user: User) => string) =>
  ({ reply, server }: Call): void =>
    reply.bulks(server.users.all.map(tell));

/** Reads the file of users, or writes it. */
const filed =
  (what: "load" | "save") =>
  ({ reply, server }: Call): void => {
    if (!server.usersFile) throw new Refusal(NO_FILE);
    server.usersFile[what]();
    reply.ok();
  };

const PLAIN = ["noscript", "loading", "stale"] as const;
const ADMIN = ["admin", ...PLAIN] as const;

const of = (
  name: string,
  arity: number,
  flags: Command["flags"],
  summary: string,
  run: Command["run"],
  since: string = "6.0.0",
): Command => ({ name, arity, flags, group: "server", since, summary, run });

export const aclCommands: readonly Command[] = [
  {
    ...of("acl", -2, [], "A container for Access List Control commands", () => {}),
    subcommands: [
      of("cat", -2, PLAIN, "List the ACL categories or the commands inside a category", categories),
      of(
        ...(["deluser", -3, ADMIN] as const),
        "Remove the specified ACL users and the associated rules",
        ({ reply, server }, args) => reply.integer(server.users.delete(args.slice(2))),
      ),
      of(
        ...(["dryrun", -4, ADMIN] as const),
        "Returns whether the user can execute the given command without executing the command.",
        dryRun,
        "7.0.0",
      ),
      of(
        ...(["genpass", -2, PLAIN] as const),
        "Generate a pseudorandom secure password to use for ACL users",
        generatePassword,
      ),
      of("getuser", 3, ADMIN, "Get the rules for a specific ACL user", getUser),
      of(
        ...(["list", 2, ADMIN] as const),
        "List the current ACL rules in ACL config file format",
        listed(({ line }) => line),
      ),
      of("load", 2, ADMIN, "Reload the ACLs from the configured ACL file", filed("load")),
      of("log", -2, ADMIN, "List latest events denied because of ACLs in place", log),
      of("save", 2, ADMIN, "Save the current ACL rules in the configured ACL file", filed("save")),
      of(
        ...(["setuser", -3, ADMIN] as const),
        "Modify or create the rules for a specific ACL user",
        ({ reply, server }, args) => {
          server.users.set(args[2] as string, args.slice(3));
          reply.ok();
        },
      ),
      of(
        ...(["users", 2, ADMIN] as const),
        "List the username of all the configured ACL rules",
        listed(({ name }) => name),
      ),
      of(
        ...(["whoami", 2, PLAIN] as const),
        "Return the name of the user associated to the current connection",
        ({ client, reply }) => reply.bulk(client.user),
      ),
      of(
        ...(["help", 2, ["loading", "stale"]] as const),
        "Show helpful text about the different subcommands",
        help("ACL", [
          "CAT [<category>]",
          "    List all commands that belong to <category>, or all command categories",
          "    when no category is specified.",
          "DELUSER <username> [<username> ...]",
          "    Delete a list of users.",
          "DRYRUN <username> <command> [<arg> ...]",
          "    Returns whether the user can execute the given command without executing the command.",
          "GETUSER <username>",
          "    Get the user's details.",
          "GENPASS [<bits>]",
          "    Generate a secure 256-bit user password. The optional `bits` argument can",
          "    be used to specify a different size.",
          "LIST",
          "    Show users details in config file format.",
          "LOAD",
          "    Reload users from the ACL file.",
          "LOG [<count> | RESET]",
          "    Show the ACL log entries.",
          "SAVE",
          "    Save the current config to the ACL file.",
          "SETUSER <username> <attribute> [<attribute> ...]",
          "    Create or modify a user with the specified attributes.",
          "USERS",
          "    List all the registered usernames.",
          "WHOAMI",
          "    Return the current connection username.",
        ]),
      ),
    ],
  },
];
