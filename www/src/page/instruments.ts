// The column of instruments: beside the chat, or on a phone a sheet below it with one panel at a time.
import { make } from "../pictures/common/dom";
import { element } from "./element";
import { keepArrangement, readArrangement } from "./layout-memory";
import { buildPanel, type Panel, type PanelPlan } from "./panel";
import { makeSplitter } from "./splitter";

/** The panels, in their order. */
const PLANS = [
  { name: "raster", title: "Spikes", hint: "every spike of a site, neuron by neuron", rank: 1, resizable: true },
  { name: "membrane", title: "Membrane", hint: "click a neuron to see why it fires", rank: 1, folded: true },
  { name: "map", title: "Firing map", hint: "who fires how often, layer by layer", rank: 2 },
  { name: "energy", title: "Energy", hint: "an estimate, counted live", rank: 2 },
  { name: "dial", title: "Dials", hint: "fewer spikes, and what that does", rank: 2 },
  { name: "speed", title: "Speed", hint: "measured", rank: 2 },
] as const satisfies readonly PanelPlan[];

/** A panel's name. */
export type PanelName = (typeof PLANS)[number]["name"];

/** The widths at which chat and instruments lie beside each other. */
const BESIDE = "(min-width: 56rem)";

/** All panels and where they are. */
export class Instruments {
  readonly #column = element("instruments", HTMLElement);
  readonly #desk = element("desk", HTMLDivElement);
  readonly #divider = element("divider", HTMLDivElement);
  readonly #toggle = element("toggle-instruments", HTMLButtonElement);
  readonly #beside = matchMedia(BESIDE);
  readonly #arrangement = readArrangement();
  readonly #panels = new Map<PanelName, Panel>();
  readonly #tabs = make("div", { className: "tabs" });

  /** Called when they come or go. */
  onOpen: () => void = () => {};

  constructor() {
    for (const plan of PLANS) this.#panels.set(plan.name, buildPanel(plan, this.#arrangement));
    this.#buildTabs();
    const ranks = [1, 2].map((rank) => {
      const panels = [...this.#panels.values()].filter(({ plan }) => plan.rank === rank);
      return make("div", { className: "rank" }, ...panels.map(({ section }) => section));
    });
    this.#column.replaceChildren(this.#tabs, make("div", { className: "panels" }, ...ranks));
    this.#toggle.addEventListener("click", () => this.#setOpen(!this.open));
    this.#buildDivider();
    this.#beside.addEventListener("change", () => {
      this.#arrange();
      this.onOpen();
    });
    this.#show("raster");
    this.#arrange();
  }

  /** Where a panel's content goes. */
  host(name: PanelName): HTMLElement {
    const panel = this.#panels.get(name);
    if (!panel) throw new Error(`there is no panel ${name}`);
    return panel.host;
  }

  /** Whether the instruments are there. */
  get open(): boolean {
    // A phone has no room for them until they are asked for.
    return this.#arrangement.open ?? this.#beside.matches;
  }

  /** Brings a panel before the person's eyes; returns it. */
  reveal(name: PanelName): HTMLElement | undefined {
    const panel = this.#panels.get(name);
    if (!panel) return undefined;
    if (!this.open) this.#setOpen(true);
    panel.section.open = true;
    this.#show(name);
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    panel.section.scrollIntoView({ block: "nearest", behavior: still ? "auto" : "smooth" });
    return panel.section;
  }

  #setOpen(open: boolean): void {
    this.#arrangement.open = open;
    keepArrangement(this.#arrangement);
    this.#arrange();
    this.onOpen();
  }

  #arrange(): void {
    this.#desk.classList.toggle("alone", !this.open);
    this.#column.hidden = !this.open;
    this.#divider.hidden = !this.open;
    this.#toggle.setAttribute("aria-expanded", String(this.open));
    const { width, height } = this.#arrangement;
    this.#desk.style.setProperty("--instruments", width === undefined ? "" : `${width}%`);
    this.#desk.style.setProperty("--sheet", height === undefined ? "" : `${height}%`);
  }

  /** On a phone one panel is shown at a time. */
  #show(name: PanelName): void {
    for (const [other, { section }] of this.#panels) section.classList.toggle("in-tab", other === name);
    for (const tab of this.#tabs.children) {
      tab.setAttribute("aria-pressed", String((tab as HTMLElement).dataset.panel === name));
    }
  }

  #buildTabs(): void {
    this.#tabs.setAttribute("role", "group");
    this.#tabs.setAttribute("aria-label", "Which instrument");
    for (const { name, title } of PLANS) {
      const tab = make("button", { type: "button", textContent: title });
      tab.dataset.panel = name;
      tab.addEventListener("click", () => {
        const panel = this.#panels.get(name);
        if (panel) panel.section.open = true;
        this.#show(name);
      });
      this.#tabs.append(tab);
    }
  }

  #buildDivider(): void {
    const arrangement = this.#arrangement;
    const share = () => (this.#beside.matches ? this.#column.clientWidth : this.#column.clientHeight);
    const whole = () => (this.#beside.matches ? this.#desk.clientWidth : this.#desk.clientHeight) || 1;
    makeSplitter(this.#divider, {
      label: "Size of the instruments, in percent",
      axis: () => (this.#beside.matches ? "x" : "y"),
      min: 20,
      max: 75,
      step: 2,
      get: () => (100 * share()) / whole(),
      set: (size) => {
        arrangement[this.#beside.matches ? "width" : "height"] = Math.round(size * 10) / 10;
        this.#arrange();
        keepArrangement(arrangement);
      },
      // They are at the right, or at the bottom: they grow against the direction of the axis.
      scale: (pixels) => (-100 * pixels) / whole(),
      reset: () => {
        delete arrangement[this.#beside.matches ? "width" : "height"];
        this.#arrange();
        keepArrangement(arrangement);
      },
    });
  }
}
