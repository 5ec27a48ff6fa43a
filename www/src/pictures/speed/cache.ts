// The state against a key-value cache: one stays as it is, the other grows with every token.
import { label } from "../common/chart";
import { svg } from "../common/dom";
import { ticks } from "../common/span";
import { formatBytes, formatCount } from "../common/units";

/** Of the drawing, in CSS pixels. */
export const CACHE_HEIGHT = 150;
const MARGIN = { left: 56, top: 12, right: 12, bottom: 32 };

/** From how many tokens on the cache is larger than the state. */
export function crossing(stateBytes: number, bytesPerToken: number): number {
  return Math.ceil(stateBytes / bytesPerToken);
}

/** The end of the axis: a power of two that has room for the context and the crossing. */
export function reach(context: number, crossing: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(128, 1.25 * context, 2 * crossing)));
}

/** Both in words. */
export function cacheWords(context: number, stateBytes: number, bytesPerToken: number): string {
  const cache = formatBytes(context * bytesPerToken);
  return (
    `The state takes ${formatBytes(stateBytes)} at any length. A transformer's key-value cache would take ${cache} at these ` +
    `${formatCount(context)} tokens; it is the larger from ${formatCount(crossing(stateBytes, bytesPerToken))} tokens on.`
  );
}

/** Draws both over the context's length, with a mark where the conversation is. */
export function cache(context: number, stateBytes: number, bytesPerToken: number, width: number): SVGElement[] {
  const end = reach(context, crossing(stateBytes, bytesPerToken));
  const most = end * bytesPerToken * 1.05;
  const [x0, x1] = [MARGIN.left, width - MARGIN.right];
  const [y0, y1] = [CACHE_HEIGHT - MARGIN.bottom, MARGIN.top];
  const x = (tokens: number) => x0 + (tokens / end) * (x1 - x0);
  const y = (bytes: number) => y0 - (bytes / most) * (y0 - y1);
  return [
    svg("path", { d: `M${x0} ${y1}V${y0}H${x1}`, class: "pic-svg-axis" }),
    ...ticks(0, end, Math.max(2, width / 100)).map((tokens) =>
      label(x(tokens), y0 + 15, "middle", formatCount(tokens)),
    ),
    ...ticks(0, most, 3).map((bytes) => label(x0 - 6, y(bytes) + 4, "end", formatBytes(bytes))),
    label(x1, CACHE_HEIGHT - 3, "end", "tokens in context"),
    svg("line", { x1: x(context), y1: y0, x2: x(context), y2: y1, class: "pic-svg-here" }),
    svg("line", { x1: x(0), y1: y(0), x2: x(end), y2: y(end * bytesPerToken), class: "pic-svg-cache" }),
    svg("line", { x1: x(0), y1: y(stateBytes), x2: x(end), y2: y(stateBytes), class: "pic-svg-state" }),
    svg("circle", { cx: x(context), cy: y(context * bytesPerToken), r: 4, class: "pic-svg-cache-now" }),
    svg("circle", { cx: x(context), cy: y(stateBytes), r: 4, class: "pic-svg-state-now" }),
    label(x(end * 0.9) - 8, y(end * 0.9 * bytesPerToken), "end", "key-value cache"),
    label(x1, y(stateBytes) - 6, "end", "this state"),
  ];
}
