// The dialog beside the menu: every model that can be chosen, with its licence and what was measured of it.
import { make } from "../pictures/common/dom";
import { element } from "./element";
import { metricsAt } from "./elsewhere";
import { type Described, FIGURES, type Figure } from "./figures";
import { type Metrics, readMetrics } from "./metrics";
import { sentence } from "./sentence";

/** What is known of the models, side by side. */
export class AboutModels {
  readonly #dialog = element("about", HTMLDialogElement);
  readonly #list = element("about-models", HTMLDivElement);
  readonly #table = element("about-figures", HTMLTableElement);
  readonly #news = element("about-news", HTMLParagraphElement);
  readonly #models: () => readonly Described[];
  /** What models from elsewhere say of themselves, by folder. */
  readonly #said = new Map<string, Metrics>();

  /** `models` gives those that can be chosen now. */
  constructor(models: () => readonly Described[]) {
    this.#models = models;
    element("open-about", HTMLButtonElement).addEventListener("click", () => void this.open());
    element("close-about", HTMLButtonElement).addEventListener("click", () => this.#dialog.close());
    // A click beside the dialog closes it.
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close();
    });
  }

  /** Shows them, and asks those from elsewhere. */
  async open(): Promise<void> {
    this.#news.textContent = "";
    this.#show();
    this.#dialog.showModal();
    await Promise.all(this.#models().map((model) => this.#ask(model)));
  }

  /** Another model is loaded, or none. */
  refresh(): void {
    if (this.#dialog.open) this.#show();
  }

  /** Nobody has told the page of a model from elsewhere: its own metrics.json is asked. */
  async #ask({ name, folder, own }: Described): Promise<void> {
    if (own || this.#said.has(folder)) return;
    this.#news.textContent = `Asking for what ${name} says of itself.`;
    try {
      this.#said.set(folder, readMetrics(await metricsAt(folder)));
      this.#news.textContent = "";
      this.refresh();
    } catch (error) {
      this.#news.textContent = `Nothing more is known of ${name}. ${sentence(error)}`;
    }
  }

  #show(): void {
    // What the engine has counted goes before what a model says.
    const models = this.#models().map((model) => {
      return { ...model, metrics: { ...this.#said.get(model.folder), ...model.metrics } };
    });
    this.#list.replaceChildren(...models.map(introduction));
    const heads = models.map(({ name }) => make("th", { textContent: name, scope: "col" }));
    const corner = make("td");
    const rows = FIGURES.flatMap((figure) => row(figure, models) ?? []);
    this.#table.replaceChildren(make("thead", {}, make("tr", {}, corner, ...heads)), make("tbody", {}, ...rows));
  }
}

/** A model's name, whether it is loaded, and what it can do. */
function introduction({ name, here, metrics }: Described): HTMLElement {
  const heading = make("h3", { textContent: name });
  if (here) heading.append(" ", make("span", { className: "in-use", textContent: "in use" }));
  const words = make("p", { textContent: metrics.description ?? "" });
  return make("section", {}, heading, words);
}

/** `undefined` where no model says anything. */
function row({ name, meaning, of }: Figure, models: readonly Described[]): HTMLElement | undefined {
  const values = models.map(of);
  if (values.every((value) => value === undefined)) return undefined;
  const head = make("th", { scope: "row" }, name, make("span", { className: "meaning", textContent: meaning }));
  const cells = values.map((value) => (value === undefined ? silent() : make("td", { textContent: value })));
  return make("tr", {}, head, ...cells);
}

function silent(): HTMLElement {
  const dash = make("span", { textContent: "–", attributes: { "aria-hidden": "true" } });
  return make("td", {}, dash, make("span", { className: "spoken", textContent: "not stated" }));
}
