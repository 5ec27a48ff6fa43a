// The energy panel: what tokens cost, what they would cost elsewhere, and how that is known.
import type { Energy } from "../../mar/types";
import { saveCsv } from "../common/csv";
import { button, estimate, make, spoken } from "../common/dom";
import { Pace } from "../common/pace";
import { formatNumber, formatSi, formatToken } from "../common/units";
import type { TokenCost } from "../cost";
import { energyCsv, type Mode, NETWORKS, type Network, sum, type Verdict, verdict } from "./account";
import { Drawer, TITLES } from "./drawer";
import { Sparkline } from "./sparkline";

/** What the panel tells of. */
export interface EnergyPanelEvents {
  /** A token was chosen in the line. */
  onJump?: (position: number) => void;
}

type Bars = Record<Network, { value: HTMLElement; fill: HTMLElement }>;
/** Before there is anything to judge. */
const NOTHING: Verdict = {
  outcome: "even",
  text: "",
  more: "Ask something: its cost is counted here, token by token.",
};

type Scope = "token" | "answer";

/** Milliseconds between two spoken verdicts. */
const SPEECH = 8_000;

/** Joules of a token and of the answer, live. Fills `host`. */
export class EnergyPanel {
  readonly #root: HTMLElement;
  readonly #perToken = make("output", { testId: "energy-per-token" });
  readonly #total = make("output", { testId: "energy-total" });
  readonly #time = make("output", { testId: "time-per-token" });
  readonly #tokenLabel = make("span");
  readonly #totalLabel = make("span");
  readonly #timeLabel = make("span");
  readonly #verdict = make("p", { className: "pic-verdict", testId: "energy-verdict" });
  readonly #said = spoken(true);
  readonly #bars: Bars;
  readonly #drawer = new Drawer();
  readonly #spark: Sparkline;
  readonly #save: HTMLButtonElement;
  readonly #pace = new Pace(() => this.#paint());
  #events: TokenCost[] = [];
  #sum: Energy = sum([]);
  #position: number | undefined;
  #mode: Mode = "with_data";
  #scope: Scope = "answer";
  #speech: ReturnType<typeof setTimeout> | undefined;

