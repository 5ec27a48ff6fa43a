// What a model says of itself that is not in this server's list. It is asked only when the person wants to know.
import { trustedScript } from "../engine/trusted";
import type { Answer } from "./elsewhere.worker";
import workerUrl from "./elsewhere.worker?worker&url";

/** The content of the metrics.json in a folder; fails with the reason why nothing is known. */
export async function metricsAt(folder: string): Promise<unknown> {
  const url = new URL(`${folder.replace(/\/$/, "")}/metrics.json`, document.baseURI).href;
  const worker = new Worker(trustedScript(workerUrl), { type: "module" });
  try {
    const answer = await new Promise<Answer>((resolve) => {
      worker.onmessage = ({ data }: MessageEvent<Answer>) => resolve(data);
      worker.onerror = () => resolve({ problem: "the worker that asks for it could not start" });
      worker.postMessage(url);
    });
    if ("problem" in answer) throw new Error(answer.problem);
    return answer.json;
  } finally {
    worker.terminate();
  }
}
