// The page: a model, a chat, and what the last reply took.
import "./style.css";
import { type ChatOptions, Mar, type Message } from "./mar";
import { element } from "./page/element";
import { showFigures } from "./page/figures";
import { formatBytes } from "./page/format";
import { fillMenu } from "./page/models";
import { readQuery } from "./page/query";
import { Transcript } from "./page/transcript";

const menu = element("model", HTMLSelectElement);
const load = element("load", HTMLDivElement);
const progress = element("progress", HTMLProgressElement);
const loadText = element("load-text", HTMLSpanElement);
const status = element("status", HTMLParagraphElement);
const runsOn = element("runs-on", HTMLParagraphElement);
const prompt = element("prompt", HTMLTextAreaElement);
const send = element("send", HTMLButtonElement);
const stop = element("stop", HTMLButtonElement);
const clear = element("clear", HTMLButtonElement);
const figures = element("figures", HTMLDListElement);
const transcript = new Transcript(element("transcript", HTMLOListElement));

const query = readQuery(location.search);
let engine: Mar | undefined;
let messages: Message[] = [];

/** What the person can do now. */
function allow(state: "loading" | "no model" | "idle" | "replying"): void {
  menu.disabled = state === "loading" || state === "replying";
  send.disabled = state !== "idle";
  stop.disabled = state !== "replying";
  clear.disabled = state !== "idle" || messages.length === 0;
  load.hidden = state !== "loading";
}

/** A sentence, for eyes and screen readers. */
function say(sentence: string, wrong = false): void {
  status.textContent = sentence;
  status.classList.toggle("wrong", wrong);
}

function sentence(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.charAt(0).toUpperCase() + message.slice(1);
}

async function loadModel(): Promise<void> {
  startOver();
  allow("loading");
  say("");
  runsOn.textContent = "";
  progress.value = 0;
  loadText.textContent = "connecting";
  try {
    engine?.dispose();
    const mar = Mar.open(menu.value, { backend: query.backend });
    engine = mar;
    // For scripts.
    Object.assign(window, { mar });
    mar.on("progress", ({ received, total }) => {
      progress.value = received / total;
      loadText.textContent = `${formatBytes(received)} of ${formatBytes(total)}`;
    });
    mar.on("prefill", ({ done, total }) => say(`Reading: ${done} of ${total} tokens.`));
    mar.on("trouble", (trouble) => say(sentence(trouble), true));
    await mar.ready;
    runsOn.textContent = `Runs on ${mar.backend.name}: ${mar.backend.why}.`;
    say(`${mar.shape.name} is ready.`);
    allow("idle");
    prompt.focus();
  } catch (error) {
    say(`The model could not be loaded. ${sentence(error)}.`, true);
    allow("no model");
  }
}

function startOver(): void {
  messages = [];
  transcript.clear();
  figures.replaceChildren();
}

/** The number in an input; `undefined` where it is empty. */
function numberIn(id: string): number | undefined {
  const { value, valueAsNumber } = element(id, HTMLInputElement);
  return value === "" ? undefined : valueAsNumber;
}

function options(): ChatOptions {
  const [temperature, max_tokens, seed] = ["temperature", "max-tokens", "seed"].map(numberIn);
  return {
    ...(temperature !== undefined && { temperature }),
    ...(max_tokens !== undefined && { max_tokens }),
    // Another seed for every turn, or the same question would always get the same answer.
    seed: ((seed ?? 0) + messages.length) >>> 0,
  };
}

/** Undoes a turn that got no reply: its text can be changed and sent again. */
function takeBack(text: string): void {
  messages.pop();
  transcript.removeLast();
  transcript.removeLast();
  prompt.value = text;
}

async function reply(text: string): Promise<void> {
  if (!engine) return;
  messages.push({ role: "user", content: text });
  transcript.add("user", text);
  const body = transcript.add("assistant", "");
  allow("replying");
  say("Reading.");
  transcript.busy = true;
  try {
    const reply = await engine.generate(messages, options(), (text) => {
      say("Writing.");
      body.append(text);
      transcript.follow();
    });
    if (reply.text === "" && reply.finish_reason === "cancelled") {
      takeBack(text);
    } else {
      messages.push({ role: "assistant", content: reply.text });
    }
    showFigures(figures, reply);
    say({ stop: "Done.", length: "The reply reached its longest length.", cancelled: "Stopped." }[reply.finish_reason]);
    // For scripts that read along.
    document.dispatchEvent(new CustomEvent("mar:reply", { detail: reply }));
  } catch (error) {
    takeBack(text);
    say(`There is no reply. ${sentence(error)}.`, true);
  } finally {
    transcript.busy = false;
    allow("idle");
    prompt.focus();
  }
}

element("composer", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  const text = prompt.value.trim();
  if (text === "" || send.disabled) return;
  prompt.value = "";
  void reply(text);
});

prompt.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    prompt.form?.requestSubmit();
  }
});

addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !stop.disabled) engine?.stop();
});
stop.addEventListener("click", () => engine?.stop());
clear.addEventListener("click", () => {
  startOver();
  allow("idle");
  prompt.focus();
});
element("sampling", HTMLFormElement).addEventListener("submit", (event) => event.preventDefault());
menu.addEventListener("change", () => void loadModel());

allow("loading");
await fillMenu(menu, query.model);
if (menu.options.length > 0) {
  await loadModel();
} else {
  say("This server offers no models. Name one in the address: ?model=URL.", true);
  allow("no model");
}
