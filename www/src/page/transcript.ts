// The chat so far, on the page.
import type { Message } from "../mar";

const SPEAKERS = { system: "System", user: "You", assistant: "MAR" } as const;

/** A list of messages; the last one may still be growing. */
export class Transcript {
  readonly #list: HTMLOListElement;

  constructor(list: HTMLOListElement) {
    this.#list = list;
  }

  /** Adds a message, and returns where its text goes. */
  add(role: Message["role"], content: string): HTMLElement {
    const [item, speaker, body] = ["li", "strong", "p"].map((tag) => document.createElement(tag)) as [
      HTMLElement,
      HTMLElement,
      HTMLElement,
    ];
    item.className = role;
    speaker.textContent = SPEAKERS[role];
    body.textContent = content;
    item.append(speaker, body);
    this.#list.append(item);
    this.follow();
    return body;
  }

  /** While a reply grows, screen readers wait. */
  set busy(busy: boolean) {
    this.#list.setAttribute("aria-busy", String(busy));
  }

  /** Shows the end. */
  follow(): void {
    this.#list.scrollTop = this.#list.scrollHeight;
  }

  /** Removes the newest message. */
  removeLast(): void {
    this.#list.lastElementChild?.remove();
  }

  clear(): void {
    this.#list.replaceChildren();
  }
}
