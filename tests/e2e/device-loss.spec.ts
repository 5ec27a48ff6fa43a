// GPUs that vanish: in the page as a person sees it, and through the package, at every kind of work.
import { expect, type Page, test } from "@playwright/test";
import type { Message, Reply } from "../../www/src/mar";
import { inject, setInWorker } from "./faults";
import { GREETING, listenForTrouble, openMar, STORY, troublesOf } from "./mar";
import { greedy, open, ready, replyTo, say } from "./page";

const LOST = /^the GPU (was lost|failed) \(.*\); the engine goes on, on the GPU, .*swiftshader/i;

test("ten GPUs lost in one chat change no token", async ({ page }) => {
  // A CPU that plays a GPU compiles the kernels anew for each.
  test.setTimeout(600_000);
  // Every second token of an answer is a GPU's last.
  await inject(
    page,
    `let tokens = 0, lost = 0;
     globalThis.onPost = ({ type, event }) => {
       if (type === "event" && event.type === "token" && devices.length > 0 && lost < 10 && ++tokens % 2 === 0) {
         lost++;
         loseGpu();
       }
     };`,
  );
  await open(page, "?backend=webgpu");
  await ready(page);
  await greedy(page, 40);
  await listenForTrouble(page);
  const messages: Message[] = [];
  for (const ask of [STORY, GREETING]) {
    messages.push({ role: "user", content: ask.content.trim() });
    const undisturbed = await onCpu(page, messages, 40);
    const reply = await replyTo(page, () => say(page, ask.content));
    expect(reply.tokens).toEqual(undisturbed.tokens);
    await expect(page.getByTestId("message-assistant").last()).toHaveText(undisturbed.text);
    messages.push({ role: "assistant", content: reply.text });
  }
  expect(await troublesOf(page)).toEqual(Array.from({ length: 10 }, () => expect.stringMatching(LOST)));
  await expect(page.getByTestId("backend")).toHaveText(/^Runs on the GPU.*the GPU (was lost|failed) .*asked for\.$/);
});

test("a GPU lost at any work costs none of it", async ({ page }) => {
  await inject(
    page,
    `// The very first one goes while the model is loaded.
     globalThis.onDevice = (device, count) => count === 1 && device.destroy();
     globalThis.onPost = ({ type, event }) => {
       if (type === "event" && event.type === globalThis.loseAt) {
         globalThis.loseAt = undefined;
         loseGpu();
       }
     };
     globalThis.onRead = () => --globalThis.readsLeft === 0 && loseGpu();`,
  );
  await openMar(page, "webgpu");
  await listenForTrouble(page);
  expect(await page.evaluate(() => window.mar.backend.device)).toBe("webgpu");
  const works = {
    reply: () =>
      page.evaluate(async (ask) => {
        await window.mar.reset();
        return (await window.mar.generate([ask], { temperature: 0, max_tokens: 24 })).tokens;
      }, STORY),
    loss: () =>
      page.evaluate((text) => window.mar.loss(text).then((loss) => loss.nats_per_token), STORY.content.repeat(9)),
    replay: () =>
      page.evaluate(async () => {
        const { spikes } = await window.mar.replay({ layer: 1, site: "down", first: 4, count: 6 });
        return spikes.map(({ position, trains }) => [position, ...trains]);
      }),
    save: () => page.evaluate(async () => [...(await window.mar.state.save())]),
  };
  const faults: [keyof typeof works, Record<string, unknown>][] = [
    ["reply", { loseAt: "prefill" }],
    ["reply", { readsLeft: 4 }],
    // The first read-back puts the conversation aside.
    ["loss", { readsLeft: 2 }],
    ["replay", { readsLeft: 4 }],
    ["save", { readsLeft: 1 }],
  ];
  const undisturbed = { reply: await works.reply(), loss: await works.loss(), replay: await works.replay() };
  const saved = await works.save();
  expect(await troublesOf(page)).toEqual([]);
  for (const [work, fault] of faults) {
    await setInWorker(page, fault);
    expect(await works[work](), `${work}, ${JSON.stringify(fault)}`).toEqual({ ...undisturbed, save: saved }[work]);
  }
  expect(await troublesOf(page)).toEqual(faults.map(() => expect.stringMatching(LOST)));
});

test("a GPU that is lost again before it has done anything is one too many", async ({ page }) => {
  await inject(
    page,
    `globalThis.onPost = ({ type, event }) => {
       if (type === "event" && event.type === "token" && event.token.position === globalThis.lastToken) loseGpu();
     };
     // Any but the first goes when it is to catch up.
     globalThis.onRead = () => devices.length > 1 && loseGpu();`,
  );
  await openMar(page, "webgpu");
  await listenForTrouble(page);
  const right = await onCpu(page, [STORY], 24);
  await setInWorker(page, { lastToken: right.stats.prompt_tokens + 4 });
  const reply = await page.evaluate((ask) => window.mar.generate([ask], { temperature: 0, max_tokens: 24 }), STORY);
  expect(reply.tokens).toEqual(right.tokens);
  const why = /^the GPU (was lost|failed) \(.*\), and no other could take over \(the GPU (was lost|failed) \(.*\)\)/;
  expect(await troublesOf(page)).toEqual([expect.stringMatching(why)]);
  const backend = await page.evaluate(() => window.mar.backend);
  expect(backend.device).toBe("cpu");
  expect(backend.why).toMatch(why);
});

/** What an engine that nothing happens to replies, greedy; its worker is gone then. */
async function onCpu(page: Page, messages: Message[], maxTokens: number): Promise<Reply> {
  const workers = page.workers().length;
  const reply = await page.evaluate(
    async ([messages, max_tokens]) => {
      const { Mar } = (await import("/mar.js" as string)) as typeof import("../../www/src/mar");
      const mar = await Mar.load("models/mar-smalltalk/", { backend: "cpu" });
      try {
        return await mar.generate(messages, { temperature: 0, max_tokens });
      } finally {
        mar.dispose();
      }
    },
    [messages, maxTokens] as const,
  );
  // The browser says later that it ended one; setInWorker would take it for the newest until then.
  await expect.poll(() => page.workers().length).toBe(workers);
  return reply;
}
