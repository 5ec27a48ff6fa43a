// What a conversation's memory weighs, here and in a transformer, at a length that can be changed.
import type { Shape } from "../mar/types";
import { formatBytes, formatNumber } from "../page/format";
import { make } from "../pictures/common/dom";

/** Tokens at the end of the slider. */
const LONGEST = 8192;

/** Two bars and a slider. */
export function memoryToy({ state_bytes, kv_bytes_per_token }: Shape): HTMLElement {
  const input = make("input", { type: "range" });
  Object.assign(input, { min: "16", max: String(LONGEST), step: "16", value: "512" });
  const tokens = make("output", { className: "figure" });
  const [here, there] = [bar("This network's state"), bar("A transformer's cache")];
  const most = Math.max(state_bytes, kv_bytes_per_token * LONGEST);
  const draw = () => {
    const length = input.valueAsNumber;
    tokens.textContent = formatNumber(length);
    here.set(state_bytes, most);
    there.set(kv_bytes_per_token * length, most);
  };
  input.addEventListener("input", draw);
  draw();
  const row = make("label", { className: "toy-row" }, make("span", { textContent: "Tokens so far" }), input, tokens);
  return make("div", { className: "toy" }, here.row, there.row, row);
}

function bar(label: string) {
  const fill = make("span", { className: "toy-fill" });
  const value = make("output", { className: "figure" });
  const track = make("span", { className: "toy-track" }, fill);
  return {
    row: make("div", { className: "toy-row" }, make("span", { textContent: label }), track, value),
    set: (bytes: number, most: number) => {
      fill.style.width = `${(100 * bytes) / most}%`;
      value.textContent = formatBytes(bytes);
    },
  };
}
