import { defineConfig, type ViteUserConfig } from "vitest/config";

const soaking = (process.env["TIDEMARK_SOAK"] ?? "") !== "";

const config: ViteUserConfig = defineConfig({
  ssr: { resolve: { conditions: ["tidemark-source", "node", "import"] } },
  test: {
    include: ["test/**/*.test.ts"],
    // Each file in a process of its own: tests open sockets and start children.
    pool: "forks",
    maxWorkers: 3,
    maxConcurrency: 2,
    // A soak runs for as long as its cases take; everything else is expected to be quick.
    testTimeout: soaking ? 3_600_000 : 60_000,
    hookTimeout: 20_000,
    teardownTimeout: 10_000,
    // The types of everything else are a check of their own.
    typecheck: { enabled: true, include: ["test/**/*.test-d.ts"], ignoreSourceErrors: true },
  },
});
export default config;
