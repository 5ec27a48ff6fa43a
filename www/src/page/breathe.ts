// The page is put together in several tasks, so that none holds up the person.

/** Lets the browser do what waits: a key, a click, a frame. */
export function breathe(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}
