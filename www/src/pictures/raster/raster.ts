// The raster: every spike of one site, a tick each. x is tokens and their micro-steps, y is neurons.
import { type Mute, neuronsOf, type Shape, type Site, type Spikes } from "../../mar/types";
import { save, saveCsv } from "../common/csv";
import { make, spoken, stillness, uniqueId } from "../common/dom";
import { confine, endOf, glide, pan, reveal, type Span, zoom } from "../common/span";
import { type Frame, Surface } from "../common/surface";
import { readTheme, rgb, type Theme } from "../common/theme";
import { formatPercent, formatToken } from "../common/units";
import * as axes from "./axes";
import { listen } from "./gestures";
import { Overview } from "./overview";
import { type Inks, Painter, type View } from "./paint";
import { inWords, picture, spikesCsv } from "./save";
import { Tape } from "./tape";
import { Toolbar } from "./toolbar";

/** Neurons of a layer's site; `neurons` are first and last, both included. */
export interface NeuronRange {
  layer: number;
  site: Site;
  neurons: [first: number, last: number];
}

/** What a raster tells of. */
export interface RasterEvents {
  /** A neuron was chosen, at a token: show its membrane. */
  onNeuron?: (chosen: { layer: number; site: Site; neuron: number; position: number }) => void;
  /** Neurons were selected, or none any more. */
  onRange?: (range: NeuronRange | null) => void;
  /** The person chose another layer or site: watch it, and push what is known of earlier tokens. */
  onChoose?: (layer: number, site: Site) => void;
  /** Silence these neurons. */
  onMute?: (mute: Mute) => void;
}

/** Micro-steps seen at first, where there is room for them. */
const COLUMNS = 512;
/** The least that is seen. */
const LEAST = { columns: 8, rows: 4 };
/** Half-lives in milliseconds: of the slide to a new token, and of a zoom. */
const SLIDE = 70;
const EASE = 35;
/** Milliseconds between two spoken summaries. */
const SPEECH = 8_000;

/** A place in the raster. */
interface Cell {
  column: number;
  neuron: number;
}

/** A live picture of the spikes of one site. Fills `host`. */
export class Raster {
  readonly #events: RasterEvents;
  readonly #tape = new Tape();
  readonly #painter = new Painter();
  readonly #toolbar: Toolbar;
  readonly #overview: Overview;
  readonly #surface: Surface;
  readonly #readout: HTMLElement;
  readonly #said: HTMLElement;
  readonly #root: HTMLElement;
  #shape: Shape | undefined;
  #layer = 0;
  #site: Site = "in_proj";
  #view: View = { columns: { start: 0, length: COLUMNS }, rows: { start: 0, length: 1 } };
  #goal: View = this.#view;
  #halfLife = SLIDE;
  #following = true;
  #seenLast = -1;
  #cell: Cell | undefined;
  #range: axes.Range | undefined;
  #neuron: number | undefined;
  #marked: number | undefined;
  #muted: readonly Mute[] = [];
  #inks: { theme: Theme; inks: Inks } | undefined;
  #speech: ReturnType<typeof setTimeout> | undefined;
  /** Milliseconds that drawing the last frame took. */
  frameMilliseconds = 0;

