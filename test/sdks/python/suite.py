"""The scenarios of ../SCENARIOS.md with the official Python SDK."""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
import traceback
import urllib.request
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import openai
from openai import OpenAI, Stream
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam
from pydantic import BaseModel

MODEL = "gpt-4o-mini"
EMBEDDING_MODEL = "text-embedding-3-small"
DEADLINE_SECONDS = 30
RED_PIXEL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)

# Strict where OpenAI's own answers pass: of embeddings the SDK checks the base64 before it decodes it, and recorded
# responses lack a count that its newest types require.
strict = OpenAI(_strict_response_validation=True)
client = OpenAI()

Scenario = Callable[[], None]
Failure = TypeVar("Failure", bound=Exception)
scenarios: dict[str, Scenario] = {}


def scenario(name: str) -> Callable[[Scenario], Scenario]:
    def register(run: Scenario) -> Scenario:
        scenarios[name] = run
        return run

    return register


def counts(model: str) -> dict[str, int]:
    with urllib.request.urlopen(os.environ["MEGALLM_COUNTS_URL"], timeout=5) as answer:
        return json.load(answer)[model]


def user(content: str) -> ChatCompletionMessageParam:
    return {"role": "user", "content": content}


def ask(sdk: OpenAI, model: str, **options: Any) -> None:
    sdk.chat.completions.create(model=model, messages=[user("Hello")], **options)


def failure(kind: type[Failure], run: Callable[[], object]) -> Failure:
    """The error that it ends with, of that class."""
    try:
        run()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


@scenario("models")
def models() -> None:
    listed = list(strict.models.list())
    assert MODEL in [model.id for model in listed], f"{MODEL} is not among {len(listed)} models"
    for model in listed:
        assert model.id and model.object == "model" and model.created >= 0, f"not a model: {model}"
    assert strict.models.retrieve(MODEL).id == MODEL
    error = failure(openai.NotFoundError, lambda: strict.models.retrieve("no-such-model"))
    assert error.code == "model_not_found", f"code {error.code}"


@scenario("chat")
def chat() -> None:
    completion = strict.chat.completions.create(model=MODEL, messages=[user("Say hello")])
    [choice] = completion.choices
    usage = completion.usage
    assert completion.object == "chat.completion" and completion.id, f"not a completion: {completion}"
    assert choice.message.role == "assistant" and choice.message.content, f"no content: {choice}"
    assert choice.finish_reason == "stop", f"finish_reason {choice.finish_reason}"
    assert usage and usage.prompt_tokens > 0 and usage.completion_tokens > 0, f"usage {usage}"
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, f"usage {usage}"


