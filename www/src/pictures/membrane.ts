// A neuron's membrane across the last tokens: h before each micro-step's spike, against ±V.
import type { Membrane } from "../mar/types";
import { make, spoken } from "./common/dom";
import { ticks } from "./common/span";
import { type Frame, Surface } from "./common/surface";
import type { Theme } from "./common/theme";
import { formatNumber } from "./common/units";

/** Tokens that are kept. */
const KEPT = 512;
/** The least width of a micro-step, in CSS pixels. */
const STEP = 9;
const MARGIN = { left: 44, top: 14, right: 30, bottom: 22 };
const FONT = "11px system-ui, sans-serif";
/** Half the width of a spike's mark. */
const MARK = 4;

/** The trace of one neuron. Fills `host`. */
export class MembraneTrace {
  readonly #root: HTMLElement;
  readonly #title: HTMLElement;
  readonly #readout: HTMLElement;
  readonly #said: HTMLElement;
  readonly #surface: Surface;
  #tokens: Membrane[] = [];
  /** The last token seen, as an index; undefined follows the newest. */
  #last: number | undefined;
  #marked: number | undefined;

  constructor(host: HTMLElement) {
    this.#title = make("h3", { textContent: "Membrane" });
    this.#readout = make("p", { className: "pic-quiet pic-readout" });
    this.#said = spoken(false);
    const plot = make("div", { className: "pic-plot pic-membrane-plot" });
    this.#root = make(
      "section",
      { className: "pic pic-membrane", testId: "membrane", ariaLabel: "Membrane of a neuron" },
      make("div", { className: "pic-bar pic-caption" }, this.#title, this.#readout),
      plot,
      this.#said,
    );
    host.append(this.#root);
    this.#surface = new Surface(plot, (frame) => this.#draw(frame));
    this.#surface.canvas.setAttribute("role", "img");
    this.#describe();
  }

  /** Adds a token's trace. Another neuron's starts a new picture. */
  push(membrane: Membrane): void {
    const before = this.#tokens[0];
    const { layer, site, neuron, position } = membrane;
    if (before && (before.layer !== layer || before.site !== site || before.neuron !== neuron)) this.clear();
    const index = this.#tokens.findIndex((token) => token.position >= position);
    const place = index < 0 ? this.#tokens.length : index;
    this.#tokens.splice(place, Number(this.#tokens[place]?.position === position), membrane);
    if (this.#tokens.length > KEPT) this.#tokens.shift();
    this.#describe();
    this.#surface.ask();
  }

  /** Goes to the token at a place of the conversation. False where its trace is not here. */
  jump(position: number): boolean {
    const index = this.#tokens.findIndex((token) => token.position === position);
    if (index < 0) return false;
    [this.#last, this.#marked] = [index, position];
    this.#surface.ask();
    return true;
  }

  /** Follows the newest token again. */
  follow(): void {
    [this.#last, this.#marked] = [undefined, undefined];
    this.#surface.ask();
  }

  /** Forgets the tokens from `position` on. */
  cut(position: number): void {
    this.#tokens = this.#tokens.filter((token) => token.position < position);
    this.follow();
    this.#describe();
  }

  /** Forgets the neuron. */
  clear(): void {
    this.#tokens = [];
    this.follow();
    this.#describe();
  }

  /** Takes the picture away. */
  dispose(): void {
    this.#surface.dispose();
    this.#root.remove();
  }

  #describe(): void {
    const newest = this.#tokens.at(-1);
    if (!newest) {
      this.#title.textContent = "Membrane";
      this.#readout.textContent = "Click a neuron in the raster to see why it fires.";
      this.#said.textContent = "";
      return;
    }
    const { layer, site, neuron, threshold, spikes, position, muted } = newest;
    const fired = spikes.reduce((sum, spike) => sum + Math.abs(spike), 0);
    this.#title.textContent = `Membrane of neuron ${neuron}, layer ${layer}, ${site}`;
    this.#readout.textContent = `V = ${formatNumber(threshold)}${muted ? " · muted" : ""}`;
    this.#said.textContent = `Token ${position}: ${fired} spikes in ${spikes.length} micro-steps, threshold ${formatNumber(threshold)}.`;
    this.#surface.canvas.setAttribute("aria-label", `${this.#title.textContent}. ${this.#said.textContent}`);
  }

  /** The tokens that have room, ending with the one that is looked at, or two after it. */
  #seen(width: number): Membrane[] {
    const newest = this.#tokens.length - 1;
    const end = this.#last === undefined ? newest : Math.min(newest, this.#last + 2);
    const found: Membrane[] = [];
    let room = width;
    for (let i = end; i >= 0; i--) {
      const token = this.#tokens[i];
      room -= (token?.h.length ?? 0) * STEP;
      if (!token || (room < 0 && found.length > 0)) break;
      found.unshift(token);
    }
    return found;
  }

  #draw({ context, width, height, theme }: Frame): boolean {
    const area = {
      left: MARGIN.left,
      top: MARGIN.top,
      width: width - MARGIN.left - MARGIN.right,
      height: height - MARGIN.top - MARGIN.bottom,
    };
    const tokens = this.#seen(area.width);
    const threshold = tokens.reduce((most, token) => Math.max(most, token.threshold), 0) || 1;
    const peak = tokens.reduce((most, { h }) => h.reduce((m, value) => Math.max(m, Math.abs(value)), most), 0);
    // At least one and a half thresholds, so that quiet neurons look quiet.
    const top = Math.max(1.5 * threshold, 1.08 * peak);
    const y = (value: number) => area.top + (area.height * (top - value)) / (2 * top);
    const steps = tokens.reduce((sum, { h }) => sum + h.length, 0);
    const step = steps > 0 ? Math.min(28, area.width / steps) : STEP;
    drawScale(context, area, top, y, theme);
    let x = area.left;
    for (const [i, token] of tokens.entries()) {
      const wide = token.h.length * step;
      context.fillStyle = token.position === this.#marked ? theme.accent : theme.surface2;
      context.globalAlpha = token.position === this.#marked ? 0.16 : i % 2 === 0 ? 0.5 : 0;
      context.fillRect(x, area.top, wide, area.height);
      context.globalAlpha = 1;
      drawThreshold(context, token.threshold, x, wide, y, theme);
      drawTrace(context, token, x, step, y, theme);
      context.fillStyle = token.position === this.#marked ? theme.accent : theme.text2;
      context.font = FONT;
      context.textAlign = "center";
      context.textBaseline = "top";
      if (wide >= 24) context.fillText(String(token.position), x + wide / 2, area.top + area.height + 7);
      x += wide;
    }
    const first = tokens[0];
    if (first) {
      context.fillStyle = theme.text2;
      context.textAlign = "left";
      context.textBaseline = "middle";
      context.fillText("+V", x + 5, y(threshold));
      context.fillText("−V", x + 5, y(-threshold));
    }
    context.strokeStyle = theme.line;
    context.strokeRect(area.left - 0.5, area.top - 0.5, area.width + 1, area.height + 1);
    return false;
  }
}

interface Area {
  left: number;
  top: number;
  width: number;
  height: number;
}

function drawScale(
  context: CanvasRenderingContext2D,
  area: Area,
  top: number,
  y: (value: number) => number,
  theme: Theme,
): void {
  context.font = FONT;
  context.fillStyle = theme.text2;
  context.strokeStyle = theme.line;
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const value of ticks(-top, top, Math.max(2, area.height / 32))) {
    context.fillText(formatNumber(value).replace("-", "−"), area.left - 6, y(value));
  }
  context.beginPath();
  context.moveTo(area.left, y(0));
  context.lineTo(area.left + area.width, y(0));
  context.stroke();
  context.textAlign = "left";
  context.textBaseline = "alphabetic";
  context.fillText("h", 4, area.top + 8);
  context.textBaseline = "top";
  context.fillText("token", 4, area.top + area.height + 7);
}

