// The shown path of a conversation.
import { type Conversation, pathOf, siblingsOf } from "./conversation";
import { element } from "./element";
import { type TurnEvents, TurnView } from "./turn";

/** Nearer to the end than this, in pixels, the page follows a growing answer. */
const NEAR = 60;

/** What can be done now. */
export interface TranscriptState {
  /** Nothing but copying. */
  busy: boolean;
  /** The last answer is being made, here or in another tab. */
  growing: boolean;
}

/** The list of messages. */
export class Transcript {
  readonly #list = element("transcript", HTMLOListElement);
  readonly #scroll = element("scroll", HTMLElement);
  readonly #views = new Map<string, TurnView>();
  readonly #events: TurnEvents;
  #atEnd = true;

  constructor(events: TurnEvents) {
    this.#events = events;
    // What scrolls must be reached by the keyboard.
    this.#scroll.tabIndex = 0;
    this.#scroll.addEventListener("scroll", () => {
      this.#atEnd = this.#isNearEnd();
    });
    // Less room must not hide the end from somebody who was there.
    new ResizeObserver(() => {
      if (this.#atEnd) this.follow();
    }).observe(this.#scroll);
  }

  /** Shows the path of a conversation. */
  show(chat: Conversation, { busy, growing }: TranscriptState): void {
    const path = pathOf(chat);
    const shown = new Set(path.map(({ id }) => id));
    for (const [id, view] of this.#views) {
      if (shown.has(id)) continue;
      view.item.remove();
      this.#views.delete(id);
    }
    path.forEach((turn, index) => {
      let view = this.#views.get(turn.id);
      if (view?.turn !== turn) {
        view?.item.remove();
        view = new TurnView(turn, this.#events);
        this.#views.set(turn.id, view);
      }
      const siblings = siblingsOf(chat, turn);
      const [branch, last] = [siblings.indexOf(turn), index + 1 === path.length];
      view.settle({ branch, branches: siblings.length, last, busy, growing: growing && last });
      if (this.#list.children[index] !== view.item)
        this.#list.insertBefore(view.item, this.#list.children[index] ?? null);
    });
    this.#list.classList.toggle("growing", growing);
  }

  /** The answer with this id has more text. */
  grow(id: string): void {
    this.#views.get(id)?.grow();
    if (this.#atEnd) requestAnimationFrame(() => this.follow());
  }

  /** Marks a token: of one answer, or of whichever has that position. */
  choose(position: number, answer?: string): void {
    for (const [id, view] of this.#views) view.choose(answer === undefined || answer === id ? position : undefined);
  }

  /** Forgets what was drawn: another conversation is shown next. */
  clear(): void {
    this.#views.clear();
    this.#list.replaceChildren();
  }

  /** Shows the end. Before anything is said there is none: the page's first words begin at their beginning. */
  follow(): void {
    if (this.#views.size === 0) return;
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
  }

  #isNearEnd(): boolean {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroll;
    return scrollHeight - scrollTop - clientHeight < NEAR;
  }
}
