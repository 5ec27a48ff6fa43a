// The state against a key-value cache: one stays as it is, the other grows with every token.
import { make, svg } from "../common/dom";
import { ticks } from "../common/span";
import { formatBytes, formatCount } from "../common/units";

const SIZE = { width: 320, height: 132 };
const MARGIN = { left: 52, top: 12, right: 12, bottom: 32 };

/** From how many tokens on the cache is larger than the state. */
export function crossing(stateBytes: number, bytesPerToken: number): number {
  return Math.ceil(stateBytes / bytesPerToken);
}

/** The end of the axis: a power of two that has room for the context and the crossing. */
export function reach(context: number, crossing: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(128, 1.25 * context, 2 * crossing)));
}

/** Draws both over the context's length, with a mark where the conversation is. */
export function cache(context: number, stateBytes: number, bytesPerToken: number): HTMLElement {
  const meet = crossing(stateBytes, bytesPerToken);
  const end = reach(context, meet);
  const most = end * bytesPerToken * 1.05;
  const [x0, x1] = [MARGIN.left, SIZE.width - MARGIN.right];
  const [y0, y1] = [SIZE.height - MARGIN.bottom, MARGIN.top];
  const x = (tokens: number) => x0 + (tokens / end) * (x1 - x0);
  const y = (bytes: number) => y0 - (bytes / most) * (y0 - y1);
  const text = (at: [number, number], anchor: string, content: string, kind = "") =>
    svg("text", { x: at[0], y: at[1], "text-anchor": anchor, class: `pic-svg-text ${kind}` }, content);
  const words =
    `The state takes ${formatBytes(stateBytes)} at any length. A transformer's cache would take ` +
    `${formatBytes(context * bytesPerToken)} at ${formatCount(context)} tokens; it is larger from ${formatCount(meet)} tokens on.`;
  const chart = svg(
    "svg",
    { viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, role: "img", "aria-label": words },
    svg("path", { d: `M${x0} ${y1}V${y0}H${x1}`, class: "pic-svg-axis" }),
    ...ticks(0, end, 4).map((tokens) => text([x(tokens), y0 + 14], "middle", formatCount(tokens))),
    ...ticks(0, most, 3).map((bytes) => text([x0 - 6, y(bytes) + 4], "end", formatBytes(bytes))),
    text([x1, SIZE.height - 4], "end", "tokens in context"),
    svg("line", { x1: x(0), y1: y(0), x2: x(end), y2: y(end * bytesPerToken), class: "pic-svg-cache" }),
    svg("line", { x1: x(0), y1: y(stateBytes), x2: x(end), y2: y(stateBytes), class: "pic-svg-state" }),
    svg("line", { x1: x(context), y1: y0, x2: x(context), y2: y1, class: "pic-svg-here" }),
    svg("circle", { cx: x(context), cy: y(context * bytesPerToken), r: 4, class: "pic-svg-cache-now" }),
    svg("circle", { cx: x(context), cy: y(stateBytes), r: 4, class: "pic-svg-state-now" }),
    text([x(end * 0.62) - 6, y(end * 0.66 * bytesPerToken)], "end", "a KV cache"),
    text([x1, y(stateBytes) - 6], "end", "this state"),
  );
  return make(
    "figure",
    { className: "pic-trade" },
    chart,
    make("figcaption", { className: "pic-quiet", textContent: words }),
  );
}
