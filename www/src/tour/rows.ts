// A projection to play with: inputs that fire or not, and the weight rows that are read for them.
import { make } from "../pictures/common/dom";

const OUTPUTS = 12;
/** Whether and how the inputs fire at first: about as many as in the network. */
const START = [0, 1, 0, 0, -1, 0, 1, 0];
const SIGNS = { "-1": "minus", "0": "silent", "1": "plus" } as const;

/** Eight inputs to press, and their rows. */
export function rowsToy(): HTMLElement {
  const counts = [...START];
  const words = make("p", { className: "toy-words figure" });
  words.setAttribute("aria-live", "polite");
  const rows = counts.map((_, index) => {
    const input = make("button", { type: "button", className: "toy-input" });
    input.addEventListener("click", () => {
      const now = counts[index] ?? 0;
      counts[index] = now === 0 ? 1 : now === 1 ? -1 : 0;
      draw();
    });
    const cells = Array.from({ length: OUTPUTS }, (_, output) => {
      const cell = make("span", { className: "toy-cell" });
      // Weights of no meaning, but always the same.
      cell.dataset.weight = String(((index * 7 + output * 5 + index * output) % 5) - 2);
      return cell;
    });
    return { input, row: make("div", { className: "toy-weights" }, input, ...cells) };
  });
  const draw = () => {
    rows.forEach(({ input, row }, index) => {
      const count = (counts[index] ?? 0) as -1 | 0 | 1;
      const kind = SIGNS[count];
      row.className = `toy-weights ${kind}`;
      input.textContent = count === 0 ? "0" : count > 0 ? "+1" : "−1";
      input.setAttribute("aria-label", `Neuron ${index + 1} says ${input.textContent}; press to change`);
    });
    const fired = counts.filter((count) => count !== 0).length;
    words.textContent =
      `${fired} of ${counts.length} rows are read: ${fired * OUTPUTS} additions, ` +
      `where a dense network multiplies and adds ${counts.length * OUTPUTS} times.`;
  };
  draw();
  return make(
    "div",
    { className: "toy" },
    make("div", { className: "toy-rows" }, ...rows.map(({ row }) => row)),
    words,
  );
}