  constructor(host: HTMLElement, events: RasterEvents = {}) {
    this.#events = events;
    this.#toolbar = new Toolbar({
      choose: (layer, site) => {
        this.choose(layer, site);
        events.onChoose?.(layer, site);
      },
      follow: (following) => this.#follow(following),
      whole: () => this.#whole(),
      savePicture: () => void this.#savePicture(),
      saveTable: () => saveCsv(`${this.#title}.csv`, spikesCsv(this.#tape, this.#goal, this.#layer, this.#site)),
      range: (range) => this.#select(range, true),
      zoomToRange: ([first, last]) => this.#aim({ rows: { start: first, length: last - first + 1 } }, EASE),
      mute: (range) => events.onMute?.({ layer: this.#layer, site: this.#site, neurons: [...range] }),
      muteWhole: (what) => {
        const [layer, site] = [this.#layer, this.#site];
        events.onMute?.(what === "site" ? { layer, site } : { layer });
      },
    });
    this.#overview = new Overview(this.#tape, (index) => this.#scrub(index));
    this.#readout = make("p", { className: "pic-readout" });
    this.#said = spoken(true);
    const plot = make("div", { className: "pic-plot" });
    const help = make("p", { id: uniqueId(), className: "pic-spoken", textContent: KEYS });
    const legend = make("p", { className: "pic-legend" });
    legend.append(
      make("span", { className: "pic-tick pic-plus" }),
      "spike +1",
      make("span", { className: "pic-tick pic-minus" }),
      "spike −1",
    );
    this.#root = make(
      "section",
      { className: "pic pic-raster", testId: "raster", ariaLabel: "Spike raster" },
      this.#toolbar.top,
      make("div", { className: "pic-bar pic-caption" }, legend, this.#readout),
      plot,
      this.#overview.element,
      this.#toolbar.bottom,
      make(
        "details",
        { className: "pic-keys" },
        make("summary", { textContent: "Keys and gestures" }),
        make("p", { textContent: KEYS }),
      ),
      help,
      this.#said,
    );
    host.append(this.#root);
    this.#surface = new Surface(plot, (frame) => this.#draw(frame));
    const { canvas } = this.#surface;
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-label", "Spikes: tokens and micro-steps by neurons");
    canvas.setAttribute("aria-describedby", help.id);
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => this.#point(undefined, false));
    this.#handle(canvas);
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
    this.#select(undefined, this.#range !== undefined);
    this.#toolbar.chosen(layer, site, this.#neurons);
    this.clear();
    this.#root.setAttribute("aria-label", `Spike raster of layer ${layer}, ${site}`);
  }

  /** Draws a token's spikes; those of another site than the chosen one are passed over. */
  push(spikes: Spikes, text: string): void {
    if (spikes.layer !== this.#layer || spikes.site !== this.#site) return;
    const { neurons } = this.#tape;
    this.#tape.push(spikes, text);
    if (this.#tape.neurons !== neurons && this.#goal.rows.length !== this.#neurons) this.#wholeRows();
    if (this.#following) this.#newest();
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
    this.#cell = undefined;
    this.#wholeRows();
    this.#follow(true);
    this.#view = this.#goal;
    this.#sayLater();
  }

  /** Goes to the token at a place of the conversation, and marks it. False where its spikes are not here. */
  jump(position: number): boolean {
    const token = this.#tape.at(position);
    if (!token) return false;
    this.#marked = position;
    this.#following = false;
    const { length } = this.#goal.columns;
    this.#aim({ columns: { start: token.start + token.steps / 2 - length / 2, length } }, SLIDE);
    this.#point(undefined, true);
    return true;
  }

  /** Hatches what is silenced. */
  muted(mutes: readonly Mute[]): void {
    this.#muted = mutes;
    this.#surface.ask();
  }

  /** The spikes drawn for a token: they are those that the projection consumed. */
  counts(position: number): { positive: number; negative: number } | undefined {
    const token = this.#tape.at(position);
    return token && { positive: token.positive, negative: token.negative };
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

  get #area(): axes.Area {
    return axes.areaIn(this.#surface.size.width, this.#surface.size.height);
  }

  /** The columns that can be seen: the tape, and room to the right while it is short. */
  get #wholeColumns(): Span {
    const { start, length } = this.#tape.columns;
    return { start, length: Math.max(length, this.#defaultColumns) };
  }

  get #defaultColumns(): number {
    const { width } = this.#area;
    return width < 2 ? COLUMNS : Math.min(COLUMNS, Math.max(64, Math.round(width)));
  }

  // ---- where we look

  #aim(part: Partial<View>, halfLife: number): void {
    const { columns, rows } = { ...this.#goal, ...part };
    this.#goal = {
      columns: confine(columns, this.#wholeColumns, LEAST.columns),
      rows: confine(rows, { start: 0, length: this.#neurons }, LEAST.rows),
    };
    this.#halfLife = halfLife;
    if (halfLife === 0 || stillness()) this.#view = this.#goal;
    this.#moved();
  }

  #newest(): void {
    const { length } = this.#goal.columns;
    this.#aim({ columns: { start: endOf(this.#tape.columns) - length, length } }, SLIDE);
    this.#seenLast = this.#tape.tokens.at(-1)?.position ?? -1;
  }

  #follow(following: boolean): void {
    this.#following = following;
    if (following) this.#newest();
    else this.#seenLast = this.#tape.tokens.at(-1)?.position ?? -1;
    this.#moved();
  }

  #whole(): void {
    this.#wholeRows();
    this.#aim({ columns: { ...this.#goal.columns, length: this.#defaultColumns } }, EASE);
    this.#marked = undefined;
    this.#follow(true);
  }

  #wholeRows(): void {
    const rows = { start: 0, length: this.#neurons };
    const start = this.#tape.tokens.length === 0;
    this.#goal = { rows, columns: start ? { start: 0, length: this.#defaultColumns } : this.#goal.columns };
    this.#view = { ...this.#view, rows };
  }

  #scrub(index: number): void {
    const token = this.#tape.tokens[index];
    if (!token) return;
    this.#following = index === this.#tape.tokens.length - 1;
    const { length } = this.#goal.columns;
    this.#aim({ columns: { start: token.start + token.steps - length, length } }, EASE);
  }

  #moved(): void {
    const last = this.#tape.tokens.at(-1)?.position ?? -1;
    this.#toolbar.following(this.#following, this.#following ? 0 : Math.max(0, last - this.#seenLast));
    this.#overview.show(this.#goal.columns);
    this.#surface.ask();
  }

  // ---- hands and keys

  #handle(canvas: HTMLCanvasElement): void {
    listen(canvas, {
      hover: (x, y) => this.#point(this.#cellAt(x, y), false),
      leave: () => this.#point(undefined, false),
      pan: (dx, dy) => {
        const { columns, rows } = this.#goal;
        this.#following = false;
        this.#aim(
          {
            columns: pan(columns, (-dx / this.#area.width) * columns.length),
            rows: pan(rows, (dy / this.#area.height) * rows.length),
          },
          0,
        );
      },
      zoom: (time, neurons, x, y) => {
        const at = this.#cellAt(x, y, true);
        if (at) this.#zoom(time, neurons, at);
      },
      tap: (x, y) => {
        canvas.focus({ preventScroll: true });
        this.#point(this.#cellAt(x, y), false);
        this.#chooseNeuron();
      },
      select: (from, to, done) => {
        const [a, b] = [this.#rowAt(from), this.#rowAt(to)];
        this.#select([Math.min(a, b), Math.max(a, b)], done);
      },
      onAxis: (x) => x < this.#area.left,
    });
  }

  #zoom(time: number, neurons: number, at: Cell): void {
    const { columns, rows } = this.#goal;
    // Live, the newest token stays at the right edge.
    const anchor = this.#following ? Math.min(endOf(columns), endOf(this.#tape.columns)) : at.column;
    this.#aim({ columns: zoom(columns, time, anchor), rows: zoom(rows, neurons, at.neuron) }, EASE);
    if (this.#following) this.#newest();
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey) return;
    const cell = this.#cell ?? this.#firstCell();
    const token = this.#tape.tokens[this.#tape.indexAt(cell.column)];
    const page = Math.max(1, Math.round(this.#goal.rows.length / 10));
    const [wide, tall] = [event.shiftKey ? (token?.steps ?? 1) : 1, event.shiftKey ? page : 1];
    const columns = this.#tape.columns;
    const moves: Record<string, () => void> = {
      ArrowLeft: () => this.#walk({ ...cell, column: cell.column - wide }),
      ArrowRight: () => this.#walk({ ...cell, column: cell.column + wide }),
      ArrowUp: () => this.#walk({ ...cell, neuron: cell.neuron + tall }),
      ArrowDown: () => this.#walk({ ...cell, neuron: cell.neuron - tall }),
      PageUp: () => this.#walk({ ...cell, neuron: cell.neuron + page }),
      PageDown: () => this.#walk({ ...cell, neuron: cell.neuron - page }),
      Home: () => this.#walk({ ...cell, column: columns.start }),
      End: () => this.#walk({ ...cell, column: endOf(columns) - 1 }),
      "+": () => this.#zoom(0.7, 1, cell),
      "=": () => this.#zoom(0.7, 1, cell),
      "-": () => this.#zoom(1 / 0.7, 1, cell),
      ".": () => this.#zoom(1, 0.7, cell),
      ",": () => this.#zoom(1, 1 / 0.7, cell),
      "0": () => this.#whole(),
      " ": () => this.#follow(!this.#following),
      Enter: () => this.#chooseNeuron(),
      s: () => this.#select(this.#extended(cell.neuron), true),
      Escape: () => this.#select(undefined, true),
    };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    move();
  }

  #extended(neuron: number): axes.Range {
    const [first, last] = this.#range ?? [neuron, neuron];
    return [Math.min(first, neuron), Math.max(last, neuron)];
  }

  #walk(cell: Cell): void {
    const columns = this.#tape.columns;
    if (columns.length === 0) return;
    const column = Math.min(Math.max(cell.column, columns.start), endOf(columns) - 1);
    const neuron = Math.min(Math.max(cell.neuron, 0), this.#neurons - 1);
    if (this.#following) this.#follow(false);
    this.#aim(
      { columns: reveal(this.#goal.columns, column + 0.5, 1), rows: reveal(this.#goal.rows, neuron + 0.5, 1) },
      EASE,
    );
    this.#point({ column, neuron }, true);
  }

  #firstCell(): Cell {
    const { columns, rows } = this.#goal;
    return {
      column: Math.max(Math.ceil(columns.start), Math.min(endOf(columns), endOf(this.#tape.columns)) - 1),
      neuron: this.#neuron ?? Math.floor(rows.start + rows.length / 2),
    };
  }

  #rowAt(y: number): number {
    const { top, height } = this.#area;
    const { start, length } = this.#view.rows;
    return Math.min(Math.max(Math.floor(start + ((top + height - y) / height) * length), 0), this.#neurons - 1);
  }

  #cellAt(x: number, y: number, anywhere = false): Cell | undefined {
    const { left, top, width, height } = this.#area;
    const inside = x >= left && x < left + width && y >= top && y < top + height;
    if (!inside && !anywhere) return undefined;
    const { columns } = this.#view;
    const column = Math.floor(columns.start + ((x - left) / width) * columns.length);
    return { column, neuron: this.#rowAt(y) };
  }

  #point(cell: Cell | undefined, aloud: boolean): void {
    this.#cell = cell;
    const text = this.#read();
    if (aloud) this.#said.textContent = text;
    this.#surface.ask();
  }

  #chooseNeuron(): void {
    const found = this.#pointed();
    if (!found) return;
    this.#neuron = found.neuron;
    this.#surface.ask();
    const [layer, site] = [this.#layer, this.#site];
    this.#events.onNeuron?.({ layer, site, neuron: found.neuron, position: found.token.position });
  }

  #select(range: axes.Range | undefined, done: boolean): void {
    this.#range = range;
    this.#toolbar.range(range);
    this.#surface?.ask();
    if (!done) return;
    const [layer, site] = [this.#layer, this.#site];
    this.#events.onRange?.(range ? { layer, site, neurons: [...range] } : null);
  }

  // ---- words

  #pointed() {
    if (!this.#cell) return undefined;
    const { column, neuron } = this.#cell;
    const { columns } = this.#tape;
    if (columns.length === 0 || column < columns.start || column >= endOf(columns)) return undefined;
    const token = this.#tape.tokens[this.#tape.indexAt(column)];
    return token && neuron < token.neurons ? { token, neuron, step: column - token.start } : undefined;
  }

  #read(): string {
    const found = this.#pointed();
    let text = "Point at a spike to read it; click a neuron for its membrane.";
    const marked = this.#marked === undefined ? undefined : this.#tape.at(this.#marked);
    if (!found && marked) {
      const { positive, negative, neurons, steps } = marked;
      const rate = formatPercent((positive + negative) / (neurons * steps));
      text = `token ${marked.position} “${formatToken(marked.text)}” · ${positive} spikes +1, ${negative} spikes −1 · ${rate} of all places`;
    }
    if (found) {
      const { token, neuron, step } = found;
      const spike = this.#tape.spike(token, neuron, step);
      const sign = spike > 0 ? "spike +1" : spike < 0 ? "spike −1" : "silent";
      text = `token ${token.position} “${formatToken(token.text)}” · neuron ${neuron} · step ${step + 1} of ${token.steps} · ${sign}`;
    }
    this.#readout.textContent = text;
    this.#readout.classList.toggle("pic-quiet", !found && !marked);
    return text;
  }

  #sayLater(): void {
    this.#speech ??= setTimeout(() => {
      this.#speech = undefined;
      this.#said.textContent = inWords(this.#tape, this.#goal, this.#layer, this.#site);
    }, SPEECH);
  }

  async #savePicture(): Promise<void> {
    const blob = await picture(this.#surface.canvas, this.#title, readTheme(this.#root));
    save(`${this.#title}.png`, blob);
  }

  // ---- the frame

  #draw({ context, width, height, ratio, theme, elapsed }: Frame): boolean {
    const began = performance.now();
    const moving = this.#glide(elapsed);
    const area = axes.areaIn(width, height);
    const tokens = this.#tape.within(this.#view.columns);
    if (this.#inks?.theme !== theme) {
      this.#inks = { theme, inks: { positive: rgb(theme.positive), negative: rgb(theme.negative) } };
    }
    const [left, top] = [Math.round(area.left * ratio), Math.round(area.top * ratio)];
    const [wide, tall] = [Math.round(area.width * ratio), Math.round(area.height * ratio)];
    context.putImageData(this.#painter.paint(tokens, this.#view, wide, tall, this.#inks.inks), left, top);
    axes.drawGround(context, tokens, this.#view, area, theme, this.#marked);
    for (const range of this.#mutedHere()) axes.drawMuted(context, range, this.#view, area, theme);
    if (this.#range) axes.drawRange(context, this.#range, this.#view, area, theme);
    axes.drawNeuronAxis(context, this.#view, area, theme);
    axes.drawTokenAxis(context, tokens, this.#view, area, theme, this.#marked);
    if (this.#neuron !== undefined) axes.drawNeuronMark(context, this.#neuron, this.#view, area, theme);
    if (this.#cell) axes.drawCross(context, this.#cell, this.#view, area, theme);
    context.strokeStyle = theme.line;
    context.strokeRect(area.left - 0.5, area.top - 0.5, area.width + 1, area.height + 1);
    this.frameMilliseconds = performance.now() - began;
    return moving;
  }

  #glide(elapsed: number): boolean {
    const { columns, rows } = this.#goal;
    const next = {
      columns: glide(this.#view.columns, columns, elapsed, this.#halfLife),
      rows: glide(this.#view.rows, rows, elapsed, this.#halfLife),
    };
    const near = (a: Span, b: Span, pixels: number) =>
      Math.abs(a.start - b.start) + Math.abs(a.length - b.length) < (0.2 * b.length) / pixels;
    const there = near(next.columns, columns, this.#area.width) && near(next.rows, rows, this.#area.height);
    this.#view = there || stillness() ? this.#goal : next;
    return this.#view !== this.#goal;
  }

  #mutedHere(): axes.Range[] {
    const here = this.#muted.filter(
      ({ layer, site }) =>
        (layer === undefined || layer === this.#layer) && (site === undefined || site === this.#site),
    );
    return here.map(({ neurons }) => neurons ?? [0, this.#neurons - 1]);
  }
}

const KEYS =
  "Arrows move the read-out, with Shift by a whole token or a tenth of the neurons; Enter shows the neuron's membrane. " +
  "+ and − zoom in time, “.” and “,” in neurons, 0 shows the whole, space pauses; S selects up to this neuron, Escape nothing. " +
  "Wheel: time; with Shift, or on the neuron axis: neurons; with Ctrl: both. Drag moves; on the neuron axis, or with Shift, it selects.";
