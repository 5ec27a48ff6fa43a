import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, type Page, test } from "@playwright/test";
import { inject } from "./faults";
import { generate } from "./native";
import { greedy, hold, open, ready, replyTo, rows, say } from "./page";

const WEIGHTS = readFileSync(join(__dirname, "../../models/mar-smalltalk/model.safetensors"));

test("an address without a model gives a sentence, and the page lives", async ({ page }) => {
  await open(page, "?model=models/no-such-model/");
  await expect(page.getByTestId("status")).toContainText(
    /config\.json is not there; is this the address of a model's folder/,
  );
  await page.getByRole("combobox", { name: "Model" }).selectOption({ index: 1 });
  await ready(page);
  const reply = await replyTo(page, () => say(page, "Hello!"));
  expect(reply.tokens.length).toBeGreaterThan(0);
});

test("a server that cannot be reached gives a sentence", async ({ page }) => {
  await open(page, "?model=http://127.0.0.1:9/model/");
  await expect(page.getByTestId("status")).toContainText("cannot fetch http://127.0.0.1:9/model/manifest.json", {
    ignoreCase: true,
  });
});

test("a page that is no model gives a sentence", async ({ page }) => {
  await page.route("**/tiny-odd/config.json", (route) => route.fulfill({ body: "<!doctype html>" }));
  await page.route("**/tiny-odd/manifest.json", (route) => route.fulfill({ status: 404 }));
  await open(page, "?model=/golden/tiny-odd/");
  await expect(page.getByTestId("status")).toContainText(/could not be loaded.*config\.json/i);
});

test("weights that are damaged on the way are refused by name", async ({ page }) => {
  const body = Buffer.from(WEIGHTS);
  body[2_000_000] = (body[2_000_000] ?? 0) ^ 1;
  await page.route("**/mar-smalltalk/model.safetensors", (route) => route.fulfill({ body }));
  await open(page);
  await expect(page.getByTestId("status")).toContainText("chunk 1 has sha-256");
});

test("a download that ends early is refused, and is done again at the press of a button", async ({ page }) => {
  let cut = true;
  await page.route("**/mar-smalltalk/model.safetensors", async (route) => {
    await route.fulfill({ body: cut ? WEIGHTS.subarray(0, 1_500_000) : WEIGHTS });
  });
  await open(page);
  await page.getByTestId("prompt").fill("Hello!");
  await expect(page.getByTestId("status")).toContainText("could not be loaded");
  cut = false;
  await page.getByRole("button", { name: "Load again" }).click();
  await ready(page);
  await expect(page.getByTestId("prompt")).toHaveValue("Hello!");
  const reply = await replyTo(page, () => page.getByTestId("send").click());
  expect(reply.tokens.length).toBeGreaterThan(0);
});

test("a model without a tokenizer loads, says that it cannot chat, and gives the text back", async ({ page }) => {
  await open(page, "?model=/golden/tiny-odd/");
  await ready(page);
  await say(page, "Hello!");
  await expect(page.getByTestId("status")).toContainText("this model has no tokenizer", { ignoreCase: true });
  await expect(page.getByTestId("prompt")).toHaveValue("Hello!");
  await expect(page.getByTestId("message-user")).toHaveCount(0);
});

test("where storage is denied the page says so, and chats", async ({ page }) => {
  await page.addInitScript(() => {
    const denied = () => {
      throw new DOMException("denied", "SecurityError");
    };
    Object.defineProperty(window, "localStorage", { get: denied });
    Object.defineProperty(window, "sessionStorage", { get: denied });
    Object.defineProperty(window, "indexedDB", { get: denied });
  });
  const wrong = await open(page);
  await ready(page);
  await greedy(page, 8);
  await replyTo(page, () => say(page, "Hello!"));
  await page.getByRole("button", { name: "Chats" }).click();
  await expect(page.getByText("This browser denies storage")).toBeVisible();
  await expect(page.locator("#chat-list").getByRole("button", { name: /^Hello!/ })).toBeVisible();
  expect(wrong).toEqual([]);
});

test("scripts in messages are text", async ({ page }) => {
  const wrong = await open(page);
  await ready(page);
  await greedy(page, 4);
  const script = `<script>window.hacked = 1</script><img src=x onerror="window.hacked = 1">`;
  await replyTo(page, () => say(page, script));
  await expect(page.getByTestId("message-user")).toHaveText(script);
  // An answer with the same, as a file may bring it.
  const turns = [
    { id: "a", parent: null, role: "user", content: "Hi", created: 1 },
    {
      id: "b",
      parent: "a",
      role: "assistant",
      content: `${script}\n\n[a](javascript:window.hacked=1) **b**`,
      created: 2,
    },
  ];
  const conversation = { id: "x", title: "t", created: 1, updated: 1, model: "", system: "", turns, leaf: "b" };
  const text = JSON.stringify({ format: "mar-conversation", version: 1, conversation, state: null });
  const file = { name: "chat.json", mimeType: "application/json", buffer: Buffer.from(text) };
  await page.locator("#import-file").setInputFiles(file);
  const answer = page.getByTestId("message-assistant");
  await expect(answer).toContainText("<script>window.hacked = 1</script>");
  await expect(answer.locator("strong")).toHaveText("b");
  await expect(answer.locator("script, img, a[href]")).toHaveCount(0);
  expect(await page.evaluate(() => "hacked" in window)).toBe(false);
  expect(wrong).toEqual([]);
});

