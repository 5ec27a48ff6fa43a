// A whole chat with MAR. The page around it has a form, a list and a line for what happens.
import { Mar } from "../mar.js";

const [chat, form, text, send, status] = ["chat", "form", "text", "send", "status"].map((id) =>
  document.getElementById(id),
);
const say = (error) => (status.textContent = error.message);
const mar = Mar.open("../models/mar-smalltalk/");
const messages = [];
await mar.ready.catch(say);
status.textContent = `${mar.shape.name} runs on ${mar.backend.name}.`;
send.disabled = false;
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  send.disabled = true;
  chat.append(Object.assign(document.createElement("li"), { textContent: text.value }));
  const answer = chat.appendChild(document.createElement("li"));
  const question = { role: "user", content: text.value };
  text.value = "";
  try {
    const request = { messages: [...messages, question], stream: true };
    for await (const chunk of await mar.chat.completions.create(request))
      answer.append(chunk.choices[0].delta.content ?? "");
    messages.push(question, { role: "assistant", content: answer.textContent });
  } catch (error) {
    say(error);
  }
  send.disabled = false;
});
