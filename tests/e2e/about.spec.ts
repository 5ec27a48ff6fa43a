// What the page says of the models that can be chosen, beside their menu.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import AxeBuilder from "@axe-core/playwright";
import { expect, type Locator, type Page, test } from "@playwright/test";
import { ready, watch } from "./page";

const HERE = join(__dirname, "../../models/mar-smalltalk");

/** Where no server is. */
const ELSEWHERE = "https://models.example/some-model/";

/** A model as the list of models has it. */
interface Listed {
  name: string;
  metrics: { licence: string; parameters: number; teacher?: string };
}

function dialog(page: Page): Locator {
  return page.getByRole("dialog", { name: "About the models" });
}

/** The values in a line of the comparison, by model. */
function values(page: Page, name: string): Promise<string[]> {
  return dialog(page)
    .getByRole("row", { name: new RegExp(`^${name}`) })
    .getByRole("cell")
    .allTextContents();
}

/** Answers for the model elsewhere with mar-smalltalk's files, and this metrics.json; returns what was asked for. */
async function serveElsewhere(page: Page, metrics: string | undefined): Promise<string[]> {
  const asked: string[] = [];
  await page.route(`${ELSEWHERE}*`, async (route) => {
    const name = new URL(route.request().url()).pathname.split("/").at(-1) ?? "";
    asked.push(name);
    const headers = { "access-control-allow-origin": "*" };
    if (name !== "metrics.json") await route.fulfill({ headers, body: await readFile(join(HERE, name)) });
    else if (metrics === undefined) await route.fulfill({ headers, status: 404 });
    else await route.fulfill({ headers, body: metrics });
  });
  return asked;
}

test("every model of this server has its licence and what was measured of it, and asks for nothing more", async ({
  page,
}) => {
  const asked: string[] = [];
  page.context().on("request", (request) => asked.push(new URL(request.url()).pathname));
  const wrong = watch(page);
  await page.goto("/");
  await ready(page);
  const list: Listed[] = await (await page.request.get("/models/index.json")).json();
  const menu = page.getByRole("combobox", { name: "Model" });
  for (const { name, metrics } of list)
    await expect(
      menu.getByRole("option", { name: new RegExp(`^${name}, [\\d.]+ MB, ${metrics.licence}$`) }),
    ).toHaveCount(1);

  const opener = page.getByRole("button", { name: "About the models" });
  await opener.focus();
  await page.keyboard.press("Enter");
  await expect(dialog(page)).toBeVisible();
  await expect(dialog(page).getByRole("button", { name: "Close" })).toBeFocused();
  await expect(dialog(page).getByRole("columnheader")).toHaveText(list.map(({ name }) => name));
  await expect(dialog(page).getByRole("heading", { name: "mar-smalltalk in use" })).toBeVisible();
  expect(await values(page, "Licence")).toEqual(list.map(({ metrics }) => metrics.licence));
  expect(await values(page, "Made from")).toEqual(list.map(({ metrics }) => metrics.teacher ?? "–not stated"));
  for (const value of await values(page, "Parameters")) expect(value).toMatch(/^[\d.]+ million$/);
  for (const value of await values(page, "Firing rate")) expect(value).toMatch(/^[\d.]+\s%$/);
  for (const value of await values(page, "Energy a token, estimate")) expect(value).toMatch(/^[\d.]+ µJ$/);
  for (const value of await values(page, "Loss beside its teacher’s")) expect(value).toMatch(/^\+[\d.]+\s%$/);
  expect((await values(page, "Lead over guessing kept")).at(-1)).toMatch(/^[\d.]+\s%$/);
  await page.keyboard.press("Escape");
  await expect(dialog(page)).toBeHidden();
  await expect(opener).toBeFocused();
  expect(asked.filter((path) => /metrics\.json|README\.md|elsewhere/.test(path))).toEqual([]);
  expect(wrong).toEqual([]);
});

for (const [width, height, colorScheme] of [
  [1280, 800, "light"],
  [1280, 800, "dark"],
  [390, 844, "light"],
  [390, 844, "dark"],
] as const) {
  test(`what is said of the models fits ${width} by ${height} in ${colorScheme} colours, and axe finds nothing`, async ({
    page,
  }) => {
    await page.setViewportSize({ width, height });
    await page.emulateMedia({ colorScheme });
    await page.goto("/");
    await ready(page);
    await page.screenshot({ path: `test-results/menu-${width}-${colorScheme}.png` });
    await page.getByRole("button", { name: "About the models" }).click();
    const wider = await dialog(page).evaluate(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth);
    expect(wider).toBe(false);
    const box = await dialog(page).boundingBox();
    expect(box?.x).toBeGreaterThanOrEqual(0);
    expect((box?.x ?? 0) + (box?.width ?? 0)).toBeLessThanOrEqual(width);
    const { violations } = await new AxeBuilder({ page }).include("#about").analyze();
    expect(violations.map(({ id, help }) => `${id}: ${help}`)).toEqual([]);
    await page.screenshot({ path: `test-results/about-${width}-${colorScheme}.png` });
    // The way out stays in view.
    await dialog(page).evaluate((node) => node.scrollTo(0, node.scrollHeight));
    await expect(dialog(page).getByRole("button", { name: "Close" })).toBeInViewport();
    await page.screenshot({ path: `test-results/about-${width}-${colorScheme}-end.png` });
  });
}

test("a model from elsewhere is asked only when the person wants to know, and only what it says is shown", async ({
  page,
}) => {
  const metrics = {
    licence: "CC-BY-4.0",
    parameters: 1,
    teacher_kl: 0.5,
    firing_rate: "often",
    description: "<b>x</b>",
  };
  const asked = await serveElsewhere(page, JSON.stringify(metrics));
  await page.goto(`/?backend=cpu&model=${ELSEWHERE}`);
  await ready(page);
  expect(asked).toContain("config.json");
  expect(asked).not.toContain("metrics.json");
  await page.getByRole("button", { name: "About the models" }).click();
  // It is the first of the menu.
  await expect.poll(async () => (await values(page, "Licence"))[0]).toBe("CC-BY-4.0");
  expect((await values(page, "Distance from its teacher"))[0]).toBe("0.5 nats");
  expect((await values(page, "Firing rate"))[0]).toBe("–not stated");
  // What the engine has counted is right, whatever the model says.
  expect((await values(page, "Parameters"))[0]).toBe("4.31 million");
  await expect(dialog(page)).toContainText("<b>x</b>");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "About the models" }).click();
  expect((await values(page, "Licence"))[0]).toBe("CC-BY-4.0");
  expect(asked.filter((name) => name === "metrics.json")).toHaveLength(1);
});

test("where a model from elsewhere says nothing, the page says so", async ({ page }) => {
  for (const [metrics, says] of [
    [undefined, "Nothing more is known of mar-smalltalk. It has no metrics.json."],
    ["{", "Nothing more is known of mar-smalltalk. Its metrics.json could not be read ("],
    [" ".repeat(1_100_000), "Its metrics.json could not be read (it is larger than 1 MiB)."],
  ] as const) {
    await page.unrouteAll();
    await serveElsewhere(page, metrics);
    await page.goto(`/?backend=cpu&model=${ELSEWHERE}`);
    await ready(page);
    await page.getByRole("button", { name: "About the models" }).click();
    await expect(dialog(page).getByRole("status")).toContainText(says);
    expect((await values(page, "Parameters"))[0]).toBe("4.31 million");
  }
});
