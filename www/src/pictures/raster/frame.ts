// One frame of the raster: the spikes, and what is drawn over them.
import type { Frame } from "../common/surface";
import { rgb, type Theme } from "../common/theme";
import * as axes from "./axes";
import type { Cell } from "./camera";
import { A_FRAME, type Inks, type Painter, type View } from "./paint";
import type { TapeToken } from "./tape";

/** What is in a frame. */
export interface Scene {
  /** Those that are seen. */
  tokens: readonly TapeToken[];
  view: View;
  /** The position of the token that is marked. */
  marked: number | undefined;
  muted: readonly axes.Range[];
  selected: axes.Range | undefined;
  /** The neuron whose membrane is shown. */
  neuron: number | undefined;
  cell: Cell | undefined;
}

let mixed: { theme: Theme; inks: Inks } | undefined;

/** Draws a frame. */
export function drawFrame({ context, ratio, theme }: Frame, area: axes.Area, painter: Painter, scene: Scene): void {
  const { tokens, view, marked, selected, neuron, cell } = scene;
  const pixels = (size: number) => Math.round(size * ratio);
  if (mixed?.theme !== theme) mixed = { theme, inks: inksOf(theme) };
  const image = painter.paint(tokens, view, pixels(area.width), pixels(area.height), mixed.inks, A_FRAME);
  context.putImageData(image, pixels(area.left), pixels(area.top));
  const token = tokens.find(({ position }) => position === marked);
  if (token) axes.drawToken(context, token, view, area, theme);
  for (const range of scene.muted) axes.drawMuted(context, range, view, area, theme);
  if (selected) axes.drawRange(context, selected, view, area, theme);
  axes.drawNeuronAxis(context, view, area, theme);
  axes.drawTokenAxis(context, tokens, view, area, theme, marked);
  if (neuron !== undefined) axes.drawNeuronMark(context, neuron, view, area, theme);
  if (cell) axes.drawCross(context, cell, view, area, theme);
  context.strokeStyle = theme.line;
  context.strokeRect(area.left - 0.5, area.top - 0.5, area.width + 1, area.height + 1);
}

/** Every second token has a ground between the two surfaces. */
function inksOf(theme: Theme): Inks {
  const [ground, other] = [rgb(theme.surface), rgb(theme.surface2)];
  const shade = [0, 1, 2].map((i) => Math.round(((ground[i] ?? 0) + (other[i] ?? 0)) / 2)) as [number, number, number];
  return { positive: rgb(theme.positive), negative: rgb(theme.negative), ground, shade };
}
