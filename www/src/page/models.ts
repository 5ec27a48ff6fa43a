// The menu of models, and the one that is loaded.
import { Mar } from "../mar";
import { element } from "./element";
import { formatBytes } from "./format";
import type { Query } from "./query";
import type { Settings } from "./settings";
import { say, sentence, showBackend, showProgress } from "./status";

/** A model that this server offers. */
interface Offer {
  name: string;
  bytes: number;
}

/** What others are told. */
export interface ModelEvents {
  /** The model that is loaded is about to go; it goes when this returns. */
  onLeave: () => Promise<void>;
  /** An engine is ready; `undefined` when it has gone. */
  onUse: (engine: Mar | undefined) => Promise<void>;
}

/** Chooses and loads. */
export class ModelMenu {
  /** The model that is ready. */
  engine: Mar | undefined;
  readonly #menu = element("model", HTMLSelectElement);
  readonly #query: Query;
  readonly #settings: Settings;
  readonly #events: ModelEvents;
  #loading: AbortController | undefined;

  constructor(query: Query, settings: Settings, events: ModelEvents) {
    this.#query = query;
    this.#settings = settings;
    this.#events = events;
    this.#menu.addEventListener("change", () => void this.load());
  }

  /** Fills the menu, the model that the address names first, and loads the first. */
  async fill(): Promise<void> {
    const options = (await offers()).map(
      ({ name, bytes }) => new Option(`${name}, ${formatBytes(bytes)}`, `models/${name}/`),
    );
    const asked = this.#query.model;
    if (asked !== undefined) {
      // A model of this server may be named in short.
      const known = options.find(({ value }) => value === asked || value === `models/${asked}/`);
      if (known) options.splice(options.indexOf(known), 1);
      options.unshift(known ?? new Option(asked, asked));
    }
    this.#menu.replaceChildren(...options);
    if (options.length > 0) await this.load();
    else say("This server offers no models. Name one in the address: ?model=URL.", "trouble");
  }

  /** Loads what the menu says, in place of what is loaded. */
  async load(): Promise<void> {
    this.#loading?.abort();
    const loading = new AbortController();
    this.#loading = loading;
    await this.#events.onLeave();
    // Somebody may have chosen another one meanwhile.
    if (loading.signal.aborted) return;
    this.engine?.dispose();
    this.engine = undefined;
    await this.#events.onUse(undefined);
    say("Loading the model.");
    showBackend("");
    showProgress("connecting");
    try {
      const engine = Mar.open(this.#menu.value, {
        backend: this.#query.backend ?? this.#settings.backend,
        signal: loading.signal,
        onProgress: (progress) => {
          if (!loading.signal.aborted) showProgress(progress);
        },
      });
      // For scripts.
      Object.assign(window, { mar: engine });
      engine.on("trouble", (trouble) => {
        say(`${sentence(trouble)}.`, "trouble");
        // Other hardware may have taken over.
        tellBackend(engine);
      });
      await engine.ready;
      if (loading.signal.aborted) {
        engine.dispose();
        return;
      }
      this.engine = engine;
      await this.#events.onUse(engine);
      tellBackend(engine);
      say(`${engine.shape.name} is ready.`);
    } catch (error) {
      if (loading.signal.aborted) return;
      say(`The model could not be loaded. ${sentence(error)}.`, "trouble, try again");
    } finally {
      if (this.#loading === loading) showProgress(undefined);
    }
  }
}

function tellBackend({ backend }: Mar): void {
  showBackend(`Runs on ${backend.name}: ${backend.why}.`);
}

/** What this server offers. */
async function offers(): Promise<Offer[]> {
  try {
    const response = await fetch("models/index.json");
    return response.ok ? ((await response.json()) as Offer[]) : [];
  } catch {
    // No list, no offers: the address may still name a model, and the page says what to do if it does not.
    return [];
  }
}
