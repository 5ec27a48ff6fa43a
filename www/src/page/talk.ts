// The conversation that is open: asking, answering, branching. Its state is here and nowhere else.
import type { Mar } from "../mar";
import { answer } from "./answering";
import type { Composer } from "./composer";
import {
  addTurn,
  type Conversation,
  emptyConversation,
  messagesOf,
  pathOf,
  removeTurn,
  showBranch,
  siblingsOf,
  type Turn,
} from "./conversation";
import { chatOptions, type Settings } from "./settings";
import { say, sentence, showRate } from "./status";
import type { Store } from "./store";
import type { Transcript } from "./transcript";

/** An answer that grows is kept this often, in milliseconds. */
const KEEP_EVERY = 2000;

const ENDS = { stop: "Done.", length: "The answer reached its longest length.", cancelled: "Stopped." } as const;

/** What others are told. */
export interface TalkEvents {
  /** What is shown or possible has changed. */
  onChange: () => void;
  /** An answer is about to begin. */
  onBegin: (turn: Turn) => void;
  /** It has ended, somehow. */
  onEnd: () => void;
  /** An answer is whole: for screen readers. */
  onAnswer: (text: string) => void;
  /** The engine knows a conversation of before again. */
  onRecall: (path: Turn[]) => void;
  /** Another conversation is open: what the instruments show is of the one before. */
  onOpen: () => void;
}

/** The parts that it works with. */
export interface TalkParts {
  store: Store;
  settings: Settings;
  transcript: Transcript;
  composer: Composer;
}

/** A conversation with an engine. */
export class Talk {
  chat: Conversation;
  #engine: Mar | undefined;
  #busy = false;
  /** The conversation whose tokens the engine has seen, and the turn it has seen last. */
  #inEngine: { id: string; leaf: string } | undefined;
  readonly #parts: TalkParts;
  readonly #events: TalkEvents;

  constructor(parts: TalkParts, events: TalkEvents) {
    this.#parts = parts;
    this.#events = events;
    this.chat = emptyConversation(parts.settings.system);
  }

  /** Whether an answer is being made. */
  get busy(): boolean {
    return this.#busy;
  }

  /** The engine that answers; `undefined` while there is none. Returns once it knows the open conversation again. */
  async use(engine: Mar | undefined): Promise<void> {
    this.#engine = engine;
    this.#inEngine = undefined;
    await this.#recall();
    this.#show();
  }

  /** Asks something at the end of the conversation. */
  async send(text: string): Promise<void> {
    await this.#ask(this.chat.leaf, text);
  }

  /** Asks something in the place of an earlier question: a branch. What both have in common is not computed again. */
  async edit(turn: Turn, text: string): Promise<void> {
    await this.#ask(turn.parent, text);
  }

