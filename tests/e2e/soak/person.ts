// Somebody who chats with the page for long, and remembers all that was said.
import { expect, type Page } from "@playwright/test";
import type { Message } from "../../../www/src/mar";
import { action, lettersOf, type Reply, rows } from "../page";

/** Runs in every engine's worker: remembers what it was asked, and has a fault behind some token, once. */
export const WORKER_SCRIPT = `
addEventListener("message", ({ data }) => {
  if (data.type === "job" && data.job === "chat") globalThis.asked = data.ask.messages;
});
globalThis.onPost = ({ type, event }) => {
  if (type === "event" && event.type === "token" && --globalThis.tokensLeft === 0) globalThis[fault]();
};`;

/**
 * Runs in every page: remembers what it tells of, as little as will do, and has a database that is full while somebody says
 * `full`, or from the next answer's first words on if they say `fills`.
 */
const PAGE_SCRIPT = `
window.replies = 0;
document.addEventListener("mar:reply", ({ detail }) => {
  window.reply = detail;
  replies += 1;
});
window.said = new Set();
window.full = window.fills = false;
const last = (id) => [...document.querySelectorAll("[data-testid=" + id + "]")].at(-1);
new MutationObserver(() => {
  if (fills && last("stop")?.hidden === false && last("message-assistant")?.textContent) {
    full = true;
    fills = false;
    said.clear();
  }
  said.add(last("status")?.textContent ?? "");
}).observe(document, { childList: true, subtree: true });
const { put } = IDBObjectStore.prototype;
IDBObjectStore.prototype.put = function (...given) {
  if (!window.full) return put.apply(this, given);
  this.transaction.abort();
  throw new DOMException("a test has given no room", "QuotaExceededError");
};
`;

/** A conversation as it is stored. */
interface Stored {
  turns: { id: string; parent: string | null; role: Message["role"]; content: string }[];
  leaf: string | null;
}

/** How an answer came about. */
export interface Answered {
  /** What the engine was asked. */
  asked: Message[];
  /** `undefined` where the page said that there is no answer. */
  reply: Reply | undefined;
}

/** The page, and what must be on it. */
export class Person {
  readonly page: Page;
  /** The beginning of every path that was shown, by what was said in it. */
  readonly #said = new Set<string>();

  constructor(page: Page) {
    this.page = page;
  }

  /** Opens the page, once. */
  async open(url: string): Promise<void> {
    await this.page.addInitScript(PAGE_SCRIPT);
    await this.page.goto(url);
    await this.ready();
  }

  /** Loads the page again. */
  async reload(): Promise<void> {
    await this.page.reload();
    await this.ready();
  }

  /** Waits until the page has said something since it was loaded, asked or filled, even if it says something else by now. */
  async told(words: string): Promise<void> {
    const said = async () => (await this.page.evaluate("[...said].join()")) as string;
    await expect.poll(said).toContain(words);
  }

  /** Waits until the model can be asked. */
  async ready(): Promise<void> {
    await expect(this.page.getByTestId("status")).toContainText("is ready");
  }

  /** Does something that brings an answer, and waits for its end. */
  async answered(act: () => Promise<void>, meanwhile: () => Promise<void> = async () => {}): Promise<Answered> {
    const before = Number(await this.page.evaluate("said.clear(), replies"));
    await act();
    await meanwhile();
    await this.page.waitForFunction((before) => {
      const { replies } = window as unknown as { replies: number };
      const status = document.querySelector("[data-testid=status]")?.textContent ?? "";
      return replies > before || /^(There is no answer|The answer was interrupted)/.test(status);
    }, before);
    await expect(this.page.getByTestId("stop")).toBeHidden();
    const reply = (await this.page.evaluate(`replies > ${before} ? reply : undefined`)) as Reply | undefined;
    return { asked: await this.asked(), reply };
  }

  /**
   * Lets conversations find no room in the browser's storage from the next answer's first words on, or lets them find some
   * again. Chromium looks at its quota only now and then.
   */
  async fill(full: boolean): Promise<void> {
    await this.page.evaluate(`fills = ${full}; full = false;`);
  }

  /** What the engine was asked last; nothing where another has taken its place since. */
  async asked(): Promise<Message[]> {
    return ((await this.page.workers().at(-1)?.evaluate("globalThis.asked")) ?? []) as Message[];
  }

  /** Writes a message and sends it. */
  async say(text: string): Promise<void> {
    await this.page.getByTestId("prompt").fill(text);
    await expect(this.page.getByTestId("send")).toBeEnabled();
    await this.page.getByTestId("prompt").press("Enter");
  }

  /** Changes one of the questions, counted from the first. */
  async edit(question: number, text: string): Promise<void> {
    await action(this.page.getByTestId("message-user").nth(question), "Edit this message").click();
    await this.page.getByLabel("The message, changed").fill(text);
    await this.page.keyboard.press("Enter");
  }

  /** Asks for another answer to the last question. */
  async regenerate(): Promise<void> {
    await action(this.page.getByTestId("message-assistant").last(), "Another answer").click();
  }

  /** The last turn of the path that is shown, as the browser's storage has it: another answer of the same words is another turn. */
  async leaf(): Promise<string | null> {
    return (await this.#stored()).leaf;
  }

  /** The path that is shown, as the browser's storage has it. Fails where something that was ever on it is lost. */
  async path(): Promise<Message[]> {
    const { turns, leaf } = await this.#stored();
    const byId = new Map(turns.map((turn) => [turn.id, turn]));
    const before = (id: string | null): Message[] => {
      const turn = id === null ? undefined : byId.get(id);
      return turn ? [...before(turn.parent), { role: turn.role, content: turn.content }] : [];
    };
    const there = new Set(turns.map(({ id }) => JSON.stringify(before(id))));
    for (const said of this.#said) expect(there, `what was said before is lost: ${said}`).toContain(said);
    return before(leaf);
  }

  /** The path that is shown, once the storage has what the page shows. None of it may be lost from now on. */
  async shown(): Promise<Message[]> {
    let path: Message[] = [];
    await expect(async () => {
      path = await this.path();
      const bodies = this.page.locator("[data-testid=message-user], [data-testid=message-assistant]");
      expect((await bodies.allTextContents()).map(lettersOf)).toEqual(path.map(({ content }) => lettersOf(content)));
    }).toPass({ timeout: 60_000 });
    path.forEach((_, last) => {
      this.#said.add(JSON.stringify(path.slice(0, last + 1)));
    });
    return path;
  }

  /** Begins a new chat; what was said in the old one is no longer looked for. */
  async startOver(): Promise<void> {
    await this.page.getByTestId("new-chat").click();
    await expect(this.page.getByTestId("message-user")).toHaveCount(0);
    this.#said.clear();
  }

  async #stored(): Promise<Stored> {
    const id = await this.page.evaluate(() => sessionStorage.getItem("mar:open"));
    const [heads, turns] = [
      await rows<{ id: string; leaf: string | null }>(this.page, "conversations"),
      await rows<Stored["turns"][0] & { chat: string }>(this.page, "turns"),
    ];
    const leaf = heads.find((head) => head.id === id)?.leaf ?? null;
    return { leaf, turns: turns.filter(({ chat }) => chat === id) };
  }
}
