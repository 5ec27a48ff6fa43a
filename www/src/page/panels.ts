// The pictures in their panels, and what flows to them: the engine's events down, the person's choices up.
import type { Mar } from "../mar";
import { AS_TRAINED, type Controls, type Site, type TokenEvent } from "../mar/types";
import { Dial, EnergyPanel, FiringMap, MembraneTrace, Raster, SpeedPanel, type TokenCost } from "../pictures";
import { AnswerLog } from "./answer-log";
import { type Mark, NOWHERE } from "./conversation";
import type { Instruments } from "./instruments";
import { TradeOff } from "./trade-off";

/** Tokens that are computed once more when another site or neuron is chosen. */
const LOOK_BACK = 48;

/** What a script asks without the chat belongs to no answer of it. */
const SCRIPT = "script";

/** What the page is told. */
export interface PanelsEvents {
  /** The token at a position was chosen in a picture. */
  onChoose: (position: number) => void;
  /** A sentence for the person. */
  onNote: (sentence: string) => void;
  /** What the tokens of an answer took, where it was kept. */
  onCosts: (answer: string) => Promise<TokenCost[] | undefined>;
}

/** All pictures. */
export class Panels {
  readonly #events: PanelsEvents;
  readonly #instruments: Instruments;
  readonly #raster: Raster;
  readonly #membrane: MembraneTrace;
  readonly #map: FiringMap;
  readonly #energy: EnergyPanel;
  readonly #dial: Dial;
  readonly #speed: SpeedPanel;
  readonly #log = new AnswerLog();
  readonly #tradeOff: TradeOff;
  #mar: Mar | undefined;
  #neuron: number | undefined;
  #answer = SCRIPT;
  /** Whose energies are shown. */
  #shown = SCRIPT;

