import { readFile } from "node:fs/promises";
import { expect, type Locator, type Page, test } from "@playwright/test";
import type { Joules } from "../../www/src/mar/types";
import {
  action,
  babble,
  greedy,
  grown,
  hold,
  kept,
  kill,
  lettersOf,
  open,
  openInAnswer,
  ready,
  replyTo,
  rows,
  say,
} from "./page";

/** What an exported file says of a token's energy. */
type Costs = Record<"joules_arithmetic_estimate" | "joules_with_data_estimate", Joules>;

test("a conversation outlives a reload, and goes on without being read again", async ({ page }) => {
  const wrong = await open(page);
  await ready(page);
  await greedy(page, 16);
  const first = await replyTo(page, () => say(page, "I have a cat named Luna."));
  const joules = (await page.getByTestId("energy-total").textContent()) ?? "";
  await expect.poll(async () => (await rows(page, "states")).length).toBe(1);
  await page.getByTestId("prompt").fill("What is my cat's name?");
  await page.reload();
  await ready(page);
  await expect(page.getByTestId("message-user")).toHaveText("I have a cat named Luna.");
  await expect(page.getByTestId("message-assistant")).toHaveText(first.text);
  // What every token took is known as before.
  await expect(page.getByTestId("energy-total")).toHaveText("–");
  await page.getByTestId("message-assistant").locator(".token").nth(2).click();
  await expect(page.getByTestId("energy-total")).toHaveText(joules);
  // What was being typed is there too.
  await expect(page.getByTestId("prompt")).toHaveValue("What is my cat's name?");
  const second = await replyTo(page, () => page.getByTestId("send").click());
  expect(second.stats.reused_tokens).toBeGreaterThanOrEqual(first.stats.prompt_tokens);

  // The places between the turns are known after a reload, also under another question.
  await expect.poll(async () => (await rows(page, "states")).length).toBe(2);
  const before = second.stats.reused_tokens;
  await action(page.getByTestId("message-user").last(), "Edit this message").click();
  await page.getByLabel("The message, changed").fill("Is Luna a dog?");
  await page.reload();
  await ready(page);
  const again = await replyTo(page, () =>
    action(page.getByTestId("message-assistant").last(), "Another answer").click(),
  );
  expect(again.stats.reused_tokens).toBeGreaterThanOrEqual(before);
  // What was being changed is there too.
  await expect(page.getByLabel("The message, changed")).toHaveValue("Is Luna a dog?");
  const changed = await replyTo(page, () => page.getByText("Ask this instead").click());
  expect(changed.stats.reused_tokens).toBeGreaterThanOrEqual(before);
  await expect(page.getByTestId("message-user").last()).toHaveText("Is Luna a dog?");
  expect(wrong).toEqual([]);
});

