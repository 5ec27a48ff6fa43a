import { defineConfig } from "@playwright/test";
import { environment } from "./environment";

export default defineConfig({
  testDir: ".",
  outputDir: "../../test-results",
  // A page waits a lot, for storage, frames and itself: two share two cores well, and more would wait for each other.
  workers: 2,
  // Long, for machines that do other things meanwhile.
  timeout: 300_000,
  // What passes only the second time is listed as flaky, which is to be mended, but spoils nobody else's work.
  retries: 1,
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
