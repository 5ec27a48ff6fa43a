// What an empty conversation shows: on a first visit what this is, and always how to begin.
import { make } from "../pictures/common/dom";
import { element } from "./element";

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
}

/** The page's first words. */
export class Welcome {
  readonly #host = element("welcome", HTMLDivElement);
  readonly #examples: HTMLButtonElement[] = [];

  constructor({ onExample, onTour }: WelcomeEvents) {
    this.#host.replaceChildren(this.#note(onTour), this.#begin(onExample));
  }

  /** Shown while nothing has been said. */
  show(empty: boolean, ready: boolean): void {
    this.#host.hidden = !empty;
    for (const example of this.#examples) example.disabled = !ready;
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
