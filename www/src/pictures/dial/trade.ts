// The trade: joules of a token against loss, a point for each setting that was tried.
import { make, svg } from "../common/dom";
import { ticks } from "../common/span";
import { formatNumber, formatSi } from "../common/units";

/** What a setting gave. */
export interface Tried {
  joules: number;
  nats: number;
  /** The setting in words: "1.5×, 4 steps". */
  label: string;
  /** Whether nothing was turned. */
  trained: boolean;
}

const SIZE = { width: 320, height: 148 };
const MARGIN = { left: 44, top: 10, right: 14, bottom: 34 };

/** The axis of some values, with air around them; a lone value gets a tenth on each side. */
export function padded(values: readonly number[]): [low: number, high: number] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const air = (high - low) * 0.15 || Math.abs(high) * 0.1 || 1;
  return [low - air, high + air];
}

/** Draws the points; the last of them is where the dial stands. */
export function trade(tried: readonly Tried[]): HTMLElement {
  const words = tried.map(
    ({ label, joules, nats }) => `${label}: ${formatSi(joules, "J")}, ${formatNumber(nats)} nats`,
  );
  const figure = make("figure", { className: "pic-trade" });
  const chart = svg("svg", {
    viewBox: `0 0 ${SIZE.width} ${SIZE.height}`,
    role: "img",
    "aria-label": `Joules of a token against loss, for the settings tried. ${words.join("; ")}`,
  });
  if (tried.length > 0) chart.append(...drawing(tried));
  figure.append(chart);
  return figure;
}

function drawing(tried: readonly Tried[]): SVGElement[] {
  const [left, right] = padded(tried.map(({ joules }) => joules));
  const [low, high] = padded(tried.map(({ nats }) => nats));
  const [x0, x1] = [MARGIN.left, SIZE.width - MARGIN.right];
  const [y0, y1] = [SIZE.height - MARGIN.bottom, MARGIN.top];
  const x = (joules: number) => x0 + ((joules - left) / (right - left)) * (x1 - x0);
  const y = (nats: number) => y0 + ((nats - low) / (high - low)) * (y1 - y0);
  const text = (at: [number, number], anchor: string, content: string) =>
    svg("text", { x: at[0], y: at[1], "text-anchor": anchor, class: "pic-svg-text" }, content);
  const parts = [
    svg("path", { d: `M${x0} ${y1}V${y0}H${x1}`, class: "pic-svg-axis" }),
    ...ticks(left, right, 3).map((joules) => text([x(joules), y0 + 14], "middle", formatSi(joules, "J"))),
    ...ticks(low, high, 3).map((nats) => text([x0 - 6, y(nats) + 4], "end", formatNumber(nats))),
    text([x1, SIZE.height - 4], "end", "energy of a token, estimate"),
    text([x0 + 6, y1 + 8], "start", "loss, nats"),
    svg("polyline", {
      points: tried.map(({ joules, nats }) => `${x(joules)},${y(nats)}`).join(" "),
      class: "pic-svg-trail",
    }),
  ];
  for (const [i, point] of tried.entries()) {
    const now = i === tried.length - 1;
    const at = { cx: x(point.joules), cy: y(point.nats), r: now ? 5.5 : 3.5 };
    const kind = `${now ? "pic-svg-now" : "pic-svg-point"}${point.trained ? " pic-svg-trained" : ""}`;
    parts.push(
      svg(
        "circle",
        { ...at, class: kind },
        svg("title", {}, `${point.label}: ${formatSi(point.joules, "J")}, ${formatNumber(point.nats)} nats`),
      ),
    );
  }
  return parts;
}
