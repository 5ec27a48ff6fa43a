// The page: a model, a chat with it, and instruments that show what it does.
import "./style/tokens.css";
import "./style/base.css";
import "./style/desk.css";
import "./style/chat.css";
import "./style/chats.css";
import "./style/instruments.css";
import "./style/dialogs.css";
import { AboutModels } from "./page/about-models";
import { breathe } from "./page/breathe";
import { Chats } from "./page/chats";
import { Composer } from "./page/composer";
import { element } from "./page/element";
import { Instruments } from "./page/instruments";
import { packCosts, unpackCosts } from "./page/keep/costs";
import { Store } from "./page/keep/store";
import { ModelMenu } from "./page/models";
import { openedBefore, rememberOpen } from "./page/open-chat";
import { readQuery } from "./page/query";
import { readSettings } from "./page/settings";
import { SettingsDialog } from "./page/settings-dialog";
import { ModelShelf } from "./page/shelf";
import { onRetry, say } from "./page/status";
import { Talk } from "./page/talk";
import { applyTheme } from "./page/themes";
import { Transcript } from "./page/transcript";
import { keepPage } from "./page/update";
import { Welcome } from "./page/welcome";
import { Tour } from "./tour/tour";

const query = readQuery(location.search);
const settings = readSettings();
applyTheme(settings.theme);
const store = await Store.open();
const instruments = new Instruments();
// In a task of its own, as what follows: no task may hold up the person.
const { Panels } = await import("./page/panels");
// Before all that a person can use: what these are told comes later.
const panels = new Panels(instruments, {
  onChoose: (position) => transcript.choose(position),
  onNote: (note) => say(note),
  onCosts: async (answer) => {
    const kept = await store.costs(talk.chat.id, answer).catch(() => undefined);
    return kept && unpackCosts(kept.bytes);
  },
});
await breathe();
const heard = element("heard", HTMLParagraphElement);
const newChat = element("new-chat", HTMLButtonElement);
const elsewhere = element("elsewhere", HTMLDivElement);

const transcript = new Transcript({
  onEdit: (turn, text) => void talk.edit(turn, text),
  onResume: () => void talk.resume(),
  onGoOn: (turn) => void talk.goOn(turn),
  onRegenerate: (turn) => void talk.regenerate(turn),
  onBranch: (turn, by) => talk.branch(turn, by),
  onToken: (turn, position) => {
    transcript.choose(position, turn.id);
    void panels.jump(turn.id, position);
  },
});
const composer = new Composer({ onSend: (text) => void talk.send(text), onStop: () => talk.stop() });
const talk = new Talk(
  { store, settings, transcript, composer },
  {
    onChange: () => {
      welcome.show(talk.chat.turns.length === 0, models.engine !== undefined);
      welcome.offer(models.larger);
      newChat.disabled = talk.busy;
      elsewhere.hidden = !talk.reads;
      void chats.refresh();
      rememberOpen(talk.chat);
    },
    onBegin: (_, turn) => panels.begin(turn.id),
    onEnd: ({ id }, turn) => {
      const costs = panels.end();
      if (costs.length === 0) return;
      const bytes = packCosts(costs);
      // Without them the numbers of this answer end with the page.
      store.putCosts({ id, turn: turn.id, bytes, updated: Date.now() }).catch(() => undefined);
    },
    onAnswer: (text) => {
      heard.textContent = `MAR says: ${text}`;
    },
    onRecall: (path) => {
      for (const { id, marks } of path) if (marks) panels.own(id, marks);
    },
    onOpen: () => {
      panels.clear();
    },
  },
);
const chats = new Chats(store, talk);
const tour = new Tour({
  instruments,
  ready: () => models.engine !== undefined && !talk.busy,
  say: (text) => void talk.send(text),
  shape: () => models.engine?.shape,
});
const welcome = new Welcome({
  onExample: (text) => void talk.send(text),
  onTour: () => tour.start(),
  onModel: (folder) => void models.choose(folder),
  onCompare: () => void about.open(),
});
const shelf = new ModelShelf();
const models = new ModelMenu(query, settings, {
  // Nobody takes the model from under an answer.
  onLeave: () => talk.halt(),
  onUse: async (engine) => {
    panels.use(engine);
    await talk.use(engine);
    about.refresh();
    await shelf.refresh();
  },
});
const about = new AboutModels(() => models.described);
new SettingsDialog(settings, {
  chat: () => talk.chat,
  onSystem: (text) => {
    talk.system = text;
  },
  onBackend: () => {
    // What is chosen on the page goes before what its address said.
    query.backend = undefined;
    void models.load();
  },
});

element("open-tour", HTMLButtonElement).addEventListener("click", () => tour.start());
newChat.addEventListener("click", () => {
  talk.startOver();
  composer.focus();
});
element("claim", HTMLButtonElement).addEventListener("click", () => void talk.claim());
onRetry(() => void models.load());

const before = await openedBefore(store);
if (before) await talk.open(before);
welcome.show(talk.chat.turns.length === 0, false);
if (!store.lasting) say("This browser denies storage: conversations end with the page.", "trouble");
keepPage();
// Not when the model is there, which may be long after: the person may be elsewhere by then.
composer.focus();
await models.fill(before?.model);
