// The OpenAI shape of a reply, so that a page written for that API works with `Mar`.
import type { Mar } from "./mar";
import type { ChatOptions, Completion, CompletionChunk, CompletionRequest, Reply } from "./types";

/** Answers a request: whole, or as it comes. */
export async function create(
  mar: Mar,
  request: CompletionRequest,
): Promise<Completion | AsyncIterable<CompletionChunk>> {
  await mar.ready;
  const { messages, stream = false, stop, ...rest } = request;
  const options: ChatOptions = { ...rest, ...(stop !== undefined && { stop: [stop].flat() }) };
  const common = {
    id: `chatcmpl-${crypto.randomUUID()}`,
    created: Math.floor(Date.now() / 1000),
    model: mar.shape.name,
  };
  if (stream) return chunks(common, mar, (listener) => mar.generate(messages, options, listener));
  const reply = await mar.generate(messages, options);
  const { prompt_tokens, reply_tokens: completion_tokens } = reply.stats;
  const message = { role: "assistant", content: reply.text } as const;
  return {
    ...common,
    object: "chat.completion",
    choices: [{ index: 0, message, finish_reason: reasonOf(reply) }],
    usage: { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens },
  };
}

/** Texts as they come, then why it ended. Whoever leaves early stops the reply. */
async function* chunks(
  common: Pick<CompletionChunk, "id" | "created" | "model">,
  mar: Mar,
  generate: (listener: (text: string) => void) => Promise<Reply>,
): AsyncIterable<CompletionChunk> {
  type Choice = CompletionChunk["choices"][0];
  const chunk = (delta: Choice["delta"], finish_reason: Choice["finish_reason"]): CompletionChunk => ({
    ...common,
    object: "chat.completion.chunk",
    choices: [{ index: 0, delta, finish_reason }],
  });
  const texts: string[] = [];
  let wake = (): void => {};
  let ended = false;
  const reply = generate((text) => {
    texts.push(text);
    wake();
  }).finally(() => {
    ended = true;
    wake();
  });
  // Thrown below, when the texts before it have been read.
  reply.catch(() => {});
  try {
    yield chunk({ role: "assistant", content: "" }, null);
    while (!ended || texts.length > 0) {
      const content = texts.shift();
      if (content !== undefined) yield chunk({ content }, null);
      else
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
    yield chunk({}, reasonOf(await reply));
  } finally {
    if (!ended) mar.stop();
  }
}

/** OpenAI has no word for a reply that was broken off. */
function reasonOf(reply: Reply): "stop" | "length" {
  return reply.finish_reason === "length" ? "length" : "stop";
}
