// The dial: thresholds and micro-steps, what is muted, and what that does to firing, joules and quality.
import { AS_TRAINED, type Controls, type Mute, type Shape } from "../../mar/types";
import { Chart } from "../common/chart";
import { button, estimate, make, spoken } from "../common/dom";
import { formatChange, formatNumber, formatPercent, formatSi } from "../common/units";
import { MuteList, withMute } from "./mutes";
import { TRADE_HEIGHT, type Tried, trade, tradeWords } from "./trade";

/** What the dial tells of. */
export interface DialEvents {
  /** Something was turned: set it for the next token, and measure the loss anew when idle. */
  onControls?: (controls: Controls) => void;
}

/** What the network does under the controls that hold. What is left out is not known yet. */
export interface Effect {
  /** Spikes for each neuron and micro-step, 0 … 1. */
  rate?: number;
  /** Of a token, an estimate. */
  joules?: number;
  /** Of the built-in text, for each token. */
  nats?: number;
}

/** The threshold's slider counts octaves, in this many steps. */
const OCTAVE = 12;
/** Octaves to each side. */
const RANGE = 2;
/** Milliseconds without a move before a slider's setting is told. */
const SETTLE = 120;
/** Settings that the picture of the trade keeps. */
const KEPT = 24;

/** Two sliders and the list of mutes. Fills `host`. */
export class Dial {
  readonly #root: HTMLElement;
  readonly #onControls: DialEvents["onControls"];
  readonly #threshold: HTMLInputElement;
  readonly #steps: HTMLInputElement;
  readonly #thresholdText = make("output");
  readonly #stepsText = make("output");
  readonly #figures: Record<keyof Effect, { value: HTMLElement; change: HTMLElement }>;
  readonly #trade = new Chart(TRADE_HEIGHT);
  readonly #mutes: MuteList;
  readonly #said = spoken(true);
  #controls: Controls = AS_TRAINED;
  #most = 16;
  #effect: Effect = {};
  #trained: Effect = {};
  #tried: Tried[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(host: HTMLElement, { onControls }: DialEvents = {}) {
    this.#onControls = onControls;
    this.#threshold = make("input", {
      type: "range",
      min: String(-RANGE * OCTAVE),
      max: String(RANGE * OCTAVE),
      value: "0",
      testId: "threshold-scale",
      attributes: { "aria-label": "Threshold scale" },
    });
    this.#steps = make("input", {
      type: "range",
      min: "1",
      max: "16",
      value: "16",
      testId: "steps",
      attributes: { "aria-label": "Micro-steps" },
    });
    for (const slider of [this.#threshold, this.#steps]) slider.addEventListener("input", () => this.#turned());
    this.#mutes = new MuteList((mute) =>
      this.set({ ...this.#controls, muted: this.#controls.muted.filter((held) => held !== mute) }, true),
    );
    const figure = (key: keyof Effect) => ({
      value: make("output", { textContent: "–", testId: `dial-${key}` }),
      change: make("span", { className: "pic-quiet pic-change" }),
    });
    this.#figures = { rate: figure("rate"), joules: figure("joules"), nats: figure("nats") };
    this.#root = make(
      "section",
      { className: "pic pic-dial", testId: "dial", ariaLabel: "Energy dial" },
      slider("Thresholds", this.#threshold, this.#thresholdText, "More spikes", "Fewer spikes"),
      slider("Micro-steps", this.#steps, this.#stepsText, "1", "as trained"),
      make(
        "dl",
        { className: "pic-heads" },
        ...KEYS.map((key) => {
          const { value, change } = this.#figures[key];
          const kind = key === "joules" ? [" ", estimate()] : [];
          return make("div", {}, make("dt", {}, TITLES[key], ...kind), make("dd", {}, value, change));
        }),
      ),
      this.#trade.element,
      make(
        "div",
        { className: "pic-bar" },
        make("h3", { textContent: "Muted" }),
        make("span", { className: "pic-gap" }),
        button("As trained", "Thresholds and micro-steps as trained, nothing muted", () => this.set(AS_TRAINED, true)),
      ),
      this.#mutes.element,
      this.#said,
    );
    host.append(this.#root);
    this.set(AS_TRAINED);
  }

  /** The network's shape: how many micro-steps there are. What was known of another network is forgotten. */
  shape(shape: Shape): void {
    this.#most = Math.max(...shape.steps);
    this.#steps.max = String(this.#most);
    [this.#effect, this.#trained, this.#tried] = [{}, {}, []];
    this.set(AS_TRAINED);
    this.#paint();
  }

  /** What holds. */
  get controls(): Controls {
    return this.#controls;
  }

  /** Turns everything at once; `tell` says so to the host. */
  set(controls: Controls, tell = false): void {
    this.#controls = controls;
    this.#threshold.valueAsNumber = Math.round(Math.log2(controls.threshold_scale) * OCTAVE);
    this.#steps.valueAsNumber = controls.steps === 0 ? this.#most : controls.steps;
    this.#write();
    this.#mutes.show(controls.muted);
    // What was measured before holds no longer.
    this.#effect = {};
    this.#paint();
    if (tell) this.#onControls?.(controls);
  }

  /** Silences neurons, a site or a layer too. */
  mute(mute: Mute): void {
    this.set({ ...this.#controls, muted: withMute(this.#controls.muted, mute) }, true);
    this.#said.textContent = `${this.#controls.muted.length} muted.`;
  }

  /** Shows what the controls do, as far as it is known; what was shown before and is left out stays. */
  show(effect: Effect): void {
    this.#effect = { ...this.#effect, ...effect };
    const trained = isTrained(this.#controls);
    if (trained) this.#trained = { ...this.#trained, ...effect };
    const { joules, nats } = this.#effect;
    if (joules !== undefined && nats !== undefined) {
      const label = inWords(this.#controls);
      // One point a setting, in the order of trying.
      this.#tried = [...this.#tried.filter((point) => point.label !== label), { joules, nats, label, trained }].slice(
        -KEPT,
      );
      this.#said.textContent = `${label}: ${formatSi(joules, "J")} a token, loss ${formatNumber(nats)} nats.`;
    }
    this.#paint();
  }

  /** Takes the dial away. */
  dispose(): void {
    clearTimeout(this.#timer);
    this.#trade.dispose();
    this.#root.remove();
  }

  #turned(): void {
    const scale = 2 ** (this.#threshold.valueAsNumber / OCTAVE);
    const steps = this.#steps.valueAsNumber;
    this.#controls = { ...this.#controls, threshold_scale: scale, steps: steps >= this.#most ? 0 : steps };
    this.#write();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.set(this.#controls, true), SETTLE);
  }

  #write(): void {
    const { threshold_scale: scale, steps } = this.#controls;
    this.#thresholdText.value = scale === 1 ? "as trained" : `× ${formatNumber(scale)}`;
    this.#stepsText.value = steps === 0 ? "as trained" : `at most ${steps}`;
    this.#threshold.setAttribute("aria-valuetext", this.#thresholdText.value);
    this.#steps.setAttribute("aria-valuetext", this.#stepsText.value);
  }

  #paint(): void {
    const write: Record<keyof Effect, (value: number) => string> = {
      rate: formatPercent,
      joules: (value) => formatSi(value, "J"),
      nats: (value) => value.toFixed(2),
    };
    for (const key of KEYS) {
      const { value, change } = this.#figures[key];
      const [now, trained] = [this.#effect[key], this.#trained[key]];
      value.textContent = now === undefined ? "…" : write[key](now);
      change.textContent =
        now === undefined || trained === undefined || isTrained(this.#controls) ? "" : formatChange(now, trained);
    }
    const tried = this.#tried;
    this.#trade.show(tradeWords(tried), tried.length > 0 ? (width) => trade(tried, width) : undefined);
  }
}

const KEYS = ["rate", "joules", "nats"] as const;

const TITLES: Record<keyof Effect, string> = {
  rate: "firing rate",
  joules: "a token",
  nats: "loss, nats per token",
};

function isTrained({ threshold_scale, steps, muted }: Controls): boolean {
  return threshold_scale === 1 && steps === 0 && muted.length === 0;
}

function inWords({ threshold_scale, steps, muted }: Controls): string {
  if (isTrained({ threshold_scale, steps, muted })) return "as trained";
  const parts = [`thresholds × ${formatNumber(threshold_scale)}`];
  if (steps > 0) parts.push(`${steps} steps`);
  if (muted.length > 0) parts.push(`${muted.length} muted`);
  return parts.join(", ");
}

function slider(label: string, input: HTMLInputElement, value: HTMLElement, low: string, high: string): HTMLElement {
  const ends = make(
    "span",
    { className: "pic-ends pic-quiet", ariaHidden: "true" },
    make("span", { textContent: low }),
    make("span", { textContent: high }),
  );
  return make("label", { className: "pic-slider" }, make("span", { textContent: label }), value, input, ends);
}
