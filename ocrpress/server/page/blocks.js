// Blocks of a page (JSON) -> elements. Everything a document says becomes text; nothing becomes markup or a link.

import { make } from "./dom.js";

const FURNITURE = new Set(["header", "footer", "page_number"]);
const ITEM = /^(\s*)([-*+•]|\d{1,9}[.)])(?:\s+(.*))?$/;
const NAMES = {
  page_number: "page number", header: "running head", footer: "running foot", equation: "formula",
};

/** What a kind of block is called. */
export function nameOf(kind) {
  return NAMES[kind] ?? String(kind);
}

/** Whether a block is a running head, a foot or a page number. */
export function isFurniture(block) {
  return FURNITURE.has(block.kind);
}

/** The block as an element. */
export function render(block) {
  if (block.rows?.length) return table(block.rows);
  const text = block.text ?? "";
  switch (block.kind) {
    case "heading":
      return make(`h${Math.min(6, 2 + Math.max(1, block.level || 1))}`, { text, class: `level-${block.level || 1}` });
    case "list":
      return list(text);
    case "code":
      return make("pre", { class: "code" }, make("code", { text }));
    case "equation":
      return make("pre", { class: "formula" }, make("code", { text }));
    case "figure":
      return make("div", { class: "figure" }, make("p", { text: text || "Figure" }));
    case "caption":
      return make("p", { class: "caption", text });
    default:
      return make("p", { class: FURNITURE.has(block.kind) ? "furniture" : "", text });
  }
}

/** Rows of cells; as in the Markdown, the first row heads the columns. */
function table(rows) {
  const row = (cells, tag, scope) => make("tr", {}, ...cells.map((text) => make(tag, { text, scope })));
  const [head, ...rest] = rows;
  return make(
    "div", { class: "table" },
    make("table", {},
      make("thead", {}, row(head, "th", "col")),
      make("tbody", {}, ...rest.map((cells) => row(cells, "td"))),
    ),
  );
}

/** Items one a line with their markers, nested ones indented. */
function list(text) {
  const root = make("div", { class: "list" });
  const open = []; // {indent, list, item} from the outermost on
  for (const line of text.split("\n").filter((one) => one.trim())) {
    const found = ITEM.exec(line);
    if (!found) {
      (open.at(-1)?.item ?? root).append(make("span", { class: "more", text: line.trim() }));
      continue;
    }
    const [, space, marker, said = ""] = found;
    const indent = space.replaceAll("\t", "    ").length;
    while (open.length && open.at(-1).indent > indent) open.pop();
    const ordered = /\d/.test(marker);
    if (!open.length || open.at(-1).indent < indent) open.push({ indent, ...level(open.at(-1)?.item ?? root, ordered) });
    const top = open.at(-1);
    top.item = make("li", { text: said, value: ordered ? Number.parseInt(marker, 10) : null });
    top.list.append(top.item);
  }
  return root;
}

function level(parent, ordered) {
  const found = make(ordered ? "ol" : "ul");
  parent.append(found);
  return { list: found };
}
