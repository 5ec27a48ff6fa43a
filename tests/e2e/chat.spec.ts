import { expect, test } from "@playwright/test";
import { generate } from "./native";
import { action, greedy, open, ready, replyTo, sample, say } from "./page";

/** Prompts whose replies are together long enough to show a difference. */
const PROMPTS = [
  "Hello! How are you today?",
  "Tell me a story about a dog.",
  "What is the capital of France?",
  "Why is the sky blue, and what colour is it at night?",
  "I lost my keys this morning and was late for work.",
  "What do you like to eat?",
  "Can you help me to plan a birthday party for my sister?",
  "My cat is ill. What should I do?",
  "Do you play an instrument?",
  "Tell me about your family.",
  "What is two plus three?",
  "I am learning to cook. Any advice?",
  "Where do birds go in winter?",
  "I am sad today.",
  "Describe the sea to somebody who has never seen it.",
  "Thank you, good night!",
];

/** Greedy tokens that must be compared, and equal, for each prompt. */
const COMPARED = 8;

/** The prompts of each backend; a CPU that plays a GPU gets few. */
const BACKENDS = { cpu: PROMPTS, webgpu: PROMPTS.slice(0, 4) };

for (const [backend, prompts] of Object.entries(BACKENDS)) {
  test(`the tokens and spikes of ${backend} are the native ones`, async ({ page }) => {
    const wrong = await open(page, `?backend=${backend}`);
    await ready(page);
    await greedy(page, 96);
    let compared = 0;
    for (const prompt of prompts) {
      const native = generate(prompt, 96);
      const reply = await replyTo(page, () => say(page, prompt));
      expect(reply.tokens).toEqual(native.tokens);
      expect(reply.text).toBe(native.text);
      expect(reply.finish_reason).toBe(native.finish_reason);
      const { prompt: before, reply: during } = reply.ledger;
      expect(before.spikes + during.spikes).toBe(native.ledger.spikes);
      expect(before.ac + during.ac).toBe(native.ledger.ac);
      expect(before.mac + during.mac).toBe(native.ledger.mac);
      compared += reply.tokens.length;
      await expect(page.getByTestId("message-assistant").last()).toHaveText(native.text);
      await page.getByTestId("new-chat").click();
    }
    console.log(`${compared} greedy tokens compared, all equal`);
    expect(compared).toBeGreaterThanOrEqual(COMPARED * prompts.length);
    expect(wrong).toEqual([]);
  });
}

test("three turns, each of which computes only what is new", async ({ page }) => {
  const wrong = await open(page);
  await ready(page);
  await greedy(page, 24);
  const first = await replyTo(page, () => say(page, "Hello!"));
  const second = await replyTo(page, () => say(page, "And what do you like to eat?"));
  const third = await replyTo(page, () => say(page, "Thank you!"));
  expect(first.stats.reused_tokens).toBe(0);
  expect(second.stats.reused_tokens).toBeGreaterThanOrEqual(first.stats.prompt_tokens);
  expect(third.stats.reused_tokens).toBeGreaterThanOrEqual(second.stats.prompt_tokens);
  await expect(page.getByTestId("message-user")).toHaveText(["Hello!", "And what do you like to eat?", "Thank you!"]);
  await expect(page.getByTestId("message-assistant")).toHaveText([first.text, second.text, third.text]);
  await expect(page.getByTestId("tokens-per-second")).toContainText(/\d tokens\/s/);
  expect(wrong).toEqual([]);
});

test("an answer stops at once, and what there is of it stays", async ({ page }) => {
  const wrong = await open(page, "?backend=cpu");
  await ready(page);
  // By chance this hot, the model babbles for hundreds of tokens.
  await sample(page, { Temperature: 2, "Longest answer": 2000, Seed: 1 });
  const stopped = await replyTo(page, async () => {
    await say(page, "Tell me a long story.");
    await expect(page.getByTestId("message-assistant")).not.toBeEmpty();
    await page.keyboard.press("Escape");
  });
  expect(stopped.finish_reason).toBe("cancelled");
  expect(stopped.tokens.length).toBeGreaterThan(0);
  await expect(page.getByTestId("status")).toHaveText("Stopped.");
  await expect(page.getByTestId("message-assistant")).not.toBeEmpty();
  await greedy(page, 8);
  const next = await replyTo(page, () => say(page, "Hello!"));
  expect(next.finish_reason).not.toBe("cancelled");
  expect(wrong).toEqual([]);
});

test("a long prompt can be stopped, and the chat goes on", async ({ page }) => {
  const wrong = await open(page);
  await ready(page);
  await greedy(page, 8);
  const long = "All work and no play makes Jack a dull boy. ".repeat(2500);
  const stopped = await replyTo(page, async () => {
    await say(page, long);
    await expect(page.getByTestId("status")).toContainText("Reading:");
    await page.getByTestId("stop").click();
  });
  expect(stopped.finish_reason).toBe("cancelled");
  expect(stopped.tokens).toEqual([]);
  // What was asked is there to be changed and asked again.
  await expect(page.getByTestId("prompt")).toHaveValue(long.trim());
  const next = await replyTo(page, () => say(page, "Hello!"));
  expect(next.tokens).toEqual(generate("Hello!", 8).tokens);
  expect(wrong).toEqual([]);
});

test("another answer to the same question is a branch", async ({ page }) => {
  const wrong = await open(page);
  await ready(page);
  await sample(page, { Temperature: 1.5, "Longest answer": 12 });
  const first = await replyTo(page, () => say(page, "What do you like to eat?"));
  const second = await replyTo(page, () => action(page.getByTestId("message-assistant"), "Another answer").click());
  expect(second.stats.reused_tokens).toBe(first.stats.prompt_tokens);
  await expect(page.getByTestId("message-assistant")).toHaveCount(1);
  await expect(page.getByText("2 of 2")).toBeVisible();
  await page.getByRole("button", { name: "Show the branch before" }).click();
  await expect(page.getByTestId("message-assistant")).toHaveText(first.text);
  expect(wrong).toEqual([]);
});

test("an earlier message can be changed, and both conversations go on", async ({ page }) => {
  const wrong = await open(page);
  await ready(page);
  await greedy(page, 12);
  await replyTo(page, () => say(page, "Hello!"));
  const before = await replyTo(page, () => say(page, "What is your name?"));
  const after = await replyTo(page, async () => {
    await action(page.getByTestId("message-user").last(), "Edit this message").click();
    await page.getByLabel("The message, changed").fill("What is the capital of France?");
    await page.keyboard.press("Enter");
  });
  // The first turn is known from before.
  expect(after.stats.reused_tokens).toBeGreaterThan(0);
  await expect(page.getByTestId("message-user")).toHaveText(["Hello!", "What is the capital of France?"]);
  await expect(page.getByTestId("message-assistant").last()).toHaveText(after.text);
  await page.getByRole("button", { name: "Show the branch before" }).click();
  await expect(page.getByTestId("message-user")).toHaveText(["Hello!", "What is your name?"]);
  await expect(page.getByTestId("message-assistant").last()).toHaveText(before.text);
  const more = await replyTo(page, () => say(page, "Thank you!"));
  expect(more.stats.reused_tokens).toBeGreaterThanOrEqual(before.stats.prompt_tokens);
  expect(wrong).toEqual([]);
});
