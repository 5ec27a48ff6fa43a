// The raster: every spike of one site, a tick each. x is tokens and their micro-steps, y is neurons.
import { type Mute, neuronsOf, type Shape, type Site, type Spikes } from "../../mar/types";
import { save, saveCsv } from "../common/csv";
import { make, spoken, stillness, uniqueId } from "../common/dom";
import { endOf } from "../common/span";
import { type Frame, Surface } from "../common/surface";
import { readTheme, rgb, type Theme } from "../common/theme";
import { formatPercent, formatToken } from "../common/units";
import * as axes from "./axes";
import { Camera, type Cell } from "./camera";
import { listen } from "./gestures";
import { HELP, listenToKeys } from "./keys";
import { Overview } from "./overview";
import { type Inks, Painter } from "./paint";
import { inWords, picture, spikesCsv } from "./save";
import { Tape, type TapeToken } from "./tape";
import { Toolbar } from "./toolbar";

/** What a raster tells of. */
export interface RasterEvents {
  /** A neuron was chosen, at a token: show its membrane. */
  onNeuron?: (chosen: { layer: number; site: Site; neuron: number; position: number }) => void;
  /** The person chose another layer or site: watch it, and push what is known of earlier tokens. */
  onChoose?: (layer: number, site: Site) => void;
  /** The person wants to see the newest tokens again: let other pictures follow too. */
  onFollow?: () => void;
  /** Silence these neurons. */
  onMute?: (mute: Mute) => void;
}

/** Milliseconds between two spoken summaries. */
const SPEECH = 8_000;

/** A live picture of the spikes of one site. Fills `host`. */
export class Raster {
  readonly #events: RasterEvents;
  readonly #tape = new Tape();
  readonly #painter = new Painter();
  readonly #camera = new Camera(() => ({ columns: this.#tape.columns, neurons: this.#neurons }), stillness);
  readonly #toolbar: Toolbar;
  readonly #overview: Overview;
  readonly #surface: Surface;
  readonly #readout = make("p", { className: "pic-readout" });
  readonly #said = spoken(true);
  readonly #root: HTMLElement;
  #shape: Shape | undefined;
  #layer = 0;
  #site: Site = "in_proj";
  /** Where the pointer is, or else what the keyboard reads out. */
  #pointer: { x: number; y: number } | undefined;
  #cell: Cell | undefined;
  #range: axes.Range | undefined;
  #neuron: number | undefined;
  #marked: number | undefined;
  #muted: readonly Mute[] = [];
  #inks: { theme: Theme; inks: Inks } | undefined;
  #speech: ReturnType<typeof setTimeout> | undefined;
  /** Tokens up to here were in view when it stopped following. */
  #seen = -1;

