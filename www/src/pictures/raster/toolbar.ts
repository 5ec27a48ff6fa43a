// The raster's controls around the canvas: what is shown, how it moves, what is selected.
import { type Shape, SITES, type Site } from "../../mar/types";
import { button, make, select } from "../common/dom";
import type { Range } from "./axes";

/** What the controls ask for. */
export interface Asks {
  choose(layer: number, site: Site): void;
  follow(following: boolean): void;
  whole(): void;
  savePicture(): void;
  saveTable(): void;
  range(range: Range | undefined): void;
  zoomToRange(range: Range): void;
  mute(range: Range): void;
  /** All of the site, or of the layer. */
  muteWhole(what: "site" | "layer"): void;
}

/** What sites are in plain words. */
const SITE_TITLES: Record<Site, string> = {
  in_proj: "Into the state space block",
  out_proj: "Out of the state space block",
  gate_up: "Into the feed-forward block",
  down: "Out of the feed-forward block",
};

/** Two rows of controls. */
export class Toolbar {
  readonly top: HTMLElement;
  readonly bottom: HTMLElement;
  readonly #layer: HTMLSelectElement;
  readonly #site: HTMLSelectElement;
  readonly #follow: HTMLButtonElement;
  readonly #from: HTMLInputElement;
  readonly #to: HTMLInputElement;
  readonly #rangeButtons: HTMLButtonElement[];
  #following = true;

  constructor(asks: Asks) {
    const choose = () => asks.choose(Number(this.#layer.value), this.#site.value as Site);
    const layer = select("Layer", "raster-layer", choose);
    const site = select("Site", "raster-site", choose);
    site.menu.append(
      ...SITES.map((name) => make("option", { value: name, textContent: name, title: SITE_TITLES[name] })),
    );
    [this.#layer, this.#site] = [layer.menu, site.menu];
    this.#follow = button("Pause", "Hold the picture still; tokens go on arriving behind it (space)", () =>
      asks.follow(!this.#following),
    );
    this.#follow.classList.add("pic-follow");
    this.top = make(
      "div",
      { className: "pic-bar" },
      layer.field,
      site.field,
      make("span", { className: "pic-gap" }),
      this.#follow,
      button("Fit", "All neurons, the newest tokens (0)", () => asks.whole()),
      button("PNG", "Save what is seen as a picture", () => asks.savePicture()),
      button("CSV", "Save the spikes that are seen as a table", () => asks.saveTable()),
    );

    const bound = (label: string) =>
      make("input", { type: "number", min: "0", step: "1", attributes: { "aria-label": label } });
    [this.#from, this.#to] = [bound("First neuron selected"), bound("Last neuron selected")];
    for (const input of [this.#from, this.#to]) input.addEventListener("change", () => asks.range(this.#range));
    const withRange = (act: (range: Range) => void) => () => {
      const range = this.#range;
      if (range) act(range);
    };
    this.#rangeButtons = [
      button(
        "Zoom",
        "See these neurons alone",
        withRange((range) => asks.zoomToRange(range)),
      ),
      button(
        "Mute",
        "Silence these neurons for the tokens to come",
        withRange((range) => asks.mute(range)),
      ),
      button("Clear", "Select nothing", () => asks.range(undefined)),
    ];
    this.bottom = make(
      "div",
      { className: "pic-bar pic-range", role: "group", ariaLabel: "Selected neurons" },
      make("span", { className: "pic-label", textContent: "Neurons" }),
      this.#from,
      make("span", { className: "pic-label", textContent: "to" }),
      this.#to,
      ...this.#rangeButtons,
      make("span", { className: "pic-gap" }),
      make(
        "span",
        { className: "pic-pair" },
        button("Mute site", "Silence all of this layer's site for the tokens to come", () => asks.muteWhole("site")),
        button("Mute layer", "Silence all four sites of this layer for the tokens to come", () =>
          asks.muteWhole("layer"),
        ),
      ),
    );
    this.range(undefined);
  }

  /** Fills the menus. */
  shape(shape: Shape): void {
    this.#layer.replaceChildren(...Array.from({ length: shape.n_layers }, (_, i) => new Option(String(i), String(i))));
  }

  /** Shows what is chosen. */
  chosen(layer: number, site: Site, neurons: number): void {
    this.#layer.value = String(layer);
    this.#site.value = site;
    this.#from.max = this.#to.max = String(Math.max(0, neurons - 1));
  }

  /** Shows whether the picture moves, and how many tokens wait beyond it. */
  following(following: boolean, waiting: number): void {
    this.#following = following;
    const label = following ? "Pause" : waiting > 0 ? `Live, ${waiting} new` : "Live";
    if (this.#follow.textContent !== label) this.#follow.textContent = label;
    this.#follow.classList.toggle("pic-on", !following);
  }

  /** Shows what is selected. */
  range(range: Range | undefined): void {
    [this.#from.value, this.#to.value] = range ? [String(range[0]), String(range[1])] : ["", ""];
    for (const node of this.#rangeButtons) node.disabled = range === undefined;
  }

  get #range(): Range | undefined {
    const [from, to] = [this.#from, this.#to].map((input) =>
      input.value === "" ? undefined : Math.max(0, Math.round(input.valueAsNumber)),
    );
    if (from === undefined && to === undefined) return undefined;
    const [first, last] = [from ?? to ?? 0, to ?? from ?? 0];
    const most = Number(this.#from.max);
    return [Math.min(first, last, most), Math.min(Math.max(first, last), most)];
  }
}
