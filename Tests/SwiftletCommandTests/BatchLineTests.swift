// Lines of OpenAI's batch format: what is none says why, and answers can be told apart by their ids.

import SwiftletCommand
import SwiftletJSON
import SwiftletServer
import Testing

@Suite("Lines of a batch")
struct BatchLineTests {
    private func entry(_ text: String, index: Int = 4) -> LineReader.Entry {
        LineReader.Entry(line: .text(Array(text.utf8)), number: 7, index: index, byteCount: text.utf8.count + 1)
    }

    @Test("A line is read as it is")
    func reading() throws {
        let body = #"{ "model":"m", "prompt" : "é\n" }"#
        let line = try BatchLine(
            entry(#"{"url": "/v1/completions", "body": \#(body), "custom_id": "a\"b", "method": "POST", "more": 1}"#))
        #expect(line.customID == "a\"b" && line.endpoint == .completions && line.body == Array(body.utf8))
        let chat = try BatchLine(
            entry(#"{"custom_id": "", "method": "POST", "url": "/v1/chat/completions", "body": {}}"#))
        #expect(chat.endpoint == .chat && chat.customID == "")
    }

    @Test(
        "What is no request says why and keeps its id",
        arguments: [
            ("nonsense", "bad JSON", nil), ("[1]", "is an object", nil), ("5", "is an object", nil),
            (#"{"method": "POST"}"#, "custom_id is missing", nil), (#"{"custom_id": 5}"#, "custom_id is 5", nil),
            (#"{"custom_id": "x"}"#, "method is missing", "x"),
            (#"{"custom_id": "x", "method": "GET"}"#, #"method is "GET"; it must be "POST""#, "x"),
            (#"{"custom_id": "x", "method": "POST"}"#, "url is missing", "x"),
            (#"{"custom_id": "x", "method": "POST", "url": "/v1/embeddings"}"#, "url is \"/v1/embeddings\"", "x"),
            (#"{"custom_id": "x", "method": "POST", "url": "/v1/completions"}"#, "body is missing", "x"),
            (#"{"custom_id": "x", "method": "POST", "url": "/v1/completions", "body": "{}"}"#, "body is \"{}\"", "x"),
        ])
    func faults(text: String, message: String, id: String?) throws {
        do {
            _ = try BatchLine(entry(text))
            Issue.record("\(text) was taken")
        } catch {
            #expect(error.message.hasPrefix("line 7: ") && error.message.contains(message), "\(error.message)")
            #expect(error.customID == id)
            let line = BatchLine.line(id: .init(run: 1, entry(text)), error)
            let root = try JSONDocument(parsing: line).root
            #expect(root["custom_id"]?.string == id && root["response"]?.isNull == true)
            #expect(root["error"]?["code"]?.string == "invalid_request")
        }
        let long = LineReader.Entry(line: .tooLong, number: 1, index: 0, byteCount: 1 << 25)
        #expect(throws: BatchLine.Failure.self) { try BatchLine(long) }
    }

    @Test("An answer's line has OpenAI's members, and its id says what it answers")
    func answers() throws {
        let request = entry("{}", index: 41)
        let id = BatchLine.ID(run: 0xFEED, request)
        let answer = GenerationService.Answer(status: 404, body: Array(#"{"error":{"message":"x"}}"#.utf8))
        let line = BatchLine.line(id: id, customID: "c", answer, requestID: "r")
        #expect(line.last == UInt8(ascii: "\n") && line.count { $0 == UInt8(ascii: "\n") } == 1)
        let root = try JSONDocument(parsing: line, rejectDuplicateKeys: true).root
        #expect(root.members.map { $0.0 } == ["id", "custom_id", "response", "error"])
        #expect(
            root["id"]?.string?.hasPrefix("batch_req_feed_") == true && root["id"]?.string?.hasSuffix("_42") == true)
        let response = try #require(root["response"])
        #expect(response.members.map { $0.0 } == ["status_code", "request_id", "body"])
        #expect(response["status_code"]?.int == 404 && response["body"]?["error"]?["message"]?.string == "x")
        #expect(BatchLine.ID(of: line.dropLast()) == id)
        #expect(id.mark.index == 41 && BatchLine.ID(run: 0xFEED, entry("{ }", index: 41)) != id)
    }

    @Test(
        "A line that is no answer has no id",
        arguments: [
            "", "{}", "[]", #"{"id": "batch_req_1_2_3"}"#,
            #"{"id": "x", "custom_id": "", "response": null, "error": null}"#,
            #"{"id": "batch_req_1_2_0", "custom_id": "", "response": null, "error": null}"#,
            #"{"id": "batch_req_1_2_", "custom_id": "", "response": null, "error": null}"#,
            #"{"id": "batch_req_1_zz_3", "custom_id": "", "response": null, "error": null}"#,
            #"{"id": "batch_req_1_2_3", "custom_id": "", "response": null, "error": nul"#,
        ])
    func noAnswers(text: String) {
        #expect(BatchLine.ID(of: Array(text.utf8)) == nil)
    }
}
