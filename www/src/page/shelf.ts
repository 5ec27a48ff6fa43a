// The drawer with the models that this browser keeps: what is there, whether it is right, and a way to be rid of it.
import { make } from "../pictures/common/dom";
import { sha256 } from "../store/digest";
import { Library, type Listing } from "../store/library";
import { element } from "./element";
import { formatBytes } from "./format";
import { sentence } from "./sentence";

const day = new Intl.DateTimeFormat("en", { dateStyle: "medium" });

const KEEPERS = { opfs: "in files", cache: "in the browser's cache", memory: "" } as const;

/** What the button that deletes says when it has been pressed once. */
const SURE = "Really?";

/** Models kept here. */
export class ModelShelf {
  readonly #drawer = element("shelf", HTMLElement);
  readonly #opener = element("open-shelf", HTMLButtonElement);
  readonly #list = element("shelf-list", HTMLUListElement);
  readonly #room = element("shelf-room", HTMLParagraphElement);
  readonly #news = element("shelf-news", HTMLParagraphElement);
  readonly #library = Library.open(false);
  /** The model that is being verified. */
  #verifying: string | undefined;

  constructor() {
    const chats = element("chats", HTMLElement);
    this.#opener.addEventListener("click", () => {
      // Both drawers have the same place.
      if (!chats.hidden) element("close-chats", HTMLButtonElement).click();
      this.#toggle(this.#drawer.hidden === true);
    });
    element("open-chats", HTMLButtonElement).addEventListener("click", () => this.#hide());
    element("close-shelf", HTMLButtonElement).addEventListener("click", () => this.#toggle(false));
    this.#drawer.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#toggle(false);
    });
  }

  /** Lists what there is now. */
  async refresh(): Promise<void> {
    if (this.#drawer.hidden) return;
    const library = await this.#library;
    const models = (await library?.list()) ?? [];
    this.#list.replaceChildren(...models.map((model) => this.#entry(model)));
    if (models.length === 0) this.#list.append(make("li", { className: "note", textContent: "None." }));
    this.#room.textContent = library ? await room() : "This browser denies storage: models are fetched at every visit.";
  }

  #toggle(open: boolean): void {
    if (open) {
      this.#drawer.hidden = false;
      this.#opener.setAttribute("aria-expanded", "true");
      void this.refresh().then(() =>
        (this.#list.querySelector("button") ?? this.#drawer.querySelector("button"))?.focus(),
      );
    } else {
      this.#hide();
      this.#opener.focus();
    }
  }

  #hide(): void {
    this.#drawer.hidden = true;
    this.#opener.setAttribute("aria-expanded", "false");
    this.#news.textContent = "";
  }

  #entry(model: Listing): HTMLLIElement {
    const name = nameOf(model.url);
    const verify = make("button", { type: "button", className: "small", textContent: "Verify" });
    verify.setAttribute("aria-label", `Verify ${name}`);
    verify.disabled = this.#verifying !== undefined;
    verify.addEventListener("click", () => void this.#verify(model));
    const remove = make("button", { type: "button", className: "small", textContent: "Delete" });
    remove.setAttribute("aria-label", `Delete ${name}`);
    remove.disabled = this.#verifying === model.id;
    // The second click does it.
    remove.addEventListener("click", () => {
      if (remove.textContent === SURE) void this.#remove(model);
      else remove.textContent = SURE;
    });
    remove.addEventListener("blur", () => {
      remove.textContent = "Delete";
    });
    return make(
      "li",
      { className: "shelf-model" },
      make("span", { className: "chat-title", textContent: name, title: model.url }),
      make("span", { className: "chat-date", textContent: about(model) }),
      make("span", { className: "row" }, verify, remove),
    );
  }

  async #verify({ id, url }: Listing): Promise<void> {
    const name = nameOf(url);
    const library = await this.#library;
    this.#verifying = id;
    await this.refresh();
    try {
      let read = 0;
      const damaged = await library?.verify(id, sha256, (done, total) => {
        read = total;
        this.#news.textContent = `Reading ${name}: ${done} of ${total} chunks.`;
      });
      this.#news.textContent = damaged
        ? `${name}: ${damaged} of ${read} chunks are damaged. They alone are fetched again at the next load.`
        : `${name}: all ${read} chunks are right.`;
    } catch (error) {
      this.#news.textContent = `${name} was not verified. ${sentence(error)}`;
    } finally {
      this.#verifying = undefined;
      await this.refresh();
      this.#focus(`Verify ${name}`);
    }
  }

  async #remove({ id, url }: Listing): Promise<void> {
    const name = nameOf(url);
    try {
      await (await this.#library)?.remove(id);
      this.#news.textContent = `${name} is deleted.`;
    } catch (error) {
      this.#news.textContent = `${name} was not deleted: ${sentence(error)}`;
    }
    await this.refresh();
    this.#focus(undefined);
  }

  /** The list is drawn anew: whoever used the keyboard is where they were. */
  #focus(label: string | undefined): void {
    if (this.#drawer.hidden || document.activeElement !== document.body) return;
    const buttons = [...this.#list.querySelectorAll("button")];
    const same = buttons.find((button) => button.getAttribute("aria-label") === label);
    (same ?? buttons[0] ?? element("close-shelf", HTMLButtonElement)).focus();
  }
}

/** A model's name: its folder's; with the server's, if that is another. */
function nameOf(url: string): string {
  const { origin, host, pathname } = new URL(url);
  const folder = decodeURIComponent(pathname.split("/").filter(Boolean).at(-1) ?? "");
  return origin === location.origin ? folder : `${folder} of ${host}`;
}

/** Its size, whether it is whole, where, and when it was used. */
function about({ bytes, there, chunks, keeper, used }: Listing): string {
  const whole = there === chunks ? "" : `, ${Math.floor((100 * there) / chunks)} % of it here`;
  return `${formatBytes(bytes)}${whole}, ${KEEPERS[keeper]}, used ${day.format(used)}`;
}

/** How much room there is, and whether it lasts. */
async function room(): Promise<string> {
  const { usage, quota } = await navigator.storage.estimate();
  const lasting = await navigator.storage.persisted().catch(() => false);
  const used =
    usage === undefined || quota === undefined ? "" : `${formatBytes(usage)} of ${formatBytes(quota)} used. `;
  return (
    used + (lasting ? "The browser keeps it until you delete it." : "The browser may delete it when room is short.")
  );
}
