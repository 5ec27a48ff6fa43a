// One answer, from question to what it took.
import type { Mar } from "../mar";
import type { ChatOptions, Message, Reply } from "../mar/types";
import { type Mark, NOWHERE, type Took, type Turn } from "./conversation";

/** Who is told while an answer grows. */
export interface AnswerEvents {
  onPrefill: (done: number, total: number) => void;
  /** With the speed of the last tokens, where there are enough. */
  onToken: (tokensPerSecond: number | undefined) => void;
}

/** The speed that is shown while an answer grows is that of its last tokens. */
const WINDOW = 16;

/** Asks the engine, and writes what it says into `turn`: after what is there already, where an answer goes on. */
export async function answer(
  engine: Mar,
  messages: Message[],
  options: ChatOptions,
  turn: Turn,
  events: AnswerEvents,
): Promise<Reply> {
  const { content: before, took } = turn;
  const marks: Mark[] = turn.marks ?? [];
  const times: number[] = [];
  turn.marks = marks;
  const off = [
    engine.on("prefill", ({ done, total }) => events.onPrefill(done, total)),
    engine.on("token", ({ text, position }) => {
      // Where it goes on, what was there has been read again, perhaps in other tokens.
      if (times.length === 0 && before !== "" && marks.at(-1)?.position !== position - 1) {
        marks.splice(0, marks.length, { text: before, position: NOWHERE });
      }
      marks.push({ text, position });
      times.push(performance.now());
      const first = times.at(-WINDOW) ?? times[0] ?? 0;
      const count = Math.min(times.length, WINDOW) - 1;
      const last = times.at(-1) ?? first;
      events.onToken(count > 0 && last > first ? (count * 1000) / (last - first) : undefined);
    }),
  ];
  try {
    const reply = await engine.generate(messages, options, (text) => {
      turn.content += text;
    });
    turn.content = before + reply.text;
    turn.took = tookFrom(reply, took);
    delete turn.unfinished;
    return reply;
  } finally {
    for (const stop of off) stop();
  }
}

/** With what its beginning took, where it went on. */
function tookFrom({ tokens, stats, ledger, finish_reason }: Reply, before: Took | undefined): Took {
  return {
    tokens: tokens.length + (before?.tokens ?? 0),
    tokens_per_second: stats.decode_tokens_per_second,
    arithmetic_pj: ledger.reply.energy_pj.arithmetic + (before?.arithmetic_pj ?? 0),
    with_data_pj: ledger.reply.energy_pj.with_memory + (before?.with_data_pj ?? 0),
    finish_reason,
  };
}
