// The list of conversations, and their way to and from files.
import type { TokenCost } from "../pictures";
import { make } from "../pictures/common/dom";
import type { Head } from "./conversation";
import { element } from "./element";
import { fileName, offer } from "./files";
import { packCosts, unpackCosts } from "./keep/costs";
import type { Store } from "./keep/store";
import { sentence } from "./sentence";
import { say } from "./status";
import type { Talk } from "./talk";
import { pack, readParcel } from "./transfer";

const day = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });

/** What the button that deletes says when it has been pressed once. */
const SURE = "Really?";

/** Up to here the drawer covers nearly all of the chat. */
const NARROW = "(max-width: 40rem)";

/** The drawer with all conversations of this browser. */
export class Chats {
  readonly #drawer = element("chats", HTMLElement);
  readonly #opener = element("open-chats", HTMLButtonElement);
  readonly #list = element("chat-list", HTMLUListElement);
  readonly #export = element("export", HTMLButtonElement);
  readonly #file = element("import-file", HTMLInputElement);
  readonly #store: Store;
  readonly #talk: Talk;
  /** The conversation whose deletion waits for a second click. */
  #sure: string | undefined;

  constructor(store: Store, talk: Talk) {
    this.#store = store;
    this.#talk = talk;
    this.#opener.addEventListener("click", () => this.#toggle(this.#drawer.hidden === true));
    element("close-chats", HTMLButtonElement).addEventListener("click", () => this.#toggle(false));
    this.#drawer.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#toggle(false);
    });
    this.#export.addEventListener("click", () => void this.#exportChat());
    element("import", HTMLButtonElement).addEventListener("click", () => this.#file.click());
    this.#file.addEventListener("change", () => void this.#importChat());
    store.onNews(({ type }) => {
      if (type !== "grown") void this.refresh();
    });
    element("chats-note", HTMLParagraphElement).textContent = store.lasting
      ? "Kept in this browser, and nowhere else."
      : "This browser denies storage: conversations end with the page. Export what you want to keep.";
  }

  /** Lists what there is now. */
  async refresh(): Promise<void> {
    this.#export.disabled = this.#talk.chat.turns.length === 0;
    if (this.#drawer.hidden) return;
    const chats = await this.#store.list();
    this.#list.replaceChildren(...chats.map((chat) => this.#entry(chat)));
    if (chats.length === 0) this.#list.append(make("li", { className: "note", textContent: "None yet." }));
  }

  #toggle(open: boolean): void {
    this.#drawer.hidden = !open;
    this.#opener.setAttribute("aria-expanded", String(open));
    if (open) void this.refresh().then(() => this.#list.querySelector("button")?.focus());
    else this.#opener.focus();
  }

  #entry(chat: Head): HTMLLIElement {
    const open = make(
      "button",
      { type: "button", className: "chat-entry", disabled: this.#talk.busy },
      make("span", { className: "chat-title", textContent: chat.title }),
      make("span", { className: "chat-date", textContent: day.format(chat.updated) }),
    );
    if (chat.id === this.#talk.chat.id) open.setAttribute("aria-current", "true");
    open.addEventListener("click", () => void this.#open(chat.id));
    const remove = make("button", {
      type: "button",
      className: "small",
      textContent: this.#sure === chat.id ? SURE : "Delete",
    });
    remove.setAttribute("aria-label", `Delete the conversation ${chat.title}`);
    remove.disabled = this.#talk.busy;
    // The second click does it: there is no way back. The list may be drawn anew between the two.
    remove.addEventListener("click", () => {
      if (this.#sure === chat.id) {
        void this.#remove(chat.id);
      } else {
        this.#sure = chat.id;
        remove.textContent = SURE;
      }
    });
    return make("li", {}, open, remove);
  }

  async #open(id: string): Promise<void> {
    const chat = await this.#store.get(id);
    if (!chat || this.#talk.busy) return;
    await this.#talk.open(chat);
    // Where it lies over the chat it has done what it was opened for.
    if (matchMedia(NARROW).matches) this.#toggle(false);
    else await this.refresh();
  }

  async #remove(id: string): Promise<void> {
    this.#sure = undefined;
    await this.#store.remove(id);
    if (id === this.#talk.chat.id) this.#talk.startOver();
    await this.refresh();
  }

  async #exportChat(): Promise<void> {
    const { chat } = this.#talk;
    const kept = chat.leaf === null ? undefined : await this.#store.state(chat.id, chat.leaf);
    const costs = new Map<string, TokenCost[]>();
    for (const { id, role } of chat.turns) {
      const took = role === "assistant" ? await this.#store.costs(chat.id, id) : undefined;
      if (took) costs.set(id, unpackCosts(took.bytes));
    }
    offer(fileName(chat.title), pack({ conversation: chat, state: kept?.bytes, costs }));
  }

  async #importChat(): Promise<void> {
    const file = this.#file.files?.[0];
    this.#file.value = "";
    if (!file) return;
    try {
      const { conversation, state, costs } = await readParcel(file);
      const { id, leaf, model } = conversation;
      await this.#store.put(conversation);
      if (state && leaf !== null) {
        await this.#store.putState({ id, leaf, model, bytes: state, updated: Date.now() });
      }
      for (const [turn, took] of costs) {
        await this.#store.putCosts({ id, turn, bytes: packCosts(took), updated: Date.now() });
      }
      const { busy } = this.#talk;
      await this.#talk.open(conversation);
      await this.refresh();
      // An answer that is being made is not left.
      say(busy ? `${conversation.title} was imported: it is in the list.` : `${conversation.title} is open.`);
    } catch (error) {
      say(`${file.name} was not imported. ${sentence(error)}`, "trouble");
    }
  }
}
