// The package when things go wrong or are broken off, and as a person finds it in dist/.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { chromium, expect, test } from "@playwright/test";
import { environment } from "./environment";
import { BACKENDS, GREETING, openMar, STORY } from "./mar";
import { generate } from "./native";
import { serveStatic } from "./static";

const DIST = join(__dirname, "../../dist");

for (const backend of BACKENDS) {
  test(`a reply on ${backend} stops at once, also before it has begun`, async ({ page }) => {
    await openMar(page, backend);
    // So hot that it does not end by itself, and long enough that a stop arrives while it goes on.
    const options = { temperature: 5, top_p: 1, seed: 1, max_tokens: backend === "cpu" ? 300 : 40 };
    const given = [STORY, options] as const;
    const [whole, stopped, unbegun, next] = await page.evaluate(async ([ask, options]) => {
      const { mar } = window;
      const whole = await mar.generate([ask], options);
      const end = mar.on("token", () => mar.stop());
      const stopped = await mar.generate([ask], options);
      end();
      const unbegun = mar.generate([ask], options);
      mar.stop();
      return [whole, stopped, await unbegun, await mar.generate([ask], options)];
    }, given);
    expect(whole?.finish_reason).toBe("length");
    expect(stopped?.finish_reason).toBe("cancelled");
    expect(stopped?.tokens.length).toBeLessThan((whole?.tokens.length ?? 0) / 2);
    expect(whole?.text.startsWith(stopped?.text ?? "-")).toBe(true);
    expect(unbegun?.finish_reason).toBe("cancelled");
    expect(unbegun?.tokens).toEqual([]);
    expect(next?.tokens).toEqual(whole?.tokens);
  });
}

test("idle work gives way to a reply", async ({ page }) => {
  await openMar(page, "cpu");
  const [first, second, reply] = await page.evaluate(
    async ([ask, text]) => {
      const name = (error: Error): string => `${error.name}: ${error.message}`;
      const first = window.mar.loss(text).then(String, name);
      const second = window.mar.loss(text).then(String, name);
      await new Promise((resolve) => setTimeout(resolve, 50));
      const reply = await window.mar.generate([ask], { temperature: 0, max_tokens: 24 });
      return [await first, await second, reply.tokens] as const;
    },
    [GREETING, STORY.content.repeat(3000)] as const,
  );
  expect(first).toContain("stopped");
  expect(second).toBe("AbortError: it gave way to a reply");
  expect(reply).toEqual(generate(GREETING.content, 24).tokens);
});

test("a load can be broken off, and one that fails says why", async ({ page }) => {
  await openMar(page, "cpu");
  const outcome = await page.evaluate(async () => {
    const abort = new AbortController();
    const loading = window.Mar.load("models/mar-smalltalk/", { signal: abort.signal, onProgress: () => abort.abort() });
    const aborted = await loading.then(String, (error: Error) => error.name);
    const missing = await window.Mar.load("models/none/").then(String, (error: Error) => error.message);
    const early = window.Mar.open("models/mar-smalltalk/");
    let unknown = "";
    try {
      unknown = early.shape.name;
    } catch (error) {
      unknown = String(error);
    }
    const shape = (await early.ready).shape;
    return { aborted, missing, unknown, shape };
  });
  expect(outcome.aborted).toBe("AbortError");
  expect(outcome.missing).toContain("config.json is not there");
  expect(outcome.unknown).toContain("wait for mar.ready");
  const { parameters, weight_bytes, state_bytes, ...shape } = outcome.shape;
  expect(shape).toMatchObject({ name: "mar-smalltalk", n_layers: 4, d_inner: 256, steps: [8, 8, 8, 16], window: 0 });
  expect(parameters).toBeGreaterThan(4_200_000);
  expect(parameters).toBeLessThan(4_400_000);
  expect(weight_bytes).toBeLessThan(2_900_000);
  // [L, k-1, c] and [L, h, p, n] in float32.
  expect(state_bytes).toBe(4 * 4 * (3 * (256 + 2 * 48) + 256 * 48));
});

