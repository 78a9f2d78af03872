#!/usr/bin/env python3
"""Tests the chat page in a real headless Chromium (Debian: apt-get install chromium), against a mock of the API.

    Tools/server/test_page.py [--screenshots FOLDER] [--server URL] [FILTER]

With --server the same page is also loaded from a running `swiftlet serve`, asked one question there, and its headers are
compared with those that the mock sends; so it is in `Tools/server/with-server -- Tools/server/test_page.py`. Prints what was
tested; exits with 1 when something failed. Standard library only.
"""

import argparse
import json
import os
import pathlib
import sys
import time
import urllib.request

from chromium import Chromium, Tab
from mock_server import POLICY, Server

MARKDOWN = """# Paged attention, *briefly*

The KV cache is cut into **blocks** of `16` tokens, so memory is given out ~~in one piece~~ *on demand*. See
[the paper](https://arxiv.org/abs/2309.06180) or https://example.com/a_b_(c), and mail <mailto:a@example.com>.

1. A table maps *logical* blocks to physical ones:
   - shared prefixes are stored **once**
   - a block is freed when nobody
     refers to it
2. Attention reads through the table.

   > It is the operating system's old idea,
   > with tokens for bytes.

- [x] allocate
- [ ] free

```swift
func attention(_ q: Tensor, cache: KVCache) -> Tensor {
    // <b>not bold</b> & a very long line that has to scroll sideways inside of its block and not the page
    softmax(q • cache.keys) • cache.values
}
```

| Block | Tokens | Used by |
|:------|-------:|:-------:|
| 0     | 16     | a, b    |
| 1     | 7      | a       |

---

Ein Satz auf Deutsch, 日本語の文, العربية, and 👩‍👩‍👧 as well.
"""

# Each of these must stay text, or lose its address.
HOSTILE = """<script>window.hacked = 1</script>
<img src=x onerror="window.hacked = 1">

<iframe src="javascript:window.hacked=1"></iframe> <svg onload=window.hacked=1>

[a](javascript:window.hacked=1) [b](JaVaScRiPt:window.hacked=1) [c]( java\tscript:window.hacked=1)
[d](data:text/html,<script>window.hacked=1</script>) [e](vbscript:x) [f](&#106;avascript:x) [g](//evil.example/x)
[h](https://ok.example/"onmouseover="window.hacked=1) ![i](https://tracker.example/pixel.png) <javascript:window.hacked=1>
[![j](https://tracker.example/p.png)](https://ok.example/)

```html"><script>window.hacked=1</script>
</code></pre><script>window.hacked=1</script>
```

| <b>x</b> | <script>window.hacked=1</script> |
|---|---|
| `<i>` | [k](javascript:alert(1)) |

`<style>body{display:none}</style>` **<style>body{display:none}</style>**
"""

ANSWERS = {
    "markdown": {"content": MARKDOWN},
    "hostile": {"content": HOSTILE, "reasoning_content": HOSTILE},
    "think": {"reasoning_content": "The user asks.\n\n- First I look at **the table**.\n- Then I answer.\n" * 4, "delay": 0.01,
              "content": "A paged KV cache keeps keys and values in blocks of a fixed size."},
    "endless": {"content": "On and on and on it goes. " * 4000, "delay": 0.01},
    "novel": {"content": "\n\n".join(f"Paragraph {n} has a few words in it, so that the page gets long." for n in range(60)),
             "delay": 0.001},
    "short": {"content": "Yes."},
    "cut": {"content": "This was going to be a long", "finish": "length"},
    "too long": {"status": 400, "message": "the prompt has 5,120 tokens; --max-model-len is 4,096"},
    "busy": {"status": 429, "message": "300 requests are waiting; --max-queued-requests is 300",
             "headers": [("Retry-After", "3")]},
    "fails within": {"content": "Half an ans", "broken": "the engine failed: out of memory"},
    "breaks off": {"content": "Half an ans", "broken": ""},
    "weather": {"content": "I look.", "calls": [("get_weather", '{"city": "Zürich", "days": [1, 2]}'), ("now", "{}")]},
    "sunny": {"content": "It is sunny in Zürich."},
}

