// What is silenced: a list, from which each can be taken back.
import type { Mute } from "../../mar/types";
import { button, make } from "../common/dom";

/** A mute in words: "layer 2, gate_up, neurons 10 to 20". */
export function inWords({ layer, site, neurons }: Mute): string {
  const parts = [];
  parts.push(layer === undefined ? "all layers" : `layer ${layer}`);
  if (site !== undefined) parts.push(site);
  if (neurons)
    parts.push(neurons[0] === neurons[1] ? `neuron ${neurons[0]}` : `neurons ${neurons[0]} to ${neurons[1]}`);
  return parts.join(", ");
}

/** Whether everything that `inner` silences is silent by `outer`. */
export function covers(outer: Mute, inner: Mute): boolean {
  const whole = <Key extends "layer" | "site">(key: Key) => outer[key] === undefined || outer[key] === inner[key];
  if (!whole("layer") || !whole("site")) return false;
  if (!outer.neurons) return true;
  return inner.neurons !== undefined && outer.neurons[0] <= inner.neurons[0] && inner.neurons[1] <= outer.neurons[1];
}

/** The list with one more, and without what that one covers. The list itself where it is covered already. */
export function withMute(mutes: readonly Mute[], mute: Mute): Mute[] {
  if (mutes.some((held) => covers(held, mute))) return [...mutes];
  return [...mutes.filter((held) => !covers(mute, held)), mute];
}

/** The list on the page. */
export class MuteList {
  readonly element: HTMLElement;
  readonly #list = make("ul", { className: "pic-mutes", ariaLabel: "What is muted" });
  readonly #onUnmute: (mute: Mute) => void;

  constructor(onUnmute: (mute: Mute) => void) {
    this.#onUnmute = onUnmute;
    this.element = this.#list;
    this.show([]);
  }

  /** Shows these. */
  show(mutes: readonly Mute[]): void {
    const items = mutes.map((mute) => {
      const unmute = button("Unmute", `Let ${inWords(mute)} fire again`, () => this.#onUnmute(mute));
      unmute.setAttribute("aria-label", `Unmute ${inWords(mute)}`);
      return make("li", {}, make("span", { textContent: inWords(mute) }), unmute);
    });
    const none = make("li", {
      className: "pic-quiet",
      textContent: "Nothing is muted. Select neurons in the raster, or mute a whole site.",
    });
    this.#list.replaceChildren(...(items.length > 0 ? items : [none]));
  }
}
