// Markdown to elements. What a model writes is hostile: HTML in it is text, addresses are http, https or mailto, images are
// links, nesting is bounded, and every search goes forward only, so that no text takes more than its length (times a small
// number) of time. While an answer grows, only the blocks that changed are made anew.

import { copyFrom, element, icon } from "./dom.js";
import { inline, maximumDepth } from "./inline.js";

/** Renders a text into a container, which keeps what has not changed since the last time. */
export function renderMarkdown(container, text, say) {
    const blocks = parseBlocks(text.split(/\r\n?|\n/), 0);
    const before = container.blocks ?? [];
    let same = 0;
    while (same < blocks.length && same < before.length && blocks[same].source === before[same].source) same++;
    // A code block that grows keeps its place in the page, with what is selected and scrolled in it.
    let kept = same;
    if (same < blocks.length && same < before.length && blocks[same].growsFrom?.(before[same])) {
        container.children[same].querySelector("code").firstChild.data = blocks[same].code;
        kept++;
    }
    while (container.children.length > kept) container.lastChild.remove();
    for (const block of blocks.slice(kept)) container.append(block.render(say));
    container.blocks = blocks;
}

const fencePattern = /^ {0,3}(`{3,}(?=[^`]*$)|~{3,})(.*)$/;
const headingPattern = /^ {0,3}(#{1,6})(?![^ \t])(.*)$/;
const rulePattern = /^ {0,3}(?:\*[ \t]*\*[ \t]*\*[* \t]*|-[ \t]*-[ \t]*-[- \t]*|_[ \t]*_[ \t]*_[_ \t]*)$/;
const quotePattern = /^ {0,3}> ?/;
const itemPattern = /^( {0,3})([-*+]|\d{1,9}[.)])(?:( +|\t)(.*))?$/;
const delimiterCell = /^:?-+:?$/;

/** The blocks of lines: objects with their source and how they are rendered. */
function parseBlocks(lines, depth) {
    const blocks = [];
    let at = 0;
    const add = (end, render, more) => {
        blocks.push({ source: lines.slice(at, end).join("\n"), render, ...more });
        at = end;
    };
    while (at < lines.length) {
        const line = lines[at];
        if (line.trim() === "") {
            at++;
            continue;
        }
        const fence = fencePattern.exec(line);
        if (fence) {
            addCode(lines, at, fence, add);
            continue;
        }
        const heading = headingPattern.exec(line);
        if (heading) {
            add(at + 1, () => element("h" + heading[1].length, {}, inline(headingText(heading[2]))));
            continue;
        }
        if (rulePattern.test(line)) {
            add(at + 1, () => element("hr"));
            continue;
        }
        if (quotePattern.test(line) && depth < maximumDepth) {
            let end = at + 1;
            while (end < lines.length && lines[end].trim() !== "" && (quotePattern.test(lines[end]) || !startsBlock(lines[end]))) end++;
            const inner = lines.slice(at, end).map((text) => text.replace(quotePattern, ""));
            add(end, (say) => element("blockquote", {}, ...parseBlocks(inner, depth + 1).map((block) => block.render(say))));
            continue;
        }
        if (itemPattern.test(line) && depth < maximumDepth) {
            const { end, render } = parseList(lines, at, depth);
            add(end, render);
            continue;
        }
        const table = parseTable(lines, at);
        if (table) {
            add(table.end, table.render);
            continue;
        }
        let end = at + 1;
        while (end < lines.length && lines[end].trim() !== "" && !startsBlock(lines[end])) end++;
        const paragraph = lines.slice(at, end).map((text) => text.trim()).join("\n");
        add(end, () => element("p", {}, inline(paragraph)));
    }
    return blocks;
}

/** A heading's text without the signs that may close it. */
function headingText(text) {
    text = text.trim();
    let end = text.length;
    while (text[end - 1] === "#") end--;
    return end === 0 || /[ \t]/.test(text[end - 1]) ? text.slice(0, end).trim() : text;
}

/** Whether a line ends the paragraph before it. A number other than 1 may stand in a sentence. */
function startsBlock(line) {
    const item = itemPattern.exec(line);
    if (item && item[4]?.trim() && (!/\d/.test(item[2]) || parseInt(item[2], 10) === 1)) return true;
    return fencePattern.test(line) || headingPattern.test(line) || rulePattern.test(line) || quotePattern.test(line);
}

