// The menu of models, and the one that is loaded.
import { Mar } from "../mar";
import type { Storing } from "../mar/types";
import { element } from "./element";
import type { Described } from "./figures";
import { formatBytes } from "./format";
import { LoadBar } from "./load-bar";
import { type Metrics, readMetrics } from "./metrics";
import type { Query } from "./query";
import { sentence } from "./sentence";
import type { Settings } from "./settings";
import { say, showBackend } from "./status";

/** A model that this server offers. */
export interface Offer {
  name: string;
  bytes: number;
  /** Of its manifest, as it was when the page was built. */
  sha256: string;
  /** What it says of itself. */
  metrics: Metrics;
}

/** The model that the person chose last. */
const KEY = "mar:model";

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
  /** Hashes of the manifests of this server's models, by folder. */
  readonly #pins = new Map<string, string>();
  #offers: readonly Offer[] = [];
  readonly #bar: LoadBar;
  #loading: AbortController | undefined;
  /** The model that comes, and how it is kept. */
  #coming: Mar | undefined;
  #storing: Storing | undefined;

  constructor(query: Query, settings: Settings, events: ModelEvents) {
    this.#query = query;
    this.#settings = settings;
    this.#events = events;
    this.#bar = new LoadBar({
      onPause: (paused) => (paused ? this.#coming?.pause() : this.#coming?.resume()),
      onCancel: () => this.#cancel(),
    });
    this.#menu.addEventListener("change", () => void this.choose(this.#menu.value));
  }

  /**
   * Fills the menu and loads a model: the one that the address names, or `before`, which the open conversation was held with, or
   * the one that the person chose last, or the first: the server's list begins with the smallest, so a first visit waits for little.
   */
  async fill(before?: string): Promise<void> {
    this.#offers = await offers();
    const options = this.#offers.map(({ name, bytes, sha256, metrics: { licence } }) => {
      const folder = folderOf(name);
      this.#pins.set(folder, sha256);
      return new Option([name, formatBytes(bytes), licence].filter(Boolean).join(", "), folder);
    });
    const asked = this.#query.model;
    if (asked !== undefined) {
      // A model of this server may be named in short.
      const known = options.find(({ value }) => value === asked || value === folderOf(asked));
      if (known) options.splice(options.indexOf(known), 1);
      options.unshift(known ?? new Option(asked, asked));
    }
    this.#menu.replaceChildren(...options);
    const wanted = [folderOf(before ?? ""), chosenBefore()];
    const known = wanted.map((folder) => options.find(({ value }) => value === folder)).find(Boolean);
    if (asked === undefined && known) known.selected = true;
    if (options.length > 0) await this.load();
    else say("This server offers no models. Name one in the address: ?model=URL.", "trouble");
  }

  /** Loads the model in a folder, as the person wants it, and the next time too. */
  async choose(folder: string): Promise<void> {
    this.#menu.value = folder;
    await this.load();
    if (this.engine && this.#menu.value === folder) keepChoice(folder);
  }

  /** The largest model that is offered, with its folder and the one that is loaded, if that is smaller. */
  get larger(): { larger: Offer; folder: string; here: Offer } | undefined {
    const here = this.#offerIn(this.#menu.value);
    if (!this.engine || !here) return undefined;
    const larger = this.#offers.reduce((most, offer) => (offer.bytes > most.bytes ? offer : most), here);
    if (larger === here) return undefined;
    return { larger, here, folder: folderOf(larger.name) };
  }

  /** What is known of the models in the menu. Of one from elsewhere that is what the engine has counted. */
  get described(): Described[] {
    return [...this.#menu.options].map(({ value: folder }) => {
      const here = this.engine !== undefined && folder === this.#menu.value;
      const offer = this.#offerIn(folder);
      if (offer) return { ...offer, folder, here, own: true };
      const shape = here ? this.engine?.shape : undefined;
      if (!shape) return { name: folder, folder, here, own: false, metrics: {} };
      const { name, weight_bytes: bytes, parameters } = shape;
      return { name, folder, here, own: false, bytes, metrics: { parameters } };
    });
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
    this.#bar.begin();
    this.#storing = undefined;
    try {
      const folder = this.#menu.value;
      const sha256 = this.#pins.get(folder);
      const engine = Mar.open(folder, {
        backend: this.#query.backend ?? this.#settings.backend,
        ...(sha256 !== undefined && { sha256 }),
        signal: loading.signal,
        onProgress: (progress) => {
          if (!loading.signal.aborted) this.#bar.show(progress);
        },
      });
      this.#coming = engine;
      engine.on("storing", (storing) => {
        if (!loading.signal.aborted) this.#storing = storing;
      });
      // For scripts.
      Object.assign(window, { mar: engine });
      engine.on("trouble", (trouble) => {
        say(`${sentence(trouble)}`, "trouble");
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
      say(`${engine.shape.name} is ready.${kept(this.#storing)}`);
    } catch (error) {
      if (loading.signal.aborted) return;
      say(`The model could not be loaded. ${sentence(error)}`, "trouble, try again");
    } finally {
      if (this.#loading === loading) {
        this.#bar.end();
        this.#coming = undefined;
      }
    }
  }

  #offerIn(folder: string): Offer | undefined {
    return this.#offers.find(({ name }) => folder === folderOf(name));
  }

  #cancel(): void {
    this.#loading?.abort();
    this.#bar.end();
    this.#coming = undefined;
    const lasts = this.#storing !== undefined && this.#storing.keeper !== "memory";
    const kept = lasts ? " What has come is kept: it is not fetched again." : "";
    say(`Loading was cancelled.${kept}`, "trouble, try again");
  }
}

/** What is to be said of how a model is kept, and asks the browser not to throw it away. */
function kept(storing: Storing | undefined): string {
  if (storing?.keeper !== "memory") {
    // It may ask the person, or refuse: then what is kept is kept as long as there is room.
    void navigator.storage?.persist?.().catch(() => false);
    return "";
  }
  const way = storing.full ? "; delete another under Models to make room" : "";
  return storing.why === "" ? "" : ` It is not kept for the next visit: ${storing.why}${way}.`;
}

function chosenBefore(): string | undefined {
  try {
    return localStorage.getItem(KEY) ?? undefined;
  } catch {
    return undefined;
  }
}

function keepChoice(folder: string): void {
  try {
    localStorage.setItem(KEY, folder);
  } catch {
    // The next visit begins with the first of the list.
  }
}

function tellBackend({ backend }: Mar): void {
  showBackend(`Runs on ${backend.name}: ${backend.why}.`);
}

/** Where this server has a model. */
function folderOf(name: string): string {
  return `models/${name}/`;
}

/** What this server offers. */
async function offers(): Promise<Offer[]> {
  try {
    const response = await fetch("models/index.json");
    if (!response.ok) return [];
    const list = (await response.json()) as (Omit<Offer, "metrics"> & { metrics?: unknown })[];
    return list.map((offer) => ({ ...offer, metrics: readMetrics(offer.metrics) }));
  } catch {
    // No list, no offers: the address may still name a model, and the page says what to do if it does not.
    return [];
  }
}
