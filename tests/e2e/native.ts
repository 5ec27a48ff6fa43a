// The `mar` command, which the browser must agree with.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { environment } from "./environment";

/** What `mar generate --json` prints, as far as tests look at it. */
export interface Generated {
  text: string;
  tokens: number[];
  finish_reason: string;
  ledger: { spikes: number; ac: number; mac: number };
}

/** The native reply to `prompt`, greedy. */
export function generate(prompt: string, maxTokens: number): Generated {
  const model = join(__dirname, "../../models/mar-smalltalk");
  const sampling = ["--temperature", "0", "--max-tokens", String(maxTokens)];
  const flags = ["generate", model, "--backend", "cpu", "--json", "--prompt", prompt, ...sampling];
  return JSON.parse(execFileSync(environment("MAR"), flags, { encoding: "utf8" })) as Generated;
}
