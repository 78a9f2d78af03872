// The page as a whole: asks, lets answer, stops, begins anew. The server keeps nothing of a conversation; each question
// sends all of it. What is shown follows from the conversation; an answer that runs is drawn once a frame.

import { listModels, streamChat } from "./api.js";
import { Answer, Conversation } from "./conversation.js";
import { element } from "./dom.js";
import { Settings } from "./settings.js";
import { messageView } from "./views.js";

const $ = (id) => document.getElementById(id);
const settings = new Settings($("settings-form"));
const conversation = new Conversation();
let views = [];
let models = [];
/** The answer that runs; null when none does. */
let running = null;
/** The question that is changed; null when a new one is written. */
let editing = null;

const page = {
    say, again, edit, sendResults,
    enterKey: () => openSettings("key"),
    isRunning: (message) => running?.message === message,
    isLast: (message) => conversation.messages[conversation.lastAnswer] === message,
};

/** Says something to those who don't see the page. */
function say(text) {
    $("status").textContent = "";
    requestAnimationFrame(() => ($("status").textContent = text));
}

// Drawing

const scroller = $("scroller");
/** Whether the end of the conversation stays in sight while it grows. */
let follows = true;

function toEnd() {
    follows = true;
    scroller.scrollTop = scroller.scrollHeight;
    $("to-end").hidden = true;
}

scroller.addEventListener("scroll", () => {
    follows = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 60;
    $("to-end").hidden = follows || conversation.messages.length === 0;
}, { passive: true });
new ResizeObserver(() => follows && toEnd()).observe(scroller);

/** Shows the conversation from a message on. */
function draw(from = 0) {
    for (const view of views.splice(from)) view.node.remove();
    for (const message of conversation.messages.slice(from)) {
        views.push(messageView(message, page));
        $("messages").append(views.at(-1).node);
    }
    for (const [index, view] of views.entries()) view.node.classList.toggle("old", index < views.length - 6);
    $("welcome").hidden = views.length > 0;
    update();
}

/** Shows what can be done now. */
function update() {
    $("send").hidden = running !== null;
    $("stop").hidden = running === null;
    $("send").disabled = $("prompt").value.trim() === "";
    $("new-chat").disabled = conversation.messages.length === 0;
    $("editing").hidden = editing === null;
    for (const [index, view] of views.entries()) view.node.classList.toggle("edited", conversation.messages[index] === editing);
}

// Asking and answering

function ask(text) {
    if (running) return;
    if (editing) conversation.messages.length = conversation.messages.indexOf(editing);
    editing = null;
    conversation.retries = 0;
    conversation.messages.push({ role: "user", content: text });
    setPrompt("");
    // The answer before it looks different now that it is not the last.
    answer(Math.max(0, conversation.messages.length - 2));
}

function again() {
    if (running || conversation.lastAnswer < 0) return;
    conversation.messages.length = conversation.lastAnswer;
    conversation.retries++;
    answer(conversation.messages.length);
}

function sendResults(message, results) {
    if (running) return;
    for (const [index, call] of message.calls.entries()) {
        call.result = results[index];
        conversation.messages.push({ role: "tool", content: call.result, id: call.id });
    }
    answer(conversation.messages.indexOf(message));
}

/** Lets the model answer; `from` is the first message that has to be drawn. */
async function answer(from) {
    const own = new Answer();
    let error = null;
    running = own;
    conversation.messages.push(own.message);
    draw(from);
    toEnd();
    say("Answering");
    try {
        if (models.length === 0) await loadModels();
        const request = conversation.request($("models").value || models[0], settings);
        await streamChat(request, settings.key, own.controller.signal, (chunk) => {
            own.take(chunk);
            own.frame ||= requestAnimationFrame((now) => drawRunning(own, now));
        });
    } catch (caught) {
        error = caught;
    }
    finish(own, error);
}

function drawRunning(own, now) {
    own.frame = 0;
    const view = views.at(-1);
    if (running !== own) return;
    view.paint();
    if (own.first && now - (own.counted ?? 0) > 250) {
        own.counted = now;
        view.count(own.figures);
    }
    if (follows) toEnd();
}