TESTS = []


def test(function):
    TESTS.append(function)
    return function


class Run:
    def __init__(self, browser, folder):
        self.browser, self.folder, self.server = browser, folder, None

    def tab(self, delay=0.002, key=None, **options):
        self.server = Server(ANSWERS, delay)
        self.server.key = key
        tab = Tab(self.browser, **options)
        tab.open(self.server.url)
        return tab

    def shot(self, tab, name):
        if self.folder:
            time.sleep(0.25)
            tab.screenshot(self.folder / f"{name}.png")


def check(condition, message="it is not so"):
    if not condition:
        raise AssertionError(message)


def ask(tab, text, wait=True):
    tab.run("document.getElementById('prompt').focus()")
    tab.type(text)
    if tab.run("matchMedia('(hover: hover) and (pointer: fine)').matches"):
        tab.key("Enter")
    else:
        tab.run("document.getElementById('send').click()")
    if wait:
        tab.wait("!document.getElementById('send').hidden")


def finish(run, tab):
    problems = tab.problems()
    check(not problems, f"the browser complains: {problems}")
    hosts = tab.hosts()
    check(hosts <= {run.server.url.split("/")[2]}, f"the page asked other hosts: {hosts}")


@test
def streams_an_answer(run):
    for name, options in DEVICES.items():
        tab = run.tab(**options)
        tab.wait("document.getElementById('model').textContent === 'Qwen/Qwen3-0.6B'")
        run.shot(tab, f"welcome-{name}")
        ask(tab, "markdown", wait=False)
        tab.wait("document.querySelectorAll('.text li').length > 2")
        check(tab.run("document.querySelector('.running .figures').textContent.includes('token')") is not None)
        run.shot(tab, f"streaming-{name}")
        tab.wait("!document.getElementById('send').hidden")
        check(tab.run("document.querySelectorAll('.text h1 em, .text strong, .text del, .text ol > li > ul > li, .text table td.right, "
                      ".text blockquote, .text pre code, .text hr, .text input[type=checkbox]').length") >= 12)
        links = tab.run("[...document.querySelectorAll('.text a')].map(a => a.href)")
        check(links == ["https://arxiv.org/abs/2309.06180", "https://example.com/a_b_(c)", "mailto:a@example.com"], links)
        check(tab.run("document.querySelector('.text pre').textContent").startswith("func attention(_ q"))
        check("tok/s" in tab.run("document.querySelector('.figures').textContent"))
        check(tab.run("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways")
        tab.run("document.getElementById('scroller').scrollTop = 0")
        run.shot(tab, f"markdown-{name}")
        tab.run("document.getElementById('scroller').scrollTop = 1e6")
        run.shot(tab, f"markdown-end-{name}")
        finish(run, tab)


@test
def sends_the_conversation_and_the_settings(run):
    tab = run.tab()
    tab.run("document.getElementById('open-settings').click()")
    for name, value in [("system", "Be brief."), ("temperature", "0.5"), ("top_p", "0.9"), ("max_tokens", "50"), ("seed", "7"),
                        ("thinking", "off")]:
        tab.run(f"(() => {{ const f = document.getElementById('settings-form').elements['{name}']; f.value = '{value}';"
                "f.dispatchEvent(new Event('input', {bubbles: true})) })()")
    run.shot(tab, "settings-desktop")
    tab.run("document.querySelector('#settings-form .primary').click()")
    ask(tab, "short one")
    ask(tab, "and another short one")
    body = run.server.requests[-1]
    check(body["messages"] == [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "short one"},
        {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "and another short one"}], body)
    check({key: body[key] for key in ("model", "temperature", "top_p", "max_tokens", "seed", "chat_template_kwargs", "stream")} == {
        "model": "Qwen/Qwen3-0.6B", "temperature": 0.5, "top_p": 0.9, "max_tokens": 50, "seed": 7,
        "chat_template_kwargs": {"enable_thinking": False}, "stream": True}, body)
    # Answered again: the same question, another seed.
    tab.run("document.querySelector('.message.assistant:last-child button[title=\"Answer again\"]').click()")
    tab.wait("!document.getElementById('send').hidden")
    check(run.server.requests[-1]["seed"] == 8 and run.server.requests[-1]["messages"] == body["messages"])
    check(tab.run("document.querySelectorAll('button[title=\"Answer again\"]').length") == 1)
    # A reload keeps both.
    tab.open(run.server.url)
    check(tab.run("document.querySelectorAll('.message').length") == 4)
    check(tab.run("document.getElementById('settings-form').elements.system.value") == "Be brief.")
    finish(run, tab)


