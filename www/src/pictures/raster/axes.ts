// What surrounds the spikes: axes, tokens, bands for what is chosen, and the place that is read out.

import { endOf, ticks } from "../common/span";
import type { Theme } from "../common/theme";
import { formatToken } from "../common/units";
import type { Cell } from "./camera";
import type { View } from "./paint";
import type { TapeToken } from "./tape";

/** Where spikes are drawn, in CSS pixels. */
export interface Area {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** Room for the neurons' numbers, and for the tokens' texts. */
const MARGIN = { left: 54, top: 8, right: 8, bottom: 58 };
const FONT = "11px system-ui, sans-serif";
/** A token's text lies down where it has this much room, and stands where it has less. */
const LYING = 46;
/** The least room of a standing text. */
const STANDING = 13;
/** Room for a standing text's length. */
const LONGEST = MARGIN.bottom - 18;

/** The area in a canvas of this size. */
export function areaIn(width: number, height: number): Area {
  const { left, top, right, bottom } = MARGIN;
  return { left, top, width: Math.max(1, width - left - right), height: Math.max(1, height - top - bottom) };
}

/** The x of a column, or the y of a neuron's upper edge, in CSS pixels. */
export function place(view: View, area: Area): { x: (column: number) => number; y: (neuron: number) => number } {
  return {
    x: (column) => area.left + ((column - view.columns.start) / view.columns.length) * area.width,
    y: (neuron) => area.top + area.height - ((neuron + 1 - view.rows.start) / view.rows.length) * area.height,
  };
}

/** The micro-step and the neuron at a place in CSS pixels. */
export function cellAt(view: View, area: Area, x: number, y: number): Cell {
  const { columns, rows } = view;
  return {
    column: Math.floor(columns.start + ((x - area.left) / area.width) * columns.length),
    neuron: Math.floor(rows.start + ((area.top + area.height - y) / area.height) * rows.length),
  };
}

/** Whether a place in CSS pixels is in the area. */
export function inside({ left, top, width, height }: Area, x: number, y: number): boolean {
  return x >= left && x < left + width && y >= top && y < top + height;
}

/** Neurons' numbers at the left. */
export function drawNeuronAxis(context: CanvasRenderingContext2D, view: View, area: Area, theme: Theme): void {
  const { y } = place(view, area);
  const rowHeight = area.height / view.rows.length;
  context.font = FONT;
  context.fillStyle = theme.text2;
  context.strokeStyle = theme.line;
  context.textAlign = "right";
  context.textBaseline = "middle";
  const [low, high] = [Math.ceil(view.rows.start), Math.floor(endOf(view.rows) - 1)];
  context.beginPath();
  for (const neuron of ticks(low, Math.max(high, low + 1), Math.max(2, area.height / 48))) {
    if (!Number.isInteger(neuron) || neuron > high) continue;
    const middle = y(neuron) + rowHeight / 2;
    context.fillText(String(neuron), area.left - 8, middle);
    context.moveTo(area.left - 5, middle);
    context.lineTo(area.left, middle);
  }
  context.stroke();
  context.save();
  context.translate(7, area.top + area.height / 2);
  context.rotate(-Math.PI / 2);
  context.textAlign = "center";
  context.fillText("neuron", 0, 0);
  context.restore();
}

/** Tokens below, with the borders between them; micro-steps where they are wide enough. */
export function drawTokenAxis(
  context: CanvasRenderingContext2D,
  tokens: readonly TapeToken[],
  view: View,
  area: Area,
  theme: Theme,
  marked: number | undefined,
): void {
  const { x } = place(view, area);
  const column = area.width / view.columns.length;
  const narrowest = tokens.reduce((least, { steps }) => Math.min(least, steps * column), Number.POSITIVE_INFINITY);
  const lying = narrowest >= LYING;
  const bottom = area.top + area.height;
  context.save();
  context.beginPath();
  context.rect(area.left, 0, area.width, bottom + MARGIN.bottom);
  context.clip();
  context.font = FONT;
  context.textBaseline = lying ? "top" : "middle";
  context.textAlign = lying ? "center" : "right";
  let free = Number.NEGATIVE_INFINITY;
  const centre = ({ start, steps }: TapeToken) => (x(start) + x(start + steps)) / 2;
  const markedToken = tokens.find(({ position }) => position === marked);
  // The marked token keeps its text, and its neighbours make room.
  const taken = markedToken && !lying ? centre(markedToken) : Number.NaN;
  for (const token of tokens) {
    const [left, right] = [x(token.start), x(token.start + token.steps)];
    const middle = centre(token);
    context.strokeStyle = theme.line;
    context.beginPath();
    context.moveTo(left, bottom);
    context.lineTo(left, bottom + 5);
    context.stroke();
    if (column >= 16) drawSteps(context, token, x, column, bottom, theme);
    const chosen = token.position === marked;
    if (!chosen && (middle - free < STANDING || Math.abs(middle - taken) < STANDING)) continue;
    context.fillStyle = chosen ? theme.accent : theme.text2;
    const text = shorten(context, formatToken(trimmed(token.text)), lying ? right - left - 6 : LONGEST);
    if (lying) {
      context.fillText(text, middle, bottom + 22);
    } else {
      context.save();
      context.translate(middle, bottom + 9);
      context.rotate(-Math.PI / 2);
      context.fillText(text, 0, 0);
      context.restore();
    }
    free = middle;
  }
  context.restore();
}

function drawSteps(
  context: CanvasRenderingContext2D,
  token: TapeToken,
  x: (column: number) => number,
  column: number,
  bottom: number,
  theme: Theme,
): void {
  context.save();
  context.fillStyle = theme.text2;
  context.textAlign = "center";
  context.textBaseline = "top";
  for (let step = 0; step < token.steps; step++) {
    context.fillText(String(step + 1), x(token.start + step) + column / 2, bottom + 7);
  }
  context.restore();
}

/** Without the space that most tokens begin with, unless there is nothing else. The read-out has it. */
function trimmed(text: string): string {
  return text.trim() === "" ? text : text.trim();
}

/** The text, or as much of its beginning as has room. */
function shorten(context: CanvasRenderingContext2D, text: string, room: number): string {
  if (context.measureText(text).width <= room) return text;
  const letters = Array.from(text);
  while (letters.length > 1 && context.measureText(`${letters.join("")}…`).width > room) letters.pop();
  return `${letters.join("")}…`;
}

/** Over the spikes: the token that was jumped to. */
export function drawToken(
  context: CanvasRenderingContext2D,
  token: TapeToken,
  view: View,
  area: Area,
  theme: Theme,
): void {
  const { x } = place(view, area);
  const left = Math.max(area.left, x(token.start));
  const right = Math.min(area.left + area.width, x(token.start + token.steps));
  if (right <= left) return;
  context.save();
  context.fillStyle = theme.accent;
  context.globalAlpha = 0.16;
  context.fillRect(left, area.top, right - left, area.height);
  context.globalAlpha = 1;
  context.fillRect(left, area.top + area.height, right - left, 3);
  context.restore();
}

/** A band of neurons, first and last included. */
export type Range = readonly [first: number, last: number];

/** Over the spikes: neurons that are chosen. */
export function drawRange(context: CanvasRenderingContext2D, range: Range, view: View, area: Area, theme: Theme): void {
  const [top, bottom] = edges(range, view, area);
  context.save();
  context.fillStyle = theme.accent;
  context.globalAlpha = 0.14;
  context.fillRect(area.left, top, area.width, bottom - top);
  context.globalAlpha = 1;
  context.fillRect(area.left - 4, top, 4, bottom - top);
  context.restore();
}

/** Over the spikes: neurons that are silenced, hatched. */
export function drawMuted(context: CanvasRenderingContext2D, range: Range, view: View, area: Area, theme: Theme): void {
  const [top, bottom] = edges(range, view, area);
  if (bottom <= top) return;
  context.save();
  context.beginPath();
  context.rect(area.left, top, area.width, bottom - top);
  context.clip();
  context.strokeStyle = theme.text2;
  context.globalAlpha = 0.35;
  context.beginPath();
  for (let x = area.left - (bottom - top); x < area.left + area.width; x += 9) {
    context.moveTo(x, bottom);
    context.lineTo(x + (bottom - top), top);
  }
  context.stroke();
  context.restore();
}

function edges([first, last]: Range, view: View, area: Area): [number, number] {
  const { y } = place(view, area);
  const top = Math.max(area.top, y(last));
  return [top, Math.max(top, Math.min(area.top + area.height, y(first - 1)))];
}

/** The place that is read out: a cross of hairlines. */
export function drawCross(context: CanvasRenderingContext2D, at: Cell, view: View, area: Area, theme: Theme): void {
  const { x, y } = place(view, area);
  const [column, row] = [area.width / view.columns.length, area.height / view.rows.length];
  const [left, top] = [x(at.column), y(at.neuron)];
  context.save();
  context.beginPath();
  context.rect(area.left, area.top, area.width, area.height);
  context.clip();
  context.fillStyle = theme.text;
  context.globalAlpha = 0.12;
  context.fillRect(area.left, top, area.width, Math.max(1, row));
  context.fillRect(left, area.top, Math.max(1, column), area.height);
  context.globalAlpha = 0.9;
  context.strokeStyle = theme.text;
  context.strokeRect(left - 0.5, top - 0.5, Math.max(4, column) + 1, Math.max(4, row) + 1);
  context.restore();
}

/** The neuron whose membrane is shown: a mark beside the axis. */
export function drawNeuronMark(
  context: CanvasRenderingContext2D,
  neuron: number,
  view: View,
  area: Area,
  theme: Theme,
): void {
  const middle = place(view, area).y(neuron - 0.5);
  if (middle < area.top || middle > area.top + area.height) return;
  context.fillStyle = theme.accent;
  context.beginPath();
  context.moveTo(area.left, middle);
  context.lineTo(area.left - 8, middle - 5);
  context.lineTo(area.left - 8, middle + 5);
  context.fill();
}
