// How messages look. A view has the message's node; an answer's also has `paint`, which shows what has come so far, and
// `finish`, which shows it as it stays. `page` says what the views need to know and can ask for:
// { say, again, edit, sendResults, enterKey, isRunning(message), isLast(message) }.

import { copyFrom, element, icon, iconButton } from "./dom.js";
import { renderMarkdown } from "./markdown.js";

export function messageView(message, page) {
    if (message.role === "user") return userView(message, page);
    // A function's result is shown with its call.
    if (message.role === "tool") return { node: element("li", { hidden: true }) };
    return new AnswerView(message, page);
}

function userView(message, page) {
    const copyButton = iconButton("copy", "Copy", () => copyFrom(copyButton, message.content, page.say));
    const node = element("li", { className: "message user" },
        element("span", { className: "hidden" }, "You:"),
        element("div", { className: "bubble" }, message.content),
        element("div", { className: "below" }, copyButton, iconButton("edit", "Change and ask again", () => page.edit(message))));
    return { node };
}

class AnswerView {
    constructor(message, page) {
        this.message = message;
        this.page = page;
        this.title = element("span");
        this.thoughts = element("div", { className: "inner text" });
        this.fold = element("details", { className: "fold" }, element("summary", {}, icon("chevron"), this.title), this.thoughts);
        this.fold.addEventListener("toggle", () => this.paint());
        this.text = element("div", { className: "text" });
        this.calls = element("div", { className: "calls" });
        this.waiting = element("span", { className: "waiting", role: "img", ariaLabel: "Waiting" }, element("i"), element("i"), element("i"));
        this.notice = element("div");
        this.figures = element("span", { className: "figures" });
        this.below = element("div", { className: "below" }, this.figures);
        this.node = element("li", { className: "message assistant" },
            element("span", { className: "hidden" }, "Answer:"), this.fold, this.text, this.calls, this.waiting, this.notice, this.below);
        if (page.isRunning(message)) this.paint();
        else this.finish();
    }

    paint() {
        const { message, page } = this;
        const isRunning = page.isRunning(message);
        const isThinking = isRunning && !message.content && !message.calls;
        this.node.classList.toggle("running", isRunning);
        this.fold.hidden = !message.reasoning;
        this.fold.classList.toggle("live", isThinking);
        this.title.textContent = isThinking ? "Thinking…" : thoughtTitle(message);
        // What is folded away costs nothing.
        if (this.fold.open) renderMarkdown(this.thoughts, message.reasoning ?? "", page.say);
        renderMarkdown(this.text, message.content, page.say);
        this.text.hidden = !message.content;
        this.waiting.hidden = !isRunning || Boolean(message.content || message.reasoning || message.calls);
        for (const [index, call] of (message.calls ?? []).entries()) this.paintCall(call, index);
    }

    paintCall(call, index) {
        const old = this.calls.children[index];
        const source = call.name + "\n" + call.arguments;
        if (old?.source === source) return;
        const card = callView(call);
        card.source = source;
        if (old) old.replaceWith(card);
        else this.calls.append(card);
    }

    /** Shows figures while the answer comes. */
    count(figures) {
        this.figures.textContent = figuresText(figures);
    }

    finish() {
        this.paint();
        const { message, page } = this;
        const isLast = page.isLast(message);
        const copyButton = iconButton("copy", "Copy", () => copyFrom(copyButton, message.content, page.say));
        this.figures.textContent = [message.note, message.figures && figuresText(message.figures, true)].filter(Boolean).join(" · ");
        this.below.replaceChildren(
            ...(message.content ? [copyButton] : []), ...(isLast && !message.error ? [iconButton("again", "Answer again", page.again)] : []), this.figures);
        this.notice.replaceChildren();
        if (message.error) this.notice.append(errorView(message, isLast, page));
        else if (isLast && message.calls?.some((call) => call.result === undefined)) this.askForResults();
    }

    /** Lets a person say what the functions gave. */
    askForResults() {
        const areas = this.message.calls.map(() => element("textarea", { rows: 2, className: "code" }));
        const labels = areas.map((area, index) => element("label", {}, "Result of ", element("code", {}, this.message.calls[index].name), area));
        const send = () => this.page.sendResults(this.message, areas.map((area) => area.value));
        this.notice.append(element("div", { className: "results" },
            ...labels, element("button", { type: "button", className: "primary", on: { click: send } }, "Send results")));
    }
}

function thoughtTitle({ thought }) {
    if (!thought) return "Thoughts";
    return "Thought for " + (thought < 10 ? thought.toFixed(1) : Math.round(thought)) + " s";
}

function figuresText({ tokens, rate, first }, isFinal = false) {
    const parts = [tokens + (tokens === 1 ? " token" : " tokens")];
    if (rate) parts.push((rate < 10 ? rate.toFixed(1) : Math.round(rate)) + " tok/s");
    if (isFinal) parts.push("first after " + (first < 1 ? Math.round(first * 1000) + " ms" : first.toFixed(1) + " s"));
    return parts.join(" · ");
}

function errorView(message, isLast, page) {
    const link = (text, action) => element("button", { type: "button", className: "link", on: { click: action } }, text);
    return element("div", { className: "notice", role: "alert" }, icon("warning"), element("p", {}, message.error),
        ...(message.status === 401 ? [link("Enter a key", page.enterKey)] : []),
        ...(isLast ? [link("Try again", page.again)] : []));
}

function callView(call) {
    let text = call.arguments;
    try {
        text = JSON.stringify(JSON.parse(text), null, 2);
    } catch {
        // It is still coming, or was cut off.
    }
    const code = (source) => element("pre", { tabIndex: 0 }, element("code", {}, source));
    return element("div", { className: "call" },
        element("div", { className: "head" }, icon("call"), element("span", {}, "Calls ", element("code", {}, call.name))), code(text),
        ...(call.result === undefined ? [] : [element("p", { className: "caption" }, "Result"), code(call.result)]));
}