@test
def changes_a_question_and_begins_anew(run):
    tab = run.tab()
    ask(tab, "short one")
    ask(tab, "short two")
    tab.run("document.querySelector('.message.user button[title^=\"Change\"]').click()")
    check(tab.run("document.getElementById('prompt').value") == "short one" and not tab.run("document.getElementById('editing').hidden"))
    run.shot(tab, "editing-desktop")
    tab.key("Escape")
    check(tab.run("document.getElementById('prompt').value") == "" and tab.run("document.getElementById('editing').hidden"))
    tab.run("document.querySelector('.message.user button[title^=\"Change\"]').click()")
    ask(tab, " changed")
    check([m["content"] for m in run.server.requests[-1]["messages"]] == ["short one changed"])
    check(tab.run("document.querySelectorAll('.message').length") == 2)
    tab.run("document.getElementById('new-chat').click()")
    check(tab.run("document.querySelectorAll('.message').length") == 0 and not tab.run("document.getElementById('welcome').hidden"))
    run.shot(tab, "cleared-desktop")
    tab.run("document.querySelector('#toast button').click()")
    check(tab.run("document.querySelectorAll('.message').length") == 2)
    finish(run, tab)


@test
def stops_an_answer(run):
    for name in ("desktop-light", "phone-dark"):
        tab = run.tab(**DEVICES[name])
        ask(tab, "endless", wait=False)
        tab.wait("document.querySelector('.assistant > .text')?.textContent.length > 400")
        check(tab.run("document.getElementById('stop').hidden") is False)
        run.shot(tab, f"running-{name}")
        if "desktop" in name:
            tab.key("Escape")
        else:
            tab.run("document.getElementById('stop').click()")
        tab.wait("!document.getElementById('send').hidden", seconds=2)
        length = tab.run("document.querySelector('.assistant > .text').textContent.length")
        check("stopped" in tab.run("document.querySelector('.figures').textContent"))
        run.shot(tab, f"stopped-{name}")
        time.sleep(0.3)
        check(tab.run("document.querySelector('.assistant > .text').textContent.length") == length)
        check(run.server.aborted == 1, "the server did not see the connection end")
        # What was said stays in the conversation.
        ask(tab, "short")
        check(run.server.requests[-1]["messages"][1]["content"].startswith("On and on"))
        finish(run, tab)


@test
def folds_reasoning_away(run):
    for name in ("desktop-light", "desktop-dark", "phone-light"):
        tab = run.tab(**DEVICES[name])
        ask(tab, "think", wait=False)
        tab.wait("document.querySelector('.fold.live span')?.textContent === 'Thinking…'")
        run.shot(tab, f"thinking-{name}")
        check(tab.run("document.querySelector('.fold').open") is False)
        tab.wait("!document.getElementById('send').hidden")
        check(tab.run("document.querySelector('.fold summary').textContent").startswith("Thought for "))
        check(tab.run("document.querySelector('.fold .inner').textContent") == "", "folded text was drawn")
        tab.run("document.querySelector('.fold summary').click()")
        tab.wait("document.querySelectorAll('.fold .inner li').length === 8")
        run.shot(tab, f"thought-{name}")
        # It is not sent back.
        ask(tab, "short")
        check("reasoning_content" not in run.server.requests[-1]["messages"][1])
        finish(run, tab)


