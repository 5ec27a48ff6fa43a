// The page's one policy for Trusted Types. Where the browser has them, the page's Content-Security-Policy lets no plain text
// become a script's address or HTML: only what passes here, and what DOMPurify has made safe, which has a policy of its own.

/** The part of the browser's `trustedTypes` that is used here. */
interface Factory {
  createPolicy(name: string, rules: { createScriptURL: (url: string) => string }): Policy;
}

interface Policy {
  createScriptURL(url: string): unknown;
}

let policy: Policy | undefined;

/** The address of a script of this build, for a worker of any kind. Another server's is refused. */
export function trustedScript(url: string): string {
  const { trustedTypes } = globalThis as { trustedTypes?: Factory };
  policy ??= trustedTypes?.createPolicy("mar", { createScriptURL: ownScript });
  // For types it is a text, as workers' types know no other.
  return (policy?.createScriptURL(url) as string | undefined) ?? ownScript(url);
}

/** The address itself, if it lies where this script came from. */
function ownScript(url: string): string {
  const { href, origin } = new URL(url, import.meta.url);
  if (origin !== new URL(import.meta.url).origin) throw new TypeError(`${href} is not a script of this page's`);
  return href;
}
