// One message on the page.
import { make } from "../pictures/common/dom";
import type { Turn } from "./conversation";
import { keepEdit, readEdit } from "./draft";
import { formatEnergy, formatNumber } from "./format";
import { renderMarkdown } from "./markdown";
import { wrapTokens } from "./tokens";

/** What a person can do with a message. */
export interface TurnEvents {
  onEdit: (turn: Turn, text: string) => void;
  onRegenerate: (turn: Turn) => void;
  /** Answers the last message, which has no answer. */
  onResume: () => void;
  /** Makes an answer longer that was interrupted, or stopped. */
  onGoOn: (turn: Turn) => void;
  /** Shows the branch before (-1) or after (1) this one. */
  onBranch: (turn: Turn, by: number) => void;
  /** A token of an answer was chosen. */
  onToken: (turn: Turn, position: number) => void;
}

/** Where a message is. */
export interface TurnPlace {
  /** Its place among the branches that begin where it does, from 0. */
  branch: number;
  branches: number;
  /** Whether nothing follows it. */
  last: boolean;
  /** Whether nothing but copying can be done now. */
  busy: boolean;
  /** Whether it is being made. */
  growing: boolean;
}

/** While an answer grows it is drawn at most this share of the time, so that the page stays quick with long ones. */
const DRAWING_SHARE = 0.1;

/** Characters of a message that may need more room than it gets. */
const SCROLLS = 1000;

/** A message with its buttons. */
export class TurnView {
  readonly item: HTMLLIElement;
  readonly turn: Turn;
  readonly #events: TurnEvents;
  readonly #body: HTMLDivElement;
  readonly #foot = make("div", { className: "foot" });
  #timer = 0;
  #drawn = 0;
  #cost = 0;