@test
def keeps_hostile_text_text(run):
    tab = run.tab()
    ask(tab, "hostile <b onclick=alert(1)>")
    tab.run("document.querySelector('.fold summary').click()")
    time.sleep(0.2)
    check(tab.run("window.hacked") is None)
    check(tab.run("document.querySelectorAll('main script, main img, main iframe, main style, main b, main [onclick], main [onerror], "
                  "main svg[onload], main [onmouseover]').length") == 0)
    links = tab.run("[...document.querySelectorAll('main a')].map(a => [a.protocol, a.rel, a.textContent])")
    check(links and all(link[0] == "https:" and "noopener" in link[1] for link in links), links)
    check(not [link for link in links if link[2] in ("a", "b", "c", "d", "e", "f", "g", "k")], links)
    text = tab.run("document.querySelector('.assistant > .text').textContent")
    for part in ("<script>window.hacked = 1</script>", "<img src=x onerror", "<iframe src=", "[a](javascript:", "[g](//evil",
                 "<style>body{display:none}</style>"):
        check(part in text, f"{part} was lost")
    run.shot(tab, "hostile-desktop")
    tab.run("for (const b of document.querySelectorAll('main .copy')) b.click()")
    finish(run, tab)


@test
def shows_errors(run):
    tab = run.tab()
    for question, words in [("too long", "the prompt has 5,120 tokens"), ("busy", "Try again in 3 seconds"),
                            ("fails within", "the engine failed: out of memory"), ("breaks off", "ended before the answer did")]:
        ask(tab, question)
        notice = tab.run("document.querySelector('.message:last-child .notice').textContent")
        check(words in notice, notice)
    run.shot(tab, "errors-desktop")
    check(tab.run("document.querySelectorAll('main .notice .link').length") == 1, "only the last can be tried again")
    # What failed without a word is not sent.
    check([m["content"] for m in run.server.requests[-1]["messages"] if m["role"] == "assistant"] == ["Half an ans"])
    ask(tab, "cut")
    check("cut off" in tab.run("document.querySelector('.message:last-child .figures').textContent"))
    run.server.shutdown()
    run.server.server_close()
    ask(tab, "short")
    check("can’t be reached" in tab.run("document.querySelector('.message:last-child .notice').textContent"))
    tab = run.tab(**DEVICES["phone-dark"])
    ask(tab, "too long")
    run.shot(tab, "error-phone-dark")
    finish(run, tab)


@test
def asks_for_a_key(run):
    tab = run.tab(key="secret", **DEVICES["phone-light"])
    tab.wait("document.getElementById('settings-dialog').open")
    check(tab.run("document.activeElement.name") == "key")
    run.shot(tab, "key-phone-light")
    tab.type("secret")
    tab.key("Enter")
    tab.wait("!document.getElementById('settings-dialog').open")
    tab.wait("document.getElementById('model').textContent === 'Qwen/Qwen3-0.6B'")
    ask(tab, "short")
    check(tab.run("document.querySelector('.assistant > .text').textContent") == "Yes.")
    check(tab.run("sessionStorage.getItem('swiftlet.key')") == '"secret"')
    check("secret" not in tab.run("JSON.stringify(localStorage)"))
    finish(run, tab)


