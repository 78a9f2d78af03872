// The text within a block of Markdown: emphasis, code, links. See markdown.js for what holds of both.

import { element } from "./dom.js";

/** How deep blocks and emphasis may nest. */
export const maximumDepth = 12;

const escapable = /[!-/:-@[-`{-~]/;
const addressStart = /https?:\/\/[^\s<>"]/iy;
const angleStart = /<(?:https?:\/\/|mailto:)/iy;

/** A text with emphasis, code and links, as a fragment. */
export function inline(text, depth = 0) {
    const fragment = document.createDocumentFragment();
    let plain = "";
    const flush = () => {
        if (plain) fragment.append(plain);
        plain = "";
    };
    // What was looked for once and not found further on is not looked for again.
    const missing = new Map();
    let at = 0;
    while (at < text.length) {
        const found = depth < maximumDepth ? span(text, at, depth, missing) : null;
        if (found) {
            flush();
            fragment.append(found.node);
            at = found.end;
        } else if (text[at] === "\\" && escapable.test(text[at + 1] ?? "")) {
            plain += text[at + 1];
            at += 2;
        } else if (text[at] === "\n") {
            if (plain.endsWith("\\")) plain = plain.slice(0, -1);
            flush();
            fragment.append(element("br"));
            at++;
        } else {
            plain += text[at];
            at++;
        }
    }
    flush();
    return fragment;
}

/** What begins at a place and is more than a character. */
function span(text, at, depth, missing) {
    switch (text[at]) {
        case "`": return codeSpan(text, at, missing);
        case "*": case "_": case "~": return emphasis(text, at, depth, missing);
        case "[": return link(text, at, depth);
        case "!": return text[at + 1] === "[" ? link(text, at + 1, depth) : null;
        case "<": return angleAddress(text, at);
        case "h": case "H": return bareAddress(text, at);
        default: return null;
    }
}

/** The next place of a text; -1 is remembered. */
function find(text, part, from, missing) {
    if (missing.has(part) && from >= missing.get(part)) return -1;
    const place = text.indexOf(part, from);
    if (place < 0) missing.set(part, Math.min(from, missing.get(part) ?? Infinity));
    return place;
}

function runLength(text, at) {
    let end = at + 1;
    while (text[end] === text[at]) end++;
    return end - at;
}

function codeSpan(text, at, missing) {
    if (text[at - 1] === "`") return null;
    const length = runLength(text, at);
    const mark = "`".repeat(length);
    let close = find(text, mark, at + length, missing);
    while (close >= 0 && runLength(text, close) !== length) close = find(text, mark, close + runLength(text, close), missing);
    if (close < 0) {
        missing.set(mark, at);
        return null;
    }
    let code = text.slice(at + length, close).replace(/\n/g, " ");
    if (code.startsWith(" ") && code.endsWith(" ") && code.trim() !== "") code = code.slice(1, -1);
    return { node: element("code", {}, code), end: close + length };
}

const isSpace = (character) => character === undefined || /\s/.test(character);
const isWord = (character) => character !== undefined && /[\p{L}\p{N}]/u.test(character);

function emphasis(text, at, depth, missing) {
    const sign = text[at];
    if (text[at - 1] === sign && text[at - 2] !== "\\") return null;
    const run = runLength(text, at);
    if (run > 3 || (sign === "~" && run !== 2) || isSpace(text[at + run])) return null;
    if (sign === "_" && isWord(text[at - 1])) return null;
    const mark = sign.repeat(run);
    const key = "emphasis" + mark;
    if (missing.has(key) && at >= missing.get(key)) return null;
    let close = at + run;
    while (close < text.length) {
        const character = text[close];
        if (character === "\\") close += 2;
        else if (character === "`") close = codeSpan(text, close, missing)?.end ?? close + runLength(text, close);
        else if (character === sign) {
            const length = runLength(text, close);
            if (length >= run && !isSpace(text[close - 1]) && !(sign === "_" && isWord(text[close + length])) && (length === run || run !== 1 || length === 3)) {
                const inner = inline(text.slice(at + run, close + length - run), depth + 1);
                let node = element(sign === "~" ? "del" : run === 1 ? "em" : "strong", {}, inner);
                if (run === 3) node = element("em", {}, node);
                return { node, end: close + length };
            }
            close += length;
        } else close++;
    }
    missing.set(key, at);
    return null;
}

/** The address as a link may have it: absolute, http, https or mailto. */
function safeAddress(text) {
    const address = text.trim();
    if (address.length > 2048 || !/^(https?:\/\/|mailto:)/i.test(address) || /[\u0000-\u0020\u007f]/.test(address)) return null;
    try {
        const url = new URL(address);
        return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : null;
    } catch {
        return null;
    }
}

function anchor(href, content) {
    return element("a", { href, target: "_blank", rel: "noopener noreferrer nofollow", title: href }, content);
}

function link(text, at, depth) {
    let close = at + 1;
    let open = 1;
    while (close < text.length && close < at + 500) {
        if (text[close] === "\\") close++;
        else if (text[close] === "[") open++;
        else if (text[close] === "]" && --open === 0) break;
        close++;
    }
    if (text[close] !== "]" || text[close + 1] !== "(") return null;
    let end = close + 2;
    let parentheses = 1;
    while (end < text.length && end < close + 2100) {
        if (text[end] === "\\") end++;
        else if (text[end] === "(") parentheses++;
        else if (text[end] === ")" && --parentheses === 0) break;
        else if (text[end] === "\n") return null;
        end++;
    }
    if (text[end] !== ")") return null;
    const target = text.slice(close + 2, end).trim().replace(/\s+(?:"[^"]*"|'[^']*')$/, "").replace(/^<(.*)>$/, "$1");
    const href = safeAddress(target);
    if (!href) return null;
    const label = text.slice(at + 1, close);
    // A link within a link is text.
    return { node: anchor(href, label.trim() ? withoutLinks(inline(label, depth + 1)) : href), end: end + 1 };
}

function withoutLinks(fragment) {
    for (const inner of fragment.querySelectorAll("a")) inner.replaceWith(...inner.childNodes);
    return fragment;
}

function angleAddress(text, at) {
    angleStart.lastIndex = at;
    if (!angleStart.test(text)) return null;
    const close = text.slice(at, at + 2050).indexOf(">");
    const href = close < 0 ? null : safeAddress(text.slice(at + 1, at + close));
    return href ? { node: anchor(href, text.slice(at + 1, at + close).replace(/^mailto:/i, "")), end: at + close + 1 } : null;
}

function bareAddress(text, at) {
    addressStart.lastIndex = at;
    if (isWord(text[at - 1]) || !addressStart.test(text)) return null;
    let end = at;
    while (end < text.length && end < at + 2048 && !/[\s<>"`|]/.test(text[end])) end++;
    let address = text.slice(at, end).replace(/[.,:;!?'*_~\])}]+$/, (tail) => (tail.startsWith(")") && text.slice(at, end - tail.length).includes("(") ? ")" : ""));
    const href = safeAddress(address);
    return href ? { node: anchor(href, address), end: at + address.length } : null;
}
