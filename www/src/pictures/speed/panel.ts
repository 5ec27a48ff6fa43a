// The speed panel: what was measured, and what memory the conversation takes.
import type { Shape, Stats } from "../../mar/types";
import { Chart } from "../common/chart";
import { make } from "../common/dom";
import { formatBytes, formatCount, formatNumber, formatSi } from "../common/units";
import { CACHE_HEIGHT, cache, cacheWords } from "./cache";

/** Speeds and sizes of the last reply. Fills `host`. */
export class SpeedPanel {
  readonly #root: HTMLElement;
  readonly #heads = make("dl", { className: "pic-heads" });
  readonly #list = make("dl", { className: "pic-list" });
  readonly #cache = new Chart(CACHE_HEIGHT);
  readonly #words = make("p", { className: "pic-quiet" });
  readonly #why = make("p", { className: "pic-quiet" });

  constructor(host: HTMLElement) {
    this.#root = make(
      "section",
      { className: "pic pic-speed", testId: "speed", ariaLabel: "Speed and memory" },
      this.#heads,
      this.#why,
      this.#list,
      this.#cache.element,
      this.#words,
    );
    host.append(this.#root);
    this.#show(undefined, undefined);
  }

  /** Shows the figures of the last reply. */
  update(stats: Stats, shape: Shape): void {
    this.#show(stats, shape);
  }

  /** Takes the panel away. */
  dispose(): void {
    this.#cache.dispose();
    this.#root.remove();
  }

  #show(stats: Stats | undefined, shape: Shape | undefined): void {
    const of = (write: (stats: Stats) => string) => (stats ? write(stats) : "–");
    const seconds = (milliseconds: number) => formatSi(milliseconds / 1000, "s");
    this.#heads.replaceChildren(
      head(
        "decode, tokens/s",
        of((s) => formatNumber(s.decode_tokens_per_second)),
        "decode",
      ),
      head(
        "prefill, tokens/s",
        of((s) => formatNumber(s.prefill_tokens_per_second)),
        "prefill",
      ),
      head(
        "to the first token",
        of((s) => seconds(s.time_to_first_token_ms)),
        "first-token",
      ),
    );
    this.#why.textContent = stats ? `Measured on ${stats.backend}. ${stats.why}` : "Measured with every answer.";
    const entries: [string, string][] = stats
      ? [
          ["Tokens in context", formatCount(stats.context_tokens)],
          [
            "Prompt",
            `${formatCount(stats.prompt_tokens)} tokens, ${formatCount(stats.reused_tokens)} known from before`,
          ],
          ["Reply", `${formatCount(stats.reply_tokens)} tokens`],
          ["At once", stats.burst === 1 ? "1 token" : `up to ${stats.burst} tokens a burst`],
          ["Engine's memory", formatBytes(stats.memory_bytes)],
          ["State", `${formatBytes(stats.state_bytes)}, at any length`],
        ]
      : [];
    this.#list.replaceChildren(
      ...entries.map(([term, value]) =>
        make("div", {}, make("dt", { textContent: term }), make("dd", { textContent: value })),
      ),
    );
    const known = stats && shape && shape.kv_bytes_per_token > 0;
    const sizes = known && ([stats.context_tokens, stats.state_bytes, shape.kv_bytes_per_token] as const);
    this.#words.textContent = sizes ? cacheWords(...sizes) : "";
    this.#cache.show(this.#words.textContent, sizes ? (width) => cache(...sizes, width) : undefined);
  }
}

function head(term: string, value: string, testId: string): HTMLElement {
  return make(
    "div",
    {},
    make("dt", { textContent: term }),
    make("dd", {}, make("output", { textContent: value, testId: `speed-${testId}` })),
  );
}
