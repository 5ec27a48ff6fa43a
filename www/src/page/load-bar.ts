// The bar above the messages while a model is loaded: how far, how fast, how long, and ways to hold or end it.
import type { Progress } from "../mar/types";
import { element } from "./element";
import { formatBytes, formatTime } from "./format";

/** What its buttons do. */
export interface LoadBarEvents {
  onPause: (paused: boolean) => void;
  onCancel: () => void;
}

/** Hidden while nothing is loaded. */
export class LoadBar {
  readonly #bar = element("load", HTMLDivElement);
  readonly #progress = element("progress", HTMLProgressElement);
  readonly #text = element("load-text", HTMLSpanElement);
  readonly #detail = element("load-detail", HTMLSpanElement);
  readonly #pause = element("load-pause", HTMLButtonElement);
  #paused = false;

  constructor({ onPause, onCancel }: LoadBarEvents) {
    this.#pause.addEventListener("click", () => onPause(!this.#paused));
    element("load-cancel", HTMLButtonElement).addEventListener("click", onCancel);
  }

  /** Before anything is known. */
  begin(): void {
    this.#bar.hidden = false;
    this.#paused = false;
    this.#pause.textContent = "Pause";
    this.#pause.disabled = true;
    this.#progress.value = 0;
    this.#text.textContent = "connecting";
    this.#detail.textContent = "";
  }

  show(progress: Progress): void {
    const { received, total, paused } = progress;
    this.#paused = paused;
    this.#pause.disabled = received === total;
    this.#pause.textContent = paused ? "Resume" : "Pause";
    this.#progress.value = received / total;
    this.#text.textContent = `${formatBytes(received)} of ${formatBytes(total)}`;
    this.#detail.textContent = detail(progress);
  }

  end(): void {
    this.#bar.hidden = true;
  }
}

/** Where it comes from, how fast, for how long, and how much of it is checked. */
function detail({ received, verified, stored, bytes_per_second, seconds_left, paused }: Progress): string {
  const words: string[] = [];
  if (paused) words.push("paused");
  else if (bytes_per_second > 0) words.push(`${formatBytes(bytes_per_second)}/s`);
  if (seconds_left) words.push(`${formatTime(seconds_left)} left`);
  if (stored > 0) words.push(stored === received ? "from this browser" : `${formatBytes(stored)} from this browser`);
  if (verified > 0) words.push(`${formatBytes(verified)} verified`);
  return words.join(", ");
}