test("a conversation travels as a file, with its state", async ({ page, context }) => {
  const wrong = await open(page);
  await ready(page);
  await greedy(page, 16);
  const first = await replyTo(page, () => say(page, "I have a cat named Luna."));
  await expect.poll(async () => (await rows(page, "states")).length).toBe(1);
  await page.getByRole("button", { name: "Chats" }).click();
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByText("Export this chat").click()]);
  expect(download.suggestedFilename()).toBe("mar-i-have-a-cat-named-luna.json");
  const text = await readFile(await download.path(), "utf8");
  const exported = JSON.parse(text);
  expect(exported).toMatchObject({ format: "mar-conversation", version: 3 });
  // With what each token took, at all prices.
  const ledger = await page.evaluate(() => window.mar.ledger()?.energy);
  const [{ tokens: costs }] = exported.energies;
  for (const prices of ["arithmetic", "with_data"] as const) {
    for (const network of ["spiking", "dense", "transformer"] as const) {
      const joules = costs.reduce((sum: number, cost: Costs) => sum + cost[`joules_${prices}_estimate`][network], 0);
      expect(joules / (ledger?.[prices][network] ?? 0)).toBeCloseTo(1, 6);
    }
  }

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
  // The list lies over it.
  await elsewhere.getByTestId("message-assistant").locator(".token").nth(1).dispatchEvent("click");
  await expect(elsewhere.getByTestId("energy-total")).toContainText("J");
  const second = await replyTo(elsewhere, () => say(elsewhere, "What is my cat's name?"));
  expect(second.stats.reused_tokens).toBeGreaterThanOrEqual(first.stats.prompt_tokens);

  for (const [damaged, sentence] of [
    ["{", "is not JSON"],
    ['{"format":"other"}', "is not a conversation"],
    [text.replace('"version": 3', '"version": 4'), "is of version 4"],
    [text.replace("Luna", "Lune"), "was damaged or changed since it was exported"],
    [text.slice(0, -100), "was cut off"],
  ] as const) {
    await elsewhere.locator("#import-file").setInputFiles({ ...file, buffer: Buffer.from(damaged) });
    await expect(elsewhere.getByTestId("status")).toContainText(sentence);
  }
  await expect(elsewhere.getByTestId("message-user")).toHaveCount(2);

  // While an answer is made it is not left: what is imported waits in the list.
  // Held before its first token: on a quick machine the whole of it is made before the worker gives way again.
  await hold(elsewhere, 0);
  await say(elsewhere, "Thank you!");
  await elsewhere.locator("#import-file").setInputFiles(file);
  await expect(elsewhere.locator("#chat-list > li")).toHaveCount(2);
  await expect(elsewhere.getByTestId("message-user")).toHaveCount(3);
  await hold(elsewhere, Number.POSITIVE_INFINITY);
  await expect(elsewhere.getByTestId("send")).toBeVisible();
  await elsewhere.context().close();
  expect([...wrong, ...wrongThere]).toEqual([]);
});

test("a tab that dies in the middle of an answer takes no text along", async ({ page, context }) => {
  await open(page);
  await ready(page);
  await babble(page);
  await hold(page, 30);
  await say(page, "Tell me a long story.");
  // What is seen is soon kept.
  const seen = await grown(page, 60);
  const before = await kept(page, seen);
  await page.getByTestId("prompt").fill("Typed meanwhile");
  await kill(page);

  const next = await context.newPage();
  // Another model is offered first by now; the conversation's own is loaded all the same.
  await next.addInitScript(() => {
    const ask = window.fetch;
    window.fetch = async (input, init) => {
      const response = await ask(input, init);
      if (!String(input).endsWith("models/index.json")) return response;
      const offers = (await response.json()) as { name: string }[];
      const own = offers.filter(({ name }) => name === "mar-smalltalk");
      return Response.json([{ name: "another", bytes: 1 }, ...own]);
    };
  });
  const wrong = await open(next);
  await ready(next);
  await expect(next.getByTestId("message-user")).toHaveText("Tell me a long story.");
  const answer = next.getByTestId("message-assistant");
  const after = await kept(next, before);
  expect(after.startsWith(before)).toBe(true);
  expect(lettersOf(await answer.textContent())).toBe(lettersOf(after));
  await expect(next.getByText("Interrupted")).toBeVisible();
  await expect(next.getByTestId("prompt")).toHaveValue("Typed meanwhile");
  // It goes on where it was.
  await greedy(next, 8);
  const more = await replyTo(next, () => action(answer, "Go on with this answer").click());
  expect(more.tokens.length).toBeGreaterThan(0);
  await expect(next.getByText("Interrupted")).toHaveCount(0);
  expect(await kept(next, after + more.text)).toBe(after + more.text);
  expect(wrong).toEqual([]);
});

test("a worker that dies in the middle of an answer takes no text along", async ({ page }) => {
  await openInAnswer(page, "?backend=cpu");
  // Nor can another take its place.
  await page.route("**/assets/worker-*.js", (route) => route.abort());
  await page.workers()[0]?.evaluate(() => {
    setTimeout(() => {
      throw new Error("a fault that a test has made");
    });
  });
  await expect(page.getByTestId("status")).toContainText("The answer was interrupted");
  await page.unroute("**/assets/worker-*.js");
  await expect(page.getByText("Interrupted", { exact: true })).toBeVisible();
  const answer = page.getByTestId("message-assistant");
  const text = (await answer.textContent()) ?? "";
  expect(text.length).toBeGreaterThan(20);
  await greedy(page, 8);
  const more = await replyTo(page, () => action(answer, "Go on with this answer").click());
  expect(more.tokens.length).toBeGreaterThan(0);
  await expect(answer).toContainText(text.slice(0, 20));
});

