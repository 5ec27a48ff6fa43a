// The page's colours, for canvases. Their home is the page's style sheet, as custom properties.

const NAMES = {
  surface: "--surface",
  surface2: "--surface-2",
  line: "--line",
  text: "--text",
  text2: "--text-2",
  accent: "--accent",
  positive: "--positive",
  negative: "--negative",
  warn: "--warn",
} as const;

/** Colours of a theme, as canvases take them. */
export type Theme = Record<keyof typeof NAMES, string>;

/** The colours that hold at `host`. */
export function readTheme(host: HTMLElement): Theme {
  // A custom property's value may be `light-dark(…)` or another property; a real property's computed value is a colour.
  const probe = document.createElement("span");
  probe.hidden = true;
  host.append(probe);
  const colour = (name: string) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const entries = Object.entries(NAMES).map(([key, name]) => [key, colour(name)]);
  probe.remove();
  return Object.fromEntries(entries) as Theme;
}

/** Calls `listener` when the theme changes: the system's, or the page's by `data-theme` on <html>. */
export function onTheme(listener: () => void): () => void {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const page = new MutationObserver(listener);
  system.addEventListener("change", listener);
  page.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme", "class"] });
  return () => {
    system.removeEventListener("change", listener);
    page.disconnect();
  };
}

/** Red, green and blue of a colour in any notation, 0 … 255. */
export function rgb(colour: string): [number, number, number] {
  const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  if (!context) return [128, 128, 128];
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  const [r = 0, g = 0, b = 0] = context.getImageData(0, 0, 1, 1).data;
  return [r, g, b];
}
