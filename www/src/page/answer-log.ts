// What every token of the answers of this visit took, for whoever looks back.
import type { TokenEvent } from "../mar/types";

/** Events by answer. */
export class AnswerLog {
  readonly #answers = new Map<string, TokenEvent[]>();
  /** Which answer the engine's conversation has at a position, and the token's text. */
  readonly #owners = new Map<number, { answer: string; text: string }>();

  /** Books a token. True where it begins an answer: what the engine had from there on is gone. */
  add(answer: string, event: TokenEvent): boolean {
    const events = this.#answers.get(answer) ?? [];
    const last = events.at(-1);
    const begins = last === undefined || event.position <= last.position;
    if (begins) {
      events.length = 0;
      this.forgetFrom(event.position);
    }
    events.push(event);
    this.#answers.set(answer, events);
    this.own(answer, event.position, event.text);
    return begins;
  }

  /** Says that the engine's conversation has a token of an answer at a position. */
  own(answer: string, position: number, text: string): void {
    this.#owners.set(position, { answer, text });
  }

  /** The events of an answer; none where it was made before this visit. */
  of(answer: string): readonly TokenEvent[] {
    return this.#answers.get(answer) ?? [];
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
    const end = Math.max(-1, ...this.#owners.keys());
    let first = end;
    while (first > 0 && end - first + 1 < count && this.#owners.has(first - 1)) first--;
    return end < 0 ? undefined : { first, count: end - first + 1 };
  }

  /** The engine's conversation is another from `position` on. */
  forgetFrom(position: number): void {
    for (const at of this.#owners.keys()) if (at >= position) this.#owners.delete(at);
  }
}
