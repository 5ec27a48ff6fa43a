// Keeps the page for visits without a network, and says when there is a new version of it.
import { Workbox } from "workbox-window";
import { trustedScript } from "../engine/trusted";
import { element } from "./element";

/** Has the service worker installed, where the browser has such things. */
export function keepPage(): void {
  // Vite's own server has no service worker.
  if (!("serviceWorker" in navigator) || import.meta.env.DEV) return;
  const workbox = new Workbox(trustedScript(new URL("sw.js", document.baseURI).href));
  const bar = element("update", HTMLDivElement);
  let asked = false;
  let active = false;
  workbox.addEventListener("waiting", () => {
    bar.hidden = false;
  });
  workbox.addEventListener("controlling", ({ isUpdate }) => {
    // Another tab may have asked for it: this one is as it was until its person says so.
    active = true;
    if (asked) location.reload();
    else bar.hidden = isUpdate !== true;
  });
  element("update-reload", HTMLButtonElement).addEventListener("click", () => {
    asked = true;
    if (active) location.reload();
    else workbox.messageSkipWaiting();
  });
  element("update-later", HTMLButtonElement).addEventListener("click", () => {
    bar.hidden = true;
  });
  // Where it is denied, the page needs its server.
  workbox.register().catch(() => undefined);
}
