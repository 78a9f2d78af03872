// The server's API: which models there are, and an answer as it comes. Errors say what went wrong in words for a person.

export class ServerError extends Error {
    constructor(message, status = 0, retryAfter = null) {
        super(message);
        this.status = status;
        this.retryAfter = retryAfter;
    }
}

function headers(key) {
    return { "Content-Type": "application/json", ...(key ? { Authorization: "Bearer " + key } : {}) };
}

async function request(path, key, options = {}) {
    let response;
    try {
        response = await fetch(path, { ...options, headers: headers(key), cache: "no-store", credentials: "omit", redirect: "error" });
    } catch (error) {
        if (error.name === "AbortError") throw error;
        throw new ServerError("The server can’t be reached.");
    }
    if (!response.ok) throw await failure(response);
    return response;
}

async function failure(response) {
    let message = "";
    try {
        const body = JSON.parse(await response.text());
        message = body.error?.message ?? body.message ?? "";
    } catch {
        // No JSON: the status has to do.
    }
    const words = { 401: "The server wants an API key.", 404: "The server has no such model or route.", 413: "The conversation is too long for the server.",
        429: "The server is busy.", 500: "The server failed.", 503: "The server is not ready." };
    const retryAfter = parseInt(response.headers.get("Retry-After") ?? "", 10);
    message = String(message) || words[response.status] || "The server answered with status " + response.status + ".";
    if (retryAfter > 0) {
        message = message.replace(/([^.!?])$/, "$1.") + " Try again in " + retryAfter + (retryAfter === 1 ? " second." : " seconds.");
    }
    return new ServerError(message, response.status, retryAfter);
}

/** The names of the models. */
export async function listModels(key) {
    const body = await (await request("v1/models", key)).json();
    return (body.data ?? []).map((model) => String(model.id));
}

/** Calls `take` with each chunk of an answer. */
export async function streamChat(body, key, signal, take) {
    const response = await request("v1/chat/completions", key, { method: "POST", body: JSON.stringify(body), signal });
    let isDone = false;
    for await (const data of events(response.body)) {
        if (data === "[DONE]") {
            isDone = true;
            break;
        }
        let chunk;
        try {
            chunk = JSON.parse(data);
        } catch {
            throw new ServerError("The server sent something that is no JSON.");
        }
        if (chunk.error) throw new ServerError(String(chunk.error.message ?? "The server failed."));
        take(chunk);
    }
    if (!isDone) throw new ServerError("The connection ended before the answer did.");
}

/** The data of server-sent events. */
export async function* events(stream) {
    const reader = stream.getReader();
    const decoder = new TextDecoder();
    let rest = "";
    let data = [];
    try {
        for (;;) {
            let part;
            try {
                part = await reader.read();
            } catch (error) {
                if (error.name === "AbortError") throw error;
                throw new ServerError("The connection broke off.");
            }
            rest += part.done ? decoder.decode() : decoder.decode(part.value, { stream: true });
            const lines = rest.split(/\r\n|\n|\r(?!$)/);
            rest = part.done ? "" : lines.pop();
            for (const line of lines) {
                if (line === "" && data.length > 0) {
                    yield data.join("\n");
                    data = [];
                } else if (line.startsWith("data:")) {
                    data.push(line.slice(line[5] === " " ? 6 : 5));
                }
            }
            if (part.done) return;
        }
    } finally {
        reader.cancel().catch(() => {});
    }
}
