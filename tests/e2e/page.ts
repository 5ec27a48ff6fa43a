// The page as a person uses it.
import { expect, type Locator, type Page } from "@playwright/test";

/** What the page tells of a reply, as far as tests look at it. */
export interface Reply {
  text: string;
  tokens: number[];
  finish_reason: string;
  stats: { backend: string; prompt_tokens: number; reused_tokens: number; memory_bytes: number };
  ledger: { prompt: Ledger; reply: Ledger };
}

interface Ledger {
  spikes: number;
  ac: number;
  mac: number;
}

/** Labels of the settings, and what goes into them. */
export type Sampling = Partial<Record<"Temperature" | "Longest answer" | "Seed", number>>;

/** Opens the page. Returns what goes wrong in its console, and every request that leaves its origin, from then on. */
export async function open(page: Page, query = ""): Promise<string[]> {
  const wrong = watch(page);
  await page.goto(`/${query}`);
  return wrong;
}

/** What goes wrong on a page from now on. */
export function watch(page: Page): string[] {
  const wrong: string[] = [];
  page.on("console", (message) => {
    // Tests that answer requests themselves go without a service worker; what says so is no fault.
    if (message.text().includes("Service Worker registration blocked by Playwright")) return;
    if (message.type() === "error" || message.type() === "warning") wrong.push(message.text());
  });
  page.on("pageerror", (error) => wrong.push(error.message));
  page.context().on("request", (request) => {
    const url = new URL(request.url());
    const inside = ["data:", "blob:"].includes(url.protocol) || page.url() === "about:blank";
    if (!inside && url.origin !== new URL(page.url()).origin) wrong.push(`a request to ${url}`);
  });
  return wrong;
}

/** Waits until the model can be talked to. */
export async function ready(page: Page): Promise<void> {
  await expect(page.getByTestId("status")).toContainText("is ready");
}

/** Changes the settings. */
export async function sample(page: Page, sampling: Sampling): Promise<void> {
  await page.getByTestId("settings").click();
  for (const [label, value] of Object.entries(sampling)) await page.getByLabel(label).fill(String(value));
  await page.getByRole("button", { name: "Done" }).click();
}

/** Sets greedy sampling and the longest answer. */
export async function greedy(page: Page, maxTokens: number): Promise<void> {
  await sample(page, { Temperature: 0, "Longest answer": maxTokens });
}

/** Says something, without waiting for the reply. */
export async function say(page: Page, text: string): Promise<void> {
  await page.getByTestId("prompt").fill(text);
  await page.keyboard.press("Enter");
}

/** Does something that brings a reply, and returns it once the page has settled. */
export async function replyTo(page: Page, action: () => Promise<void>): Promise<Reply> {
  const reply = page.evaluate(
    () =>
      new Promise<Reply>((resolve) =>
        document.addEventListener("mar:reply", (event) => resolve((event as CustomEvent<Reply>).detail), {
          once: true,
        }),
      ),
  );
  await action();
  const told = await reply;
  await expect(page.getByTestId("send")).toBeVisible();
  return told;
}

/** A button of a message. */
export function action(message: Locator, name: string): Locator {
  return message.locator("xpath=ancestor::li").getByRole("button", { name });
}

/** Sampling so hot that the model babbles for hundreds of tokens, the same ones every time. */
export async function babble(page: Page): Promise<void> {
  await sample(page, { Temperature: 2, "Longest answer": 2000, Seed: 1 });
}

/** The rows of a table of the browser's storage. */
export function rows<T>(page: Page, table: string): Promise<T[]> {
  return page.evaluate(async (table) => {
    const db = await new Promise<IDBDatabase>((resolve, reject) => {
      const request = indexedDB.open("mar");
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
    const rows = await new Promise<T[]>((resolve) => {
      const request = db.transaction(table).objectStore(table).getAll();
      request.onsuccess = () => resolve(request.result);
    });
    db.close();
    return rows;
  }, table);
}

/** The text of the answer that is in the browser's storage, once all of this is there. */
export async function kept(page: Page, shown: string): Promise<string> {
  let text = "";
  const read = async () => {
    const turns = await rows<{ role: string; content: string }>(page, "turns");
    text = turns.find(({ role }) => role === "assistant")?.content ?? "";
    return lettersOf(text).startsWith(lettersOf(shown));
  };
  await expect.poll(read).toBe(true);
  return text;
}

/** The letters of a text, which rendering does not change. */
export function lettersOf(text: string | null): string {
  return (text ?? "").replace(/[^\p{L}]/gu, "");
}

/** Ends a page's process, without a word to the page. */
export async function kill(page: Page): Promise<void> {
  const dead = page.waitForEvent("crash");
  page.goto("chrome://crash").catch(() => {});
  await dead;
  await page.close();
}

/** The answer that is made, once it has this many characters at least. */
export async function grown(page: Page, characters: number): Promise<string> {
  const answer = page.getByTestId("message-assistant").last();
  await expect.poll(async () => (await answer.textContent())?.length).toBeGreaterThan(characters);
  return (await answer.textContent()) ?? "";
}

/** What `hold` puts into the worker. */
interface Held {
  tokens: number;
  most: number;
  goOn: (() => void) | undefined;
}

/**
 * Lets the engine make about `tokens` more tokens, and then holds it in the middle of its answer; `Infinity` lets it go. So tests
 * need not be quicker than an answer.
 */
export async function hold(page: Page, tokens: number): Promise<void> {
  const worker = page.workers().at(-1);
  if (!worker) throw new Error("the page has no worker");
  await worker.evaluate((most) => {
    const here = self as typeof self & { held?: Held };
    if (!here.held) {
      const held: Held = { tokens: 0, most, goOn: undefined };
      here.held = held;
      const tell = self.postMessage.bind(self) as (message: unknown, options: unknown) => void;
      // Tokens pass here, and between two of them the worker gives way by a message to itself.
      const hear = (message: { type: string; event?: { type: string } }, options: unknown) => {
        if (message.event?.type === "token") held.tokens += 1;
        tell(message, options);
      };
      Object.assign(self, { postMessage: hear });
      const post = MessagePort.prototype.postMessage as (this: MessagePort, message: unknown) => void;
      Object.assign(MessagePort.prototype, {
        postMessage(this: MessagePort, message: unknown) {
          const send = () => post.call(this, message);
          if (held.tokens >= held.most) held.goOn = send;
          else send();
        },
      });
    }
    const { held } = here;
    held.tokens = 0;
    held.most = most;
    held.goOn?.();
    held.goOn = undefined;
  }, tokens);
}

/** Opens the page and has it in the middle of a long answer, where it is held. Returns what goes wrong from then on, as `open`. */
export async function openInAnswer(page: Page, query = ""): Promise<string[]> {
  const wrong = await open(page, query);
  await ready(page);
  await babble(page);
  await hold(page, 15);
  await say(page, "Tell me a long story.");
  await grown(page, 20);
  return wrong;
}
