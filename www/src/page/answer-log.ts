// What the tokens of the newest answers took, for whoever looks back; and whose tokens the engine's conversation has.
import type { TokenEvent } from "../mar/types";
import type { TokenCost } from "../pictures";
import { packCosts, unpackCosts } from "./keep/costs";

/** Tokens whose costs are held. With thirty layers one takes about six kilobytes, and packed less than two. */
const HELD = 8192;

/** Costs by answer. Those of the answer that was used last are at hand, the others packed. */
export class AnswerLog {
  #newest: { answer: string; costs: TokenCost[] } | undefined;
  /** The one that was used last is the last one. */
  readonly #packed = new Map<string, { bytes: Uint8Array; tokens: number }>();
  /** Which answer the engine's conversation has at a position, and the token's text. */
  readonly #owners = new Map<number, { answer: string; text: string }>();
  readonly #most: number;

  /** At most the costs of `most` tokens, and the newest answer's, are held: the oldest answers' go. */
  constructor(most = HELD) {
    this.#most = most;
  }

  /** Books a token. True where it begins an answer, or a part of one: what the engine had from there on is gone. */
  add(answer: string, event: TokenEvent): boolean {
    let costs = this.#costs(answer);
    const last = costs.at(-1);
    // Another model's sites are others.
    const other = last !== undefined && last.neurons.length !== event.neurons.length;
    const begins = other || last === undefined || event.position <= last.position;
    if (other) costs = [];
    if (begins) {
      this.forgetFrom(event.position);
      costs = costs.filter(({ position }) => position < event.position);
    }
    costs.push(costOf(event, last));
    this.#put(answer, costs);
    this.own(answer, event.position, event.text);
    return begins;
  }

  /** Holds the costs of an answer that was made before. */
  put(answer: string, costs: readonly TokenCost[]): void {
    this.#put(answer, [...costs]);
  }

  /** Says that the engine's conversation has a token of an answer at a position. */
  own(answer: string, position: number, text: string): void {
    this.#owners.set(position, { answer, text });
  }

  /** The costs of an answer; none where they are not held. */
  of(answer: string): readonly TokenCost[] {
    return this.#costs(answer);
  }

  /** The text of a token, where the engine's conversation has that answer there. */
  textAt(position: number, answer?: string): string | undefined {
    const owner = this.#owners.get(position);
    return answer === undefined || owner?.answer === answer ? owner?.text : undefined;
  }

  /** The answer that the engine's conversation has at a position. */
  ownerOf(position: number): string | undefined {
    return this.#owners.get(position)?.answer;
  }

  /** The last positions of answers, at most `count` without a gap, as first and number. */
  newest(count: number): { first: number; count: number } | undefined {
    let end = -1;
    for (const position of this.#owners.keys()) end = Math.max(end, position);
    let first = end;
    while (first > 0 && end - first + 1 < count && this.#owners.has(first - 1)) first--;
    return end < 0 ? undefined : { first, count: end - first + 1 };
  }

  /** The engine's conversation is another from `position` on. */
  forgetFrom(position: number): void {
    for (const at of this.#owners.keys()) if (at >= position) this.#owners.delete(at);
  }

  #costs(answer: string): TokenCost[] {
    if (this.#newest?.answer === answer) return this.#newest.costs;
    const packed = this.#packed.get(answer);
    return packed ? unpackCosts(packed.bytes) : [];
  }

  #put(answer: string, costs: TokenCost[]): void {
    const before = this.#newest;
    this.#newest = { answer, costs };
    this.#packed.delete(answer);
    if (before && before.answer !== answer)
      this.#packed.set(before.answer, { bytes: packCosts(before.costs), tokens: before.costs.length });
    let held = costs.length;
    for (const { tokens } of this.#packed.values()) held += tokens;
    for (const [oldest, { tokens }] of this.#packed) {
      if (held <= this.#most) break;
      this.#packed.delete(oldest);
      held -= tokens;
    }
  }
}

/** What is looked at of a token. The sites' sizes are the same for all tokens, so they are held once. */
function costOf(event: TokenEvent, last: TokenCost | undefined): TokenCost {
  const { position, text, milliseconds, spikes_positive, spikes_negative, active, neurons, energy } = event;
  const same = last?.neurons.length === neurons.length ? last.neurons : neurons;
  return { position, text, milliseconds, spikes_positive, spikes_negative, active, neurons: same, energy };
}
