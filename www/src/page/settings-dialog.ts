// The settings, as a dialog.

import type { Backend } from "../mar/types";
import { make, uniqueId } from "../pictures/common/dom";
import type { Conversation } from "./conversation";
import { element } from "./element";
import { keepSettings, SAMPLING, type SamplingField, type Settings, type ThemeChoice } from "./settings";
import { applyTheme } from "./themes";

/** What others are told. */
export interface SettingsEvents {
  /** The conversation that is open. */
  chat: () => Conversation;
  /** The open conversation has another system prompt. */
  onSystem: (text: string) => void;
  /** The model must be loaded again. */
  onBackend: () => void;
}

const BACKEND_NAMES: Record<Backend, string> = {
  auto: "a GPU if WebGPU offers one, else the CPU",
  cpu: "the CPU",
  webgpu: "WebGPU",
};
const THEME_NAMES: Record<ThemeChoice, string> = { system: "as the system", light: "light", dark: "dark" };

/** Characters that are shown of the prompt of new conversations. */
const SHOWN = 80;

/** Every change holds at once, and is kept. */
export class SettingsDialog {
  readonly #dialog = element("settings", HTMLDialogElement);
  readonly #settings: Settings;
  readonly #events: SettingsEvents;
  readonly #system = make("textarea", { rows: 3 });
  readonly #own = make("p", { className: "note" });
  readonly #adopt = make("button", { type: "button", className: "small", textContent: "Begin new chats with it" });

  constructor(settings: Settings, events: SettingsEvents) {
    this.#settings = settings;
    this.#events = events;
    this.#build();
    element("open-settings", HTMLButtonElement).addEventListener("click", () => this.#open());
    // A click beside the dialog closes it.
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close();
    });
  }

  #open(): void {
    this.#system.value = this.#events.chat().system;
    this.#showOwn();
    this.#dialog.showModal();
  }

  #build(): void {
    const settings = this.#settings;
    const adopt = () => {
      settings.system = this.#system.value;
      keepSettings(settings);
      this.#showOwn();
    };
    this.#adopt.addEventListener("click", adopt);
    this.#system.addEventListener("input", () => {
      this.#events.onSystem(this.#system.value);
      // Before anything is said it is the person's own; later it is this conversation's, which may be somebody else's.
      if (this.#events.chat().turns.length === 0) adopt();
      else this.#showOwn();
    });
    const backend = menu(BACKEND_NAMES, settings.backend, (value) => {
      settings.backend = value;
      keepSettings(settings);
      this.#events.onBackend();
    });
    const theme = menu(THEME_NAMES, settings.theme, (value) => {
      settings.theme = value;
      keepSettings(settings);
      applyTheme(value);
    });
    const numbers = SAMPLING.map((field) => this.#number(field));
    const reset = make("button", { type: "button", textContent: "The model's own" });
    reset.addEventListener("click", () => {
      settings.sampling = {};
      keepSettings(settings);
      for (const { input } of numbers) input.value = "";
    });
    const close = make("button", { type: "submit", className: "primary", textContent: "Done" });
    const form = make(
      "form",
      { method: "dialog" },
      make("h2", { id: "settings-title", textContent: "Settings" }),
      labelled("System prompt", this.#system, "Said before everything. The small model hardly listens to it."),
      make("div", { className: "row" }, this.#own, this.#adopt),
      make("h3", { textContent: "Sampling" }),
      make("p", { className: "note", textContent: "What is empty is the model's own." }),
      make("div", { className: "numbers" }, ...numbers.map(({ row }) => row)),
      make("h3", { textContent: "Page" }),
      labelled("Runs on", backend, "The model is loaded again."),
      labelled("Colours", theme),
      make("div", { className: "row end" }, reset, close),
    );
    // CSP forbids forms that go anywhere; this one only closes.
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#dialog.close();
    });
    this.#dialog.replaceChildren(form);
  }

  /** Says what new conversations begin with, where this one has something else. */
  #showOwn(): void {
    const { system } = this.#settings;
    const same = system === this.#system.value;
    this.#own.hidden = this.#adopt.hidden = same;
    const shown = system.length > SHOWN ? `${system.slice(0, SHOWN)}…` : system;
    this.#own.textContent = system === "" ? "New chats begin without one." : `New chats begin with “${shown}”.`;
  }

  #number({ name, label, min, max, step, help }: SamplingField): { row: HTMLElement; input: HTMLInputElement } {
    const { sampling } = this.#settings;
    const input = make("input", { type: "number", placeholder: name === "seed" ? "chance" : "model’s" });
    Object.assign(input, { min: String(min), max: String(max), step: String(step) });
    input.value = sampling[name] === undefined ? "" : String(sampling[name]);
    input.addEventListener("input", () => {
      const value = input.valueAsNumber;
      const { sampling } = this.#settings;
      const whole = step !== 1 || Number.isInteger(value);
      if (Number.isNaN(value) || value < min || value > max || !whole) delete sampling[name];
      else sampling[name] = value;
      input.setAttribute("aria-invalid", String(input.value !== "" && sampling[name] === undefined));
      keepSettings(this.#settings);
    });
    return { row: labelled(label, input, help), input };
  }
}

function menu<Name extends string>(names: Record<Name, string>, now: Name, onChange: (value: Name) => void) {
  const keys = Object.keys(names) as Name[];
  const node = make("select", {}, ...keys.map((key) => new Option(names[key], key, false, key === now)));
  node.addEventListener("change", () => onChange(node.value as Name));
  return node;
}

function labelled(label: string, field: HTMLElement, help?: string): HTMLElement {
  field.id = uniqueId();
  const row = make("div", { className: "field" }, make("label", { textContent: label, htmlFor: field.id }), field);
  if (help !== undefined) {
    const note = make("p", { className: "note", id: uniqueId(), textContent: help });
    field.setAttribute("aria-describedby", note.id);
    row.append(note);
  }
  return row;
}
