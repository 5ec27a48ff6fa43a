// Elements, made in one expression.

type Child = Node | string;
type Properties<Tag extends keyof HTMLElementTagNameMap> = Partial<
  Omit<HTMLElementTagNameMap[Tag], "dataset" | "style" | "children" | "attributes">
> & { testId?: string; attributes?: Record<string, string> };

/** An element of `tag` with properties, attributes and children. */
export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  properties: Properties<Tag> = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const { testId, attributes = {}, ...rest } = properties;
  const node = document.createElement(tag);
  Object.assign(node, rest);
  if (testId !== undefined) node.dataset.testid = testId;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** A button with a sentence for what it does. */
export function button(label: string, title: string, onClick: () => void): HTMLButtonElement {
  const node = make("button", { type: "button", className: "pic-button", textContent: label, title });
  node.addEventListener("click", onClick);
  return node;
}

/** A menu with its label before it. */
export function select(
  label: string,
  testId: string,
  onChange: (value: string) => void,
): { field: HTMLLabelElement; menu: HTMLSelectElement } {
  const menu = make("select", { testId });
  menu.addEventListener("change", () => onChange(menu.value));
  return { field: make("label", { className: "pic-field" }, make("span", { textContent: label }), menu), menu };
}

/** The word that goes with everything that was not measured. */
export function estimate(): HTMLElement {
  return make("span", {
    className: "pic-estimate",
    textContent: "estimate",
    title: "Counted operations times published prices of a 45 nm chip. No browser can measure joules.",
  });
}

/** What only screen readers get. `live` tells it when it changes, after what is being said. */
export function spoken(live: boolean): HTMLElement {
  return make("p", { className: "spoken", attributes: live ? { "aria-live": "polite" } : {} });
}

let last = 0;

/** An id for a label or a description, used once in the page. */
export function uniqueId(): string {
  last += 1;
  return `pic-${last}`;
}

const SVG = "http://www.w3.org/2000/svg";

/** An SVG element. Colours come from classes, so that themes reach them. */
export function svg(tag: string, attributes: Record<string, string | number>, ...children: Child[]): SVGElement {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  node.append(...children);
  return node;
}

let still: MediaQueryList | undefined;

/** Whether the person asked for less motion. Cheap enough to be asked at every frame. */
export function stillness(): boolean {
  still ??= matchMedia("(prefers-reduced-motion: reduce)");
  return still.matches;
}