@scenario("stream")
def stream() -> None:
    chunks = list(
        strict.chat.completions.create(
            model=MODEL,
            messages=[user("Say one two three")],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    *before, last = chunks
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert text, "the deltas make no text"
    assert reasons == ["stop"], f"finish reasons {reasons}"
    assert last.choices == [] and last.usage, f"the last chunk is {last}"
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens, f"usage {last.usage}"
    assert all(chunk.usage is None for chunk in before), "usage before the last chunk"
    assert len({chunk.id for chunk in chunks}) == 1, "the chunks differ in their ids"


class GetWeather(BaseModel):
    """The weather of a city."""

    city: str
    unit: Literal["celsius", "fahrenheit"]


class FindFlights(BaseModel):
    """Flights to a city."""

    destination: str
    passengers: int
    direct: bool


@scenario("tools")
def tools() -> None:
    offered = {kind.__name__: kind for kind in (GetWeather, FindFlights)}
    messages = [user("Should I fly to Lisbon this week? Use GetWeather and FindFlights.")]
    called: list[set[str]] = []
    for _ in range(5):
        with strict.chat.completions.stream(
            model=MODEL, messages=messages, tools=[openai.pydantic_function_tool(kind) for kind in offered.values()]
        ) as events:
            [choice] = events.get_final_completion().choices
        calls = choice.message.tool_calls or []
        if not calls:
            assert choice.finish_reason == "stop" and choice.message.content, f"no words at the end: {choice}"
            break
        assert choice.finish_reason == "tool_calls", f"finish_reason {choice.finish_reason}"
        assert len({call.id for call in calls}) == len(calls), "two calls of one id"
        for call in calls:
            arguments = call.function.parsed_arguments
            assert isinstance(arguments, offered[call.function.name]), f"arguments {call.function.arguments}"
        called.append({call.function.name for call in calls})
        messages.append(choice.message)
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": json.dumps({"answer": call.function.name})}
            for call in calls
        ]
    else:
        raise AssertionError("the loop did not end with words")
    assert called and called[0] == set(offered), f"called together: {called}"


class Ingredient(BaseModel):
    name: str
    grams: float


class Recipe(BaseModel):
    title: str
    difficulty: Literal["easy", "hard"]
    vegan: bool
    ingredients: list[Ingredient]


@scenario("structured")
def structured() -> None:
    completion = strict.chat.completions.parse(
        model=MODEL, messages=[user("A recipe for bread")], response_format=Recipe
    )
    message = completion.choices[0].message
    assert isinstance(message.parsed, Recipe), f"parsed {message.parsed} from {message.content}"
    assert message.refusal is None, f"refusal {message.refusal}"


@scenario("embeddings")
def embeddings() -> None:
    answer = client.embeddings.create(model=EMBEDDING_MODEL, input=["The first text", "Второй текст 🌍"])
    assert [item.index for item in answer.data] == [0, 1], "the indexes are not 0 and 1"
    assert answer.usage.prompt_tokens > 0, f"usage {answer.usage}"
    first, second = (item.embedding for item in answer.data)
    assert first != second, "two texts have one vector"
    short = client.embeddings.create(model=EMBEDDING_MODEL, input="The first text", dimensions=256).data[0].embedding
    for vector, dimension in ((first, 1536), (second, 1536), (short, 256)):
        assert len(vector) == dimension, f"{len(vector)} numbers, not {dimension}"
        length = math.hypot(*vector)
        assert abs(length - 1) < 1e-3, f"length {length}"
    again = client.embeddings.create(model=EMBEDDING_MODEL, input="The first text").data[0].embedding
    assert again == first, "the same text has another vector"


@scenario("responses")
def responses() -> None:
    response = client.responses.create(model=MODEL, input="Say hello")
    usage = response.usage
    assert response.output_text, "no output text"
    assert response.status == "completed", f"status {response.status}"
    assert usage and usage.input_tokens > 0 and usage.output_tokens > 0, f"usage {usage}"
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens, f"usage {usage}"
    following = client.responses.create(model=MODEL, input="And once more", previous_response_id=response.id)
    assert following.output_text and following.status == "completed", f"the follow-up is {following}"
    assert following.id != response.id, "the follow-up has the id of the first"
    assert following.previous_response_id == response.id, f"previous_response_id {following.previous_response_id}"


@scenario("responses-stream")
def responses_stream() -> None:
    numbers: list[int] = []
    kinds: list[str] = []
    text = ""
    with client.responses.stream(model=MODEL, input="Say one two three") as events:
        for event in events:
            numbers.append(event.sequence_number)
            kinds.append(event.type)
            if event.type == "response.output_text.delta":
                text += event.delta
        response = events.get_final_response()
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed", f"events {kinds}"
    assert numbers == list(range(len(numbers))), f"sequence numbers {numbers}"
    assert text and text == response.output_text, f"deltas {text!r}, completed {response.output_text!r}"


@scenario("vision")
def vision() -> None:
    completion = strict.chat.completions.create(
        model=MODEL,
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Which colour is this?"},
                    {"type": "image_url", "image_url": {"url": RED_PIXEL, "detail": "low"}},
                ],
            }
        ],
    )
    assert completion.choices[0].message.content, "no answer"


@scenario("files")
def files() -> None:
    line = {"custom_id": "привет 🌍", "method": "POST", "url": "/v1/chat/completions", "body": {"model": MODEL}}
    row = (json.dumps(line, ensure_ascii=False) + "\n").encode()
    content = row * math.ceil(100 * 1024 / len(row))
    uploaded = strict.files.create(file=("requests.jsonl", content, "application/jsonl"), purpose="batch")
    assert uploaded.bytes == len(content), f"{uploaded.bytes} bytes of {len(content)}"
    assert uploaded.filename == "requests.jsonl" and uploaded.purpose == "batch", f"uploaded {uploaded}"
    assert uploaded.id in [file.id for file in strict.files.list()], "the file is not in the list"
    assert strict.files.retrieve(uploaded.id).bytes == len(content)
    assert strict.files.content(uploaded.id).read() == content, "other bytes came back"
    assert strict.files.delete(uploaded.id).deleted, "not deleted"
    failure(openai.NotFoundError, lambda: strict.files.retrieve(uploaded.id))