@test
def shows_calls_and_takes_their_results(run):
    tab = run.tab(**DEVICES["desktop-dark"])
    tab.run("document.getElementById('open-settings').click()")
    tab.run("document.querySelector('.more').open = true; document.getElementById('settings-form').elements.tools.value = '[oops'")
    tab.run("document.querySelector('#settings-form .primary').click()")
    check(tab.run("document.getElementById('settings-dialog').open && !document.getElementById('tools-message').hidden"))
    run.shot(tab, "tools-desktop-dark")
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]
    tab.run(f"document.getElementById('settings-form').elements.tools.value = {json.dumps(json.dumps(tools))}")
    tab.run("document.querySelector('#settings-form .primary').click()")
    ask(tab, "weather")
    check(run.server.requests[-1]["tools"] == tools)
    check(tab.run("document.querySelector('.call pre').textContent") == '{\n  "city": "Zürich",\n  "days": [\n    1,\n    2\n  ]\n}')
    run.shot(tab, "calls-desktop-dark")
    tab.run("document.querySelectorAll('.results textarea').forEach((area, index) => area.value = index ? '12:00' : 'sunny')")
    tab.run("document.querySelector('.results button').click()")
    tab.wait("document.getElementById('send').hidden || document.querySelectorAll('.assistant').length === 2")
    tab.wait("!document.getElementById('send').hidden")
    sent = run.server.requests[-1]["messages"]
    check([m["role"] for m in sent] == ["user", "assistant", "tool", "tool"], sent)
    check(sent[1]["tool_calls"][0]["id"] == "call_0" and sent[2] == {"role": "tool", "content": "sunny", "tool_call_id": "call_0"}, sent)
    run.shot(tab, "results-desktop-dark")
    # A call without a result is not sent.
    ask(tab, "weather")
    ask(tab, "short")
    check("tool_calls" not in run.server.requests[-1]["messages"][-2], run.server.requests[-1])
    finish(run, tab)


@test
def stays_where_it_is_read(run):
    tab = run.tab(**DEVICES["phone-light"])
    ask(tab, "novel")
    near = "scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight"
    check(tab.run(f"{near} < 5"), "it does not follow the answer")
    ask(tab, "endless", wait=False)
    tab.wait("document.querySelector('.message:last-child > .text').textContent.length > 300")
    check(tab.run(f"{near} < 60"))
    tab.run("scroller.scrollTop = 300")
    time.sleep(0.3)
    before = tab.run("scroller.scrollTop")
    time.sleep(0.5)
    check(tab.run("scroller.scrollTop") == before, "it moves under the reader")
    check(tab.run("document.getElementById('to-end').hidden") is False)
    run.shot(tab, "scrolled-phone-light")
    tab.run("document.getElementById('to-end').click()")
    time.sleep(0.3)
    check(tab.run(f"{near} < 60"))
    tab.run("document.getElementById('stop').click()")
    tab.wait("!document.getElementById('send').hidden")
    finish(run, tab)


@test
def does_not_jump_while_it_streams(run):
    """Nothing that is there moves while an answer grows, but the line of figures below it."""
    for name in ("desktop-light", "phone-light"):
        tab = run.tab(**DEVICES[name])
        tab.run("""window.moved = [];
            window.note = (entries) => { for (const { sources } of entries) for (const { node, previousRect, currentRect } of sources)
                if (Math.abs(previousRect.y - currentRect.y) > 1)
                    moved.push(node ? node.className || node.nodeName : `removed, at ${previousRect.y}, then ${currentRect.y}`); };
            window.observer = new PerformanceObserver((list) => note(list.getEntries()));
            observer.observe({type: 'layout-shift'}); 0""")
        for question in ("markdown", "think", "weather"):
            ask(tab, question)
            # What moved is named by its element, which the next question removes: the last frame's is taken first.
            tab.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))")
            tab.run("note(observer.takeRecords())")
        moved = tab.run("moved")
        check(moved and set(moved) <= {"below"}, moved)
        finish(run, tab)


@test
def works_by_keyboard_and_has_names(run):
    tab = run.tab()
    ask(tab, "markdown")
    nodes = tab.call("Accessibility.getFullAXTree")["nodes"]
    roles = {}
    for node in nodes:
        if not node.get("ignored"):
            roles.setdefault(node["role"]["value"], []).append(node.get("name", {}).get("value", ""))
    for role in ("button", "textbox", "link"):
        check(roles.get(role) and all(roles[role]), f"{role} without a name: {roles.get(role)}")
    check(roles["heading"][0] == "Qwen/Qwen3-0.6B" and "main" in roles and "banner" in roles, roles.keys())
    tab.run("document.getElementById('new-chat').focus()")
    seen = []
    for _ in range(14):
        tab.key("Tab")
        seen.append(tab.run("document.activeElement.id || document.activeElement.title || document.activeElement.className"))
    for name in ("open-settings", "Copy", "Answer again", "copy", "prompt"):
        check(name in seen, f"{name} can't be reached: {seen}")
    finish(run, tab)


