// Models that come in parts, through every fault, and are kept.
import { statSync } from "node:fs";
import { join } from "node:path";
import { expect, type Page, test } from "@playwright/test";
import { type Fault, FaultyServer } from "./faulty";
import { generate } from "./native";
import { greedy, ready, replyTo, say, watch } from "./page";
import { spoil } from "./spoil";

const MIB = 1 << 20;
const WEIGHTS = "mar-smalltalk/model.safetensors";
const BYTES = statSync(join(__dirname, "../../models", WEIGHTS)).size;
const OTHERS = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]
  .map((file) => statSync(join(__dirname, "../../models/mar-smalltalk", file)).size)
  .reduce((sum, size) => sum + size);
const PROMPT = "What do you like to eat?";

let server: FaultyServer;
test.beforeEach(async () => {
  server = await FaultyServer.start();
});
test.afterEach(() => server.close());

/** A fault of the first answer with weights. */
function first(fault: Fault): void {
  server.fault = ({ file, time }) => (file === WEIGHTS && time === 0 ? fault : {});
}

async function open(page: Page, query = "?backend=cpu"): Promise<void> {
  await page.goto(server.url + query);
}

/** That the model is the right one, whole. */
async function chats(page: Page): Promise<void> {
  await ready(page);
  await greedy(page, 24);
  const reply = await replyTo(page, () => say(page, PROMPT));
  expect(reply.tokens).toEqual(generate(PROMPT, 24).tokens);
}

/** How far the bar above the messages is. */
function verified(page: Page, text: string): Promise<void> {
  return expect(page.locator("#load-detail")).toContainText(`${text} verified`);
}

/** That so many bytes have come, by the same bar. */
function received(page: Page, bytes: number): Promise<void> {
  const share = () => page.locator("#progress").evaluate((bar: HTMLProgressElement) => bar.value);
  return expect.poll(async () => Math.round((await share()) * (OTHERS + BYTES))).toBe(bytes);
}

/** Has every worker run `code` before its own. */
async function inWorkers(page: Page, code: string): Promise<void> {
  await page.route("**/assets/worker-*.js", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: `${code}\n${await response.text()}` });
  });
}

test("a connection that is cut is gone on with at the very byte", async ({ page }) => {
  first({ hangAfter: 1_600_000 });
  const wrong = watch(page);
  await open(page);
  // Bytes that nobody has read yet are lost with their connection.
  await received(page, OTHERS + 1_600_000);
  server.cut();
  await chats(page);
  expect(server.ranges(WEIGHTS)).toEqual([undefined, 1_600_000]);
  expect(server.sent.get(WEIGHTS)).toBe(BYTES);
  // The browser tells of the cut, and nobody else of anything.
  expect(wrong.filter((text) => !text.includes("net::ERR_"))).toEqual([]);
});

test("a load goes on after a reload of the page, and after a visit nothing is fetched", async ({ page }) => {
  first({ hangAfter: 1_600_000 });
  await open(page);
  await verified(page, "1.31 MB");
  await page.reload();
  await chats(page);
  // At most what had come of the chunk that was not whole is sent twice.
  expect(server.ranges(WEIGHTS)).toEqual([undefined, MIB]);
  expect((server.sent.get(WEIGHTS) ?? 0) - BYTES).toBe(1_600_000 - MIB);
  server.forget();
  await page.reload();
  await ready(page);
  expect(server.asked).toEqual([]);
});

for (const [what, chunks, how] of [
  ["a damaged byte", [MIB], "byte"],
  ["a cut end", [2 * MIB], "truncate"],
  ["no file any more", [undefined], "remove"],
] as const) {
  test(`what is kept and has ${what} is mended: only what is bad is fetched`, async ({ page }) => {
    await open(page);
    await ready(page);
    await page.goto("about:blank");
    await page.goto(`${server.url}bench.html`);
    await spoil(page, how);
    server.forget();
    await open(page);
    await chats(page);
    expect(server.ranges(WEIGHTS)).toEqual(chunks);
    server.forget();
    await page.reload();
    await ready(page);
    expect(server.asked).toEqual([]);
  });
}

test("a server without ranges sends every file once", async ({ page }) => {
  server.fault = () => ({ noRanges: true });
  await open(page);
  await chats(page);
  expect(server.sent.get(WEIGHTS)).toBe(BYTES);
});

test("a server that stops knowing ranges in the middle sends the file again", async ({ page }) => {
  server.fault = ({ file, time }) =>
    file === WEIGHTS ? (time === 0 ? { cutAfter: 1_600_000 } : { noRanges: true }) : {};
  await open(page);
  await chats(page);
  expect(server.sent.get(WEIGHTS)).toBe(BYTES + 1_600_000);
});

