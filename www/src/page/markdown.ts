// Markdown to elements. Text of models and of files that people import is not trusted: no HTML of theirs, no images.
import DOMPurify from "dompurify";
import { Marked } from "marked";

const marked = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    // HTML is shown as what was written.
    html: ({ text }) => asText(text),
    // An answer's headings are not the page's.
    heading({ tokens }) {
      return `<p><strong>${this.parser.parseInline(tokens)}</strong></p>`;
    },
    // Fetching a picture would tell a stranger that it was asked for.
    image: ({ href, text }) => asText(text === "" ? href : text),
  },
});

// Nothing here may load, submit, style or name anything.
const TAGS = "p br hr strong em del code pre blockquote ul ol li table thead tbody tr th td a".split(" ");
const ATTRIBUTES = ["href", "title", "start"];

DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName !== "A") return;
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer");
});

/** The elements of a text in Markdown. */
export function renderMarkdown(source: string): DocumentFragment {
  const html = marked.parse(source, { async: false });
  return DOMPurify.sanitize(html, {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ATTRIBUTES,
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    RETURN_DOM_FRAGMENT: true,
  });
}

function asText(text: string): string {
  const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  return text.replace(/[&<>"]/g, (character) => entities[character] ?? character);
}