test("the OpenAI shape streams, answers whole, and ends early", async ({ page }) => {
  await openMar(page, "cpu");
  const { streamed, reasons, whole, taken } = await page.evaluate(async (ask) => {
    const { create } = window.mar.chat.completions;
    const request = { messages: [ask], temperature: 0, max_tokens: 24 };
    const texts: string[] = [];
    const reasons = [];
    for await (const chunk of await create({ ...request, stream: true })) {
      texts.push(chunk.choices[0].delta.content ?? "");
      reasons.push(chunk.choices[0].finish_reason);
    }
    const whole = await create(request);
    let taken = 0;
    for await (const chunk of await create({ ...request, stream: true, max_tokens: 4000 })) {
      taken += chunk.object === "chat.completion.chunk" ? 1 : 0;
      if (taken === 3) break;
    }
    return { streamed: texts, reasons, whole, taken };
  }, GREETING);
  const native = generate(GREETING.content, 24);
  expect(streamed.join("")).toBe(native.text);
  expect(streamed.length).toBeGreaterThan(4);
  expect(reasons.at(-1)).toBe(native.finish_reason);
  expect(whole.choices[0].message).toEqual({ role: "assistant", content: native.text });
  expect(whole.usage.completion_tokens).toBe(native.tokens.length);
  expect(taken).toBe(3);
});

test("auto says why it did not take WebGPU", async ({ page }) => {
  await openMar(page, "auto");
  const { device, name, why } = await page.evaluate(() => window.mar.backend);
  expect(device).toBe("cpu");
  expect(name).toContain("the CPU");
  expect(why).toMatch(/^WebGPU's only adapter, .*swiftshader.*, is a CPU that plays a GPU$/i);
  const without = await chromium.launch({ executablePath: environment("CHROMIUM"), args: ["--no-sandbox"] });
  try {
    const bare = await without.newPage({ baseURL: environment("MAR_URL") });
    await openMar(bare, "auto");
    expect(await bare.evaluate(() => window.mar.backend.why)).toBe("WebGPU offers no GPU here");
  } finally {
    await without.close();
  }
});

test("the example chats from any folder of any server", async ({ page }) => {
  const server = await serveStatic(DIST, "/some/folder/");
  const errors: string[] = [];
  const foreign: string[] = [];
  page.on("console", (message) => errors.push(message.text()));
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("request", (request) => {
    if (!request.url().startsWith(server.url) && !request.url().startsWith("data:")) foreign.push(request.url());
  });
  try {
    await page.goto(`${server.url}examples/minimal.html`);
    await expect(page.getByRole("status")).toContainText("mar-smalltalk runs on the CPU");
    await page.getByLabel("Your message").fill("Hello!");
    await page.getByRole("button", { name: "Send" }).click();
    await expect(page.getByRole("button", { name: "Send" })).toBeEnabled();
    await expect(page.locator("li").last()).toHaveText(/^[A-Z].{8,}/);
    expect(errors).toEqual([]);
    expect(foreign).toEqual([]);
  } finally {
    server.close();
  }
});

test("the types beside mar.js stand alone", () => {
  const folder = mkdtempSync(join(__dirname, "../../test-results-types-"));
  try {
    const use = `
      import { Mar, SITES, type TokenEvent } from ${JSON.stringify(join(DIST, "mar.js"))};
      const mar: Mar = await Mar.load("model/", { backend: "webgpu" });
      const end: () => void = mar.on("token", (event: TokenEvent) => event.spikes_positive.length);
      for await (const chunk of await mar.chat.completions.create({ messages: [], stream: true }))
        chunk.choices[0].delta.content?.length;
      const bytes: Uint8Array = await mar.state.save();
      // @ts-expect-error: no such event
      mar.on("nothing", () => {});
      export const all: unknown[] = [SITES, end, bytes];
    `;
    writeFileSync(join(folder, "use.ts"), use);
    const tsc = join(__dirname, "../../www/node_modules/typescript/bin/tsc");
    const flags = ["--noEmit", "--strict", "--target", "es2023", "--module", "esnext", "--moduleResolution", "bundler"];
    const found = execFileSync(process.execPath, [tsc, ...flags, "--types", "", join(folder, "use.ts")], {
      encoding: "utf8",
    });
    expect(found).toBe("");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
