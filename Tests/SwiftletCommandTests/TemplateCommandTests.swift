// `swiftlet template`: one conversation, files of them, and what is refused.

import SwiftletCommand
import SwiftletJSON
import SwiftletTemplate
import SwiftletTestSupport
import Testing

@Suite("swiftlet template")
struct TemplateCommandTests {
    @Test("A text is the user's message, by the demo model's template")
    func text() async throws {
        let shown = try await RunningCommand.run(["template", "--system", "Be brief.", "Hi"])
        #expect(shown.code == 0)
        #expect(
            shown.output
                == "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
        let bare = try await RunningCommand.run(["template", "--no-add-generation-prompt"], standardInput: "Hi\n")
        #expect(bare.code == 0 && bare.output == "<|im_start|>user\nHi<|im_end|>\n")
    }

    @Test("A file of conversations gives a line for each, errors among them")
    func batch() async throws {
        let folder = try TemporaryFolder()
        let template = try folder.write(
            "{% if not messages %}{{ raise_exception('No messages: \"none\"') }}{% endif %}{{ bos_token }}"
                + "{% for m in messages %}{{ m.content }}{% endfor %}{{ tools }}{{ flag }}{{ add_generation_prompt }}"
                + "{{ strftime_now('%Y') }}", "t.jinja")
        let input = try folder.write(
            """
            {"template": "ignored", "messages": [{"role": "user", "content": "é"}], "tools": null, "documents": null, \
            "add_generation_prompt": false, "kwargs": {"flag": 1}, "bos_token": "<s>", "eos_token": null, \
            "now": "2025-03-07T14:05:09"}

            {"messages": [], "now": "2025-03-07"}
            {"messages": 5}
            {broken
            {"messages": [{"role": "user", "content": "x"}], "tools": [{"a": 1}], "now": "2024-01-01"}
            """, "in.jsonl")
        let output = folder.path + "/out.jsonl"
        let run = try await RunningCommand.run([
            "template", "--template", template, "--input", input, "--output", output, "--chat-template-kwargs",
            #"{"flag": "F"}"#,
        ])
        #expect(run.code == 0 && run.output.isEmpty)
        #expect(
            folder.read("out.jsonl") == """
                {"text":"<s>éNone1False2025"}
                {"error":"No messages: \\"none\\""}
                {"error":"\\"messages\\" must be a list"}
                {"error":"bad JSON: expected a key in quotes at byte 2"}
                {"text":"x[{'a': 1}]FTrue2024"}

                """)
        #expect(run.errors.contains("3 of 5 conversations failed"))
    }

    @Test("A model's folder has its template and its special tokens, without any weights")
    func modelFolder() async throws {
        let folder = try TemporaryFolder()
        try folder.write(
            #"{"bos_token": {"content": "<s>"}, "chat_template": "{{ bos_token }}{{ messages[0].content }}"}"#,
            "tokenizer_config.json")
        let shown = try await RunningCommand.run(["template", "--model", folder.path, "Hi"])
        #expect(shown.code == 0 && shown.output == "<s>Hi")
    }

    @Test("What can't be is an error")
    func refused() async throws {
        let folder = try TemporaryFolder()
        let bad = try folder.write("a\n{% if %}", "bad.jinja")
        for (arguments, message) in [
            (["--model", folder.path, "Hi"], "has no chat template"),
            (["--model", folder.path + "/none", "Hi"], "is not a folder"),
            (["--template", bad, "Hi"], "bad.jinja: line 2: "), (["--template", folder.path + "/none", "Hi"], "none"),
        ] {
            let run = try await RunningCommand.run(["template"] + arguments)
            #expect(run.code == 1 && run.output.isEmpty && run.errors.contains(message), "\(arguments): \(run.errors)")
        }
        for arguments in [
            ["--input", "x"], ["--chat-template-kwargs", "[1]", "x"], ["--input", "x", "--output", "y", "z"],
        ] {
            #expect(try await RunningCommand.run(["template"] + arguments).code == 64, "\(arguments)")
        }
    }
}
