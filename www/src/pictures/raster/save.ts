// The raster as files: what is seen, as a table and as a picture.
import type { Site } from "../../mar/types";
import { csv } from "../common/csv";
import { endOf } from "../common/span";
import type { Theme } from "../common/theme";
import { formatCount } from "../common/units";
import type { View } from "./paint";
import { firstOf, neuronOf, signOf, stepOf, type Tape } from "./tape";

/** A row for each spike that is seen. */
export function spikesCsv(tape: Tape, view: View, layer: number, site: Site): string {
  return csv(["position", "token", "layer", "site", "neuron", "micro_step", "spike"], rows());

  function* rows(): Generator<(string | number)[]> {
    for (const token of tape.within(view.columns)) {
      const end = firstOf(token.spikes, Math.ceil(endOf(view.rows)));
      for (let i = firstOf(token.spikes, Math.floor(view.rows.start)); i < end; i++) {
        const spike = token.spikes[i] ?? 0;
        const column = token.start + stepOf(spike);
        if (column < Math.floor(view.columns.start) || column >= endOf(view.columns)) continue;
        yield [token.position, token.text, layer, site, neuronOf(spike), stepOf(spike) + 1, signOf(spike)];
      }
    }
  }
}

/** The canvas with a title and a legend above it. */
export async function picture(canvas: HTMLCanvasElement, title: string, theme: Theme): Promise<Blob> {
  const ratio = canvas.width / Math.max(1, canvas.clientWidth);
  const head = Math.round(40 * ratio);
  const sheet = document.createElement("canvas");
  sheet.width = canvas.width;
  sheet.height = canvas.height + head;
  const context = sheet.getContext("2d");
  if (!context) throw new Error("The browser gives no canvas to draw the picture on.");
  context.fillStyle = theme.surface;
  context.fillRect(0, 0, sheet.width, sheet.height);
  context.drawImage(canvas, 0, head);
  context.scale(ratio, ratio);
  context.font = "600 13px system-ui, sans-serif";
  context.textBaseline = "middle";
  context.fillStyle = theme.text;
  context.fillText(title, 12, 20);
  let x = 24 + context.measureText(title).width;
  context.font = "12px system-ui, sans-serif";
  for (const [colour, label] of [
    [theme.positive, "spike +1"],
    [theme.negative, "spike −1"],
  ] as const) {
    context.fillStyle = colour;
    context.fillRect(x, 13, 4, 14);
    context.fillStyle = theme.text2;
    context.fillText(label, x + 9, 20);
    x += 21 + context.measureText(label).width;
  }
  return await new Promise((resolve, reject) => {
    sheet.toBlob(
      (blob) => (blob ? resolve(blob) : reject(new Error("The browser could not make a PNG."))),
      "image/png",
    );
  });
}

/** The raster in words: how much fired, and which neurons most. */
export function inWords(tape: Tape, view: View, layer: number, site: Site): string {
  const tokens = tape.within(view.columns);
  const [first, last] = [tokens[0], tokens.at(-1)];
  if (!first || !last) return `Layer ${layer}, ${site}: no spikes yet.`;
  let [positive, negative, places] = [0, 0, 0];
  const byNeuron = new Map<number, number>();
  for (const token of tokens) {
    positive += token.positive;
    negative += token.negative;
    places += token.neurons * token.steps;
    for (const spike of token.spikes) byNeuron.set(neuronOf(spike), (byNeuron.get(neuronOf(spike)) ?? 0) + 1);
  }
  const busiest = [...byNeuron].sort((a, b) => b[1] - a[1]).slice(0, 3);
  const rate = ((100 * (positive + negative)) / places).toPrecision(2);
  const most = busiest.length > 0 ? ` Busiest neurons: ${busiest.map(([neuron]) => neuron).join(", ")}.` : "";
  return (
    `Layer ${layer}, ${site}, tokens ${first.position} to ${last.position}: ${formatCount(positive)} positive and ` +
    `${formatCount(negative)} negative spikes, ${rate} percent of all places.${most}`
  );
}