@scenario("error-400")
def error_400() -> None:
    error = failure(openai.BadRequestError, lambda: ask(strict, "fault-400", temperature=1))
    assert "temperature" in error.message, f"message {error.message}"
    assert (error.code, error.param) == ("invalid_value", "temperature"), f"{error.code}, {error.param}"
    assert error.type == "invalid_request_error", f"type {error.type}"
    assert error.request_id, "no request id"


@scenario("error-401")
def error_401() -> None:
    stranger = strict.with_options(api_key="sk-wrong")
    error = failure(openai.AuthenticationError, lambda: ask(stranger, MODEL))
    assert error.code == "invalid_api_key", f"code {error.code}"


@scenario("error-404")
def error_404() -> None:
    error = failure(openai.NotFoundError, lambda: ask(strict, "no-such-model"))
    assert error.code == "model_not_found", f"code {error.code}"


def expect_retries(model: str, kind: type[openai.APIStatusError]) -> None:
    before = counts(model)["calls"]
    failure(kind, lambda: ask(strict, model))
    calls = counts(model)["calls"] - before
    expected = 1 + openai.DEFAULT_MAX_RETRIES
    assert calls == expected, f"{calls} calls, not {expected}"


@scenario("error-429")
def error_429() -> None:
    expect_retries("fault-429", openai.RateLimitError)


@scenario("error-500")
def error_500() -> None:
    expect_retries("fault-500", openai.InternalServerError)


@scenario("error-mid-stream")
def error_mid_stream() -> None:
    text = ""
    reasons: list[str] = []

    def read() -> None:
        nonlocal text
        for chunk in strict.chat.completions.create(model="fault-mid-stream", messages=[user("Hello")], stream=True):
            for choice in chunk.choices:
                text += choice.delta.content or ""
                reasons.extend([choice.finish_reason] if choice.finish_reason else [])

    error = failure(openai.APIError, read)
    assert error.message, "the error has no message"
    assert text.split() == ["one", "two"], f"before the error: {text!r}"
    assert reasons == [], f"finish reasons {reasons}"


@scenario("cancel")
def cancel() -> None:
    before = counts("slow-stream")["cancelled"]
    chunks: Stream[ChatCompletionChunk]
    with strict.chat.completions.create(model="slow-stream", messages=[user("Hello")], stream=True) as chunks:
        deltas = 0
        for chunk in chunks:
            deltas += bool(chunk.choices and chunk.choices[0].delta.content)
            if deltas == 3:
                break
    deadline = time.monotonic() + 5
    while counts("slow-stream")["cancelled"] == before:
        assert time.monotonic() < deadline, "not cancelled within 5 s"
        time.sleep(0.05)


@scenario("long-prompt")
def long_prompt() -> None:
    line = "Съешь же ещё этих мягких французских булок. 敏捷的棕色狐狸跳过了懒狗。 🦊🌍👩‍👩‍👧‍👦\n"
    text = line * math.ceil(100 * 1024 / len(line.encode()))
    completion = strict.chat.completions.create(model=MODEL, messages=[user(text), user("Say nothing")])
    assert completion.choices[0].message.content, "no answer"
    assert completion.usage and completion.usage.prompt_tokens >= 10_000, f"usage {completion.usage}"


def failure_of(run: Scenario) -> str | None:
    """Why it failed, on one line. A scenario that hangs is left behind in its thread."""
    outcome: list[str | None] = []

    def attempt() -> None:
        try:
            run()
            outcome.append(None)
        except BaseException as error:  # noqa: BLE001
            places = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == __file__]
            where = f"suite.py:{places[-1].lineno}" if places else "?"
            outcome.append(" ".join(f"{type(error).__name__}: {error} ({where})".split()))

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(DEADLINE_SECONDS)
    return outcome[0] if outcome else f"hung for {DEADLINE_SECONDS} s"


def main() -> int:
    failed = False
    for name, run in scenarios.items():
        failure = failure_of(run)
        failed = failed or failure is not None
        print(f"SCENARIO {name} {'ok' if failure is None else f'FAILED {failure}'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
