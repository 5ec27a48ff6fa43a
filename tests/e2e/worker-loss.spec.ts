// Workers that trap, vanish or hang in the middle of a reply: another goes on with it.
import { expect, test } from "@playwright/test";
import { inject, setInWorker } from "./faults";
import { listenForTrouble, openMar, STORY, troublesOf, watchedReply } from "./mar";
import { generate } from "./native";
import { greedy, open, ready, replyTo, say } from "./page";

/** The fault happens behind the token at `faultAt`, in the worker that was told so. */
const AT_TOKEN = `
globalThis.onPost = ({ type, event }) => {
  if (type === "event" && event.type === "token" && event.token.position === globalThis.faultAt) fault();
};`;

/** Faults, what is told of them, and whether nobody notices but by the silence that follows. */
const FAULTS = {
  "runs out of memory": {
    script: "globalThis.fault = useUpMemory;",
    says: /^the engine broke \(.*unreachable.*\)/,
    silent: false,
  },
  "throws an error": {
    script: `globalThis.fault = () => setTimeout(() => { throw new Error("boom"); });`,
    says: /^the engine broke \(.*boom\)/,
    silent: false,
  },
  "is ended by somebody": {
    script: "globalThis.fault = close;",
    says: /^the engine gave no sign of life for \d+ seconds/,
    silent: true,
  },
  hangs: {
    script: "globalThis.fault = () => { for (;;); };",
    says: /^the engine gave no sign of life for \d+ seconds/,
    silent: true,
  },
  "waits for a GPU that hangs": {
    script: "globalThis.fault = () => { GPUBuffer.prototype.mapAsync = () => new Promise(() => {}); };",
    says: /^the engine gave no sign of life for \d+ seconds/,
    silent: true,
  },
} as const;

for (const [how, { script, says, silent }] of Object.entries(FAULTS)) {
  test(`a worker that ${how} is replaced, and the reply goes on`, async ({ page }) => {
    if (silent) await page.clock.install();
    await inject(page, AT_TOKEN + script);
    const backend = how.includes("GPU") ? "webgpu" : "cpu";
    await openMar(page, backend);
    await listenForTrouble(page);
    await page.evaluate(() => window.mar.set({ muted: [{ layer: 3 }] }));
    const right = await watchedReply(page, STORY, { layer: 1, site: "down" });
    const faultAt = right.reply.stats.prompt_tokens + 5;
    await page.evaluate(async (faultAt) => {
      await window.mar.reset();
      window.mar.on("token", ({ position }) => Object.assign(window, { reached: position >= faultAt }));
    }, faultAt);
    await setInWorker(page, { faultAt });
    const replaced = page.waitForEvent("worker").then(() => true);
    const replying = watchedReply(page, STORY, { layer: 1, site: "down" });
    if (silent) {
      await page.waitForFunction(() => "reached" in window && window.reached);
      let over = false;
      void replaced.then(() => {
        over = true;
      });
      // Ticks without a sign of life.
      while (!over) await page.clock.runFor(10_000);
    }
    const { reply, events, trains } = await replying;
    expect(reply.tokens).toEqual(right.reply.tokens);
    expect(reply.text).toBe(right.reply.text);
    // Each token was told of once, and the dials are as they were.
    expect(events.map((event) => event.token)).toEqual(reply.tokens);
    for (const event of events) expect(event.active.slice(12)).toEqual([0, 0, 0, 0]);
    expect(trains).toEqual(right.trains);
    expect(reply.ledger.reply).toEqual(right.reply.ledger.reply);
    const troubles = await troublesOf(page);
    expect(troubles).toEqual([expect.stringMatching(says)]);
    expect(troubles[0]).toContain(`it was started again on ${backend === "cpu" ? "the CPU" : "the GPU"}`);
    const now = await page.evaluate(() => window.mar.backend);
    expect(now.device).toBe(backend);
    expect(now.why).toMatch(says);
  });
}

test("a trap while a model is loaded is told as what it is", async ({ page }) => {
  await inject(
    page,
    `const { digest } = SubtleCrypto.prototype;
     let chunks = 0;
     SubtleCrypto.prototype.digest = async function (...given) {
       const hash = await digest.apply(this, given);
       if (++chunks === 6) useUpMemory();
       return hash;
     };`,
  );
  await expect(openMar(page, "cpu")).rejects.toThrow(/the engine broke \(.*unreachable/);
});

test("a GPU that hangs while it is opened gives way to the CPU", async ({ page }) => {
  await page.clock.install();
  await inject(page, "GPUAdapter.prototype.requestDevice = () => new Promise(() => {});");
  let open = false;
  const opening = openMar(page, "webgpu").then(() => {
    open = true;
  });
  // Ticks without a sign of life, with time between them in which the CPU's engine can give one.
  while (!open) {
    await page.clock.runFor(10_000);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  await opening;
  const backend = await page.evaluate(() => window.mar.backend);
  expect(backend.device).toBe("cpu");
  expect(backend.why).toMatch(/^the engine gave no sign of life for \d+ seconds/);
});

test("the page says that its engine broke, and the answer is whole", async ({ page }) => {
  const right = generate(STORY.content.trim(), 24);
  await inject(page, `${AT_TOKEN} globalThis.fault = useUpMemory;`);
  await open(page, "?backend=cpu");
  await ready(page);
  await greedy(page, 24);
  const first = await replyTo(page, () => say(page, STORY.content));
  await page.getByTestId("new-chat").click();
  await setInWorker(page, { faultAt: first.stats.prompt_tokens + 9 });
  await page.evaluate(() => {
    const status = document.querySelector("[data-testid=status]");
    const told: string[] = [];
    Object.assign(window, { told });
    const look = () => told.push(status?.textContent ?? "");
    if (status) new MutationObserver(look).observe(status, { childList: true, characterData: true, subtree: true });
  });
  const reply = await replyTo(page, () => say(page, STORY.content));
  expect(reply.tokens).toEqual(right.tokens);
  await expect(page.getByTestId("message-assistant").last()).toHaveText(right.text);
  const told = await page.evaluate(() => (window as unknown as { told: string[] }).told);
  expect(told).toContainEqual(
    expect.stringMatching(/^The engine broke \(.*\); it was started again on the CPU, .*, and the reply goes on\.$/),
  );
  await expect(page.getByTestId("backend")).toHaveText(/^Runs on the CPU, .*: the engine broke \(.*asked for\.$/);
});
