// What the dials do to quality, firing and cost: measured on a short text whenever nobody waits for an answer.
import type { Mar } from "../mar";
import { type Controls, neuronsOf, type Shape, SITES } from "../mar/types";
import type { Effect } from "../pictures";

/** What the network's words are held against: small talk, as it was trained on. */
const TEXT =
  "Hello! How are you today? I am fine, thank you. And you? I have a cat named Luna. That is a cute name for a cat! " +
  "What do you like to eat? I like bread and cheese. What is the capital of France? The capital of France is Paris.";

/** Milliseconds without a change or an answer before it begins. */
const REST = 600;

/** Measures when there is time. */
export class TradeOff {
  readonly #show: (effect: Effect) => void;
  #timer = 0;
  #asked = 0;
  /** What is still to be measured: always what was turned last. */
  #wanted: { mar: Mar; controls: Controls } | undefined;
  /** How many things go first. */
  #held = 0;

  constructor(show: (effect: Effect) => void) {
    this.#show = show;
  }

  /** Measures under these controls, soon. A later call takes the place of this one. */
  ask(mar: Mar, controls: Controls): void {
    this.#wanted = { mar, controls };
    this.#begin();
  }

  /** Gives way to something that a person waits for, until what it returns is called. */
  giveWay(mar: Mar): () => void {
    this.#held += 1;
    this.#interrupt();
    if (this.#wanted) mar.stopIdle();
    return () => {
      this.#held -= 1;
      this.#begin();
    };
  }

  /** Forgets what was asked. */
  cancel(): void {
    this.#interrupt();
    this.#wanted = undefined;
  }

  #interrupt(): void {
    clearTimeout(this.#timer);
    this.#asked += 1;
  }

  #begin(): void {
    this.#interrupt();
    const wanted = this.#wanted;
    if (this.#held > 0 || !wanted) return;
    const asked = this.#asked;
    this.#timer = window.setTimeout(() => void this.#measure(wanted.mar, wanted.controls, asked), REST);
  }

  async #measure(mar: Mar, controls: Controls, asked: number): Promise<void> {
    try {
      const { nats_per_token, ledger } = await mar.loss(TEXT);
      // Turned meanwhile: what was measured belongs to neither setting.
      if (asked !== this.#asked) return;
      this.#wanted = undefined;
      this.#show({
        nats: nats_per_token,
        joules: (ledger.energy_pj.with_memory / ledger.tokens) * 1e-12,
        rate: ledger.spikes / ledger.tokens / chances(mar.shape, controls),
      });
    } catch {
      // It gave way to an answer, or there is no tokenizer: the next change asks again.
    }
  }
}

/** Neurons times micro-steps of one token. */
function chances(shape: Shape, controls: Controls): number {
  const site = SITES.map((site, index) => {
    const trained = shape.steps[index] ?? 0;
    return neuronsOf(shape, site) * (controls.steps === 0 ? trained : Math.min(trained, controls.steps));
  });
  return shape.n_layers * site.reduce((sum, count) => sum + count, 0);
}
