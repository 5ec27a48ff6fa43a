// Which words on the page are which tokens.
import { type Mark, NOWHERE } from "./conversation";

/** Markup that is not shown between two shown characters is shorter than this: a link's address is the longest. */
const LONGEST_MARKUP = 200;

/** Wraps the text below `root` into one <span class="token"> a token, with its position in `data-position`. */
export function wrapTokens(root: Node, marks: readonly Mark[]): void {
  const source = marks.map(({ text }) => text).join("");
  const owner = new Uint32Array(source.length);
  let end = 0;
  marks.forEach(({ text }, index) => {
    owner.fill(index, end, end + text.length);
    end += text.length;
  });
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  const texts: Text[] = [];
  while (walker.nextNode()) texts.push(walker.currentNode as Text);
  // What is shown is what was written without its markup, in the same order.
  let place = 0;
  for (const text of texts) {
    const runs: { index: number | undefined; text: string }[] = [];
    for (const character of text.data) {
      const found = source.indexOf(character, place);
      const fits = found >= 0 && found - place < LONGEST_MARKUP;
      if (fits) place = found + character.length;
      const index = fits ? owner[found] : runs.at(-1)?.index;
      const run = runs.at(-1);
      if (run && run.index === index) run.text += character;
      else runs.push({ index, text: character });
    }
    text.replaceWith(...runs.map(({ index, text }) => wrapped(text, index === undefined ? undefined : marks[index])));
  }
}

function wrapped(text: string, mark: Mark | undefined): Node {
  if (!mark || mark.position === NOWHERE) return document.createTextNode(text);
  const span = document.createElement("span");
  span.className = "token";
  span.dataset.position = String(mark.position);
  span.textContent = text;
  return span;
}
