#!/usr/bin/env python3
"""Talks to a running server with OpenAI's own Python package: sync and async, streams, tools, errors.

    Tools/server/openai_client.py http://127.0.0.1:8000/v1 [KEY]

Needs the package `openai`. Tools/server/check-openai-client makes an environment with it, starts a server and runs this.
The package reads answers into its own types, so a field of a wrong kind is an error here.
"""

import asyncio
import sys

import openai

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is a KV cache?"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather in a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]


def check_models(client):
    models = client.models.list().data
    assert models and models[0].object == "model", models
    assert client.models.retrieve(models[0].id).id == models[0].id
    return models[0].id


def check_chat(client, model):
    answer = client.chat.completions.create(model=model, messages=MESSAGES, temperature=0, max_completion_tokens=30)
    choice = answer.choices[0]
    assert answer.object == "chat.completion" and choice.message.role == "assistant"
    assert choice.message.content and choice.finish_reason in ("stop", "length")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    stream = client.chat.completions.create(
        model=model, messages=MESSAGES, temperature=0, max_completion_tokens=30, stream=True,
        stream_options={"include_usage": True},
    )
    text, usage, reasons = "", None, []
    for chunk in stream:
        assert chunk.object == "chat.completion.chunk"
        if chunk.usage:
            usage = chunk.usage
        for part in chunk.choices:
            text += part.delta.content or ""
            reasons += [part.finish_reason] if part.finish_reason else []
    assert text == choice.message.content, (text, choice.message.content)
    assert reasons == [choice.finish_reason] and usage.completion_tokens == answer.usage.completion_tokens
    return choice.message.content


def check_choices(client, model):
    answer = client.chat.completions.create(
        model=model, messages=MESSAGES, n=3, seed=1, max_tokens=8, logprobs=True, top_logprobs=2,
        extra_body={"ignore_eos": True, "top_k": 20, "min_p": 0.01, "repetition_penalty": 1.1},
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    for choice in answer.choices:
        tokens = choice.logprobs.content
        assert len(tokens) == 8 and all(len(token.top_logprobs) == 2 for token in tokens)
        assert b"".join(bytes(token.bytes) for token in tokens).decode() == choice.message.content


def check_completions(client, model):
    answer = client.completions.create(
        model=model, prompt=["Once upon a time", "The engine"], max_tokens=12, temperature=0, logprobs=2, echo=True)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.choices[0].text.startswith("Once upon a time")
    logprobs = answer.choices[0].logprobs
    assert "".join(logprobs.tokens) == answer.choices[0].text
    assert len(logprobs.tokens) == len(logprobs.token_logprobs) == len(logprobs.text_offset)
    text = ""
    for chunk in client.completions.create(
            model=model, prompt="Once upon a time", max_tokens=12, temperature=0, stream=True):
        text += chunk.choices[0].text
    assert "Once upon a time" + text == answer.choices[0].text


def check_tools(client, model):
    answer = client.chat.completions.create(
        model=model, messages=MESSAGES, tools=TOOLS, tool_choice="auto", max_tokens=20, temperature=0)
    assert answer.choices[0].finish_reason in ("stop", "length", "tool_calls")
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    client.chat.completions.create(
        model=model, tools=TOOLS, max_tokens=8,
        messages=MESSAGES + [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "Rain."},
        ],
    )
    for chunk in client.chat.completions.create(
            model=model, messages=MESSAGES, tools=TOOLS, max_tokens=8, stream=True):
        assert chunk.choices
    expect(openai.BadRequestError, "tool_choice", lambda: client.chat.completions.create(
        model=model, messages=MESSAGES, tools=TOOLS, tool_choice="required"))


def expect(kind, param, call):
    try:
        call()
    except kind as error:
        assert error.param == param, (error.param, param, error)
        return error
    raise AssertionError(f"{kind.__name__} was expected")


def check_errors(client, model, url, key):
    expect(openai.BadRequestError, "temperature", lambda: client.chat.completions.create(
        model=model, messages=MESSAGES, temperature=-1))
    expect(openai.BadRequestError, "response_format", lambda: client.chat.completions.create(
        model=model, messages=MESSAGES, response_format={"type": "json_object"}))
    expect(openai.BadRequestError, "messages", lambda: client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]))
    error = expect(openai.NotFoundError, "model", lambda: client.chat.completions.create(
        model="no-such-model", messages=MESSAGES))
    assert error.code == "model_not_found"
    if key:
        wrong = openai.OpenAI(base_url=url, api_key="wrong", max_retries=0)
        error = expect(openai.AuthenticationError, None, lambda: wrong.models.list())
        assert error.code == "invalid_api_key"


def check_leaving(client, model):
    """A stream that is left early does not keep the next request from being answered."""
    stream = client.chat.completions.create(
        model=model, messages=MESSAGES, stream=True, extra_body={"ignore_eos": True})
    for _ in stream:
        break
    stream.close()
    client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=1)


async def check_async(url, key, model, expected):
    async with openai.AsyncOpenAI(base_url=url, api_key=key or "none", max_retries=0) as client:
        async def whole():
            answer = await client.chat.completions.create(
                model=model, messages=MESSAGES, temperature=0, max_completion_tokens=30)
            return answer.choices[0].message.content

        async def streamed():
            text = ""
            async for chunk in await client.chat.completions.create(
                    model=model, messages=MESSAGES, temperature=0, max_completion_tokens=30, stream=True):
                text += chunk.choices[0].delta.content or ""
            return text

        texts = await asyncio.gather(*[whole() if index % 2 else streamed() for index in range(16)])
        assert all(text == expected for text in texts), texts


def main():
    url = sys.argv[1]
    key = sys.argv[2] if len(sys.argv) > 2 else None
    client = openai.OpenAI(base_url=url, api_key=key or "none", max_retries=0)
    model = check_models(client)
    text = check_chat(client, model)
    check_choices(client, model)
    check_completions(client, model)
    check_tools(client, model)
    check_errors(client, model, url, key)
    check_leaving(client, model)
    asyncio.run(check_async(url, key, model, text))
    print(f"openai {openai.__version__}: models, chat, choices, completions, tools, errors, leaving, async: all as expected")


main()
