// A neuron to play with: the network's own, ATMN, with one input and a threshold that can be dragged.
import { make, svg } from "../pictures/common/dom";

/** Micro-steps of a token, as at most sites of the small model. */
const STEPS = 8;
/** The largest current of the picture, and the smallest threshold: below it every current fires all the time. */
const [REACH, LOWEST] = [2, 0.2];
/** The picture in its own units. */
const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [340, 190, 34, 46, 10, 40];

/** What a neuron does in one token: h before each reset, and its spikes. */
export interface Firing {
  h: number[];
  spikes: (-1 | 0 | 1)[];
}

/** ATMN with tau = 1: the current comes at once, each spike takes one threshold away. Twin: src/cpu/fire.rs. */
export function fire(current: number, threshold: number, steps: number): Firing {
  const firing: Firing = { h: [], spikes: [] };
  let left = current;
  for (let step = 0; step < steps; step++) {
    const spike = left >= threshold ? 1 : left <= -threshold ? -1 : 0;
    firing.h.push(left);
    firing.spikes.push(spike);
    left -= spike * threshold;
  }
  return firing;
}

/** The picture with its two sliders. */
export function neuronToy(): HTMLElement {
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "toy-picture", role: "img" });
  const current = slider("Input current I", -REACH, REACH, 1.3);
  const threshold = slider("Threshold V", LOWEST, REACH, 0.4);
  const words = make("p", { className: "toy-words figure" });
  words.setAttribute("aria-live", "polite");
  const draw = () => {
    const [i, v] = [current.input.valueAsNumber, threshold.input.valueAsNumber];
    current.value.textContent = i.toFixed(2);
    threshold.value.textContent = v.toFixed(2);
    const firing = fire(i, v, STEPS);
    const count = firing.spikes.reduce<number>((sum, spike) => sum + spike, 0);
    words.textContent = sentence(i, v, count);
    picture.setAttribute("aria-label", `Membrane over ${STEPS} micro-steps. ${words.textContent}`);
    picture.replaceChildren(...shapes(firing, v));
  };
  for (const { input } of [current, threshold]) input.addEventListener("input", draw);
  dragThreshold(picture, (value) => {
    threshold.input.value = String(value);
    draw();
  });
  draw();
  return make("div", { className: "toy" }, picture, words, current.row, threshold.row);
}

function sentence(current: number, threshold: number, count: number): string {
  if (count === 0) return "It stays silent: its current never reaches the threshold. Its weights are not read.";
  const times = Math.abs(count) === 1 ? "once" : `${Math.abs(count)} times`;
  const full = Math.abs(count) === STEPS ? ", at every step, and can do no more" : "";
  const said = (count * threshold).toFixed(2);
  return `It fires ${times}, ${count > 0 ? "+" : "−"}${full}. What it says is ${count} × ${threshold.toFixed(2)} = ${said}, for a current of ${current.toFixed(2)}.`;
}

function slider(label: string, min: number, max: number, value: number) {
  const input = make("input", { type: "range" });
  // The bounds first, or the value is cut to others.
  Object.assign(input, { min: String(min), max: String(max), step: "0.05", value: String(value) });
  const out = make("output", { className: "figure" });
  return {
    input,
    value: out,
    row: make("label", { className: "toy-row" }, make("span", { textContent: label }), input, out),
  };
}

function y(value: number): number {
  const middle = (TOP + HEIGHT - BOTTOM) / 2;
  return middle - (value / REACH) * (middle - TOP);
}

function x(step: number): number {
  return LEFT + ((step + 0.5) / STEPS) * (WIDTH - LEFT - RIGHT);
}

function shapes({ h, spikes }: Firing, threshold: number): SVGElement[] {
  const end = WIDTH - RIGHT;
  const line = (value: number, name: string) =>
    svg("line", { x1: LEFT, x2: end, y1: y(value), y2: y(value), class: name });
  const word = (text: string, at: [number, number], name: string) =>
    svg("text", { x: at[0], y: at[1], class: name }, text);
  const nodes = [line(0, "axis"), line(threshold, "threshold"), line(-threshold, "threshold")];
  nodes.push(word("+V", [end + 24, y(threshold) + 4], "label"), word("−V", [end + 24, y(-threshold) + 4], "label"));
  nodes.push(word("h", [10, y(0) + 4], "label"), word("s", [10, HEIGHT - 16], "label"));
  nodes.push(svg("circle", { cx: end + 6, cy: y(threshold), r: 5, class: "handle" }));
  h.forEach((value, step) => {
    const spike = spikes[step] ?? 0;
    const kind = spike > 0 ? "plus" : spike < 0 ? "minus" : "silent";
    nodes.push(svg("line", { x1: x(step), x2: x(step), y1: y(0), y2: y(value), class: `stem ${kind}` }));
    nodes.push(svg("circle", { cx: x(step), cy: y(value), r: 3.5, class: `dot ${kind}` }));
    const foot = HEIGHT - 20;
    if (spike !== 0)
      nodes.push(svg("line", { x1: x(step), x2: x(step), y1: foot, y2: foot - spike * 14, class: `tick ${kind}` }));
    nodes.push(word(String(step + 1), [x(step), HEIGHT - 1], "step"));
  });
  nodes.push(svg("line", { x1: LEFT, x2: end, y1: HEIGHT - 20, y2: HEIGHT - 20, class: "axis" }));
  return nodes;
}

/** The dashed line can be taken with the pointer; the slider does the same for the keyboard. */
function dragThreshold(picture: SVGElement, set: (value: number) => void): void {
  const take = (event: PointerEvent) => {
    const box = picture.getBoundingClientRect();
    const middle = (TOP + HEIGHT - BOTTOM) / 2;
    const value = (Math.abs(middle - ((event.clientY - box.top) / box.height) * HEIGHT) / (middle - TOP)) * REACH;
    set(Math.min(REACH, Math.max(LOWEST, value)));
  };
  picture.addEventListener("pointerdown", (event) => {
    picture.setPointerCapture(event.pointerId);
    take(event);
  });
  picture.addEventListener("pointermove", (event) => {
    if (picture.hasPointerCapture(event.pointerId)) take(event);
  });
}
