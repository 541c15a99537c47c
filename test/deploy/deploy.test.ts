import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { parseAllDocuments, parseDocument } from "yaml";
import { Started, temporaryDirectory, tidemark, until } from "../cli/support/command.ts";
import { lacksNats, NatsServer } from "../nats/support.ts";
import {
  directoryOf,
  directoryWith,
  lacksOpenssl,
  newAuthority,
  serverCertificate,
} from "../serve/certified.ts";
import { TestClient } from "../serve/store.ts";
import { freePorts } from "../support/ports.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), "utf8");

/** Answering takes 2 s at most, ending a log 20 s, and one comes after the other. */
const STOPPING_SECONDS = 22;

// biome-ignore lint/suspicious/noExplicitAny: the files are checked for what they hold
type Anything = any;

function yaml(path: string): readonly Anything[] {
  const documents = parseAllDocuments(read(path), { uniqueKeys: true, strict: true, merge: true });
  if (!Array.isArray(documents)) throw new Error(`${path} holds nothing`);
  return documents.map((document) => {
    expect(document.errors, path).toEqual([]);
    return document.toJS();
  });
}

/** The value of an option among arguments, written in one word or in two. */
function optionOf(args: readonly string[], name: string): string | undefined {
  const at = args.findIndex((one) => one === name || one.startsWith(`${name}=`));
  if (at < 0) return undefined;
  const found = args[at] ?? "";
  return found.includes("=") ? found.slice(name.length + 1) : args[at + 1];
}

const portOf = (address: string | undefined): number => Number(address?.split(":").at(-1));

