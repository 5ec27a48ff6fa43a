import { readFile } from "node:fs/promises";
import { expect, type Locator, type Page, test } from "@playwright/test";
import { greedy, open, ready, replyTo, say, watch } from "./page";

test("a conversation outlives a reload, and goes on without being read again", async ({ page }) => {
  const wrong = await open(page);
  await ready(page);
  await greedy(page, 16);
  const first = await replyTo(page, () => say(page, "I have a cat named Luna."));
  await expect.poll(() => kept(page)).toBe(true);
  await page.getByTestId("prompt").fill("What is my cat's name?");
  await page.reload();
  await ready(page);
  await expect(page.getByTestId("message-user")).toHaveText("I have a cat named Luna.");
  await expect(page.getByTestId("message-assistant")).toHaveText(first.text);
  // What was being typed is there too.
  await expect(page.getByTestId("prompt")).toHaveValue("What is my cat's name?");
  const second = await replyTo(page, () => page.getByTestId("send").click());
  expect(second.stats.reused_tokens).toBeGreaterThanOrEqual(first.stats.prompt_tokens);
  expect(wrong).toEqual([]);
});

test("a conversation travels as a file, with its state", async ({ page, context }) => {
  const wrong = await open(page);
  await ready(page);
  await greedy(page, 16);
  const first = await replyTo(page, () => say(page, "I have a cat named Luna."));
  await expect.poll(() => kept(page)).toBe(true);
  await page.getByRole("button", { name: "Chats" }).click();
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByText("Export this chat").click()]);
  expect(download.suggestedFilename()).toBe("mar-i-have-a-cat-named-luna.json");
  const text = await readFile(await download.path(), "utf8");
  expect(JSON.parse(text)).toMatchObject({ format: "mar-conversation", version: 1 });

  // Another browser.
  const elsewhere = await (await context.browser()?.newContext())?.newPage();
  if (!elsewhere) throw new Error("no second browser");
  const wrongThere = await open(elsewhere, "");
  await ready(elsewhere);
  await greedy(elsewhere, 16);
  await elsewhere.getByRole("button", { name: "Chats" }).click();
  const file = { name: "chat.json", mimeType: "application/json", buffer: Buffer.from(text) };
  await elsewhere.locator("#import-file").setInputFiles(file);
  await expect(elsewhere.getByTestId("message-assistant")).toHaveText(first.text);
  const second = await replyTo(elsewhere, () => say(elsewhere, "What is my cat's name?"));
  expect(second.stats.reused_tokens).toBeGreaterThanOrEqual(first.stats.prompt_tokens);

  for (const [damaged, sentence] of [
    ["{", "is not JSON"],
    ['{"format":"other"}', "is not a conversation"],
    [text.replace('"version": 1', '"version": 2'), "is of version 2"],
    [text.replace('"role": "user"', '"role": "robot"'), "neither the user's nor the assistant's"],
  ] as const) {
    await elsewhere.locator("#import-file").setInputFiles({ ...file, buffer: Buffer.from(damaged) });
    await expect(elsewhere.getByTestId("status")).toContainText(sentence);
  }
  await elsewhere.context().close();
  expect([...wrong, ...wrongThere]).toEqual([]);
});

test("two tabs keep what both of them say", async ({ page, context }) => {
  const wrong = await open(page);
  await ready(page);
  await greedy(page, 8);
  await replyTo(page, () => say(page, "Hello!"));
  const other = await context.newPage();
  const wrongThere = watch(other);
  await other.goto("/");
  await ready(other);
  await other.getByRole("button", { name: "Chats" }).click();
  await entry(other, /^Hello!/).click();
  await expect(other.getByTestId("message-user")).toHaveText("Hello!");
  await replyTo(other, () => say(other, "What is your name?"));
  await replyTo(page, () => say(page, "How are you?"));
  // Both went on from the same answer: two branches.
  await page.reload();
  await ready(page);
  await expect(page.getByText("2 of 2")).toBeVisible();
  await page.getByRole("button", { name: "Show the branch before" }).click();
  await expect(page.getByTestId("message-user").last()).toHaveText("What is your name?");
  expect([...wrong, ...wrongThere]).toEqual([]);
});

test("conversations can be left, found again, and deleted", async ({ page }) => {
  const wrong = await open(page);
  await ready(page);
  await greedy(page, 8);
  await replyTo(page, () => say(page, "Hello!"));
  await page.getByTestId("new-chat").click();
  await expect(page.getByTestId("message-user")).toHaveCount(0);
  await replyTo(page, () => say(page, "What is your name?"));
  await page.getByRole("button", { name: "Chats" }).click();
  await entry(page, /^Hello!/).click();
  await expect(page.getByTestId("message-user")).toHaveText("Hello!");
  const remove = page.getByRole("button", { name: "Delete the conversation Hello!" });
  await remove.click();
  await remove.click();
  await expect(entry(page, /^Hello!/)).toHaveCount(0);
  await expect(page.getByTestId("message-user")).toHaveCount(0);
  expect(wrong).toEqual([]);
});

/** A conversation in the list. */
function entry(page: Page, name: RegExp): Locator {
  return page.locator("#chat-list").getByRole("button", { name });
}

/** Whether the engine's state after the shown answer is in the browser's storage. */
function kept(page: Page): Promise<boolean> {
  return page.evaluate(async () => {
    const db = await new Promise<IDBDatabase>((resolve, reject) => {
      const request = indexedDB.open("mar");
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
    const count = await new Promise<number>((resolve) => {
      const request = db.transaction("states").objectStore("states").count();
      request.onsuccess = () => resolve(request.result);
    });
    db.close();
    return count > 0;
  });
}