  constructor(host: HTMLElement, { onJump }: EnergyPanelEvents = {}) {
    const mode = menu(
      "Prices",
      "energy-mode",
      { with_data: "with data movement", arithmetic: "arithmetic only" },
      (value) => {
        this.#mode = value;
        this.#pace.ask();
      },
    );
    const scope = menu("Compare", "energy-scope", { answer: "the whole answer", token: "this token" }, (value) => {
      this.#scope = value;
      this.#pace.ask();
    });
    this.#spark = new Sparkline((position) => {
      this.jump(position);
      onJump?.(position);
    });
    this.#save = button("CSV", "Save the joules of every token as a table", () =>
      saveCsv("mar energy.csv", energyCsv(this.#events)),
    );
    const bars = NETWORKS.map((network) => ({
      network,
      value: make("span"),
      fill: make("span", { className: `pic-fill pic-${network}` }),
    }));
    this.#bars = Object.fromEntries(bars.map(({ network, ...bar }) => [network, bar])) as Bars;
    this.#root = make(
      "section",
      { className: "pic pic-energy", ariaLabel: "Energy" },
      make("div", { className: "pic-bar" }, mode, scope, make("span", { className: "pic-gap" }), this.#save),
      make(
        "dl",
        { className: "pic-heads" },
        figure(this.#perToken, this.#tokenLabel, estimate()),
        figure(this.#total, this.#totalLabel, estimate()),
        figure(this.#time, this.#timeLabel, make("span", { className: "pic-measured", textContent: "measured" })),
      ),
      make(
        "ul",
        { className: "pic-bars", ariaLabel: "Energy by network, estimate" },
        ...bars.map(({ network, value, fill }) =>
          make(
            "li",
            {},
            make("span", { className: "pic-bar-name", textContent: TITLES[network] }),
            value,
            make("span", { className: "pic-track" }, fill),
          ),
        ),
      ),
      this.#verdict,
      this.#spark.element,
      this.#drawer.element,
      this.#said,
    );
    host.append(this.#root);
    this.#paint();
  }

  /** Books a token of the answer. */
  push(event: TokenCost): void {
    this.#events.push(event);
    this.#sum = sum([this.#sum, event.energy]);
    this.#position = undefined;
    this.#pace.ask();
    this.#sayLater();
  }

  /** Shows the token at a place of the conversation. False where it is not of this answer. */
  jump(position: number): boolean {
    if (!this.#events.some((event) => event.position === position)) return false;
    this.#position = position;
    this.#pace.ask();
    return true;
  }

  /** Shows another answer. */
  show(events: readonly TokenCost[], position?: number): void {
    this.#events = [...events];
    this.#sum = sum(events.map(({ energy }) => energy));
    this.#position = position;
    this.#pace.ask();
  }

  /** Starts a new answer. */
  clear(): void {
    this.show([]);
  }

  /** Takes the panel away. */
  dispose(): void {
    this.#pace.dispose();
    clearTimeout(this.#speech);
    this.#spark.dispose();
    this.#root.remove();
  }

  #paint(): void {
    const token = this.#events.find(({ position }) => position === this.#position) ?? this.#events.at(-1);
    const joules = (energy: Energy | undefined) => (energy ? formatSi(energy[this.#mode].spiking, "J") : "–");
    const count = this.#events.length;
    this.#perToken.value = joules(token?.energy);
    this.#total.value = count > 0 ? joules(this.#sum) : "–";
    this.#time.value = token ? `${formatNumber(token.milliseconds)}\u202fms` : "–";
    const name = token ? `token ${token.position} “${formatToken(token.text)}”` : "a token";
    const milliseconds = this.#events.reduce((all, event) => all + event.milliseconds, 0);
    this.#tokenLabel.textContent = name;
    this.#totalLabel.textContent = count > 0 ? `the answer, ${count} tokens` : "an answer";
    this.#timeLabel.textContent = count > 0 ? `time, average ${formatNumber(milliseconds / count)}\u202fms` : "time";
    const shown = this.#scope === "token" ? token?.energy : count > 0 ? this.#sum : undefined;
    this.#showBars(shown);
    this.#drawer.show(token?.energy, this.#mode, name);
    this.#spark.show(this.#events, this.#mode, this.#position);
    this.#save.disabled = count === 0;
  }

  #showBars(energy: Energy | undefined): void {
    const joules = energy?.[this.#mode];
    const most = joules ? Math.max(joules.spiking, joules.dense, joules.transformer) : 1;
    for (const network of NETWORKS) {
      const { value, fill } = this.#bars[network];
      value.textContent = joules ? formatSi(joules[network], "J") : "–";
      fill.style.width = `${joules && most > 0 ? (100 * joules[network]) / most : 0}%`;
    }
    const { outcome, text, more } = energy ? verdict(energy, this.#mode) : NOTHING;
    this.#verdict.replaceChildren(make("strong", { textContent: text }), more);
    this.#verdict.dataset.outcome = outcome;
  }

  #sayLater(): void {
    this.#speech ??= setTimeout(() => {
      this.#speech = undefined;
      this.#said.textContent = `Energy of the answer so far, an estimate: ${this.#total.value}. ${this.#verdict.textContent}`;
    }, SPEECH);
  }
}

function figure(value: HTMLElement, label: HTMLElement, kind: HTMLElement): HTMLElement {
  return make("div", {}, make("dt", {}, label), make("dd", {}, value, kind));
}

function menu<Value extends string>(
  label: string,
  testId: string,
  options: Record<Value, string>,
  onChange: (value: Value) => void,
): HTMLElement {
  const node = make("select", { testId });
  for (const [value, text] of Object.entries<string>(options)) node.append(new Option(text, value));
  node.addEventListener("change", () => onChange(node.value as Value));
  return make("label", { className: "pic-field" }, make("span", { textContent: label }), node);
}
