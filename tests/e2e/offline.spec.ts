// The page without a network, and a new version of it.
import { expect, type Page, test } from "@playwright/test";
import { setInWorker, withFaults } from "./faults";
import { FaultyServer } from "./faulty";
import { generate } from "./native";
import { greedy, ready, replyTo, say, watch } from "./page";

test.use({ serviceWorkers: "allow" });

let server: FaultyServer;
test.beforeEach(async () => {
  server = await FaultyServer.start();
});
test.afterEach(() => server.close());

/** Waits until the service worker has all of the page. */
async function installed(page: Page): Promise<void> {
  await page.evaluate(async () => {
    await navigator.serviceWorker.ready;
  });
}

test("the second visit needs no network: page, model and chat are there", async ({ page }) => {
  await page.goto(server.url);
  await ready(page);
  await installed(page);
  server.down = true;
  const wrong = watch(page);
  await page.goto(`${server.url}?backend=cpu`);
  await ready(page);
  await greedy(page, 24);
  const reply = await replyTo(page, () => say(page, "What do you like to eat?"));
  expect(reply.tokens).toEqual(generate("What do you like to eat?", 24).tokens);
  await expect(page.getByRole("combobox", { name: "Model" })).toContainText("mar-smalltalk");
  // The one request that is tried is for the list of models.
  expect(wrong.filter((text) => !text.includes("net::ERR_"))).toEqual([]);
  // No model lies in the service worker's caches.
  const cached = await page.evaluate(async () => {
    const names = await caches.keys();
    const keys = await Promise.all(names.map(async (name) => (await caches.open(name)).keys()));
    return keys.flat().map(({ url }) => url);
  });
  expect(cached.filter((url) => url.includes("/models/"))).toEqual([`${server.url}models/index.json`]);
});

test("a worker that breaks without a network is replaced, also in the first visit", async ({ page }) => {
  const breaks = `globalThis.onPost = ({ event }) => { if (event?.type === "token" && --globalThis.left === 0) useUpMemory(); };`;
  server.change("worker-", (own) => withFaults(own, breaks));
  await page.goto(`${server.url}?backend=cpu`);
  await ready(page);
  await installed(page);
  await greedy(page, 24);
  server.down = true;
  await page.context().setOffline(true);
  await setInWorker(page, { left: 3 });
  const reply = await replyTo(page, () => say(page, "What do you like to eat?"));
  expect(reply.tokens).toEqual(generate("What do you like to eat?", 24).tokens);
  await expect(page.getByTestId("backend")).toContainText("the engine broke");
});

test("a new version is offered, and comes at the press of a button", async ({ page }) => {
  await page.goto(server.url);
  await ready(page);
  await installed(page);
  // A new build: another page, and a service worker that knows it.
  const [html, script] = await Promise.all(
    ["index.html", "sw.js"].map(async (file) => (await fetch(server.url + file)).text()),
  );
  const revision = /url:`?["']?index\.html["'`]?,revision:["'`](\w+)/.exec(script ?? "")?.[1];
  expect(revision).toBeDefined();
  server.instead.set("index.html", Buffer.from((html ?? "").replace("<title>MAR,", "<title>New MAR,")));
  server.instead.set("sw.js", Buffer.from((script ?? "").replace(revision ?? "", "0123456789abcdef")));
  await page.reload();
  // The version that is there runs until the person says otherwise.
  await expect(page).toHaveTitle(/^MAR,/);
  const offer = page.locator("#update");
  await expect(offer).toContainText("A new version is there.");
  await offer.getByRole("button", { name: "Reload" }).click();
  await expect(page).toHaveTitle(/^New MAR,/);
  await ready(page);
  await expect(offer).toBeHidden();
});

test("the page can be installed", async ({ page }) => {
  await page.goto(server.url);
  await installed(page);
  const devtools = await page.context().newCDPSession(page);
  const { errors, url } = await devtools.send("Page.getAppManifest");
  expect(errors).toEqual([]);
  expect(url).toBe(`${server.url}manifest.webmanifest`);
  const { installabilityErrors } = await devtools.send("Page.getInstallabilityErrors");
  // Tests run in a private window, where nothing is installed.
  expect(installabilityErrors.filter(({ errorId }) => errorId !== "in-incognito")).toEqual([]);
});
