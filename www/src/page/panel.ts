// One panel of the instruments: a title that folds it, a body, and a bar that makes it higher.
import { make } from "../pictures/common/dom";
import { type Arrangement, keepArrangement } from "./layout-memory";
import { makeSplitter } from "./splitter";

/** What a panel is. */
export interface PanelPlan {
  name: string;
  title: string;
  /** One sentence below the title's place, for whoever sees it first. */
  hint: string;
  /** The column in which it is, where there is room for two. */
  rank: 1 | 2;
  /** Whether its height may be changed: not where the content gives it. */
  resizable?: boolean;
  /** Whether it is closed until somebody wants it. */
  folded?: boolean;
}

/** A panel, and where its content goes. */
export interface Panel {
  plan: PanelPlan;
  section: HTMLDetailsElement;
  host: HTMLDivElement;
}

/** Heights that a person may give a panel, in pixels. */
const [LOWEST, HIGHEST] = [120, 1600];

/** Builds a panel as it was arranged before. */
export function buildPanel(plan: PanelPlan, arrangement: Arrangement): Panel {
  const memory = arrangement.panels[plan.name] ?? {};
  arrangement.panels[plan.name] = memory;
  const host = make("div", { className: "panel-body" });
  const title = make("h2", { textContent: plan.title });
  const hint = make("span", { className: "hint", textContent: plan.hint });
  const section = make("details", {
    className: "panel",
    open: memory.open ?? plan.folded !== true,
    id: `panel-${plan.name}`,
  });
  section.append(make("summary", {}, title, hint), host);
  section.addEventListener("toggle", () => {
    memory.open = section.open;
    keepArrangement(arrangement);
  });
  if (plan.resizable) {
    const bar = make("div", { className: "panel-bar" });
    const apply = () => host.style.setProperty("--height", memory.height === undefined ? "" : `${memory.height}px`);
    makeSplitter(bar, {
      label: `Height of ${plan.title}`,
      axis: () => "y",
      min: LOWEST,
      max: HIGHEST,
      step: 24,
      get: () => memory.height ?? host.clientHeight,
      set: (size) => {
        memory.height = Math.round(size);
        apply();
        keepArrangement(arrangement);
      },
      scale: (pixels) => pixels,
      reset: () => {
        delete memory.height;
        apply();
        keepArrangement(arrangement);
      },
    });
    apply();
    section.append(bar);
  }
  return { plan, section, host };
}
