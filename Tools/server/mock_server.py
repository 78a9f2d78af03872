"""A server for the tests of the chat page: the page's files with the headers that Swiftlet sends, and an API whose answers
are written beforehand. What is asked decides what comes: see `ANSWERS`. Standard library only."""

import http.server
import json
import pathlib
import threading
import time
import urllib.parse

PAGE = pathlib.Path(__file__).resolve().parents[2] / "Sources/CSwiftletWebPage/page"
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".svg": "image/svg+xml"}
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
          "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'")


class Server(http.server.ThreadingHTTPServer):
    """`key`: the API key that is wanted, or None. `requests`: the bodies of what was asked. `aborted`: how many answers
    were not read to their end. `delay`: seconds between pieces."""

    daemon_threads = True

    def __init__(self, answers, delay=0.002):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.delay, self.key, self.models = answers, delay, None, ["Qwen/Qwen3-0.6B"]
        self.requests, self.aborted = [], 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def send(self, status, body, kind, headers=()):
        self.send_response(status)
        for name, value in [("Content-Type", kind), ("Content-Length", str(len(body))), *headers]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def send_error_body(self, status, message, headers=()):
        body = json.dumps({"error": {"message": message, "type": "error", "param": None, "code": status}}).encode()
        self.send(status, body, "application/json", headers)

    def is_allowed(self):
        if self.server.key and self.headers.get("Authorization") != "Bearer " + self.server.key:
            self.send_error_body(401, "Missing or wrong API key.")
            return False
        return True

    def do_GET(self):
        path = urllib.parse.urlsplit(self.path).path
        if path == "/v1/models":
            if self.is_allowed():
                data = [{"id": name, "object": "model"} for name in self.server.models]
                self.send(200, json.dumps({"object": "list", "data": data}).encode(), "application/json")
            return
        file = PAGE / ("index.html" if path == "/" else path.removeprefix("/page/"))
        if file.parent != PAGE or not file.is_file():
            return self.send_error_body(404, "Not found.")
        self.send(200, file.read_bytes(), TYPES[file.suffix],
                  [("Content-Security-Policy", POLICY), ("X-Content-Type-Options", "nosniff"),
                   ("Referrer-Policy", "no-referrer"), ("Cache-Control", "no-cache")])

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.is_allowed():
            return
        self.server.requests.append(body)
        question = next((m["content"] for m in reversed(body["messages"]) if m["role"] != "assistant"), "")
        answer = next((value for key, value in self.server.answers.items() if key in question), {"content": question})
        if "status" in answer:
            return self.send_error_body(answer["status"], answer["message"], answer.get("headers", ()))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            self.stream(answer)
        except OSError:
            self.server.aborted += 1
        self.close_connection = True

    def stream(self, answer):
        delay = answer.get("delay", self.server.delay)
        count = 0

        def event(**members):
            self.wfile.write(f"data: {json.dumps(members)}\n\n".encode())
            self.wfile.flush()

        def delta(finish=None, **members):
            event(id="chatcmpl-1", object="chat.completion.chunk", created=0, model="m",
                  choices=[{"index": 0, "delta": members, "finish_reason": finish}])

        delta(role="assistant", content="")
        self.wfile.write(b": ping\n\n")
        for kind in ("reasoning_content", "content"):
            for piece in pieces(answer.get(kind, "")):
                delta(**{kind: piece})
                count += 1
                time.sleep(delay)
        for index, (name, arguments) in enumerate(answer.get("calls", [])):
            function = {"name": name, "arguments": ""}
            delta(tool_calls=[{"index": index, "id": f"call_{index}", "type": "function", "function": function}])
            for piece in pieces(arguments):
                delta(tool_calls=[{"index": index, "function": {"arguments": piece}}])
                count += 1
                time.sleep(delay)
        if "broken" in answer:
            if answer["broken"]:
                event(error={"message": answer["broken"], "type": "server_error", "code": 500})
            return
        delta(finish=answer.get("finish", "tool_calls" if "calls" in answer else "stop"))
        event(id="chatcmpl-1", object="chat.completion.chunk", choices=[],
              usage={"prompt_tokens": 9, "completion_tokens": count, "total_tokens": count + 9})
        self.wfile.write(b"data: [DONE]\n\n")


def pieces(text, length=4):
    return [text[at:at + length] for at in range(0, len(text), length)]