@test
def many_messages_stay_quick(run):
    tab = run.tab(delay=0.0)
    text = json.dumps(MARKDOWN)
    tab.run(f"""sessionStorage.setItem('swiftlet.conversation', JSON.stringify([...Array(400).keys()].map(
        (n) => n % 2 ? {{role: 'assistant', content: {text}}} : {{role: 'user', content: 'Question ' + n}})))""")
    tab.open(run.server.url)
    check(tab.run("document.querySelectorAll('.message').length") == 400)
    tab.run("window.slowest = 0; new PerformanceObserver((l) => { for (const e of l.getEntries()) "
            "window.slowest = Math.max(window.slowest, e.duration) }).observe({type: 'longtask'})")
    ask(tab, "short")
    slowest = tab.run("window.slowest")
    check(slowest < 600, f"a task took {slowest} ms")
    finish(run, tab)


@test
def renders_what_is_made_to_be_slow(run):
    tab = run.tab()
    cases = {"brackets": "[" * 20000, "brackets closed": "[" * 9000 + "]" * 9000, "stars": "*a " * 20000, "stars 2": "**a *b " * 8000,
             "backticks": "".join("`" * n + "a" for n in range(300)), "spaces": "# " + " " * 50000 + "x", "fence": "```" + " " * 50000 + "`",
             "quotes": "> " * 5000 + "x", "lists": "\n".join("  " * n + "- x" for n in range(300)), "empty": "- a" + "\n" * 50000 + "b",
             "under": "_a" * 20000, "tilde": "~~a " * 20000, "angle": "<https://" * 5000, "http": "http://a" * 5000,
             "table": "|" * 20000 + "\n" + "|-" * 10000 + "\n", "code": "` " + "a " * 30000 + "b`", "links": "[a](" * 9000,
             "parens": "[a](http://x" + "(" * 20000, "rule": "* " * 30000 + "x", "hash": "# a" + " #" * 20000 + " x"}
    for name, text in cases.items():
        took = tab.run(f"""(async () => {{ const {{ renderMarkdown }} = await import(new URL('page/markdown.js', location.href));
            const start = performance.now(); renderMarkdown(document.createElement('div'), {json.dumps(text)}, () => {{}});
            return performance.now() - start; }})()""")
        check(took < 1000, f"{name}: {took:.0f} ms")
    finish(run, tab)


@test
def markdown_is_the_same_however_it_comes(run):
    tab = run.tab()
    for text in (MARKDOWN, HOSTILE):
        same = tab.run(f"""(async () => {{ const {{ renderMarkdown }} = await import(new URL('page/markdown.js', location.href));
            const text = {json.dumps(text)}; const whole = document.createElement('div'), grown = document.createElement('div');
            renderMarkdown(whole, text, () => {{}});
            for (let end = 1; end <= text.length; end++) renderMarkdown(grown, text.slice(0, end), () => {{}});
            return whole.isEqualNode(grown); }})()""")
        check(same)
    finish(run, tab)