  constructor(instruments: Instruments, events: PanelsEvents) {
    this.#events = events;
    this.#instruments = instruments;
    this.#raster = new Raster(instruments.host("raster"), {
      onFollow: () => this.#membrane.follow(),
      onChoose: (layer, site) => this.#choose(layer, site),
      onNeuron: ({ neuron, position }) => void this.#chooseNeuron(neuron, position),
      onMute: (mute) => {
        this.#dial.mute(mute);
        this.#events.onNote("Muted. Ask again to hear what is missing; the dials have the list.");
      },
    });
    this.#membrane = new MembraneTrace(instruments.host("membrane"));
    this.#map = new FiringMap(instruments.host("map"), {
      onChoose: (layer, site) => {
        this.#raster.choose(layer, site);
        this.#choose(layer, site);
        instruments.reveal("raster");
      },
    });
    this.#energy = new EnergyPanel(instruments.host("energy"), {
      onJump: (position) => {
        this.#events.onChoose(position);
        void this.jump(this.#log.ownerOf(position) ?? this.#answer, position);
      },
    });
    this.#dial = new Dial(instruments.host("dial"), { onControls: (controls) => this.#turn(controls) });
    this.#speed = new SpeedPanel(instruments.host("speed"));
    this.#tradeOff = new TradeOff((effect) => this.#dial.show(effect));
    instruments.onOpen = () => {
      this.#watch();
      // What was not watched is computed once more.
      const past = this.#log.newest(LOOK_BACK);
      if (instruments.open && past) void this.#replay(past);
    };
  }

  /** Shows what a model does from now on; `undefined` between two models. */
  use(mar: Mar | undefined): void {
    this.#mar = mar;
    this.#tradeOff.cancel();
    this.clear();
    if (!mar) return;
    const { shape } = mar;
    this.#raster.shape(shape);
    this.#raster.muted(AS_TRAINED.muted);
    this.#map.shape(shape);
    this.#dial.shape(shape);
    this.#map.choose(this.#raster.chosen.layer, this.#raster.chosen.site);
    mar.on("token", (event) => this.#token(event));
    mar.on("spikes", (spikes) => this.#raster.push(spikes, this.#log.textAt(spikes.position) ?? ""));
    mar.on("membrane", (membrane) => this.#membrane.push(membrane));
    mar.on("stats", (stats) => {
      this.#speed.update(stats, shape);
      this.#tradeOff.ask(mar, this.#dial.controls);
    });
    this.#watch();
    this.#tradeOff.ask(mar, AS_TRAINED);
  }

  /** The tokens that come next are of this answer, which may have begun before. */
  async begin(answer: string): Promise<void> {
    this.#answer = answer;
    await this.#costs(answer);
  }

  /** The chat's answer has ended; returns what its tokens took. */
  end(): readonly TokenCost[] {
    const costs = this.#log.of(this.#answer);
    this.#answer = SCRIPT;
    return costs;
  }

  /** The engine's conversation has these tokens of an answer, from before. */
  own(answer: string, marks: readonly Mark[]): void {
    for (const { position, text } of marks) if (position !== NOWHERE) this.#log.own(answer, position, text);
  }

  /** Another conversation is open. */
  clear(): void {
    this.#log.forgetFrom(0);
    this.#raster.clear();
    this.#membrane.clear();
    this.#map.clear();
    this.#energy.clear();
  }

  /** All pictures go to a token of an answer. */
  async jump(answer: string, position: number): Promise<void> {
    const costs = await this.#costs(answer);
    const cost = costs.find((cost) => cost.position === position);
    if (cost) {
      this.#shown = answer;
      this.#energy.show(costs, position);
      this.#map.show(cost);
    } else this.#events.onNote("What this token took is no longer known: the numbers of the newest answers are kept.");
    if (this.#log.textAt(position, answer) === undefined) {
      this.#events.onNote("The network has gone another way since: its spikes there are those of another branch.");
      return;
    }
    if (!this.#raster.jump(position)) await this.#replay({ first: position, count: 1 });
    this.#raster.jump(position);
    this.#membrane.jump(position);
  }

  #token(event: TokenEvent): void {
    if (this.#log.add(this.#answer, event)) {
      this.#raster.cut(event.position);
      this.#membrane.cut(event.position);
      this.#energy.show(this.#log.of(this.#answer).slice(0, -1));
      this.#map.clear();
      this.#shown = this.#answer;
    }
    // Not into the sums of an earlier answer that somebody looks back on.
    if (this.#shown === this.#answer) this.#energy.push(event);
    this.#map.push(event);
  }

  /** What the tokens of an answer took: as it is held, or was kept. */
  async #costs(answer: string): Promise<readonly TokenCost[]> {
    const held = this.#log.of(answer);
    if (held.length > 0) return held;
    const kept = await this.#events.onCosts(answer);
    if (kept) this.#log.put(answer, kept);
    return this.#log.of(answer);
  }

  #choose(layer: number, site: Site): void {
    this.#neuron = undefined;
    this.#membrane.clear();
    this.#map.choose(layer, site);
    this.#watch();
    const past = this.#log.newest(LOOK_BACK);
    if (past) void this.#replay(past);
  }

  async #chooseNeuron(neuron: number, position: number): Promise<void> {
    this.#neuron = neuron;
    this.#membrane.clear();
    this.#instruments.reveal("membrane");
    this.#watch();
    const past = this.#log.newest(LOOK_BACK);
    const here = past && position >= past.first ? past : { first: position, count: 1 };
    await this.#replay(here);
    this.#membrane.jump(position);
  }

  /** Computes tokens once more, for what is looked at now. */
  async #replay(part: { first: number; count: number }): Promise<void> {
    const { layer, site } = this.#raster.chosen;
    const neuron = this.#neuron;
    const mar = this.#mar;
    if (!mar) return;
    const goOn = this.#tradeOff.giveWay(mar);
    try {
      const replayed = await mar.replay({ layer, site, ...(neuron !== undefined && { neuron }), ...part });
      for (const spikes of replayed.spikes) {
        this.#raster.push(spikes, this.#log.textAt(spikes.position) ?? "");
      }
      if (neuron === this.#neuron) for (const membrane of replayed.membranes) this.#membrane.push(membrane);
    } catch {
      // It gave way to an answer, which is shown instead.
    } finally {
      goOn();
    }
  }

  /** Nothing is watched while nobody can see it: then it costs nothing. */
  #watch(): void {
    const { layer, site } = this.#raster.chosen;
    const neuron = this.#neuron;
    const watch = this.#instruments.open ? { layer, site, ...(neuron !== undefined && { neuron }) } : null;
    this.#mar?.watch(watch).catch((error: unknown) => this.#events.onNote(String(error)));
  }

  #turn(controls: Controls): void {
    this.#raster.muted(controls.muted);
    const mar = this.#mar;
    if (!mar) return;
    mar.set(controls).then(
      () => this.#tradeOff.ask(mar, controls),
      (error: unknown) => this.#events.onNote(String(error)),
    );
  }
}
