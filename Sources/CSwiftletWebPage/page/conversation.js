// The conversation: its messages, what of it is sent, and the answer that is being put together. Nothing here draws.
// A message is { role, content, reasoning?, thought?, calls?, figures?, note?, error?, status? }, with calls
// { id, name, arguments, result? }; it is kept in this tab, so that a reload loses nothing.

import { session, store, stored } from "./settings.js";

const storageName = "swiftlet.conversation";
const roles = ["user", "assistant", "tool"];

export class Conversation {
    constructor() {
        const value = stored(session, storageName);
        const isMessage = (message) => message && typeof message.content === "string" && roles.includes(message.role);
        this.messages = Array.isArray(value) ? value.filter(isMessage) : [];
        /** How often the last question was answered again. */
        this.retries = 0;
    }

    keep() {
        store(session, storageName, this.messages);
    }

    get lastAnswer() {
        return this.messages.findLastIndex((message) => message.role === "assistant");
    }

    /** A request for the next answer. */
    request(model, settings) {
        const list = settings.system ? [{ role: "system", content: settings.system }] : [];
        for (const message of this.messages) {
            if (message.role === "tool") list.push({ role: "tool", content: message.content, tool_call_id: message.id });
            else if (message.role === "user") list.push({ role: "user", content: message.content });
            else if (message.content || answered(message).length > 0) list.push(assistantMessage(message));
        }
        return { model, messages: list, stream: true, stream_options: { include_usage: true }, ...settings.parameters(this.retries) };
    }
}

/** The calls of which the results are known; without one a call is not sent. */
function answered(message) {
    return (message.calls ?? []).filter((call) => call.result !== undefined);
}

/** Reasoning goes back only with calls, where a template may need it. */
function assistantMessage(message) {
    const result = { role: "assistant", content: message.content };
    const calls = answered(message);
    if (calls.length > 0) {
        if (message.reasoning) result.reasoning_content = message.reasoning;
        result.tool_calls = calls.map((call) => (
            { id: call.id, type: "function", function: { name: call.name, arguments: call.arguments } }));
    }
    return result;
}

/** An answer that comes in chunks. */
export class Answer {
    constructor() {
        this.message = { role: "assistant", content: "" };
        this.controller = new AbortController();
        this.start = performance.now();
        /** When the first and the last piece of text came; 0 before. */
        this.first = 0;
        this.last = 0;
        this.pieces = 0;
        /** The count of tokens, when the server says it. */
        this.tokens = null;
    }

    take(chunk) {
        const { message } = this;
        if (chunk.usage?.completion_tokens !== undefined) this.tokens = chunk.usage.completion_tokens;
        const choice = chunk.choices?.[0];
        if (!choice) return;
        const delta = choice.delta ?? {};
        const reasoning = delta.reasoning_content ?? delta.reasoning;
        const now = performance.now();
        if (reasoning || delta.content || delta.tool_calls) {
            this.pieces++;
            this.first ||= now;
            this.last = now;
        }
        if (reasoning) message.reasoning = (message.reasoning ?? "") + reasoning;
        if (delta.content) message.content += delta.content;
        for (const piece of delta.tool_calls ?? []) this.takeCall(piece);
        if (message.reasoning && !message.thought && (delta.content || delta.tool_calls)) message.thought = (now - this.start) / 1000;
        if (choice.finish_reason === "length") message.note = "cut off at the token limit";
    }

    takeCall(piece) {
        this.message.calls ??= [];
        const index = Math.min(piece.index ?? 0, this.message.calls.length);
        const call = (this.message.calls[index] ??= { id: "", name: "", arguments: "" });
        if (piece.id) call.id = piece.id;
        if (piece.function?.name) call.name = piece.function.name;
        call.arguments += piece.function?.arguments ?? "";
    }

    /** Ends the answer, with the error that ended it, if any. */
    finish(error) {
        if (error?.name === "AbortError") {
            this.message.note = "stopped";
        } else if (error) {
            this.message.error = error.message || "Something went wrong.";
            this.message.status = error.status ?? 0;
        }
        if (this.first) this.message.figures = this.figures;
    }

    /** How many tokens came how fast: { tokens, rate, first }. Pieces count for tokens as long as nothing better is known. */
    get figures() {
        const tokens = this.tokens ?? this.pieces;
        const seconds = (this.last - this.first) / 1000;
        return { tokens, first: (this.first - this.start) / 1000, rate: tokens > 1 && seconds > 0.02 ? (tokens - 1) / seconds : 0 };
    }
}
