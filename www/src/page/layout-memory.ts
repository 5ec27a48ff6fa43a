// How the person has arranged the page, kept in this browser.

const KEY = "mar:layout";

/** Sizes and what is open. What is not there is as the style sheet says. */
export interface Arrangement {
  /** The instruments' share of the width, and on a phone of the height, in percent. */
  width?: number;
  height?: number;
  /** Whether the instruments are there. */
  open?: boolean;
  /** Panels by name. */
  panels: Record<string, { open?: boolean; height?: number }>;
}

/** What was there before. */
export function readArrangement(): Arrangement {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Arrangement>;
    return { ...kept, panels: typeof kept.panels === "object" ? kept.panels : {} };
  } catch {
    return { panels: {} };
  }
}

/** Keeps it, where storage allows it. */
export function keepArrangement(arrangement: Arrangement): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(arrangement));
  } catch {
    // It holds until the page is closed.
  }
}