function drawThreshold(
  context: CanvasRenderingContext2D,
  threshold: number,
  x: number,
  wide: number,
  y: (value: number) => number,
  theme: Theme,
): void {
  context.setLineDash([4, 3]);
  for (const [value, colour] of [
    [threshold, theme.positive],
    [-threshold, theme.negative],
  ] as const) {
    context.strokeStyle = colour;
    context.beginPath();
    context.moveTo(x, y(value));
    context.lineTo(x + wide, y(value));
    context.stroke();
  }
  context.setLineDash([]);
}

/** The line of h; at a spike, what the soft reset takes away, and a mark: up for +, down for −. */
function drawTrace(
  context: CanvasRenderingContext2D,
  token: Membrane,
  left: number,
  step: number,
  y: (value: number) => number,
  theme: Theme,
): void {
  const x = (t: number) => left + (t + 0.5) * step;
  context.lineWidth = 1;
  context.globalAlpha = 0.6;
  context.strokeStyle = theme.text2;
  for (const [t, spike] of token.spikes.entries()) {
    const h = token.h[t] ?? 0;
    if (spike === 0) continue;
    context.beginPath();
    context.moveTo(x(t), y(h));
    context.lineTo(x(t), y(h - spike * token.threshold));
    context.stroke();
  }
  context.globalAlpha = token.muted ? 0.5 : 1;
  context.lineWidth = 1.5;
  context.strokeStyle = theme.text;
  context.beginPath();
  for (const [t, h] of token.h.entries()) {
    if (t === 0) context.moveTo(x(t), y(h));
    else context.lineTo(x(t), y(h));
  }
  context.stroke();
  context.lineWidth = 1;
  for (const [t, spike] of token.spikes.entries()) {
    const [px, py] = [x(t), y(token.h[t] ?? 0)];
    if (spike === 0) {
      context.fillStyle = theme.text;
      context.beginPath();
      context.arc(px, py, 1.75, 0, 2 * Math.PI);
      context.fill();
      continue;
    }
    context.fillStyle = spike > 0 ? theme.positive : theme.negative;
    context.beginPath();
    context.moveTo(px, py - spike * (MARK + 3));
    context.lineTo(px - MARK - 1, py + spike * (MARK - 1));
    context.lineTo(px + MARK + 1, py + spike * (MARK - 1));
    context.fill();
  }
  context.globalAlpha = 1;
}
