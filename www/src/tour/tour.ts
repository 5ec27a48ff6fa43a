// The guided tour: a card that points at the live page.
import type { Shape } from "../mar/types";
import type { Instruments } from "../page/instruments";
import { make } from "../pictures/common/dom";
import { STEPS } from "./steps";

/** What the tour needs of the page. */
export interface TourHost {
  instruments: Instruments;
  /** Whether something can be said now. */
  ready: () => boolean;
  say: (text: string) => void;
  shape: () => Shape | undefined;
}

/** The card. It does not lock the page: everything that it speaks of can be touched. */
export class Tour {
  readonly #host: TourHost;
  readonly #title = make("h2", { id: "tour-title", tabIndex: -1 });
  readonly #place = make("p", { className: "note figure" });
  readonly #body = make("div", { className: "tour-body", tabIndex: 0 });
  readonly #back = make("button", { type: "button", textContent: "Back" });
  readonly #next = make("button", { type: "button", className: "primary" });
  readonly #card: HTMLElement;
  #step = 0;
  #lit: HTMLElement | undefined;
  #opener: Element | null = null;

  constructor(host: TourHost) {
    this.#host = host;
    const end = make("button", { type: "button", className: "small", textContent: "End the tour" });
    end.addEventListener("click", () => this.end());
    this.#back.addEventListener("click", () => this.#go(this.#step - 1));
    this.#next.addEventListener("click", () => (this.#step + 1 < STEPS.length ? this.#go(this.#step + 1) : this.end()));
    const head = make("div", { className: "tour-head" }, this.#place, end);
    const foot = make("div", { className: "row end" }, this.#back, this.#next);
    this.#card = make("section", { className: "tour", hidden: true }, head, this.#title, this.#body, foot);
    this.#card.setAttribute("role", "dialog");
    this.#card.setAttribute("aria-labelledby", this.#title.id);
    this.#body.setAttribute("role", "group");
    this.#body.setAttribute("aria-labelledby", this.#title.id);
    this.#card.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.end();
    });
    document.body.append(this.#card);
  }

  /** Begins at the first step. */
  start(): void {
    this.#opener = document.activeElement;
    this.#card.hidden = false;
    this.#go(0);
  }

  /** Takes the card away; the focus goes back to where it was. */
  end(): void {
    this.#card.hidden = true;
    this.#light(undefined);
    if (this.#opener instanceof HTMLElement) this.#opener.focus();
  }

  #go(index: number): void {
    const step = STEPS[index];
    if (!step) return;
    this.#step = index;
    this.#place.textContent = `${index + 1} of ${STEPS.length}`;
    this.#title.textContent = step.title;
    const parts: HTMLElement[] = step.text.map((text) => make("p", { textContent: text }));
    const toy = step.toy?.(this.#host.shape());
    // After the first paragraph: it says what to do with it.
    if (toy) parts.splice(1, 0, toy);
    if (step.ask) parts.push(this.#askButton(step.ask));
    this.#body.replaceChildren(...parts);
    this.#body.scrollTop = 0;
    this.#back.disabled = index === 0;
    this.#next.textContent = index + 1 < STEPS.length ? "Next" : "Done";
    this.#light(step.panel && this.#host.instruments.reveal(step.panel));
    this.#title.focus({ preventScroll: true });
  }

  #askButton({ label, text }: { label: string; text: string }): HTMLElement {
    const ask = make("button", { type: "button", textContent: label });
    ask.addEventListener("click", () => {
      if (this.#host.ready()) this.#host.say(text);
    });
    return make("p", {}, ask);
  }

  #light(target: HTMLElement | undefined): void {
    this.#lit?.classList.remove("lit");
    this.#lit = target;
    target?.classList.add("lit");
  }
}
