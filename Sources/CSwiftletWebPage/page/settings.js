// The settings: a form, what is remembered of it, and what it means for a request. The key stays in this tab
// (sessionStorage), the rest in this browser (localStorage). Without storage they last as long as the page.

const kept = "swiftlet.settings";
const keyName = "swiftlet.key";
const names = ["system", "temperature", "top_p", "max_tokens", "seed", "thinking", "tools"];

export function stored(storage, name) {
    try {
        return JSON.parse(storage().getItem(name));
    } catch {
        return null;
    }
}

export function store(storage, name, value) {
    try {
        storage().setItem(name, JSON.stringify(value));
        return true;
    } catch {
        return false;
    }
}

const local = () => localStorage;
export const session = () => sessionStorage;

export class Settings {
    constructor(form) {
        this.fields = form.elements;
        const values = stored(local, kept) ?? {};
        for (const name of names) if (typeof values[name] === "string") this.fields[name].value = values[name];
        const key = stored(session, keyName);
        if (typeof key === "string") this.fields.key.value = key;
        form.addEventListener("input", () => this.keep());
    }

    keep() {
        store(local, kept, Object.fromEntries(names.map((name) => [name, this.fields[name].value])));
        store(session, keyName, this.fields.key.value);
    }

    reset() {
        for (const name of names) this.fields[name].value = "";
        this.keep();
    }

    get key() { return this.fields.key.value.trim(); }
    get system() { return this.fields.system.value.trim(); }

    /** The tools, or null; throws with what is wrong with them. */
    get tools() {
        const text = this.fields.tools.value.trim();
        if (!text) return null;
        let tools;
        try {
            tools = JSON.parse(text);
        } catch (error) {
            throw new Error("The tools are no JSON: " + error.message);
        }
        if (!Array.isArray(tools)) throw new Error("The tools must be a list.");
        return tools.length > 0 ? tools : null;
    }

    /** What is wrong with the settings; empty when nothing is. */
    get problem() {
        try {
            void this.tools;
            return "";
        } catch (error) {
            return error.message;
        }
    }

    /** What the settings add to a request. `retries` moves the seed, so that an answer made anew is another one. */
    parameters(retries) {
        const result = {};
        for (const name of ["temperature", "top_p", "max_tokens", "seed"]) {
            const text = this.fields[name].value.trim();
            if (text !== "" && Number.isFinite(Number(text))) result[name] = Number(text);
        }
        if (result.seed !== undefined) result.seed += retries;
        const thinking = this.fields.thinking.value;
        if (thinking) result.chat_template_kwargs = { enable_thinking: thinking === "on" };
        const tools = this.tools;
        if (tools) result.tools = tools;
        return result;
    }
}
