// The trade: joules of a token against loss, a point for each setting that was tried.
import { label } from "../common/chart";
import { svg } from "../common/dom";
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

/** Of the drawing, in CSS pixels. */
export const TRADE_HEIGHT = 170;
const MARGIN = { left: 44, top: 20, right: 14, bottom: 34 };

/** The axis of some values, with air around them; a lone value gets a tenth on each side. */
export function padded(values: readonly number[]): [low: number, high: number] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const air = (high - low) * 0.15 || Math.abs(high) * 0.1 || 1;
  return [low - air, high + air];
}

/** The points in words. */
export function tradeWords(tried: readonly Tried[]): string {
  const points = tried.map(
    ({ label, joules, nats }) => `${label}: ${formatSi(joules, "J")}, ${formatNumber(nats)} nats`,
  );
  return `Joules of a token against loss, for the settings tried. ${points.join("; ")}`;
}

/** Draws the points; the last of them is where the dial stands. */
export function trade(tried: readonly Tried[], width: number): SVGElement[] {
  const [left, right] = padded(tried.map(({ joules }) => joules));
  const [low, high] = padded(tried.map(({ nats }) => nats));
  const [x0, x1] = [MARGIN.left, width - MARGIN.right];
  const [y0, y1] = [TRADE_HEIGHT - MARGIN.bottom, MARGIN.top];
  const x = (joules: number) => x0 + ((joules - left) / (right - left)) * (x1 - x0);
  const y = (nats: number) => y0 + ((nats - low) / (high - low)) * (y1 - y0);
  const trail = tried.map(({ joules, nats }) => `${x(joules)},${y(nats)}`).join(" ");
  const parts = [
    svg("path", { d: `M${x0} ${y1}V${y0}H${x1}`, class: "pic-svg-axis" }),
    ...ticks(left, right, Math.max(2, width / 110)).map((joules) =>
      label(x(joules), y0 + 15, "middle", formatSi(joules, "J")),
    ),
    ...ticks(low, high, 4).map((nats) => label(x0 - 6, y(nats) + 4, "end", formatNumber(nats))),
    label(x1, TRADE_HEIGHT - 3, "end", "energy of a token, estimate"),
    label(0, 11, "start", "loss, nats"),
    svg("polyline", { points: trail, class: "pic-svg-trail" }),
  ];
  for (const [i, point] of tried.entries()) {
    const now = i === tried.length - 1;
    const at = { cx: x(point.joules), cy: y(point.nats), r: now ? 5.5 : 3.5 };
    const title = svg("title", {}, `${point.label}: ${formatSi(point.joules, "J")}, ${formatNumber(point.nats)} nats`);
    parts.push(svg("circle", { ...at, class: now ? "pic-svg-now" : "pic-svg-point" }, title));
    if (now || point.trained) {
      const end = at.cx > (x0 + x1) / 2;
      parts.push(
        label(at.cx + (end ? -9 : 9), at.cy - 7, end ? "end" : "start", point.label, now ? "pic-svg-strong" : ""),
      );
    }
  }
  return parts;
}
