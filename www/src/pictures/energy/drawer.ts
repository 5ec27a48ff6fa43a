// "How is this computed?": the formula, with the numbers of what is shown.
import type { Energy } from "../../mar/types";
import { make } from "../common/dom";
import { formatCount, formatSi } from "../common/units";
import { joulesOf, type Mode, NETWORKS, type Network, termsOf } from "./account";

/** Names of the networks, as in the bars. */
export const TITLES: Record<Network, string> = {
  spiking: "This network, spiking",
  dense: "Its dense twin",
  transformer: "A transformer of its size",
};

const share = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });

/** A drawer with a table. It is filled only while it is open. */
export class Drawer {
  readonly element: HTMLDetailsElement;
  readonly #scope: HTMLElement;
  readonly #table: HTMLTableElement;
  #shown: { energy: Energy; mode: Mode; token: string } | undefined;

  constructor() {
    this.#scope = make("p", { className: "pic-quiet" });
    this.#table = make("table", { className: "pic-terms" });
    this.element = make(
      "details",
      { className: "pic-drawer", testId: "energy-drawer" },
      make("summary", { textContent: "How is this computed?" }),
      make("p", { className: "pic-formula" }, make("code", { textContent: "E = Σ count × price" })),
      make("p", {
        textContent:
          "Counts are exact: they come from the spikes that the projections consumed. A spike adds a row of weights (accumulates, ac); " +
          "a dense network multiplies and adds every row (mac). Prices are published ones of a 45 nm chip (Horowitz, ISSCC 2014), " +
          "so joules are an estimate. No browser can measure joules; only the milliseconds are measured.",
      }),
      this.#scope,
      make(
        "div",
        { className: "pic-scroll", tabIndex: 0, role: "region", ariaLabel: "Terms of the estimate" },
        this.#table,
      ),
    );
    this.element.addEventListener("toggle", () => this.#fill());
  }

  /** Shows the terms of a token's energy; `token` says of which. */
  show(energy: Energy | undefined, mode: Mode, token: string): void {
    this.#shown = energy && { energy, mode, token };
    this.#fill();
  }

  #fill(): void {
    if (!this.element.open) return;
    if (!this.#shown) {
      this.#scope.textContent = "The numbers come with the first answer.";
      this.#table.replaceChildren();
      return;
    }
    const { energy, mode, token } = this.#shown;
    this.#scope.textContent = `The numbers of ${token}, ${mode === "with_data" ? "with data movement" : "arithmetic only"}:`;
    const head = ["term", "count", "price", "energy", "share"].map((text) =>
      make("th", { scope: "col", textContent: text }),
    );
    this.#table.replaceChildren(
      make("thead", {}, make("tr", {}, ...head)),
      ...NETWORKS.map((network) => group(energy, network, mode)),
    );
  }
}

function group(energy: Energy, network: Network, mode: Mode): HTMLElement {
  const total = energy[mode][network];
  const cell = (textContent: string) => make("td", { textContent });
  const rows = termsOf(energy, network, mode).map((term) =>
    make(
      "tr",
      {},
      make("th", { scope: "row", textContent: term.label }),
      cell(formatCount(term.count)),
      cell(`× ${term.picojoules_each}\u202fpJ`),
      cell(formatSi(joulesOf(term), "J")),
      cell(share.format(joulesOf(term) / total)),
    ),
  );
  const sum = make(
    "tr",
    { className: "pic-sum" },
    make("th", { scope: "rowgroup", colSpan: 3, textContent: TITLES[network] }),
    cell(formatSi(total, "J")),
    cell(""),
  );
  return make("tbody", {}, sum, ...rows);
}
