// The message that is being written.

import { inheritDraft, keepDraft, readDraft } from "./draft";
import { element } from "./element";

/** What one can do with it. */
export interface ComposerEvents {
  onSend: (text: string) => void;
  onStop: () => void;
}

/** The text field, Send and Stop. */
export class Composer {
  readonly #prompt = element("prompt", HTMLTextAreaElement);
  readonly #send = element("send", HTMLButtonElement);
  readonly #stop = element("stop", HTMLButtonElement);
  readonly #events: ComposerEvents;
  #ready = false;

  constructor(events: ComposerEvents) {
    this.#events = events;
    // What was typed before this script came is newer than what was kept.
    this.#prompt.value ||= readDraft();
    element("composer", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#prompt.addEventListener("input", () => {
      keepDraft(this.#prompt.value);
      this.#allow();
    });
    this.#prompt.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    });
    this.#stop.addEventListener("click", () => events.onStop());
    addEventListener("keydown", (event) => {
      // In a dialog or a card, Escape closes that.
      const inside = event.target instanceof Element && event.target.closest("dialog, [role=dialog], form.edit");
      if (event.key === "Escape" && !inside && !this.#stop.hidden) events.onStop();
      const elsewhere = event.target === document.body || event.target instanceof HTMLOListElement;
      if (event.key !== "/" || event.ctrlKey || event.metaKey || !elsewhere) return;
      event.preventDefault();
      this.focus();
    });
    this.#allow();
    void inheritDraft().then((text) => {
      if (text !== "") this.giveBack(text);
    });
  }

  /** Whether a message can be sent now. */
  set ready(ready: boolean) {
    this.#ready = ready;
    this.#allow();
  }

  /** While an answer is made, Stop takes the place of Send. */
  set replying(replying: boolean) {
    const had = document.activeElement === (replying ? this.#send : this.#stop);
    this.#stop.hidden = !replying;
    this.#send.hidden = replying;
    if (had) (replying ? this.#stop : this.#prompt).focus();
  }

  /** The message has arrived: its draft is no longer needed. */
  settle(): void {
    keepDraft(this.#prompt.value);
  }

  /** Gives a text back that got no answer. What was typed since stays, below it. */
  giveBack(text: string): void {
    const since = this.#prompt.value;
    this.#prompt.value = since.trim() === "" ? text : `${text}\n${since}`;
    keepDraft(this.#prompt.value);
    this.#allow();
  }

  focus(): void {
    // On a phone the keyboard would cover the answer.
    if (matchMedia("(pointer: fine)").matches) this.#prompt.focus();
  }

  #submit(): void {
    const text = this.#prompt.value.trim();
    if (text === "" || !this.#ready) return;
    // The draft stays until the answer begins.
    this.#prompt.value = "";
    this.#allow();
    this.#events.onSend(text);
  }

  #allow(): void {
    this.#send.disabled = !this.#ready || this.#prompt.value.trim() === "";
  }
}
