// A GPU with little memory: fewer tokens at a time, and where that does not help, the CPU.
import { expect, test } from "@playwright/test";
import { inject, setInWorker } from "./faults";
import { listenForTrouble, openMar, STORY, troublesOf } from "./mar";
import { generate } from "./native";

/** Counts the bytes of all buffers; those beyond `room` are what WebGPU calls out of memory. */
const SHORT = `
let used = 0;
const scopes = [];
const { createBuffer, pushErrorScope, popErrorScope } = GPUDevice.prototype;
const { destroy } = GPUBuffer.prototype;
const sizes = new WeakMap();
GPUDevice.prototype.pushErrorScope = function (filter) {
  scopes.push({ filter, failed: false });
  pushErrorScope.call(this, filter);
};
GPUDevice.prototype.popErrorScope = async function () {
  const { failed } = scopes.pop();
  const error = await popErrorScope.call(this);
  return failed ? new GPUOutOfMemoryError("a test has given no more") : error;
};
GPUDevice.prototype.createBuffer = function (descriptor) {
  const buffer = createBuffer.call(this, descriptor);
  used += descriptor.size;
  sizes.set(buffer, descriptor.size);
  const scope = scopes.findLast(({ filter }) => filter === "out-of-memory");
  if (used > globalThis.room && scope) scope.failed = true;
  return buffer;
};
GPUBuffer.prototype.destroy = function () {
  used -= sizes.get(this) ?? 0;
  sizes.delete(this);
  destroy.call(this);
};
globalThis.usedBytes = () => used;
`;

test("a GPU whose memory is short takes fewer tokens at a time", async ({ page }) => {
  const right = generate(STORY.content, 24);
  const ask = () =>
    page.evaluate(async (ask) => {
      await window.mar.reset();
      return (await window.mar.generate([ask], { temperature: 0, max_tokens: 24 })).tokens;
    }, STORY);
  await inject(page, SHORT);
  await openMar(page, "webgpu");
  await listenForTrouble(page);
  expect(await ask()).toEqual(right.tokens);
  // Room for no more than there is: what is read back does not fit until the buffers of a pass are smaller.
  const used = (await page.workers()[0]?.evaluate("usedBytes()")) as number;
  await setInWorker(page, { room: used });
  expect(await ask()).toEqual(right.tokens);
  expect(await troublesOf(page)).toEqual([
    expect.stringMatching(
      /^the GPU ran out of memory \(.*\), so it takes 16 tokens at a time; the engine goes on, on the GPU/,
    ),
  ]);
  expect((await page.evaluate(() => window.mar.backend)).why).toMatch(/ran out of memory .* 16 tokens at a time$/);
  // Room for nothing.
  await setInWorker(page, { room: 1 });
  expect(await ask()).toEqual(right.tokens);
  expect((await troublesOf(page)).at(-1)).toMatch(/^the GPU ran out of memory \(.*\); the engine goes on, on the CPU/);
  expect(await page.evaluate(() => window.mar.backend.device)).toBe("cpu");
});

test("a model that does not fit a GPU runs on the CPU, and the page says why", async ({ page }) => {
  await inject(page, `${SHORT} globalThis.room = 1e6;`);
  await openMar(page, "webgpu");
  const backend = await page.evaluate(() => window.mar.backend);
  expect(backend.device).toBe("cpu");
  expect(backend.why).toMatch(/^the GPU ran out of memory \(.* did not fit\) while the model was loaded$/);
  const right = generate(STORY.content, 8);
  const reply = await page.evaluate((ask) => window.mar.generate([ask], { temperature: 0, max_tokens: 8 }), STORY);
  expect(reply.tokens).toEqual(right.tokens);
});
