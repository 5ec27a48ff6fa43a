// The firing map: layers by sites, the colour is the share of neurons that fired, now and over the answer.
import { type Shape, SITES, type Site } from "../mar/types";
import { make } from "./common/dom";
import { Pace } from "./common/pace";
import { formatCount, formatPercent } from "./common/units";
import type { TokenCost } from "./cost";

/** What the map tells of. */
export interface FiringMapEvents {
  /** A layer's site was chosen. */
  onChoose?: (layer: number, site: Site) => void;
}

/** The share of neurons that fired at which a cell has its full colour at least; it grows with what is seen. */
const LEAST_FULL = 0.25;

/** A table of cells: the upper part of each is this token, the lower strip the average since `clear`. Fills `host`. */
export class FiringMap {
  readonly #onChoose: FiringMapEvents["onChoose"];
  readonly #root: HTMLElement;
  readonly #grid: HTMLElement;
  readonly #readout: HTMLElement;
  readonly #most: HTMLElement;
  readonly #pace = new Pace(() => this.#paint());
  #cells: HTMLButtonElement[] = [];
  #layers = 0;
  #event: TokenCost | undefined;
  #active = new Float64Array(0);
  #tokens = 0;
  #chosen = 0;
  #pointed: number | undefined;

  constructor(host: HTMLElement, { onChoose }: FiringMapEvents = {}) {
    this.#onChoose = onChoose;
    this.#readout = make("p", { className: "pic-readout" });
    this.#most = make("span");
    this.#grid = make("div", { className: "pic-map-grid", role: "grid", ariaLabel: "Firing rate by site and layer" });
    this.#grid.addEventListener("keydown", (event) => this.#key(event));
    this.#grid.addEventListener("pointerover", (event) =>
      this.#point(this.#cells.indexOf(event.target as HTMLButtonElement)),
    );
    this.#grid.addEventListener("pointerleave", () => this.#point(-1));
    const scale = make(
      "p",
      { className: "pic-legend" },
      "0",
      make("span", { className: "pic-map-scale" }),
      this.#most,
      make("span", { className: "pic-map-key", textContent: "above: this token, strip: average" }),
    );
    this.#root = make(
      "section",
      { className: "pic pic-map", testId: "firing-map", ariaLabel: "Firing map" },
      make("div", { className: "pic-bar pic-caption" }, make("h3", { textContent: "Neurons that fire" }), scale),
      this.#grid,
      this.#readout,
    );
    host.append(this.#root);
    this.#paint();
  }

  /** The network's shape: makes the table. */
  shape(shape: Shape): void {
    this.#build(shape.n_layers);
  }

  /** Shows a token, and takes it into the average. */
  push(event: TokenCost): void {
    if (event.active.length !== this.#cells.length) this.#build(event.active.length / SITES.length);
    this.#event = event;
    this.#tokens++;
    for (let i = 0; i < this.#active.length; i++) {
      this.#active[i] = (this.#active[i] ?? 0) + (event.active[i] ?? 0) / Math.max(1, event.neurons[i] ?? 1);
    }
    this.#pace.ask();
  }

  /** Shows a token that was pushed before. */
  show(event: TokenCost): void {
    this.#event = event;
    this.#pace.ask();
  }

  /** Marks the site that the raster shows. */
  choose(layer: number, site: Site): void {
    this.#mark(layer * SITES.length + SITES.indexOf(site));
  }

  /** Starts a new average. */
  clear(): void {
    this.#event = undefined;
    this.#tokens = 0;
    this.#active.fill(0);
    this.#pace.ask();
  }

  /** Takes the map away. */
  dispose(): void {
    this.#pace.dispose();
    this.#root.remove();
  }

  /** Cells are kept layer-major, as events have them; rows of the table are sites. */
  #build(layers: number): void {
    this.#layers = layers;
    this.#active = new Float64Array(layers * SITES.length);
    this.#tokens = 0;
    this.#cells = Array.from({ length: layers * SITES.length }, (_, index) => {
      const cell = make("button", { type: "button", className: "pic-cell", role: "gridcell", tabIndex: -1 });
      cell.addEventListener("click", () => this.#choose(index));
      cell.addEventListener("focus", () => this.#point(index));
      return cell;
    });
    this.#grid.style.setProperty("--layers", String(layers));
    const heads = Array.from({ length: layers }, (_, layer) => {
      const label = layers <= 12 || layer % 5 === 0 ? String(layer) : "";
      return make("span", {
        className: "pic-map-head",
        role: "columnheader",
        textContent: label,
        ariaLabel: `layer ${layer}`,
      });
    });
    const rows = SITES.map((name, site) =>
      make(
        "div",
        { role: "row", className: "pic-map-row" },
        make("span", { role: "rowheader", className: "pic-map-site", textContent: name }),
        ...Array.from({ length: layers }, (_, layer) => this.#cells[layer * SITES.length + site] ?? ""),
      ),
    );
    const corner = make("span", { role: "columnheader", className: "pic-map-site pic-quiet", textContent: "layer" });
    this.#grid.replaceChildren(...rows, make("div", { role: "row", className: "pic-map-row" }, corner, ...heads));
    this.#mark(Math.min(this.#chosen, this.#cells.length - 1));
    this.#pace.ask();
  }

  #mark(index: number): void {
    this.#chosen = index;
    for (const [i, cell] of this.#cells.entries()) {
      cell.setAttribute("aria-selected", String(i === index));
      cell.tabIndex = i === index ? 0 : -1;
    }
    this.#pace.ask();
  }

  #choose(index: number): void {
    this.#mark(index);
    this.#onChoose?.(Math.floor(index / SITES.length), SITES[index % SITES.length] ?? "in_proj");
  }

  #key(event: KeyboardEvent): void {
    const index = this.#cells.indexOf(event.target as HTMLButtonElement);
    const [layer, site] = [Math.floor(index / SITES.length), index % SITES.length];
    const moves: Record<string, [number, number]> = {
      ArrowLeft: [layer - 1, site],
      ArrowRight: [layer + 1, site],
      ArrowUp: [layer, site - 1],
      ArrowDown: [layer, site + 1],
      Home: [0, site],
      End: [this.#layers - 1, site],
    };
    const to = moves[event.key];
    if (index < 0 || !to) return;
    event.preventDefault();
    if (to[0] < 0 || to[0] >= this.#layers || to[1] < 0 || to[1] >= SITES.length) return;
    this.#cells[to[0] * SITES.length + to[1]]?.focus();
  }

  #point(index: number): void {
    this.#pointed = index < 0 ? undefined : index;
    this.#pace.ask();
  }

  #now(index: number): number {
    return this.#event ? (this.#event.active[index] ?? 0) / Math.max(1, this.#event.neurons[index] ?? 1) : Number.NaN;
  }

  #average(index: number): number {
    return this.#tokens > 0 ? (this.#active[index] ?? 0) / this.#tokens : Number.NaN;
  }

  #paint(): void {
    const indices = Array.from(this.#cells.keys());
    const shares = indices.flatMap((index) => [this.#now(index), this.#average(index)]).filter(Number.isFinite);
    const full = Math.min(1, Math.ceil(Math.max(LEAST_FULL, ...shares) * 20) / 20);
    this.#most.textContent = formatPercent(full);
    for (const [index, cell] of this.#cells.entries()) {
      const [now, average] = [this.#now(index), this.#average(index)];
      cell.style.setProperty("--now", percent(now, full));
      cell.style.setProperty("--average", percent(average, full));
      cell.setAttribute("aria-label", this.#words(index));
    }
    const index = this.#pointed ?? this.#chosen;
    this.#readout.textContent = this.#cells.length > 0 ? this.#words(index) : "The map fills with the first answer.";
  }

  #words(index: number): string {
    const place = `Layer ${Math.floor(index / SITES.length)}, ${SITES[index % SITES.length]}`;
    if (!this.#event) return `${place}: nothing fired yet`;
    const [positive, negative] = [this.#event.spikes_positive[index] ?? 0, this.#event.spikes_negative[index] ?? 0];
    return (
      `${place}: ${formatPercent(this.#now(index))} of ${formatCount(this.#event.neurons[index] ?? 0)} fired, ` +
      `+${formatCount(positive)} −${formatCount(negative)} spikes; average ${formatPercent(this.#average(index))}`
    );
  }
}

/** How much of the full colour a share has, as CSS takes it. The root spreads small shares apart. */
function percent(share: number, full: number): string {
  return `${Number.isFinite(share) ? Math.round(100 * Math.sqrt(Math.min(1, share / full))) : 0}%`;
}
