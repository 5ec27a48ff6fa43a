// What an empty conversation shows: on a first visit what this is, and always how to begin.
import { make } from "../pictures/common/dom";
import { element } from "./element";
import { millions } from "./figures";
import { formatBytes, formatNumber } from "./format";
import type { Offer } from "./models";

/** Things that a model of a few million parameters can do. */
const EXAMPLES = [
  "Hello! How are you today?",
  "What is your name?",
  "I have a cat named Luna.",
  "What is the capital of France?",
  "What is the opposite of hot?",
  "What do you like to eat?",
];

const KEY = "mar:visited";

/** What one can do here. */
export interface WelcomeEvents {
  onExample: (text: string) => void;
  onTour: () => void;
  /** The model in a folder is wanted. */
  onModel: (folder: string) => void;
  /** The models are to be seen side by side. */
  onCompare: () => void;
}

/** The page's first words. */
export class Welcome {
  readonly #host = element("welcome", HTMLDivElement);
  readonly #examples: HTMLButtonElement[] = [];
  readonly #offer = make("section", { className: "offer", hidden: true });
  readonly #onModel: (folder: string) => void;
  readonly #onCompare: () => void;
  /** The folder of the model that is offered. */
  #offered: string | undefined;

  constructor({ onExample, onTour, onModel, onCompare }: WelcomeEvents) {
    this.#onModel = onModel;
    this.#onCompare = onCompare;
    this.#host.replaceChildren(this.#note(onTour), this.#begin(onExample), this.#offer);
  }

  /** Shown while nothing has been said. */
  show(empty: boolean, ready: boolean): void {
    this.#host.hidden = !empty;
    for (const example of this.#examples) example.disabled = !ready;
  }

  /** Offers a model that is larger than the one that is here. */
  offer(offer: { larger: Offer; folder: string; here: Offer } | undefined): void {
    if (offer?.folder === this.#offered) return;
    this.#offered = offer?.folder;
    this.#offer.hidden = offer === undefined;
    if (!offer) return;
    const { larger, here, folder } = offer;
    const load = make("button", { type: "button", textContent: `Load it, ${formatBytes(larger.bytes)}` });
    load.addEventListener("click", () => this.#onModel(folder));
    const compare = make("button", { type: "button", className: "small", textContent: "Compare the models" });
    compare.addEventListener("click", this.#onCompare);
    this.#offer.replaceChildren(
      make("h2", { textContent: `A larger model: ${larger.name}` }),
      make("p", { textContent: words(larger, here) }),
      make(
        "div",
        { className: "row" },
        load,
        compare,
        make("span", { textContent: "Fetched once; later visits begin with it." }),
      ),
    );
  }

  #note(onTour: () => void): HTMLElement {
    const tour = make("button", { type: "button", className: "primary", textContent: "Take the tour" });
    tour.addEventListener("click", onTour);
    const enough = make("button", { type: "button", textContent: "Understood" });
    const note = make(
      "section",
      { className: "first", hidden: visited() },
      make("h2", { textContent: "A language model made of spikes" }),
      make("p", {
        textContent:
          "Its neurons do not pass numbers on. They fire, +1 or −1, a few times for every word, or stay silent, and a silent neuron costs nothing. " +
          "All of it runs in this page; what you write never leaves your machine. " +
          "The instruments show every spike, and what it would cost in energy.",
      }),
      make("p", {
        textContent:
          "It is tiny beside the assistants that you may know. It greets, remembers a name for a turn or two, and knows a few capitals. " +
          "It cannot reason, look things up or follow instructions, it loses the thread, and says what is wrong as calmly as what is right. " +
          "Believe nothing it says; watch how it says it.",
      }),
      make("div", { className: "row" }, tour, enough),
    );
    note.setAttribute("aria-label", "What this is");
    enough.addEventListener("click", () => {
      note.hidden = true;
      keepVisit();
      element("prompt", HTMLTextAreaElement).focus();
    });
    return note;
  }

  #begin(onExample: (text: string) => void): HTMLElement {
    for (const text of EXAMPLES) {
      const example = make("button", { type: "button", className: "example", textContent: text });
      example.addEventListener("click", () => onExample(text));
      this.#examples.push(example);
    }
    const heading = make("h2", { textContent: "Begin with one of these, or your own" });
    return make("section", { className: "begin" }, heading, make("div", { className: "examples" }, ...this.#examples));
  }
}

/** What a model is, and what was measured of it, beside the one that is here. */
function words({ metrics }: Offer, here: Offer): string {
  const { description, teacher, licence, parameters, lossRatio } = metrics;
  const sentences: string[] = [];
  if (description !== undefined) sentences.push(description);
  if (teacher !== undefined) sentences.push(`It was made from ${teacher}.`);
  if (licence !== undefined) sentences.push(`Its licence is ${licence}.`);
  if (parameters !== undefined) {
    const now = here.metrics.parameters;
    const times = now === undefined ? "" : `, ${formatNumber(parameters / now)} times as many as now`;
    sentences.push(`${millions(parameters)} parameters${times}: each word takes longer.`);
  }
  if (lossRatio !== undefined) {
    const above = formatNumber(Math.abs(lossRatio - 1) * 100);
    sentences.push(`Its loss is ${above} % ${lossRatio < 1 ? "below" : "above"} its teacher’s.`);
  }
  return sentences.join(" ");
}

function visited(): boolean {
  try {
    return localStorage.getItem(KEY) !== null;
  } catch {
    return false;
  }
}

function keepVisit(): void {
  try {
    localStorage.setItem(KEY, "yes");
  } catch {
    // The note is there again next time.
  }
}
