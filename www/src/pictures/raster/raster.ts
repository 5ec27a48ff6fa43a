// The raster: every spike of one site, a tick each. x is tokens and their micro-steps, y is neurons.
import { type Mute, neuronsOf, type Shape, type Site, type Spikes } from "../../mar/types";
import { save, saveCsv } from "../common/csv";
import { make, spoken, stillness, uniqueId } from "../common/dom";
import { type Frame, Surface } from "../common/surface";
import { readTheme } from "../common/theme";
import * as axes from "./axes";
import { Camera, type Cell } from "./camera";
import { Cursor } from "./cursor";
import { drawFrame } from "./frame";
import { listen } from "./gestures";
import { HELP, listenToKeys } from "./keys";
import { Overview } from "./overview";
import { Painter } from "./paint";
import { inWords, picture, spikesCsv } from "./save";
import { Tape } from "./tape";
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
  readonly #cursor = new Cursor(this.#tape, this.#camera, () => this.#neurons);
  readonly #toolbar: Toolbar;
  readonly #overview: Overview;
  readonly #surface: Surface;
  readonly #readout = make("p", { className: "pic-readout" });
  readonly #said = spoken(true);
  readonly #root: HTMLElement;
  #shape: Shape | undefined;
  #layer = 0;
  #site: Site = "in_proj";
  #range: axes.Range | undefined;
  #neuron: number | undefined;
  #marked: number | undefined;
  #muted: readonly Mute[] = [];
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
    this.#marked = undefined;
    this.#cursor.clear();
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

  /** Where the spikes are on the canvas. */
  get #area(): axes.Area {
    return axes.areaIn(this.#surface.size.width, this.#surface.size.height);
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
    const area = () => this.#area;
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
        const { column, neuron } = this.#cursor.start;
        const token = this.#tape.tokens[this.#tape.indexAt(column)];
        const [wide, tall] = far
          ? [token?.steps ?? 1, Math.max(1, Math.round(this.#camera.goal.rows.length / 10))]
          : [1, 1];
        this.#walk({ column: column + time * wide, neuron: neuron + neurons * tall });
      },
      end: (which) => {
        const { start, length } = this.#tape.columns;
        this.#walk({ ...this.#cursor.start, column: which === "first" ? start : start + length - 1 });
      },
      zoom: (time, neurons) => {
        this.#camera.zoom(time, neurons, this.#cursor.start);
        this.#moved();
      },
      whole: () => this.#whole(),
      pause: () => this.#live(!this.#camera.following),
      choose: () => this.#chooseNeuron(),
      extend: () => {
        const { neuron } = this.#cursor.start;
        const [first, last] = this.#range ?? [neuron, neuron];
        this.#select([Math.min(first, neuron), Math.max(last, neuron)]);
      },
      unselect: () => this.#select(undefined),
    });
  }

  #walk(cell: Cell): void {
    if (this.#tape.columns.length > 0 && this.#camera.following) this.#follow(false);
    if (!this.#cursor.walk(cell)) return;
    this.#moved();
    this.#read();
    this.#said.textContent = this.#readout.textContent;
  }

  #point(place: { x: number; y: number } | undefined): void {
    this.#cursor.point(place, this.#area);
    this.#read();
    this.#surface.ask();
  }

  #chooseNeuron(): void {
    const found = this.#cursor.found();
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

  #read(): void {
    const words = this.#cursor.words(this.#marked === undefined ? undefined : this.#tape.at(this.#marked));
    const text = words ?? "Point at a spike to read it; click a neuron for its membrane.";
    if (this.#readout.textContent !== text) this.#readout.textContent = text;
    this.#readout.classList.toggle("pic-quiet", words === undefined);
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

  #draw(frame: Frame): boolean {
    const area = this.#area;
    this.#camera.resize(area.width);
    const moving = this.#camera.step(frame.elapsed, area.width, area.height);
    if (moving && this.#cursor.slide(area)) this.#read();
    const { view } = this.#camera;
    drawFrame(frame, area, this.#painter, {
      tokens: this.#tape.within(view.columns),
      view,
      marked: this.#marked,
      muted: this.#mutedHere(),
      selected: this.#range,
      neuron: this.#neuron,
      cell: this.#cursor.cell,
    });
    return moving || !this.#painter.whole;
  }

  #mutedHere(): axes.Range[] {
    const [layer, site] = [this.#layer, this.#site];
    const here = this.#muted.filter((mute) => (mute.layer ?? layer) === layer && (mute.site ?? site) === site);
    return here.map(({ neurons }) => neurons ?? [0, this.#neurons - 1]);
  }
}
