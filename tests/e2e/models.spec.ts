// The drawer with the models that the browser keeps.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import AxeBuilder from "@axe-core/playwright";
import { expect, type Locator, type Page, test } from "@playwright/test";
import { FaultyServer } from "./faulty";
import { ready, watch } from "./page";
import { spoil } from "./spoil";

let server: FaultyServer;
test.beforeEach(async ({ page }) => {
  server = await FaultyServer.start();
  await page.goto(server.url);
});
test.afterEach(() => server.close());

function drawer(page: Page): Locator {
  return page.getByRole("complementary", { name: "Models in this browser" });
}

test("a model that is kept is listed, verified, mended, deleted, and fetched anew", async ({ page }) => {
  const wrong = watch(page);
  await ready(page);
  await page.getByRole("button", { name: "Models", exact: true }).click();
  const models = drawer(page);
  await expect(models.getByRole("listitem")).toHaveCount(1);
  await expect(models.getByRole("listitem")).toContainText(/mar-smalltalk3\.08 MB, in files, used/);
  await models.getByRole("button", { name: "Verify mar-smalltalk" }).click();
  await expect(models.getByRole("status")).toHaveText("mar-smalltalk: all 7 chunks are right.");

  await spoil(page, "byte");
  await models.getByRole("button", { name: "Verify mar-smalltalk" }).click();
  await expect(models.getByRole("status")).toContainText("1 of 7 chunks are damaged");
  await expect(models.getByRole("listitem")).toContainText("85 % of it here");
  server.forget();
  await page.reload();
  await ready(page);
  expect(server.asked).toEqual([{ file: "mar-smalltalk/model.safetensors", from: 1 << 20, time: 0 }]);

  await page.getByRole("button", { name: "Models", exact: true }).click();
  await models.getByRole("button", { name: "Delete mar-smalltalk" }).click();
  await expect(models.getByRole("button", { name: "Delete mar-smalltalk" })).toHaveText("Really?");
  await models.getByRole("button", { name: "Delete mar-smalltalk" }).click();
  await expect(models.getByRole("status")).toHaveText("mar-smalltalk is deleted.");
  await expect(models.getByRole("listitem")).toHaveText("None.");
  server.forget();
  await page.reload();
  await ready(page);
  expect(server.ranges("mar-smalltalk/model.safetensors")).toEqual([undefined]);
  expect(wrong).toEqual([]);
});

test("the drawer needs no mouse, and axe finds nothing serious in it", async ({ page }) => {
  await ready(page);
  const opener = page.getByRole("button", { name: "Models", exact: true });
  await opener.focus();
  await page.keyboard.press("Enter");
  const models = drawer(page);
  await expect(models.getByRole("button", { name: "Verify mar-smalltalk" })).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(models.getByRole("status")).toContainText("all 7 chunks are right");
  await expect(models.getByRole("button", { name: "Verify mar-smalltalk" })).toBeFocused();
  const { violations } = await new AxeBuilder({ page }).include("#shelf").analyze();
  expect(violations.map(({ id, help }) => `${id}: ${help}`)).toEqual([]);
  await page.screenshot({ path: "test-results/models.png" });
  await page.keyboard.press("Escape");
  await expect(models).toBeHidden();
  await expect(opener).toBeFocused();
  // One drawer at a time.
  await opener.click();
  await page.getByRole("button", { name: "Chats" }).click();
  await expect(models).toBeHidden();
  await opener.click();
  await expect(page.locator("#chats")).toBeHidden();
  await expect(models).toBeVisible();
});

test("a first visit begins with the first model and offers the largest; who takes it begins with it from then on", async ({
  page,
}) => {
  const here = join(__dirname, "../../models/mar-smalltalk");
  const [small] = await (await page.request.get("/models/index.json")).json();
  const said = { licence: "CC-BY-4.0", teacher: "a-teacher", description: "It knows more.", spiking_val_loss: 2.5 };
  const metrics = { ...small.metrics, ...said, parameters: 10 * small.metrics.parameters, dense_val_loss: 2 };
  const large = { ...small, name: "larger", bytes: 9_000_000, metrics };
  await page.route("**/models/index.json", (route) => route.fulfill({ json: [small, large] }));
  await page.route("**/models/larger/*", async (route) => {
    const body = await readFile(join(here, new URL(route.request().url()).pathname.split("/").at(-1) ?? ""));
    await route.fulfill({ body });
  });
  await page.goto("/");
  const wrong = watch(page);
  await ready(page);
  const [menu, offer] = [page.getByRole("combobox", { name: "Model" }), page.locator(".offer")];
  await expect(menu).toHaveValue("models/mar-smalltalk/");
  await expect(offer).toContainText("A larger model: larger");
  await expect(offer).toContainText("10 times as many as now");
  await expect(offer).toContainText("25 % above its teacher’s");
  await expect(offer).toContainText("It knows more. It was made from a-teacher. Its licence is CC-BY-4.0.");
  await offer.getByRole("button", { name: "Compare the models" }).click();
  await expect(page.getByRole("dialog").getByRole("columnheader")).toHaveText(["mar-smalltalk", "larger"]);
  await page.keyboard.press("Escape");
  await offer.getByRole("button", { name: "Load it, 9 MB" }).click();
  await expect(offer).toBeHidden();
  await ready(page);
  await expect.poll(() => page.evaluate(() => localStorage.getItem("mar:model"))).toBe("models/larger/");
  await page.reload();
  await ready(page);
  await expect(menu).toHaveValue("models/larger/");
  await expect(offer).toBeHidden();
  // It is offered no more: the first is.
  await page.unroute("**/models/index.json");
  await page.route("**/models/index.json", (route) => route.fulfill({ json: [small] }));
  await page.reload();
  await ready(page);
  await expect(menu).toHaveValue("models/mar-smalltalk/");
  expect(wrong).toEqual([]);
});
