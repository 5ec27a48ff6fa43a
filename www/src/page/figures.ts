// The figures of a reply: what was measured, and what is estimated.
import type { Reply } from "../mar";
import { formatBytes, formatEnergy, formatNumber } from "./format";

/** Replaces the list's entries by those of `reply`. */
export function showFigures(list: HTMLDListElement, reply: Reply): void {
  const { stats, ledger } = reply;
  const { tokens, spikes, energy_pj: energy } = ledger.reply;
  const entries: [string, string][] = [
    ["Speed", `${formatNumber(stats.decode_tokens_per_second)} tokens/s`],
    ["First token after", `${formatNumber(stats.time_to_first_token_ms)} ms`],
    ["Prompt", `${stats.prompt_tokens} tokens`],
    ["Known from before", `${stats.reused_tokens} tokens`],
    ["Reply", `${reply.tokens.length} tokens`],
    ["State", formatBytes(stats.state_bytes)],
  ];
  if (tokens > 0) {
    entries.push(
      ["Spikes a token", formatNumber(spikes / tokens)],
      ["Energy a token, estimate", formatEnergy(energy.arithmetic / tokens)],
      ["… with moving data", formatEnergy(energy.with_memory / tokens)],
      ["… of its dense twin", formatEnergy(energy.dense_twin / tokens)],
      ["… of a transformer", formatEnergy(energy.transformer / tokens)],
    );
  }
  list.replaceChildren(...entries.flatMap(([term, value]) => [text("dt", term), text("dd", value)]));
}

function text(tag: "dt" | "dd", content: string): HTMLElement {
  const node = document.createElement(tag);
  node.textContent = content;
  return node;
}