test("a prompt that breaks every engine is given back, and the next one is answered", async ({ page }) => {
  await inject(
    page,
    `globalThis.onPost = ({ type, event }) => type === "event" && event.type === "prefill" && event.total > 100 && useUpMemory();`,
  );
  await open(page, "?backend=cpu");
  await ready(page);
  await greedy(page, 8);
  const said = await statuses(page);
  const long = "All work and no play makes Jack a dull boy. ".repeat(20);
  await say(page, long);
  await expect(page.getByTestId("status")).toContainText("There is no answer. The engine broke");
  await expect(page.getByTestId("prompt")).toHaveValue(long.trim());
  const reply = await replyTo(page, () => say(page, "Hello!"));
  expect(reply.tokens).toEqual(generate("Hello!", 8).tokens);
  await expect(page.getByTestId("message-user")).toHaveText(["Hello!"]);
  // The engine that was started for it did not speak over the sentence.
  expect((await said()).filter((text) => text.includes("what you do next works as before"))).toEqual([]);
});

/** Notes everything that the page says from now on. */
async function statuses(page: Page): Promise<() => Promise<string[]>> {
  const said = await page.evaluateHandle(() => {
    const said: string[] = [];
    const status = document.getElementById("status");
    const note = () => said.push(status?.textContent ?? "");
    if (status) new MutationObserver(note).observe(status, { characterData: true, childList: true, subtree: true });
    return said;
  });
  return () => said.jsonValue();
}

test("a browser without WebAssembly SIMD is told so, and which one has it", async ({ page }) => {
  await page.route("**/assets/worker-*.js", async (route) => {
    const response = await route.fetch();
    // As engines say it that do not know an instruction.
    const lacking = `
      const lacking = async () => { throw new WebAssembly.CompileError("invalid opcode 0xfd"); };
      Object.assign(WebAssembly, { compile: lacking, compileStreaming: lacking, instantiate: lacking, instantiateStreaming: lacking, validate: () => false });`;
    await route.fulfill({ response, body: `${lacking}\n${await response.text()}` });
  });
  await open(page);
  await page.getByTestId("prompt").fill("Hello!");
  await expect(page.getByTestId("status")).toContainText("This browser cannot run the engine (invalid opcode 0xfd)");
  await expect(page.getByTestId("status")).toContainText("use a browser with WebAssembly SIMD: Chrome 91");
  await expect(page.getByTestId("send")).toBeDisabled();
  await expect(page.getByTestId("prompt")).toHaveValue("Hello!");
});

test("fifty thousand characters can be pasted, asked, and stopped", async ({ page }) => {
  const wrong = await open(page);
  await ready(page);
  await hold(page, 0);
  const long = "All work and no play makes Jack a dull boy. ".repeat(1137).slice(0, 50_002).trim();
  await page.getByTestId("prompt").focus();
  // As a paste does: all at once.
  await page.keyboard.insertText(long);
  await expect(page.getByTestId("prompt")).toHaveValue(long);
  await page.keyboard.press("Enter");
  await expect(page.getByTestId("message-user")).toHaveText(long);
  await page.getByTestId("stop").click();
  await hold(page, Number.POSITIVE_INFINITY);
  // Nothing came of it: it is in the field again, and in no conversation.
  await expect(page.getByTestId("prompt")).toHaveValue(long);
  await expect(page.getByTestId("message-user")).toHaveCount(0);
  expect(await rows(page, "turns")).toEqual([]);
  expect(await rows(page, "conversations")).toEqual([]);
  expect(wrong).toEqual([]);
});

test("a browser without WebGPU is told so, and the page runs on the CPU", async ({ page }) => {
  await page.route("**/assets/worker-*.js", async (route) => {
    const response = await route.fetch();
    const gone = `Object.defineProperty(WorkerNavigator.prototype, "gpu", { value: undefined });`;
    await route.fulfill({ response, body: `${gone}\n${await response.text()}` });
  });
  const wrong = await open(page);
  await ready(page);
  expect(await page.workers()[0]?.evaluate(() => navigator.gpu)).toBe(undefined);
  await expect(page.getByTestId("backend")).toContainText(/CPU.*WebGPU/);
  await greedy(page, 8);
  await replyTo(page, () => say(page, "Hello!"));
  expect(wrong).toEqual([]);
});