@test
def small_markdown(run):
    tab = run.tab()
    cases = {
        "a*b*c _d_ snake_case_word __e__ ***f***": "<p>a<em>b</em>c <em>d</em> snake_case_word <strong>e</strong> <em><strong>f</strong></em></p>",
        "2 * 3 * 4 and \\*no\\*": "<p>2 * 3 * 4 and *no*</p>",
        "**a *b* c**": "<p><strong>a <em>b</em> c</strong></p>",
        "`a``b` ``c`d`` `e": "<p><code>a``b</code> <code>c`d</code> `e</p>",
        "one\ntwo": "<p>one<br>two</p>",
        "# A #\n## B": "<h1>A</h1><h2>B</h2>",
        "#no": "<p>#no</p>",
        "text\n- a\n- b\n\n1) x": "<p>text</p><ul><li>a</li><li>b</li></ul><ol><li>x</li></ol>",
        "3. a\n4. b": '<ol start="3"><li>a</li><li>b</li></ol>',
        "- a\n\n- b": "<ul><li><p>a</p></li><li><p>b</p></li></ul>",
        "- a\n  - b\n    - c\n- d": "<ul><li>a<ul><li>b<ul><li>c</li></ul></li></ul></li><li>d</li></ul>",
        "In\n1999. it was": "<p>In<br>1999. it was</p>",
        "***": "<hr>", "> a\nb\n\n> c": "<blockquote><p>a<br>b</p></blockquote><blockquote><p>c</p></blockquote>",
        "a | b": "<p>a | b</p>", "x <y> & z": "<p>x &lt;y&gt; &amp; z</p>",
        "* not a rule *": "<ul><li>not a rule *</li></ul>",
    }
    for source, expected in cases.items():
        html = tab.run(f"""(async () => {{ const {{ renderMarkdown }} = await import(new URL('page/markdown.js', location.href));
            const node = document.createElement('div'); renderMarkdown(node, {json.dumps(source)}, () => {{}}); return node.innerHTML; }})()""")
        check(html == expected, f"{source!r}: {html}")
    finish(run, tab)


DEVICES = {
    "desktop-light": {"width": 1200, "height": 800},
    "desktop-dark": {"width": 1200, "height": 800, "dark": True},
    "phone-light": {"width": 390, "height": 780, "phone": True, "scale": 2},
    "phone-dark": {"width": 390, "height": 780, "phone": True, "scale": 2, "dark": True},
}


def real_server(run, url):
    """The page as Swiftlet serves it: the mock's headers, and an answer of the model that is there."""
    with urllib.request.urlopen(url) as response:
        check(response.headers["Content-Security-Policy"] == POLICY, response.headers["Content-Security-Policy"])
        check(response.headers["X-Content-Type-Options"] == "nosniff" and response.headers["ETag"])
        tag = response.headers["ETag"]
    again = urllib.request.Request(url, headers={"If-None-Match": tag})
    try:
        urllib.request.urlopen(again)
        check(False, "no 304")
    except urllib.error.HTTPError as error:
        check(error.code == 304, error.code)
    for name, options in DEVICES.items():
        tab = Tab(run.browser, **options)
        tab.open(url)
        ask(tab, "What is a paged KV cache?", wait=False)
        tab.wait("document.querySelector('.assistant > .text')?.textContent.length > 20", seconds=60)
        tab.wait("!document.getElementById('send').hidden", seconds=120)
        check("tok/s" in tab.run("document.querySelector('.figures').textContent"))
        run.shot(tab, f"real-{name}")
        check(not tab.problems(), tab.problems())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("filter", nargs="?", default="", help="a part of the names of the tests to run")
    parser.add_argument("--screenshots", type=pathlib.Path, help="a folder for pictures of what is tested")
    parser.add_argument("--server", default=os.environ.get("SWIFTLET_URL", "").removesuffix("/v1"),
                        help="the address of a running swiftlet serve (default: that of with-server)")
    options = parser.parse_args()
    if options.screenshots:
        options.screenshots.mkdir(parents=True, exist_ok=True)
    tests = [(function.__name__, function) for function in TESTS if options.filter in function.__name__]
    if options.server:
        tests.append(("real_server", lambda run: real_server(run, options.server)))
    failed = 0
    for name, function in tests:
        browser = Chromium()
        try:
            function(Run(browser, options.screenshots))
            print(f"ok    {name}")
        except (AssertionError, RuntimeError) as error:
            failed += 1
            print(f"FAIL  {name}: {error}")
        finally:
            browser.close()
    print(f"{len(tests) - failed} of {len(tests)} passed")
    sys.exit(1 if failed or not tests else 0)


if __name__ == "__main__":
    main()