  /** Another answer to the same question: a branch too. */
  async regenerate(turn: Turn): Promise<void> {
    const question = this.chat.turns.find(({ id }) => id === turn.parent);
    if (!question || this.#busy || !this.#engine) return;
    await this.#answer(this.#engine, question);
  }

  /** Answers the last question, where the answer was lost. */
  async resume(): Promise<void> {
    const last = pathOf(this.chat).at(-1);
    if (last?.role === "user" && this.#engine && !this.#busy) await this.#answer(this.#engine, last);
  }

  /** Shows the branch beside a turn's. */
  branch(turn: Turn, by: number): void {
    const siblings = siblingsOf(this.chat, turn);
    const next = siblings[siblings.indexOf(turn) + by];
    if (!next || this.#busy) return;
    showBranch(this.chat, next);
    this.#show();
    void this.#keep();
  }

  stop(): void {
    this.#engine?.stop();
  }

  /** Begins a new conversation; the one before is kept. */
  startOver(): void {
    this.#open(emptyConversation(this.#parts.settings.system));
  }

  /** Goes on with a conversation. */
  async open(chat: Conversation): Promise<void> {
    this.#open(chat);
    await this.#recall();
  }

  /** Says what the system prompt is from now on. */
  set system(text: string) {
    this.chat.system = text;
    if (this.chat.turns.length > 0) void this.#keep();
  }

  #open(chat: Conversation): void {
    if (this.#busy) return;
    this.chat = chat;
    this.#parts.transcript.clear();
    showRate(undefined);
    this.#events.onOpen();
    this.#show();
    this.#parts.transcript.follow();
  }

  async #ask(parent: string | null, text: string): Promise<void> {
    if (this.#busy || !this.#engine) {
      this.#parts.composer.giveBack(text);
      return;
    }
    const before = this.chat.leaf;
    const question = addTurn(this.chat, parent, "user", text);
    await this.#answer(this.#engine, question, { text, before });
  }

  /** Answers `question`. Where nothing comes of it, what was typed is given back. */
  async #answer(engine: Mar, question: Turn, typed?: { text: string; before: string | null }): Promise<void> {
    const { transcript, composer, settings } = this.#parts;
    const before = typed ? typed.before : this.chat.leaf;
    const turn = addTurn(this.chat, question.id, "assistant", "");
    this.#setBusy(true);
    this.#events.onBegin(turn);
    transcript.follow();
    say("Reading.");
    showRate(undefined);
    let kept = 0;
    let taken = false;
    const takeBack = () => {
      taken = true;
      removeTurn(this.chat, turn, before);
      if (!typed) return;
      removeTurn(this.chat, question, before);
      composer.giveBack(typed.text);
    };
    try {
      this.#inEngine = { id: this.chat.id, leaf: turn.id };
      const messages = messagesOf(this.chat, question.id);
      const reply = await answer(engine, messages, chatOptions(settings), turn, {
        onPrefill: (done, total) => say(`Reading: ${done} of ${total} tokens.`),
        onToken: (rate) => {
          if (turn.marks?.length === 1) {
            say("Writing.");
            composer.settle();
          }
          showRate(rate);
          transcript.grow(turn.id);
          if (performance.now() - kept > KEEP_EVERY) {
            kept = performance.now();
            void this.#keep();
          }
        },
      });
      say(ENDS[reply.finish_reason]);
      if (reply.text === "" && reply.finish_reason === "cancelled") {
        takeBack();
      } else {
        if (reply.text === "") say("The model ended its answer at once. Ask in another way, or regenerate.");
        this.chat.model = engine.shape.name;
        showRate(reply.stats.decode_tokens_per_second);
        this.#events.onAnswer(reply.text);
      }
      // For scripts that read along.
      document.dispatchEvent(new CustomEvent("mar:reply", { detail: reply }));
    } catch (error) {
      this.#inEngine = undefined;
      say(`There is no answer. ${sentence(error)}.`, "trouble");
      // What has come of it stays.
      if (turn.content === "") takeBack();
    } finally {
      this.#setBusy(false);
      this.#events.onEnd();
      // Not from under the hands of somebody who is elsewhere by now.
      if (document.activeElement === document.body) composer.focus();
      if (this.chat.turns.length > 0) {
        await this.#keep();
        // After an answer that was taken back the engine is further than the conversation: what was kept before is better.
        if (!taken) await this.#remember(engine);
      }
    }
  }

  #setBusy(busy: boolean): void {
    this.#busy = busy;
    this.#show();
  }

  #show(): void {
    this.#parts.transcript.show(this.chat, this.#busy || !this.#engine);
    this.#parts.composer.ready = this.#engine !== undefined && !this.#busy;
    this.#parts.composer.replying = this.#busy;
    this.#events.onChange();
  }

  async #keep(): Promise<void> {
    try {
      await this.#parts.store.put(this.chat);
      this.#events.onChange();
    } catch (error) {
      say(`This conversation could not be kept: ${sentence(error)}. Export it, or delete others.`, "trouble");
    }
  }

  /** Keeps the engine's state, so that nobody computes it again after a reload. */
  async #remember(engine: Mar): Promise<void> {
    const { id, leaf } = this.chat;
    if (leaf === null || this.#inEngine?.id !== id || this.#busy || engine !== this.#engine) return;
    try {
      const bytes = await engine.state.save();
      await this.#parts.store.putState({ id, leaf, model: engine.shape.name, bytes, updated: Date.now() });
    } catch {
      // It costs a prefill, no more.
    }
  }

  /** Gives the engine the state of the open conversation, where it was kept. */
  async #recall(): Promise<void> {
    const { id, leaf } = this.chat;
    if (!this.#engine || leaf === null) return;
    if (this.#inEngine?.id === id) {
      this.#events.onRecall(pathOf({ ...this.chat, leaf: this.#inEngine.leaf }));
      return;
    }
    // While this waits, somebody may send a message, or open another conversation.
    const here = () => this.chat.id === id && this.chat.leaf === leaf && !this.#busy;
    try {
      const kept = await this.#parts.store.state(id);
      if (!here() || kept?.leaf !== leaf || kept.model !== this.#engine.shape.name) return;
      await this.#engine.state.load(kept.bytes);
      if (!this.#busy) this.#inEngine = { id, leaf };
      if (here()) this.#events.onRecall(pathOf(this.chat));
    } catch {
      // A state of other weights, or a damaged one: the conversation is read again instead.
    }
  }
}
