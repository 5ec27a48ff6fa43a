// What an error says, as a person would write it.

/** An error's message as a sentence: with a capital, unless it begins with an address, and with an end. */
export function sentence(error: unknown): string {
  const message = (error instanceof Error ? error.message : String(error)).trim();
  const capital = /^\w+:\/\//.test(message) ? message : message.charAt(0).toUpperCase() + message.slice(1);
  return message === "" || /[.?!…]$/.test(message) ? capital : `${capital}.`;
}
