// The lines below the message field: what happens, on what, and how fast.

import { element } from "./element";
import { formatNumber } from "./format";

const status = element("status", HTMLParagraphElement);
const rate = element("rate", HTMLParagraphElement);
const backend = element("backend", HTMLParagraphElement);
const retry = element("retry", HTMLButtonElement);

/** A sentence, for eyes and screen readers. With a way on, there is a button to try again. */
export function say(sentence: string, kind: "news" | "trouble" | "trouble, try again" = "news"): void {
  status.textContent = sentence;
  status.classList.toggle("wrong", kind !== "news");
  retry.hidden = kind !== "trouble, try again";
}

/** What happens when the person tries again. */
export function onRetry(listener: () => void): void {
  retry.addEventListener("click", listener);
}

/** Tokens per second, as measured; `undefined` where there is nothing to tell. */
export function showRate(tokensPerSecond: number | undefined): void {
  rate.textContent = tokensPerSecond === undefined ? "" : `${formatNumber(tokensPerSecond)} tokens/s`;
}

/** What runs the model, and why. */
export function showBackend(sentence: string): void {
  backend.textContent = sentence;
}
