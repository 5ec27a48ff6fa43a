import AxeBuilder from "@axe-core/playwright";
import { expect, type Page, test } from "@playwright/test";
import { greedy, open, ready, replyTo, say } from "./page";

const SHAPES = [
  { name: "desktop", viewport: { width: 1440, height: 900 }, colorScheme: "light" },
  { name: "wide", viewport: { width: 2560, height: 1300 }, colorScheme: "dark" },
  { name: "phone", viewport: { width: 360, height: 740 }, colorScheme: "dark" },
] as const;

for (const { name, viewport, colorScheme } of SHAPES) {
  test(`the page fits a ${name} in its ${colorScheme} colours, and axe finds nothing serious`, async ({ page }) => {
    await page.setViewportSize(viewport);
    await page.emulateMedia({ colorScheme });
    await open(page);
    await ready(page);
    await expectAccessible(page);
    await greedy(page, 60);
    await replyTo(page, () => say(page, "Hello! What do you like to do on a rainy day?"));
    if (name === "phone") await page.getByRole("button", { name: "Instruments" }).click();
    const wider = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
    expect(wider).toBe(false);
    // The page itself never scrolls: its parts do.
    const higher = await page.evaluate(() => document.documentElement.scrollHeight > innerHeight);
    expect(higher).toBe(false);
    await expectAccessible(page);
    await page.screenshot({ path: `test-results/${name}.png` });
  });
}

test("settings, conversations and tour are accessible too, and every step of the tour comes", async ({ page }) => {
  const wrong = await open(page);
  await ready(page);
  await page.getByTestId("settings").click();
  await expectAccessible(page);
  await page.keyboard.press("Escape");
  await page.getByTestId("tour").click();
  const tour = page.locator(".tour");
  await tour.getByRole("button", { name: "Say hello to it" }).click();
  await expect(page.getByTestId("message-assistant")).not.toBeEmpty();
  for (let step = 1; step <= 8; step++) {
    await expect(tour).toContainText(`${step} of 8`);
    // axe takes a second or two: once with each kind of toy.
    if ([3, 5, 6].includes(step)) await expectAccessible(page);
    if (step === 3) await expectToyFires(page);
    await tour.getByRole("button", { name: step < 8 ? "Next" : "Done" }).click();
  }
  await expect(tour).toBeHidden();
  await expect(page.getByTestId("tour")).toBeFocused();
  await page.getByRole("button", { name: "Chats" }).click();
  await expectAccessible(page);
  expect(wrong).toEqual([]);
});

test("the keyboard is enough", async ({ page }) => {
  const wrong = await open(page);
  await ready(page);
  await greedy(page, 16);
  await page.getByTestId("prompt").press("Shift+Tab");
  await page.keyboard.press("Tab");
  await expect(page.getByTestId("prompt")).toBeFocused();
  await page.keyboard.type("Hello!");
  await expect(page.getByTestId("prompt")).toHaveValue("Hello!");
  await expect(page.getByTestId("send")).toBeEnabled();
  await replyTo(page, () => page.keyboard.press("Enter"));
  await expect(page.getByTestId("prompt")).toBeFocused();
  // Back to the answer, and through its tokens.
  await tabTo(page, "Shift+Tab", "[data-testid=message-assistant]");
  await page.keyboard.press("ArrowRight");
  const chosen = page.locator(".token.chosen");
  await expect(chosen).toHaveCount(1);
  const first = await chosen.getAttribute("data-position");
  await page.keyboard.press("ArrowRight");
  await expect(chosen.first()).not.toHaveAttribute("data-position", first ?? "");
  // The message again, changed.
  await tabTo(page, "Shift+Tab", "[aria-label='Edit this message']");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Control+A");
  await page.keyboard.type("What is your name?");
  await replyTo(page, () => page.keyboard.press("Enter"));
  await expect(page.getByTestId("message-user")).toHaveText("What is your name?");
  // The divider, the instruments and the settings.
  await tabTo(page, "Tab", "#divider");
  const width = () => page.locator("#instruments").evaluate((node) => node.clientWidth);
  const before = await width();
  await page.keyboard.press("ArrowLeft");
  expect(await width()).toBeGreaterThan(before);
  await tabTo(page, "Shift+Tab", "[data-testid=settings]");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("dialog", { name: "Settings" })).toBeVisible();
  await page.keyboard.press("Escape");
  await tabTo(page, "Shift+Tab", "[data-testid=new-chat]");
  await page.keyboard.press("Enter");
  await expect(page.getByTestId("message-user")).toHaveCount(0);
  expect(wrong).toEqual([]);
});

test("colours follow the choice, and are kept", async ({ page }) => {
  await page.emulateMedia({ colorScheme: "light" });
  await open(page);
  await ready(page);
  const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const light = await ground();
  await page.getByTestId("settings").click();
  await page.getByLabel("Colours").selectOption("dark");
  const dark = await ground();
  expect(dark).not.toBe(light);
  await page.reload();
  expect(await ground()).toBe(dark);
});

/** axe finds nothing that is serious or critical. */
async function expectAccessible(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  expect(serious.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])).toEqual([]);
}

/** Lowering the threshold of the tour's neuron makes it fire more often. */
async function expectToyFires(page: Page): Promise<void> {
  const ticks = page.locator(".toy-picture .tick");
  const before = await ticks.count();
  await page.getByLabel("Threshold V").press("End");
  await expect(ticks).toHaveCount(0);
  await page.getByLabel("Threshold V").press("Home");
  expect(await ticks.count()).toBeGreaterThan(before);
}

/** Presses a key until the focus is there. */
async function tabTo(page: Page, key: "Tab" | "Shift+Tab", selector: string): Promise<void> {
  for (let presses = 0; presses < 60; presses++) {
    if (await page.evaluate((selector) => document.activeElement?.matches(selector) === true, selector)) return;
    await page.keyboard.press(key);
  }
  throw new Error(`${key} does not lead to ${selector}`);
}
