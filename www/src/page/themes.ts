// Dark or light.
import type { ThemeChoice } from "./settings";

/** Shows the page in the chosen colours, or the system's. */
export function applyTheme(choice: ThemeChoice): void {
  if (choice === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice;
}
