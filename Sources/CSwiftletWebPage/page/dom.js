// Small things for making elements. Text gets into the page as text nodes only; nothing here parses HTML.

/** An element with properties, and children that are nodes or texts. */
export function element(name, properties = {}, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(properties)) {
        if (key === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
        else if (key in node) node[key] = value;
        else node.setAttribute(key, value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
}

/** An icon of the page's symbols. */
export function icon(name) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("aria-hidden", "true");
    const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
    use.setAttribute("href", "#icon-" + name);
    svg.append(use);
    return svg;
}

export function iconButton(name, label, action) {
    return element("button", { type: "button", className: "icon", title: label, ariaLabel: label, on: { click: action } }, icon(name));
}

/** Copies a text; also where the page is not served in a secure context and has no clipboard. */
export async function copy(text) {
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    const area = element("textarea", { value: text, className: "hidden" });
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) throw new Error("The browser does not let the page copy.");
}

/** Makes a button copy a text, and say that it did. */
export async function copyFrom(button, text, say) {
    const use = button.querySelector("use");
    const label = button.querySelector("span");
    try {
        await copy(text);
    } catch (error) {
        return say(error.message);
    }
    use.setAttribute("href", "#icon-check");
    if (label) label.textContent = "Copied";
    say("Copied");
    setTimeout(() => {
        use.setAttribute("href", "#icon-copy");
        if (label) label.textContent = "Copy";
    }, 1500);
}