/** What a unit of systemd says, by section and name; a line may go on on the next one. */
function unit(path: string): ReadonlyMap<string, readonly string[]> {
  const said = new Map<string, string[]>();
  let section = "";
  for (const line of read(path)
    .replaceAll(/\\\n\s*/g, "")
    .split("\n")) {
    const [, named] = /^\[(\w+)\]$/.exec(line) ?? [];
    const [, name = "", value = ""] = /^(\w+)=(.*)$/.exec(line) ?? [];
    if (named !== undefined) section = named;
    else if (name !== "")
      said.set(`${section}.${name}`, [...(said.get(`${section}.${name}`) ?? []), value]);
    else expect(line, path).toMatch(/^(#.*)?$/);
  }
  return said;
}

/** Over TCP, and over NATS. */
const KUBERNETES = ["kubernetes", "kubernetes-nats"] as const;
type Kubernetes = (typeof KUBERNETES)[number];

const statefulSet = (folder: Kubernetes): Anything =>
  yaml(`deploy/${folder}/tidemark-kv.yaml`).find(({ kind }) => kind === "StatefulSet");

/** With what the shell of a pod starts the command line. */
function argumentsInPod(from: Kubernetes, name: string): readonly string[] {
  const folder = temporaryDirectory();
  writeFileSync(join(folder, "tidemark"), '#!/bin/sh\nprintf "%s\\n" "$@"\n');
  chmodSync(join(folder, "tidemark"), 0o755);
  const [container] = statefulSet(from).spec.template.spec.containers;
  const [program, ...flags] = container.command;
  const env = {
    PATH: `${folder}:/usr/bin:/bin`,
    ...{ POD_NAME: name, POD_IP: "10.1.2.3", PASSWORD: "with a space", TIDEMARK_NATS: "tls://n" },
  };
  for (const { name: wanted } of container.env) expect(Object.keys(env)).toContain(wanted);
  const printed = execFileSync(program, [...flags, ...container.args], { env, encoding: "utf8" });
  return printed.trimEnd().split("\n");
}

const words = (text: string): readonly string[] => text.trim().split(/\s+/);

/** Every command line in these files, as its arguments. */
function commandLines(): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, readonly string[]>();
  for (const file of readdirSync(join(root, "deploy/systemd"))) {
    const [start = ""] = unit(`deploy/systemd/${file}`).get("Service.ExecStart") ?? [];
    found.set(file, words(start).slice(1));
  }
  const [compose] = yaml("deploy/compose.yaml");
  found.set("compose.yaml", compose.services.store.command);
  found.set("its health check", compose.services.store.healthcheck.test.slice(2));
  const [withNats] = yaml("deploy/compose-nats.yaml");
  for (const name of ["a", "b", "c"])
    found.set(`compose-nats.yaml ${name}`, withNats.services[name].command);
  for (const from of KUBERNETES) found.set(from, argumentsInPod(from, "tidemark-kv-1"));
  const page = read("docs/operate/deploy.md");
  for (const [i, [, line = ""]] of [
    ...page.matchAll(/^(?:sudo -u \w+ )?tidemark (.*)$/gm),
  ].entries())
    found.set(`deploy.md ${i + 1}`, words(line.replace(/\s+#.*$/, "")));
  return found;
}

test("every command and option that is used there is one that there is", async () => {
  const helps = new Map<string, Promise<string>>();
  const lines = commandLines();
  expect(lines.size).toBeGreaterThan(6);
  for (const [where, [command = "", ...args]] of lines) {
    const help = helps.get(command) ?? tidemark([command, "--help"]).then(({ stdout }) => stdout);
    helps.set(command, help);
    const options = args
      .filter((one) => one.startsWith("--"))
      .map((one) => one.split("=")[0] ?? "");
    if (where !== "its health check") expect(await help, where).toContain(`tidemark ${command}`);
    for (const option of options)
      expect((await help).split(/[\s,]+/), `${where}: ${option}`).toContain(option);
  }
});

describe("systemd", () => {
  test.for(readdirSync(join(root, "deploy/systemd")))("%s", (file) => {
    const said = unit(`deploy/systemd/${file}`);
    const one = (name: string): string => {
      const [value = "", ...more] = said.get(name) ?? [];
      expect(more, name).toEqual([]);
      return value;
    };
    const args = words(one("Service.ExecStart"));
    expect(args[0]).toBe("/usr/bin/tidemark");
    const state = `/var/lib/${one("Service.StateDirectory")}/`;
    expect(optionOf(args, "--dir")?.startsWith(state)).toBe(true);
    expect(one("Service.StateDirectoryMode")).toBe("0700");
    expect(Number(one("Service.TimeoutStopSec"))).toBeGreaterThan(STOPPING_SECONDS);
    expect(one("Service.KillMode")).toBe("mixed");
    // A mistake in the options has exit status 2.
    expect(one("Service.RestartPreventExitStatus")).toBe("2");
    expect(Number(one("Service.LimitNOFILE"))).toBeGreaterThanOrEqual(4_096);
    expect(optionOf(args, "--metrics")).toMatch(/^127\.0\.0\.1:/);
    expect(one("Install.WantedBy")).toBe("multi-user.target");
  });
});

test("the image and what compose makes of it agree on ports, paths and files", () => {
  const docker = read("deploy/Dockerfile");
  const exposed = words(/^EXPOSE (.*)$/m.exec(docker)?.[1] ?? "").map(Number);
  const [, volume = ""] = /^VOLUME (.*)$/m.exec(docker) ?? [];
  for (const [, sources = ""] of docker.matchAll(/^COPY (?!--from)(.*) \S+$/gm))
    for (const source of words(sources)) expect(existsSync(join(root, source)), source).toBe(true);
  expect(/^ENTRYPOINT \["tidemark"\]$/m.test(docker)).toBe(true);
  expect(/^USER node$/m.test(docker)).toBe(true);
  const manifest = JSON.parse(read("package.json"));
  expect(docker).toContain(`/opt/tidemark/${manifest.bin.tidemark} /usr/local/bin/tidemark`);

  const [{ services, volumes }] = yaml("deploy/compose.yaml");
  const { store } = services;
  expect(existsSync(join(root, "deploy", store.build.context, store.build.dockerfile))).toBe(true);
  const first = Number(optionOf(store.command, "--port"));
  const processes = Number(optionOf(store.command, "--processes"));
  const listening = [
    ...Array.from({ length: processes }, (_, i) => first + i),
    portOf(optionOf(store.command, "--metrics")),
  ];
  expect(exposed).toEqual(listening);
  const published = store.ports.map((one: string) => one.split(":"));
  expect(published.map(([, , inside]: string[]) => Number(inside))).toEqual(listening);
  // Nothing of it is encrypted.
  expect(published.every(([host]: string[]) => host === "127.0.0.1")).toBe(true);
  const [mounted = "", where = ""] = store.volumes[0].split(":");
  expect(Object.keys(volumes)).toEqual([mounted]);
  expect(where).toBe(volume);
  for (const args of [store.command, store.healthcheck.test])
    expect(optionOf(args, "--dir")?.startsWith(`${volume}/`)).toBe(true);
  expect(optionOf(store.healthcheck.test, "--dir")).toBe(optionOf(store.command, "--dir"));
  expect(Number.parseInt(store.stop_grace_period, 10)).toBeGreaterThan(STOPPING_SECONDS);
});

test.for(KUBERNETES)("what deploy/%s tells agrees with itself", (from) => {
  const all = yaml(`deploy/${from}/tidemark-kv.yaml`);
  const only = (kind: string, name: string): Anything => {
    const found = all.filter((one) => one.kind === kind && one.metadata.name === name);
    expect(found, `${kind} ${name}`).toHaveLength(1);
    return found[0];
  };
  const set = only("StatefulSet", "tidemark-kv").spec;
  const { labels } = set.template.metadata;
  const budget = only("PodDisruptionBudget", "tidemark-kv").spec;
  const clients = only("Service", "tidemark-kv").spec;
  const peers = only("Service", set.serviceName).spec;
  for (const selector of [
    ...[set.selector.matchLabels, budget.selector.matchLabels, clients.selector, peers.selector],
    only("NetworkPolicy", "tidemark-kv").spec.podSelector.matchLabels,
  ])
    expect(selector).toEqual(labels);
  // A majority stays.
  expect(budget.maxUnavailable * 2).toBeLessThan(set.replicas);
  // Peers are found before they are ready, and start without waiting for each other.
  expect(peers.clusterIP).toBe("None");
  if (from === "kubernetes") expect(peers.publishNotReadyAddresses).toBe(true);
  expect(set.podManagementPolicy).toBe("Parallel");

  const pod = set.template.spec;
  const [container] = pod.containers;
  const ports = new Map<string, number>(
    container.ports.map((one: Anything) => [one.name, one.containerPort]),
  );
  for (const { ports: served = [] } of [clients, peers])
    for (const { targetPort } of served) expect([...ports.keys()]).toContain(targetPort);
  expect(peers.ports?.[0].port).toBe(ports.get("peers"));
  const allowed = only("NetworkPolicy", "tidemark-kv").spec.ingress;
  expect(allowed.flatMap((one: Anything) => one.ports.map(({ port }: Anything) => port))).toEqual([
    ...(from === "kubernetes" ? ["peers"] : []),
    "clients",
    "metrics",
  ]);
  expect(container.livenessProbe.httpGet).toEqual({ path: "/healthz", port: "metrics" });
  expect(container.readinessProbe.httpGet).toEqual({ path: "/readyz", port: "metrics" });
  // A process that hangs is found out within a second, and answered for.
  for (const probe of [container.livenessProbe, container.readinessProbe])
    expect(probe.timeoutSeconds).toBeGreaterThan(1);
  const { annotations } = set.template.metadata;
  expect(Number(annotations["prometheus.io/port"])).toBe(ports.get("metrics"));
  expect(annotations["prometheus.io/path"]).toBe("/metrics");
  expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(STOPPING_SECONDS);

  const names = Array.from({ length: set.replicas }, (_, i) => `tidemark-kv-${i}`);
  for (const name of names) {
    const args = argumentsInPod(from, name);
    expect(optionOf(args, "--join")).toBe(name);
    const listed = args.flatMap((one, i) => (one === "--peer" ? [args[i + 1]] : []));
    const others = names.filter((one) => one !== name);
    if (from === "kubernetes") {
      const port = ports.get("peers");
      expect(listed).toEqual(others.map((one) => `${one}=${one}.${set.serviceName}:${port}`));
      expect(optionOf(args, "--listen")).toBe(`10.1.2.3:${port}`);
      expect(optionOf(args, "--set")).toBe("requirepass=with a space");
    } else {
      // They find each other by their names; the servers are in the environment.
      expect(listed).toEqual(others);
      expect(args.at(-1)).toBe("--nats");
      for (const option of ["--nats-tls", "--client-tls", "--users"])
        expect(filesIn(pod, container)).toContain(
          `${optionOf(args, option)}${{ "--nats-tls": "/ca.pem", "--client-tls": "/key.pem" }[option] ?? ""}`,
        );
    }
    expect(Number(optionOf(args, "--port"))).toBe(ports.get("clients"));
    expect(portOf(optionOf(args, "--metrics"))).toBe(ports.get("metrics"));
    const [mount] = container.volumeMounts.filter((one: Anything) => one.name === "data");
    expect(set.volumeClaimTemplates[0].metadata.name).toBe(mount.name);
    expect(optionOf(args, "--dir")?.startsWith(`${mount.mountPath}/`)).toBe(true);
  }
});

/** The paths of the files that secrets put into a container. */
function filesIn(pod: Anything, container: Anything): readonly string[] {
  return container.volumeMounts.flatMap(({ name, mountPath }: Anything) => {
    const { secret } = pod.volumes.find((one: Anything) => one.name === name) ?? {};
    return (secret?.items ?? []).map(({ path }: Anything) => `${mountPath}/${path}`);
  });
}

describe("a store with NATS and TLS in containers", () => {
  const NAMES = ["a", "b", "c"];
  const [{ services, volumes }] = yaml("deploy/compose-nats.yaml");

  test("agrees with itself", () => {
    const published: string[] = [];
    for (const name of NAMES) {
      const { command, ports, environment, healthcheck, volumes: mounts, ...rest } = services[name];
      expect(optionOf(command, "--join")).toBe(name);
      const peers = command.filter((one: string) => one.startsWith("--peer="));
      expect(peers).toEqual(NAMES.flatMap((one) => (one === name ? [] : `--peer=${one}`)));
      expect(command.at(-1)).toBe("--nats");
      expect(environment.TIDEMARK_NATS).toMatch(
        /^tls:\/\/store:\$\{NATS_PASSWORD:\?[^}]+\}@nats:4222$/,
      );
      const [host, port, inside] = ports[0].split(":");
      expect([host, inside]).toEqual(["127.0.0.1", optionOf(command, "--port")]);
      published.push(port);
      const places = mounts.map((one: string) => one.split(":"));
      for (const option of ["--client-tls", "--nats-tls"])
        expect(places.map(([, at]: string[]) => at)).toContain(optionOf(command, option));
      expect(places.at(-1)).toEqual([name, "/data"]);
      expect(Object.keys(volumes)).toContain(name);
      expect(optionOf(command, "--dir")?.startsWith("/data/")).toBe(true);
      expect(optionOf(healthcheck.test, "--dir")).toBe(optionOf(command, "--dir"));
      expect(Number.parseInt(rest.stop_grace_period, 10)).toBeGreaterThan(STOPPING_SECONDS);
    }
    expect(new Set(published).size).toBe(NAMES.length);
    // All have the same, but for their names and those of the others.
    const common = NAMES.map((name) =>
      services[name].command.filter((one: string) => !/^--(join|peer)=/.test(one)),
    );
    expect(common).toEqual([common[0], common[0], common[0]]);
    const [file] = services.nats.volumes[0].split(":");
    expect(existsSync(join(root, "deploy", file))).toBe(true);
    expect(services.nats.command.at(-1)).toBe(services.nats.volumes[0].split(":")[1]);
  });

  test.skipIf(lacksNats || lacksOpenssl)(
    "serves clients, with that server of NATS",
    {
      timeout: 180_000,
    },
    async () => {
      const authority = newAuthority();
      const made = authority.sign("nats", { names: ["DNS:nats", "IP:127.0.0.1"] });
      const certificates = directoryOf(made);
      const trust = directoryWith({ "ca.pem": authority.ca });
      const configured = read("deploy/nats/nats.conf")
        .replaceAll("/certificates", certificates)
        .replace("$NATS_PASSWORD", "s3cret")
        .replace(/^(?:listen|jetstream) .*$|^listen: .*$/gm, "");
      const server = await NatsServer.start(configured);
      onTestFinished(() => server.stop());
      const env = { TIDEMARK_NATS: `tls://store:s3cret@127.0.0.1:${server.port}` };
      const clients = directoryOf(serverCertificate(authority));
      const first = await freePorts(3);
      const homes = NAMES.map(() => temporaryDirectory());
      const started = NAMES.map((name, i) => {
        const args = services[name].command.map((one: string) =>
          one
            .replace("=/data", `=${homes[i]}`)
            .replace("=/certificates/clients", `=${clients}`)
            .replace("=/certificates/trust", `=${trust}`)
            .replace("=7379", `=${first + i}`)
            .replace("0.0.0.0:9464", "127.0.0.1:0")
            .replace("0.0.0.0", "127.0.0.1"),
        );
        return new Started(args, env, "ignore", 150_000);
      });
      for (const home of homes) {
        const args = ["status", "--ready", "--dir", join(home, "store")];
        await until("it is ready", async () => (await tidemark(args)).status === 0);
      }
      const ask = async (i: number, ...words: string[]): Promise<unknown> => {
        const client = new TestClient(first + i, { ca: authority.ca });
        onTestFinished(() => void client.socket.destroy());
        return await client.ask(...words);
      };
      expect(await ask(0, "SET", "k", "v")).toBe("+OK");
      await until("another one has it", async () => (await ask(2, "GET", "k")) === "$v");
      for (const one of started) one.child.kill("SIGTERM");
      for (const one of started) expect((await one.ended).status).toBe(0);
    },
  );
});

test("a planted mistake in a file is told", () => {
  expect(parseDocument("a: 1\na: 2", { uniqueKeys: true }).errors).not.toEqual([]);
  expect(optionOf(["--dir=/a", "--port", "1"], "--dir")).toBe("/a");
  expect(optionOf(["--dir=/a", "--port", "1"], "--port")).toBe("1");
  expect(optionOf(["--dir=/a"], "--log")).toBeUndefined();
});