test("a conversation's own system prompt leaves the person's alone", async ({ page }) => {
  const wrong = await open(page);
  await ready(page);
  const system = page.getByLabel("System prompt");
  await page.getByTestId("settings").click();
  await system.fill("Be kind.");
  await page.getByRole("button", { name: "Done" }).click();
  await greedy(page, 4);
  await replyTo(page, () => say(page, "Hello!"));
  await page.getByTestId("settings").click();
  await system.fill("Be brief.");
  await expect(page.getByText("New chats begin with “Be kind.”.")).toBeVisible();
  await page.getByRole("button", { name: "Done" }).click();
  await page.getByTestId("new-chat").click();
  await page.getByTestId("settings").click();
  await expect(system).toHaveValue("Be kind.");
  await page.getByRole("button", { name: "Done" }).click();
  await page.getByRole("button", { name: "Chats" }).click();
  await entry(page, /^Hello!/).click();
  await page.getByTestId("settings").click();
  await expect(system).toHaveValue("Be brief.");
  expect(wrong).toEqual([]);
});

test("an answer ends before its model is taken away", async ({ page }) => {
  const wrong = await openInAnswer(page);
  await page.getByTestId("settings").click();
  await page.getByLabel("Runs on").selectOption("cpu");
  await hold(page, Number.POSITIVE_INFINITY);
  await page.getByRole("button", { name: "Done" }).click();
  await ready(page);
  // Stopped, and not lost: it can go on with the engine that came.
  const answer = page.getByTestId("message-assistant");
  await greedy(page, 4);
  const more = await replyTo(page, () => action(answer, "Go on with this answer").click());
  expect(more.stats.backend).toContain("CPU");
  expect((await answer.textContent())?.length).toBeGreaterThan(20);
  expect(wrong).toEqual([]);
});

test("conversations that an earlier version of the page kept are there", async ({ page }) => {
  await page.goto("/bench.html");
  // As version 1 wrote them: a conversation was one row, with one state.
  await page.evaluate(async () => {
    const db = await new Promise<IDBDatabase>((resolve, reject) => {
      const request = indexedDB.open("mar", 1);
      request.onupgradeneeded = () => {
        request.result.createObjectStore("conversations", { keyPath: "id" });
        request.result.createObjectStore("states", { keyPath: "id" });
      };
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
    const turns = [
      { id: "a", parent: null, role: "user", content: "Hello from before!", created: 1 },
      { id: "b", parent: "a", role: "assistant", content: "Hello to later.", created: 2 },
    ];
    const chat = {
      id: "c",
      title: "Hello from before!",
      created: 1,
      updated: 2,
      model: "",
      system: "",
      turns,
      leaf: "b",
    };
    const writes = db.transaction(["conversations", "states"], "readwrite");
    writes.objectStore("conversations").put(chat);
    writes.objectStore("states").put({ id: "c", leaf: "b", model: "", bytes: new Uint8Array(8), updated: 2 });
    await new Promise((resolve) => {
      writes.oncomplete = resolve;
    });
    db.close();
  });
  const wrong = await open(page);
  await ready(page);
  await page.getByRole("button", { name: "Chats" }).click();
  await entry(page, /^Hello from before!/).click();
  await expect(page.getByTestId("message-user")).toHaveText("Hello from before!");
  await expect(page.getByTestId("message-assistant")).toHaveText("Hello to later.");
  expect(await rows(page, "states")).toHaveLength(1);
  await greedy(page, 4);
  await replyTo(page, () => say(page, "Thank you!"));
  await expect.poll(async () => (await rows(page, "turns")).length).toBe(4);
  expect(wrong).toEqual([]);
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
