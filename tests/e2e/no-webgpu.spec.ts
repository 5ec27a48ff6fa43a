import { expect, test } from "@playwright/test";
import { environment } from "./environment";
import { greedy, open, ready, replyTo, say } from "./page";

test.use({
  launchOptions: {
    executablePath: environment("CHROMIUM"),
    args: ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-blink-features=WebGPU"],
  },
});

test("a browser without WebGPU is told so, and the page runs on the CPU", async ({ page }) => {
  const wrong = await open(page);
  expect(await page.evaluate(() => "gpu" in navigator)).toBe(false);
  await ready(page);
  await expect(page.getByTestId("backend")).toContainText(/CPU.*WebGPU/);
  await greedy(page, 8);
  await replyTo(page, () => say(page, "Hello!"));
  expect(wrong).toEqual([]);
});
