// The pictures: each takes a host element and plain data, and knows neither the engine nor the page.
import "./pictures.css";
import "./raster/raster.css";
import "./membrane.css";
import "./firing-map.css";
import "./energy/energy.css";
import "./dial/dial.css";
import "./speed/speed.css";

export type { TokenCost } from "./cost";
export { Dial, type DialEvents, type Effect } from "./dial/dial";
export { EnergyPanel, type EnergyPanelEvents } from "./energy/panel";
export { FiringMap, type FiringMapEvents } from "./firing-map";
export { MembraneTrace } from "./membrane";
export { Raster, type RasterEvents } from "./raster/raster";
export { SpeedPanel } from "./speed/panel";
