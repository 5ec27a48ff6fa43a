import { defineConfig } from "@playwright/test";
import { environment } from "./environment";

export default defineConfig({
  testDir: ".",
  outputDir: "../../test-results",
  // Models compute on every core there is; two at once would only wait for each other.
  workers: 1,
  // Long, for machines that do other things meanwhile; alone, no test takes ten seconds.
  timeout: 300_000,
  expect: { timeout: 60_000 },
  reporter: [["list"]],
  use: {
    baseURL: environment("MAR_URL"),
    // It would answer in the place of tests that answer requests themselves. offline.spec.ts has one.
    serviceWorkers: "block",
    screenshot: "only-on-failure",
    launchOptions: {
      executablePath: environment("CHROMIUM"),
      args: [
        "--no-sandbox",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--enable-unsafe-webgpu",
        "--use-webgpu-adapter=swiftshader",
      ],
    },
  },
});