  constructor(turn: Turn, events: TurnEvents) {
    this.turn = turn;
    this.#events = events;
    this.#body = make("div", { className: "body", testId: `message-${turn.role}` });
    const who = make("p", { className: "who", textContent: turn.role === "user" ? "You" : "MAR" });
    this.item = make("li", { className: `turn ${turn.role}` }, who, this.#body, this.#foot);
    if (turn.role === "assistant") this.#listenForTokens();
    this.#draw();
    const changed = turn.role === "user" ? readEdit(turn.id) : undefined;
    if (changed !== undefined) this.#edit(changed);
  }

  /** The text has grown; it is drawn soon. */
  grow(): void {
    if (this.#timer !== 0) return;
    const wait = Math.max(0, this.#drawn + this.#cost / DRAWING_SHARE - performance.now());
    this.#timer = window.setTimeout(() => {
      this.#timer = 0;
      this.#draw();
    }, wait);
  }

  /** Draws the text and the buttons. */
  settle(place: TurnPlace): void {
    clearTimeout(this.#timer);
    this.#timer = 0;
    if (!this.#body.querySelector("form")) this.#draw();
    this.#drawFoot(place);
  }

  /** Marks the token at a position as the one that the instruments show. */
  choose(position: number | undefined): void {
    for (const token of this.#tokens()) {
      token.classList.toggle("chosen", Number(token.dataset.position) === position);
    }
  }

  #draw(): void {
    const start = performance.now();
    const { role, content, marks } = this.turn;
    if (role === "user") {
      this.#body.textContent = content;
      // What scrolls must be reached by the keyboard.
      if (content.length > SCROLLS) this.#body.tabIndex = 0;
    } else {
      const chosen = this.#body.querySelector<HTMLElement>(".chosen")?.dataset.position;
      const text = renderMarkdown(content);
      if (marks) wrapTokens(text, marks);
      this.#body.replaceChildren(text);
      if (chosen !== undefined) this.choose(Number(chosen));
    }
    this.#drawn = performance.now();
    this.#cost = this.#drawn - start;
  }

  #drawFoot({ branch, branches, last, busy, growing }: TurnPlace): void {
    const { role, took, unfinished } = this.turn;
    const action = (label: string, name: string, act: () => void, disabled = busy) => {
      const node = make("button", { type: "button", className: "small", textContent: label, disabled });
      node.setAttribute("aria-label", name);
      node.addEventListener("click", act);
      return node;
    };
    const nodes: HTMLElement[] = [];
    if (branches > 1) {
      const place = make("span", { className: "figure", textContent: `${branch + 1} of ${branches}` });
      nodes.push(
        action("‹", "Show the branch before", () => this.#events.onBranch(this.turn, -1), busy || branch === 0),
        place,
        action(
          "›",
          "Show the branch after",
          () => this.#events.onBranch(this.turn, 1),
          busy || branch + 1 === branches,
        ),
      );
    }
    const copy = action("Copy", "Copy this message", () => void this.#copy(copy), false);
    nodes.push(copy);
    if (role === "user") nodes.push(action("Edit", "Edit this message", () => this.#edit(this.turn.content).focus()));
    else nodes.push(action("Regenerate", "Another answer", () => this.#events.onRegenerate(this.turn)));
    const goesOn = unfinished || took?.finish_reason === "cancelled" || took?.finish_reason === "length";
    if (role === "assistant" && last && goesOn && !growing) {
      nodes.push(action("Go on", "Go on with this answer", () => this.#events.onGoOn(this.turn)));
    }
    if (unfinished && !growing) nodes.unshift(make("span", { className: "broken", textContent: "Interrupted" }));
    if (role === "user" && last) nodes.push(action("Answer", "Answer this message", () => this.#events.onResume()));
    if (took && took.tokens > 0) {
      const parts = [
        `${took.tokens} tokens`,
        `${formatNumber(took.tokens_per_second)} tokens/s`,
        `about ${formatEnergy(took.with_data_pj / took.tokens)} a token, estimate`,
      ];
      const figures = make("span", { className: "took figure", textContent: parts.join(" · ") });
      // At the price with which the energy panel begins; here is the other.
      figures.title = `Energy with data movement; arithmetic alone: ${formatEnergy(took.arithmetic_pj / took.tokens)} a token`;
      nodes.push(figures);
    }
    this.#foot.replaceChildren(...nodes);
  }

  async #copy(button: HTMLButtonElement): Promise<void> {
    try {
      await navigator.clipboard.writeText(this.turn.content);
      button.textContent = "Copied";
    } catch {
      // No permission, or no secure address: the text is chosen, and the person's own keys copy it.
      getSelection()?.selectAllChildren(this.#body);
      button.textContent = "Press Ctrl+C";
    }
    setTimeout(() => {
      button.textContent = "Copy";
    }, 2000);
  }

  /** Opens the form, with a text to be changed; returns its field. */
  #edit(text: string): HTMLTextAreaElement {
    const field = make("textarea", { value: text, rows: 3 });
    field.addEventListener("input", () => keepEdit(this.turn.id, field.value));
    field.setAttribute("aria-label", "The message, changed");
    const cancel = make("button", { type: "button", textContent: "Cancel" });
    const save = make("button", { type: "submit", className: "primary", textContent: "Ask this instead" });
    const form = make("form", { className: "edit" }, field, make("div", { className: "row" }, save, cancel));
    const close = () => {
      keepEdit(this.turn.id, undefined);
      form.remove();
      this.#draw();
      this.#foot.hidden = false;
      this.#foot.querySelector<HTMLButtonElement>("[aria-label='Edit this message']")?.focus();
    };
    cancel.addEventListener("click", close);
    form.addEventListener("keydown", (event) => {
      if (event.key === "Escape") close();
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.target !== field) return;
      event.preventDefault();
      form.requestSubmit();
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = field.value.trim();
      if (text === "") return;
      close();
      this.#events.onEdit(this.turn, text);
    });
    this.#body.replaceChildren(form);
    this.#foot.hidden = true;
    return field;
  }

  /** One stop for the Tab key; arrows go from token to token. */
  #listenForTokens(): void {
    const choose = (token: HTMLElement | undefined) => {
      const position = token?.dataset.position;
      if (position !== undefined) this.#events.onToken(this.turn, Number(position));
    };
    this.#body.addEventListener("click", (event) => {
      if (getSelection()?.isCollapsed === false || !(event.target instanceof Element)) return;
      if (!event.target.closest("a")) choose(event.target.closest<HTMLElement>(".token") ?? undefined);
    });
    this.#body.tabIndex = 0;
    this.#body.setAttribute("role", "group");
    this.#body.setAttribute("aria-label", "Answer. Left and right arrows show the spikes of its tokens.");
    this.#body.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (by === undefined || event.target !== this.#body) return;
      event.preventDefault();
      const tokens = this.#tokens();
      const here = tokens.findIndex((token) => token.classList.contains("chosen"));
      const position = tokens[here]?.dataset.position;
      let next = here < 0 ? (by > 0 ? 0 : tokens.length - 1) : here + by;
      // A token in two pieces, half of it bold, is one.
      while (tokens[next] && tokens[next]?.dataset.position === position) next += by;
      choose(tokens[next]);
    });
  }

  #tokens(): HTMLElement[] {
    return [...this.#body.querySelectorAll<HTMLElement>(".token")];
  }
}