test("bytes that are damaged on the way are fetched again, alone", async ({ page }) => {
  first({ damage: MIB + 5 });
  await open(page);
  await chats(page);
  expect(server.ranges(WEIGHTS)).toEqual([undefined, MIB]);
});

for (const [what, fault, says] of [
  ["is not there", { status: 404 }, /model.safetensors is not there/],
  ["has another length", { pretend: BYTES + 7 }, new RegExp(`${BYTES + 7} bytes came, expected ${BYTES}`)],
  ["is damaged", { damage: MIB + 5 }, /chunk 1 has sha-256 .* it was fetched 3 times/],
] as const) {
  test(`a file that ${what} at its server is named, and what was right is not fetched again`, async ({ page }) => {
    server.fault = ({ file }) => (file === WEIGHTS ? fault : {});
    await open(page);
    await expect(page.getByTestId("status")).toContainText(says);
    server.fault = () => ({});
    server.forget();
    await page.getByRole("button", { name: "Load again" }).click();
    await chats(page);
    expect(server.ranges(WEIGHTS)).toHaveLength(1);
    expect(server.sent.get(WEIGHTS)).toBe(what === "is damaged" ? MIB : BYTES);
  });
}

test("a load can be held and let go on, and ended and taken up again", async ({ page }) => {
  first({ hangAfter: 1_600_000 });
  await open(page);
  await received(page, OTHERS + 1_600_000);
  const bar = page.locator("#load");
  await bar.getByRole("button", { name: "Pause" }).click();
  await expect(bar).toContainText("paused");
  server.fault = ({ file, time }) => (file === WEIGHTS && time === 1 ? { hangAfter: 1000 } : {});
  await bar.getByRole("button", { name: "Resume" }).click();
  await expect.poll(() => server.ranges(WEIGHTS)).toEqual([undefined, 1_600_000]);
  await bar.getByRole("button", { name: "Cancel" }).click();
  await expect(bar).toBeHidden();
  await expect(page.getByTestId("status")).toContainText("What has come is kept");
  await page.getByRole("button", { name: "Load again" }).click();
  await chats(page);
  expect(server.ranges(WEIGHTS)).toEqual([undefined, 1_600_000, MIB]);
});

test("without files for workers the Cache API keeps the model", async ({ page }) => {
  await inWorkers(page, "delete FileSystemFileHandle.prototype.createSyncAccessHandle;");
  await open(page);
  await ready(page);
  server.forget();
  await page.reload();
  await chats(page);
  expect(server.asked).toEqual([]);
});

test("where all storage is denied the model is loaded, and the page says that it is not kept", async ({ page }) => {
  await inWorkers(
    page,
    `Object.defineProperty(self, "indexedDB", { get() { throw new DOMException("", "SecurityError"); } });`,
  );
  await open(page);
  await ready(page);
  await expect(page.getByTestId("status")).toContainText("not kept for the next visit: this browser denies storage");
  await chats(page);
});

test("where the storage is full the model is loaded, and the page says what to do", async ({ page }) => {
  const devtools = await page.context().newCDPSession(page);
  await open(page, "bench.html");
  await devtools.send("Storage.overrideQuotaForOrigin", { origin: new URL(server.url).origin, quotaSize: 1.5 * MIB });
  await open(page);
  await ready(page);
  await expect(page.getByTestId("status")).toContainText(/not kept .*: the storage .* is full; delete another/);
  await chats(page);
});

test("a model is what its pin says, or nothing", async ({ page }) => {
  const manifest = `${server.url}models/mar-smalltalk/manifest.json`;
  const changed = Buffer.from((await (await fetch(manifest)).text()).replace('"bytes": 538', '"bytes": 539'));
  server.instead.set("models/mar-smalltalk/manifest.json", changed);
  await open(page);
  await expect(page.getByTestId("status")).toContainText(
    /manifest.json has sha-256 \w{64}, expected \w{64}; the model there has changed/,
  );
  // The package does as it is told.
  server.instead.clear();
  await page.goto(`${server.url}bench.html`);
  const [right, wrong] = await page.evaluate(async () => {
    const script = new URL("mar.js", location.href).href;
    window.Mar = (await import(script)).Mar;
    const [{ sha256 }] = await (await fetch("models/index.json")).json();
    const load = (sha256: string): Promise<string> =>
      window.Mar.load("models/mar-smalltalk/", { sha256 }).then((mar) => mar.shape.name, String);
    return [await load(sha256), await load("0".repeat(64))];
  });
  expect(right).toBe("mar-smalltalk");
  expect(wrong).toContain(`expected ${"0".repeat(64)}`);
});
