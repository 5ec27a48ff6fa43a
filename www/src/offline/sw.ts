// The service worker: it has the page itself, in the version that it was built with, so that the page is there without a
// network. Models are none of its business: the store has them.
import { cleanupOutdatedCaches, precacheAndRoute } from "workbox-precaching";
import { registerRoute } from "workbox-routing";
import { NetworkFirst } from "workbox-strategies";

/** The files of the page; put in by offline.plugin.ts. */
declare const SHELL: { url: string; revision: string | null }[];

/** What a service worker has beside a page's words. */
declare const self: Window & {
  registration: ServiceWorkerRegistration;
  skipWaiting(): Promise<void>;
  addEventListener(type: "install", listener: (event: { waitUntil(work: Promise<unknown>): void }) => void): void;
};

/** The list of models is the server's as long as there is one. */
const LIST = new URL("models/index.json", self.registration.scope).href;
const LIST_CACHE = "mar-list";

// What an address asks of the page is read in the page.
precacheAndRoute(SHELL, { ignoreURLParametersMatching: [/./] });
cleanupOutdatedCaches();
registerRoute(({ url }) => url.href === LIST, new NetworkFirst({ cacheName: LIST_CACHE, networkTimeoutSeconds: 4 }));

self.addEventListener("install", (event) => {
  // The first visit has fetched it without us. A server may have none.
  const list = caches.open(LIST_CACHE).then((cache) => cache.add(LIST));
  event.waitUntil(list.catch(() => undefined));
});

self.addEventListener("message", ({ data }: MessageEvent<{ type?: string } | null>) => {
  if (data?.type === "SKIP_WAITING") void self.skipWaiting();
});
