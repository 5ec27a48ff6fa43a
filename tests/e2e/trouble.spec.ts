import { expect, test } from "@playwright/test";
import { open, ready, replyTo, say } from "./page";

test("an address without a model gives a sentence, and the page lives", async ({ page }) => {
  await open(page, "?model=models/no-such-model/");
  await expect(page.getByRole("status")).toContainText(
    /config\.json is not there; is this the address of a model's folder/,
  );
  await page.getByRole("combobox", { name: "Model" }).selectOption({ index: 1 });
  await ready(page);
  const reply = await replyTo(page, () => say(page, "Hello!"));
  expect(reply.tokens.length).toBeGreaterThan(0);
});

test("a server that cannot be reached gives a sentence", async ({ page }) => {
  await open(page, "?model=http://127.0.0.1:9/model/");
  await expect(page.getByRole("status")).toContainText("cannot fetch http://127.0.0.1:9/model/manifest.json", {
    ignoreCase: true,
  });
});

test("weights that are damaged on the way are refused by name", async ({ page }) => {
  await page.route("**/mar-smalltalk/model.safetensors", async (route) => {
    const response = await route.fetch();
    const body = await response.body();
    body[2_000_000] = (body[2_000_000] ?? 0) ^ 1;
    await route.fulfill({ response, body });
  });
  await open(page);
  await expect(page.getByRole("status")).toContainText("chunk 1 has sha-256");
});

test("a download that ends early is refused", async ({ page }) => {
  await page.route("**/mar-smalltalk/model.safetensors", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: (await response.body()).subarray(0, 1_500_000) });
  });
  await open(page);
  await expect(page.getByRole("status")).toContainText("could not be loaded");
});

test("a model without a tokenizer loads, and says that it cannot chat", async ({ page }) => {
  await open(page, "?model=/golden/tiny-odd/");
  await ready(page);
  await say(page, "Hello!");
  await expect(page.getByRole("status")).toContainText("this model has no tokenizer", { ignoreCase: true });
});
