// Joules of each token over the answer, by uPlot.
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { make } from "../common/dom";
import { onTheme, readTheme, type Theme } from "../common/theme";
import { formatSi } from "../common/units";
import type { TokenCost } from "../cost";
import { type Mode, NETWORKS } from "./account";

const HEIGHT = 104;

/** A small chart with a line for each network; a click goes to a token. */
export class Sparkline {
  readonly element: HTMLElement;
  readonly #onJump: (position: number) => void;
  readonly #resize: ResizeObserver;
  readonly #stopTheme: () => void;
  #plot: uPlot | undefined;
  #theme: Theme | undefined;
  #data: uPlot.AlignedData = [[], [], [], []];
  #marked: number | undefined;

  constructor(onJump: (position: number) => void) {
    this.#onJump = onJump;
    this.element = make("div", { className: "pic-spark", role: "img", ariaLabel: "Joules of each token, estimate" });
    this.#resize = new ResizeObserver(() => this.#fit());
    this.#resize.observe(this.element);
    this.#stopTheme = onTheme(() => {
      this.#theme = undefined;
      this.#plot?.redraw();
    });
  }

  /** Shows these tokens, and marks one. */
  show(events: readonly TokenCost[], mode: Mode, marked: number | undefined): void {
    this.#marked = marked;
    const lines = NETWORKS.map((network) => events.map(({ energy }) => energy[mode][network]));
    this.#data = [events.map(({ position }) => position), ...lines];
    this.#plot?.setData(this.#data);
  }

  dispose(): void {
    this.#resize.disconnect();
    this.#stopTheme();
    this.#plot?.destroy();
  }

  #colour(name: keyof Theme): string {
    this.#theme ??= readTheme(this.element);
    return this.#theme[name];
  }

  #fit(): void {
    const width = this.element.clientWidth;
    if (width === 0) return;
    if (this.#plot) this.#plot.setSize({ width, height: HEIGHT });
    else this.#plot = new uPlot(this.#options(width), this.#data, this.element);
  }

  #options(width: number): uPlot.Options {
    const axis = {
      stroke: () => this.#colour("text2"),
      font: "11px system-ui, sans-serif",
      ticks: { size: 4, stroke: () => this.#colour("line") },
    };
    return {
      width,
      height: HEIGHT,
      legend: { show: false },
      padding: [6, 6, 0, 0],
      cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
      scales: { x: { time: false }, y: { range: (_, __, high) => [0, Math.max(high * 1.08, 1e-15)] } },
      axes: [
        { ...axis, size: 24, grid: { show: false } },
        {
          ...axis,
          size: 54,
          grid: { stroke: () => this.#colour("line"), width: 1 },
          space: 30,
          values: (_, values) => values.map((value) => formatSi(value, "J")),
        },
      ],
      series: [
        {},
        { label: "spiking", width: 2, stroke: () => this.#colour("accent"), points: { show: false } },
        { label: "dense twin", width: 1.5, stroke: () => this.#colour("text2"), dash: [6, 4], points: { show: false } },
        {
          label: "transformer",
          width: 1.5,
          stroke: () => this.#colour("text2"),
          dash: [1.5, 3],
          points: { show: false },
        },
      ],
      hooks: {
        ready: [(plot) => plot.over.addEventListener("click", () => this.#click(plot))],
        draw: [(plot) => this.#mark(plot)],
      },
    };
  }

  #click(plot: uPlot): void {
    const position = plot.cursor.idx == null ? undefined : this.#data[0]?.[plot.cursor.idx];
    if (position !== undefined) this.#onJump(position);
  }

  #mark(plot: uPlot): void {
    if (this.#marked === undefined) return;
    const x = plot.valToPos(this.#marked, "x", true);
    plot.ctx.fillStyle = this.#colour("accent");
    plot.ctx.globalAlpha = 0.4;
    plot.ctx.fillRect(x - 1, plot.bbox.top, 2, plot.bbox.height);
    plot.ctx.globalAlpha = 1;
  }
}