function addCode(lines, at, fence, add) {
    const mark = fence[1];
    let end = at + 1;
    const closes = (line) => {
        const text = line.trim();
        return text.length >= mark.length && /^ {0,3}[`~]/.test(line) && text === mark[0].repeat(text.length);
    };
    while (end < lines.length && !closes(lines[end])) end++;
    const indent = /^ */.exec(lines[at])[0].length;
    const code = lines.slice(at + 1, end).map((line) => line.slice(Math.min(indent, /^ */.exec(line)[0].length))).join("\n");
    const language = fence[2].trim().split(/\s+/)[0].slice(0, 40);
    add(Math.min(end + 1, lines.length), (say) => codeBlock(code, language, say), {
        code,
        language,
        growsFrom: (before) => before.code !== undefined && before.language === language && code.startsWith(before.code),
    });
}

function codeBlock(code, language, say) {
    const text = element("code", {}, document.createTextNode(code));
    const button = element("button", { type: "button", className: "copy" }, icon("copy"), element("span", {}, "Copy"));
    button.addEventListener("click", () => copyFrom(button, text.textContent, say));
    return element("div", { className: "code-block" },
        element("div", { className: "bar" }, element("span", {}, language || "text"), button),
        element("pre", { tabIndex: 0 }, text));
}

/** The list that begins at a line: its items, each of which is lines of its own. */
function parseList(lines, at, depth) {
    const first = itemPattern.exec(lines[at]);
    const isOrdered = /\d/.test(first[2]);
    const kind = first[2].at(-1);
    const items = [];
    let isLoose = false;
    let end = at;
    let indent = 0;
    while (end < lines.length) {
        const line = lines[end];
        const item = itemPattern.exec(line);
        const isItem = item && item[2].at(-1) === kind && /\d/.test(item[2]) === isOrdered && !rulePattern.test(line);
        const spaces = /^[ \t]*/.exec(line)[0].replace(/\t/g, "    ").length;
        if (line.trim() === "") {
            const next = behindEmptyLines(lines, end);
            if (next === lines.length || !belongs(lines[next], indent, kind)) break;
            isLoose ||= itemPattern.test(lines[next]);
            items.at(-1).push("");
            end = next;
            continue;
        } else if (items.length > 0 && spaces >= indent) {
            items.at(-1).push(line.replace(/\t/g, "    ").slice(indent));
        } else if (isItem) {
            indent = item[1].length + item[2].length + (item[4]?.trim() ? Math.min((item[3] ?? " ").length, 4) : 1);
            items.push([item[4] ?? ""]);
        } else if (items.length > 0 && lines[end - 1].trim() !== "" && !startsBlock(line)) {
            items.at(-1).push(line.trim());
        } else {
            break;
        }
        end++;
    }
    return { end, render: (say) => listElement(items, isOrdered ? parseInt(first[2], 10) : null, isLoose, depth, say) };
}

function behindEmptyLines(lines, at) {
    while (at < lines.length && lines[at].trim() === "") at++;
    return at;
}

/** Whether a line behind empty ones is still the list's. */
function belongs(line, indent, kind) {
    if (/^[ \t]*/.exec(line)[0].replace(/\t/g, "    ").length >= indent) return true;
    return itemPattern.exec(line)?.[2].at(-1) === kind;
}

function listElement(items, start, isLoose, depth, say) {
    const list = element(start === null ? "ul" : "ol", start === null || start === 1 ? {} : { start });
    for (const lines of items.map((item) => [...item])) {
        const item = element("li");
        const task = /^\[([ xX])\][ \t]+/.exec(lines[0]);
        if (task) {
            lines[0] = lines[0].slice(task[0].length);
            item.className = "task";
            item.append(element("input", { type: "checkbox", disabled: true, checked: task[1] !== " ", ariaLabel: "Done" }));
        }
        for (const block of parseBlocks(lines, depth + 1)) {
            const node = block.render(say);
            if (node.localName === "p" && !isLoose) item.append(...node.childNodes);
            else item.append(node);
        }
        list.append(item);
    }
    return list;
}

function cells(line) {
    const row = [];
    let cell = "";
    let text = line.trim();
    if (text.startsWith("|")) text = text.slice(1);
    for (let index = 0; index < text.length; index++) {
        if (text[index] === "\\" && text[index + 1] === "|") {
            cell += "|";
            index++;
        } else if (text[index] === "|") {
            row.push(cell.trim());
            cell = "";
        } else {
            cell += text[index];
        }
    }
    if (cell.trim() !== "") row.push(cell.trim());
    return row;
}

function parseTable(lines, at) {
    if (at + 1 >= lines.length || !lines[at].includes("|") || !lines[at + 1].includes("-")) return null;
    const head = cells(lines[at]);
    const rules = cells(lines[at + 1]);
    if (head.length !== rules.length || head.length === 0 || !rules.every((rule) => delimiterCell.test(rule))) return null;
    const alignment = rules.map((rule) => (rule.endsWith(":") ? (rule.startsWith(":") ? "center" : "right") : ""));
    let end = at + 2;
    while (end < lines.length && lines[end].trim() !== "" && (lines[end].includes("|") || !startsBlock(lines[end]))) end++;
    const rows = lines.slice(at + 2, end).map(cells);
    const row = (name, texts) =>
        element("tr", {}, ...alignment.map((side, index) => element(name, side ? { className: side } : {}, inline(texts[index] ?? ""))));
    return {
        end,
        render: () => element("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: "Table" },
            element("table", {}, element("thead", {}, row("th", head)), element("tbody", {}, ...rows.map((texts) => row("td", texts))))),
    };
}