  constructor(host: HTMLElement, events: RasterEvents = {}) {
    this.#events = events;
    this.#toolbar = this.#makeToolbar();
    this.#overview = new Overview(this.#tape, (index) => this.#scrub(index));
    const plot = make("div", { className: "pic-plot" });
    const help = make("p", { id: uniqueId(), textContent: HELP });
    const tick = (sign: "plus" | "minus") => make("span", { className: `pic-tick pic-${sign}` });
    const legend = make("p", { className: "pic-legend" }, tick("plus"), "spike +1", tick("minus"), "spike −1");
    this.#root = make(
      "section",
      { className: "pic pic-raster", testId: "raster", ariaLabel: "Spike raster" },
      this.#toolbar.top,
      make("div", { className: "pic-bar pic-caption" }, legend, this.#readout),
      plot,
      this.#overview.element,
      this.#toolbar.bottom,
      make("details", { className: "pic-keys" }, make("summary", { textContent: "Keys and gestures" }), help),
      this.#said,
    );
    host.append(this.#root);
    this.#surface = new Surface(plot, (frame) => this.#draw(frame));
    const { canvas } = this.#surface;
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-label", "Spikes: tokens and micro-steps by neurons");
    canvas.setAttribute("aria-describedby", help.id);
    canvas.addEventListener("blur", () => this.#point(undefined));
    this.#listen(canvas);
    this.#read();
  }

  /** The network's shape: fills the menus, and starts anew. */
  shape(shape: Shape): void {
    this.#shape = shape;
    this.#toolbar.shape(shape);
    this.choose(Math.min(this.#layer, shape.n_layers - 1), this.#site);
  }

  /** What is shown. */
  get chosen(): { layer: number; site: Site } {
    return { layer: this.#layer, site: this.#site };
  }

  /** Shows another site, from now on: what was drawn is forgotten. */
  choose(layer: number, site: Site): void {
    [this.#layer, this.#site] = [layer, site];
    this.#neuron = undefined;
    this.#select(undefined);
    this.clear();
    this.#toolbar.chosen(layer, site, this.#neurons);
    this.#root.setAttribute("aria-label", `Spike raster of layer ${layer}, ${site}`);
  }

  /** Draws a token's spikes; those of another site than the chosen one are passed over. */
  push(spikes: Spikes, text: string): void {
    if (spikes.layer !== this.#layer || spikes.site !== this.#site) return;
    this.#tape.push(spikes, text);
    this.#camera.update();
    this.#moved();
    this.#sayLater();
  }

  /** Forgets the tokens from `position` on, before they are computed anew. */
  cut(position: number): void {
    this.#tape.cut(position);
    if (this.#marked !== undefined && this.#marked >= position) this.#marked = undefined;
    this.#follow(true);
  }

  /** Forgets all tokens. */
  clear(): void {
    this.#tape.clear();
    this.#marked = this.#cell = undefined;
    this.#camera.whole();
    this.#camera.arrive();
    this.#moved();
    this.#sayLater();
  }

  /** Goes to the token at a place of the conversation, and marks it. False where its spikes are not here. */
  jump(position: number): boolean {
    const token = this.#tape.at(position);
    if (!token) return false;
    this.#marked = position;
    this.#follow(false);
    this.#camera.centre(token.start + token.steps / 2);
    this.#moved();
    this.#point(undefined);
    this.#said.textContent = this.#readout.textContent;
    return true;
  }

  /** Hatches what is silenced. */
  muted(mutes: readonly Mute[]): void {
    this.#muted = mutes;
    this.#surface.ask();
  }

  /** Takes the raster away. */
  dispose(): void {
    clearTimeout(this.#speech);
    this.#surface.dispose();
    this.#overview.dispose();
    this.#root.remove();
  }

  get #neurons(): number {
    return Math.max(1, this.#shape ? neuronsOf(this.#shape, this.#site) : 0, this.#tape.neurons);
  }

  get #title(): string {
    return `${this.#shape?.name ?? "mar"} layer ${this.#layer} ${this.#site}`;
  }

  #makeToolbar(): Toolbar {
    return new Toolbar({
      choose: (layer, site) => {
        this.choose(layer, site);
        this.#events.onChoose?.(layer, site);
      },
      follow: (following) => this.#live(following),
      whole: () => this.#whole(),
      savePicture: () => void this.#savePicture(),
      saveTable: () => saveCsv(`${this.#title}.csv`, spikesCsv(this.#tape, this.#camera.goal, this.#layer, this.#site)),
      range: (range) => this.#select(range),
      zoomToRange: ([first, last]) => {
        this.#camera.rows({ start: first, length: last - first + 1 });
        this.#moved();
      },
      mute: (range) => this.#events.onMute?.({ layer: this.#layer, site: this.#site, neurons: [...range] }),
      muteWhole: (what) => {
        const [layer, site] = [this.#layer, this.#site];
        this.#events.onMute?.(what === "site" ? { layer, site } : { layer });
      },
    });
  }

  /** As the person wants it. */
  #live(following: boolean): void {
    if (following) this.#marked = undefined;
    this.#follow(following);
    this.#read();
    if (following) this.#events.onFollow?.();
  }

  #follow(following: boolean): void {
    if (following) this.#camera.follow();
    this.#camera.following = following;
    this.#seen = this.#tape.tokens.at(-1)?.position ?? -1;
    this.#moved();
  }

  #whole(): void {
    this.#marked = undefined;
    this.#camera.whole();
    this.#moved();
    this.#read();
  }

  #scrub(index: number): void {
    const token = this.#tape.tokens[index];
    if (!token) return;
    this.#follow(index === this.#tape.tokens.length - 1);
    this.#camera.endAt(token.start + token.steps);
    this.#moved();
  }

  /** The view or the tape changed. */
  #moved(): void {
    const last = this.#tape.tokens.at(-1)?.position ?? -1;
    const { following } = this.#camera;
    this.#toolbar.following(following, following ? 0 : Math.max(0, last - this.#seen));
    this.#overview.show(this.#camera.goal.columns);
    this.#surface.ask();
  }

  #listen(canvas: HTMLCanvasElement): void {
    const area = () => axes.areaIn(this.#surface.size.width, this.#surface.size.height);
    listen(canvas, {
      hover: (x, y) => this.#point({ x, y }),
      leave: () => this.#point(undefined),
      pan: (dx, dy) => {
        const { columns, rows } = this.#camera.goal;
        if (this.#camera.following) this.#follow(false);
        this.#camera.pan((-dx / area().width) * columns.length, (dy / area().height) * rows.length);
        this.#moved();
      },
      zoom: (time, neurons, x, y) => {
        this.#camera.zoom(time, neurons, axes.cellAt(this.#camera.view, area(), x, y));
        this.#moved();
      },
      tap: (x, y) => {
        canvas.focus({ preventScroll: true });
        this.#point({ x, y });
        this.#chooseNeuron();
      },
      select: (from, to) => {
        const row = (y: number) => axes.cellAt(this.#camera.view, area(), 0, y).neuron;
        const inside = (neuron: number) => Math.min(Math.max(neuron, 0), this.#neurons - 1);
        const [a, b] = [inside(row(from)), inside(row(to))];
        this.#select([Math.min(a, b), Math.max(a, b)]);
      },
      onAxis: (x) => x < area().left,
    });
    listenToKeys(canvas, {
      walk: (time, neurons, far) => {
        const { column, neuron } = this.#cell ?? this.#firstCell();
        const token = this.#tape.tokens[this.#tape.indexAt(column)];
        const [wide, tall] = far
          ? [token?.steps ?? 1, Math.max(1, Math.round(this.#camera.goal.rows.length / 10))]
          : [1, 1];
        this.#walk({ column: column + time * wide, neuron: neuron + neurons * tall });
      },
      end: (which) => {
        const { start, length } = this.#tape.columns;
        this.#walk({ ...(this.#cell ?? this.#firstCell()), column: which === "first" ? start : start + length - 1 });
      },
      zoom: (time, neurons) => {
        this.#camera.zoom(time, neurons, this.#cell ?? this.#firstCell());
        this.#moved();
      },
      whole: () => this.#whole(),
      pause: () => this.#live(!this.#camera.following),
      choose: () => this.#chooseNeuron(),
      extend: () => {
        const { neuron } = this.#cell ?? this.#firstCell();
        const [first, last] = this.#range ?? [neuron, neuron];
        this.#select([Math.min(first, neuron), Math.max(last, neuron)]);
      },
      unselect: () => this.#select(undefined),
    });
  }

  #walk(cell: Cell): void {
    const { columns } = this.#tape;
    if (columns.length === 0) return;
    const column = Math.min(Math.max(cell.column, columns.start), endOf(columns) - 1);
    const neuron = Math.min(Math.max(cell.neuron, 0), this.#neurons - 1);
    if (this.#camera.following) this.#follow(false);
    this.#pointer = undefined;
    this.#cell = { column, neuron };
    this.#camera.reveal(this.#cell);
    this.#moved();
    this.#read();
    this.#said.textContent = this.#readout.textContent;
  }

  #firstCell(): Cell {
    const { columns, rows } = this.#camera.goal;
    const last = Math.min(endOf(columns), endOf(this.#tape.columns)) - 1;
    return {
      column: Math.max(Math.ceil(columns.start), last),
      neuron: this.#neuron ?? Math.floor(rows.start + rows.length / 2),
    };
  }

  #point(place: { x: number; y: number } | undefined): void {
    this.#pointer = place;
    if (!place) this.#cell = undefined;
    this.#underPointer();
    this.#read();
    this.#surface.ask();
  }

  /** What slides under a pointer at rest is read out too. */
  #underPointer(): void {
    if (!this.#pointer) return;
    const { x, y } = this.#pointer;
    const area = axes.areaIn(this.#surface.size.width, this.#surface.size.height);
    this.#cell = axes.inside(area, x, y) ? axes.cellAt(this.#camera.view, area, x, y) : undefined;
  }

  #chooseNeuron(): void {
    const found = this.#found();
    if (!found) return;
    const { token, neuron } = found;
    this.#neuron = neuron;
    this.#surface.ask();
    this.#events.onNeuron?.({ layer: this.#layer, site: this.#site, neuron, position: token.position });
  }

  #select(range: axes.Range | undefined): void {
    this.#range = range;
    this.#toolbar.range(range);
    this.#surface.ask();
  }

  #found(): { token: TapeToken; neuron: number; step: number } | undefined {
    if (!this.#cell) return undefined;
    const { column, neuron } = this.#cell;
    const token = this.#tape.tokens[this.#tape.indexAt(column)];
    const step = column - (token?.start ?? 0);
    return token && step >= 0 && step < token.steps && neuron < token.neurons ? { token, neuron, step } : undefined;
  }

  #read(): void {
    const found = this.#found();
    const marked = this.#marked === undefined ? undefined : this.#tape.at(this.#marked);
    let text = "Point at a spike to read it; click a neuron for its membrane.";
    if (found) {
      const { token, neuron, step } = found;
      const spike = { "1": "spike +1", "0": "silent", "-1": "spike −1" }[this.#tape.spike(token, neuron, step)];
      text = `token ${token.position} “${formatToken(token.text)}” · neuron ${neuron} · step ${step + 1} of ${token.steps} · ${spike}`;
    } else if (marked) {
      const { positive, negative, neurons, steps } = marked;
      const rate = formatPercent((positive + negative) / (neurons * steps));
      text = `token ${marked.position} “${formatToken(marked.text)}” · ${positive} spikes +1, ${negative} spikes −1 · ${rate} of all places`;
    }
    if (this.#readout.textContent !== text) this.#readout.textContent = text;
    this.#readout.classList.toggle("pic-quiet", !found && !marked);
  }

  #sayLater(): void {
    this.#speech ??= setTimeout(() => {
      this.#speech = undefined;
      this.#said.textContent = inWords(this.#tape, this.#camera.goal, this.#layer, this.#site);
    }, SPEECH);
  }

  async #savePicture(): Promise<void> {
    try {
      save(`${this.#title}.png`, await picture(this.#surface.canvas, this.#title, readTheme(this.#root)));
    } catch (error) {
      this.#readout.textContent = `${error instanceof Error ? error.message : error} The CSV has the same spikes.`;
    }
  }

  #draw({ context, width, height, ratio, theme, elapsed }: Frame): boolean {
    const area = axes.areaIn(width, height);
    this.#camera.resize(area.width);
    const moving = this.#camera.step(elapsed, area.width, area.height);
    if (moving && this.#pointer) {
      this.#underPointer();
      this.#read();
    }
    const { view } = this.#camera;
    const tokens = this.#tape.within(view.columns);
    if (this.#inks?.theme !== theme) this.#inks = { theme, inks: inksOf(theme) };
    const [left, top, wide, tall] = [area.left, area.top, area.width, area.height].map((size) =>
      Math.round(size * ratio),
    ) as [number, number, number, number];
    context.putImageData(this.#painter.paint(tokens, view, wide, tall, this.#inks.inks), left, top);
    const marked = tokens.find(({ position }) => position === this.#marked);
    if (marked) axes.drawToken(context, marked, view, area, theme);
    for (const range of this.#mutedHere()) axes.drawMuted(context, range, view, area, theme);
    if (this.#range) axes.drawRange(context, this.#range, view, area, theme);
    axes.drawNeuronAxis(context, view, area, theme);
    axes.drawTokenAxis(context, tokens, view, area, theme, this.#marked);
    if (this.#neuron !== undefined) axes.drawNeuronMark(context, this.#neuron, view, area, theme);
    if (this.#cell) axes.drawCross(context, this.#cell, view, area, theme);
    context.strokeStyle = theme.line;
    context.strokeRect(area.left - 0.5, area.top - 0.5, area.width + 1, area.height + 1);
    return moving;
  }

  #mutedHere(): axes.Range[] {
    const [layer, site] = [this.#layer, this.#site];
    const here = this.#muted.filter((mute) => (mute.layer ?? layer) === layer && (mute.site ?? site) === site);
    return here.map(({ neurons }) => neurons ?? [0, this.#neurons - 1]);
  }
}

/** Every second token has a ground between the two surfaces. */
function inksOf(theme: Theme): Inks {
  const [ground, other] = [rgb(theme.surface), rgb(theme.surface2)];
  const shade = [0, 1, 2].map((i) => Math.round(((ground[i] ?? 0) + (other[i] ?? 0)) / 2)) as [number, number, number];
  return { positive: rgb(theme.positive), negative: rgb(theme.negative), ground, shade };
}
