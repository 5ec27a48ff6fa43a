import { expect, test } from "@playwright/test";
import { generate } from "./native";
import { greedy, open, ready, replyTo, say } from "./page";

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
const BACKENDS = { cpu: PROMPTS, webgpu: PROMPTS.slice(0, 6) };

for (const [backend, prompts] of Object.entries(BACKENDS)) {
  test(`the tokens and spikes of ${backend} are the native ones`, async ({ page }) => {
    const errors = await open(page, `?backend=${backend}`);
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
      await expect(page.locator("#transcript .assistant p").last()).toHaveText(native.text);
      await page.getByRole("button", { name: "New chat" }).click();
    }
    console.log(`${compared} greedy tokens compared, all equal`);
    expect(compared).toBeGreaterThanOrEqual(COMPARED * prompts.length);
    expect(errors).toEqual([]);
  });
}

test("a second turn computes only what is new", async ({ page }) => {
  const errors = await open(page);
  await ready(page);
  await greedy(page, 24);
  const first = await replyTo(page, () => say(page, "Hello!"));
  const second = await replyTo(page, () => say(page, "And what do you like to eat?"));
  expect(first.stats.reused_tokens).toBe(0);
  expect(second.stats.reused_tokens).toBeGreaterThanOrEqual(first.stats.prompt_tokens);
  await expect(page.getByLabel("Figures of the last reply")).toContainText("Energy a token, estimate");
  expect(errors).toEqual([]);
});

test("a long prompt can be stopped, and the chat goes on", async ({ page }) => {
  const errors = await open(page);
  await ready(page);
  await greedy(page, 8);
  const long = "All work and no play makes Jack a dull boy. ".repeat(2500);
  const stopped = await replyTo(page, async () => {
    await say(page, long);
    await expect(page.getByRole("status")).toContainText("Reading:");
    await page.getByRole("button", { name: "Stop" }).click();
  });
  expect(stopped.finish_reason).toBe("cancelled");
  expect(stopped.tokens).toEqual([]);
  // What was asked is there to be changed and asked again.
  await expect(page.getByLabel("Your message")).toHaveValue(long.trim());
  const next = await replyTo(page, () => say(page, "Hello!"));
  expect(next.tokens).toEqual(generate("Hello!", 8).tokens);
  expect(errors).toEqual([]);
});
