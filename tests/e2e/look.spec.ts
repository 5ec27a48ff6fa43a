import { expect, test } from "@playwright/test";
import { greedy, open, ready, replyTo, say } from "./page";

const SHAPES = [
  { name: "desktop", viewport: { width: 1200, height: 800 }, colorScheme: "light" },
  { name: "phone", viewport: { width: 390, height: 844 }, colorScheme: "dark" },
] as const;

for (const { name, viewport, colorScheme } of SHAPES) {
  test(`the page fits a ${name}, in its ${colorScheme} colours`, async ({ page }) => {
    await page.setViewportSize(viewport);
    await page.emulateMedia({ colorScheme });
    await open(page);
    await ready(page);
    await greedy(page, 60);
    await replyTo(page, () => say(page, "Hello! What do you like to do on a rainy day?"));
    const wider = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
    expect(wider).toBe(false);
    await page.screenshot({ path: `test-results/${name}.png`, fullPage: true });
  });
}
