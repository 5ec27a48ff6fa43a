// The menu of models.
import { formatBytes } from "./format";

/** A model that this server offers. */
interface Offer {
  name: string;
  bytes: number;
}

/** Fills the menu; the chosen folder first if the address names one. */
export async function fillMenu(menu: HTMLSelectElement, asked: string | undefined): Promise<void> {
  const options: HTMLOptionElement[] = [];
  try {
    const response = await fetch("models/index.json");
    if (response.ok) {
      const offers = (await response.json()) as Offer[];
      options.push(...offers.map(({ name, bytes }) => new Option(`${name}, ${formatBytes(bytes)}`, `models/${name}/`)));
    }
  } catch {
    // No list, no offers: the address may still name a model, and the page says what to do if it does not.
  }
  if (asked !== undefined) options.unshift(new Option(asked, asked));
  menu.replaceChildren(...options);
}
