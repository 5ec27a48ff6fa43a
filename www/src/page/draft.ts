// What is being typed outlives a reload, in this tab.

const KEY = "mar:draft";

/** The text that was there before. */
export function readDraft(): string {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

/** Keeps the text, where storage allows it. */
export function keepDraft(text: string): void {
  try {
    if (text === "") sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, text);
  } catch {
    // It is in the field all the same.
  }
}