function finish(own, error) {
    own.finish(error);
    if (running !== own) return;
    running = null;
    conversation.keep();
    views.at(-1).finish();
    update();
    if (follows) toEnd();
    const { message } = own;
    say(message.error ?? (message.note === "stopped" ? "Stopped" : "The answer is complete"));
    if (message.status === 401) openSettings("key");
}

function stop() {
    running?.controller.abort();
}

// Beginning anew

function edit(message) {
    if (running) return;
    editing = message;
    setPrompt(message.content);
    update();
    $("prompt").focus();
}

function cancelEdit() {
    if (!editing) return;
    editing = null;
    setPrompt("");
    update();
}

function newChat() {
    stop();
    const before = conversation.messages;
    running = null;
    conversation.messages = [];
    conversation.retries = 0;
    cancelEdit();
    show(before, "The conversation is cleared.");
    $("prompt").focus();
}

/** Shows the conversation and offers to bring one back. */
function show(before, text) {
    conversation.keep();
    draw();
    toast(text, () => {
        if (running || conversation.messages.length > 0) return;
        conversation.messages = before;
        conversation.keep();
        draw();
        toEnd();
    });
}

let toastTimer = 0;
let undo = null;

function toast(text, action) {
    clearTimeout(toastTimer);
    undo = action;
    $("toast").firstElementChild.textContent = text;
    $("toast").hidden = false;
    toastTimer = setTimeout(() => ($("toast").hidden = true), 8000);
}

// Models and settings

async function loadModels() {
    models = await listModels(settings.key);
    const select = $("models");
    const before = select.value;
    select.replaceChildren(...models.map((name) => element("option", { value: name }, name)));
    if (models.includes(before)) select.value = before;
    select.hidden = models.length < 2;
    $("model").hidden = models.length > 1;
    $("model").textContent = $("model").title = models[0] ?? "Swiftlet";
    document.title = models.length === 1 ? models[0] + " · Swiftlet" : "Swiftlet";
}

function openSettings(field) {
    $("key-message").hidden = field !== "key";
    if (!$("settings-dialog").open) $("settings-dialog").showModal();
    if (field) settings.fields[field].focus();
}

$("settings-form").addEventListener("submit", (event) => {
    const problem = settings.problem;
    $("tools-message").textContent = problem;
    $("tools-message").hidden = problem === "";
    if (problem === "") return;
    event.preventDefault();
    $("tools-message").closest("details").open = true;
});
$("settings-dialog").addEventListener("close", () => {
    loadModels().catch(() => {});
    $("prompt").focus();
});
$("settings-dialog").addEventListener("click", (event) => {
    if (event.target === $("settings-dialog")) $("settings-dialog").close();
});
$("reset-settings").addEventListener("click", () => settings.reset());
$("open-settings").addEventListener("click", () => openSettings());

// Writing

const hasKeyboard = matchMedia("(hover: hover) and (pointer: fine)");

function setPrompt(text) {
    $("prompt").value = text;
    fitPrompt();
}

/** Where the style sheet can't do it, the field grows by its text here. */
function fitPrompt() {
    const area = $("prompt");
    if (!CSS.supports("field-sizing", "content")) {
        area.style.height = "auto";
        area.style.height = area.scrollHeight + "px";
    }
    $("send").disabled = area.value.trim() === "";
}

function submit() {
    const text = $("prompt").value.trim();
    if (text && !running) ask(text);
}

$("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
});
$("prompt").addEventListener("input", fitPrompt);
$("prompt").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing || event.shiftKey || event.altKey) return;
    if (!hasKeyboard.matches && !event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    submit();
});
document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || $("settings-dialog").open) return;
    if (running) stop();
    else cancelEdit();
});
$("stop").addEventListener("click", () => {
    stop();
    $("prompt").focus();
});
$("cancel-edit").addEventListener("click", cancelEdit);
$("new-chat").addEventListener("click", newChat);
$("to-end").addEventListener("click", toEnd);
$("toast").lastElementChild.addEventListener("click", () => {
    $("toast").hidden = true;
    undo();
});
$("suggestions").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) ask(button.textContent);
});

draw();
toEnd();
loadModels().catch((error) => {
    if (error.status === 401) openSettings("key");
    else say(error.message);
});
