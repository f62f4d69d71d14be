"""The model endpoint: the OpenAI chat protocol, answered by rules on the facts it is given; the same facts, the same answer."""

import asyncio
import hashlib
import json
import re
import time
from typing import Any

import orjson
from aiohttp import web

from simulator.faults import Fault
from simulator.opinion import Opinion, form_opinion
from simulator.venue import Venue

MODEL = "simulated-rules-1"
FINGERPRINT = "fp_simulated_rules_1"
CHARS_PER_TOKEN = 4
KEY = re.compile(r"^Bearer \S+$")
LONGEST_BODY = 1_000_000


class Refusal(Exception):
    """A refusal in OpenAI's error format."""

    def __init__(self, status: int, text: str, kind: str = "invalid_request_error", param: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.body = {"error": {"message": text, "type": kind, "param": param, "code": None}}


class ModelEndpoint:
    """Answers /v1/models and /v1/chat/completions."""

    def __init__(self, venue: Venue, latency: float) -> None:
        self.venue = venue
        self.latency = latency
        self.calls = 0

    def attach(self, app: web.Application) -> None:
        """Put the routes in place."""
        app.router.add_get("/v1/models", self.models)
        app.router.add_post("/v1/chat/completions", self.complete)

    async def models(self, request: web.Request) -> web.Response:
        """The one model there is."""
        try:
            _check_key(request)
        except Refusal as refusal:
            return _json(refusal.body, refusal.status)
        entry = {"id": MODEL, "object": "model", "created": 1_767_571_200, "owned_by": "tradewinds-simulator"}
        return _json({"object": "list", "data": [entry]})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """One answer, after the latency that a model takes."""
        self.calls += 1
        try:
            _check_key(request)
            ask = await _read(request)
            opinion = form_opinion(_question(ask["messages"]))
        except Refusal as refusal:
            return _json(refusal.body, refusal.status)
        await asyncio.sleep(self.latency)
        fault = self.venue.faults.consult(
            "model.reply", self.venue.clock.now_ms(), model=str(ask["model"]), symbol=opinion.symbol
        )  # fmt: skip
        answer = _completion(ask, opinion)
        return _json(answer) if fault is None else await _spoil(request, fault, answer, opinion)


def _check_key(request: web.Request) -> None:
    if not KEY.match(request.headers.get("Authorization", "")):
        raise Refusal(
            401, "You didn't provide an API key in an Authorization header (Bearer KEY).", "authentication_error"
        )


async def _read(request: web.Request) -> dict[str, Any]:
    raw = await request.read()
    try:
        ask = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise Refusal(400, "We could not parse the JSON body of your request.") from None
    if not isinstance(ask, dict) or len(raw) > LONGEST_BODY:
        raise Refusal(400, "The body must be a JSON object of at most a million bytes.")
    if not isinstance(ask.get("model"), str):
        raise Refusal(400, "you must provide a model parameter", param="model")
    messages = ask.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) and "role" in m for m in messages):
        raise Refusal(400, "'messages' must be a non-empty list of objects with a role.", param="messages")
    wanted = ask.get("response_format")
    known = ("text", "json_object", "json_schema")
    if wanted is not None and (not isinstance(wanted, dict) or wanted.get("type") not in known):
        raise Refusal(400, f"response_format.type must be one of {', '.join(known)}.", param="response_format")
    if ask.get("stream"):
        raise Refusal(400, "This endpoint does not stream.", param="stream")
    return ask


def _question(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The JSON object of the last user message."""
    users = [m for m in messages if m.get("role") == "user"]
    content = users[-1].get("content") if users else None
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    try:
        question = json.loads(content or "")
    except ValueError:
        raise Refusal(
            400, "The user message must be one JSON object with signal, facts and reasons.", param="messages"
        ) from None
    if not isinstance(question, dict) or not isinstance(question.get("signal"), dict):
        raise Refusal(400, "The user message must hold an object 'signal'.", param="messages")
    return question


def _completion(ask: dict[str, Any], opinion: Opinion) -> dict[str, Any]:
    content = json.dumps(opinion.describe(), separators=(",", ":"))
    prompt = sum(len(str(m.get("content", ""))) for m in ask["messages"]) // CHARS_PER_TOKEN + 4
    answer = len(content) // CHARS_PER_TOKEN + 1
    digest = hashlib.sha256(json.dumps(ask["messages"], sort_keys=True).encode()).hexdigest()[:24]
    choice = {
        "index": 0, "finish_reason": "stop", "logprobs": None,
        "message": {"role": "assistant", "content": content, "refusal": None},
    }  # fmt: skip
    return {
        "id": f"chatcmpl-sim-{digest}", "object": "chat.completion", "created": int(time.time()), "model": MODEL,
        "system_fingerprint": FINGERPRINT, "choices": [choice],
        "usage": {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer},
    }  # fmt: skip


async def _spoil(request: web.Request, fault: Fault, answer: dict[str, Any], opinion: Opinion) -> web.StreamResponse:
    seconds = float(fault.params.get("seconds", 60))
    message, choice = answer["choices"][0]["message"], answer["choices"][0]
    match fault.kind:
        case "delay":
            await asyncio.sleep(seconds)
        case "hang":
            await asyncio.sleep(seconds)
            if request.transport is not None:
                request.transport.abort()
        case "drip":
            return await _drip(request, answer, seconds)
        case "http":
            status = int(fault.params.get("status", 500))
            return _json(
                {"error": {"message": "The server had an error.", "type": "server_error", "code": None}}, status
            )
        case "bad_json":
            message["content"] = str(fault.params.get("text", "I would confirm this trade. {verdict: confirm,"))
        case "fenced_json":
            message["content"] = f"```json\n{message['content']}\n```"
        case "wrong_symbol":
            wrong = opinion.describe() | {"symbol": str(fault.params.get("symbol", "WRONG/USDT:USDT"))}
            message["content"] = json.dumps(wrong)
        case "truncated":
            message["content"] = message["content"][: len(message["content"]) // 2]
            choice["finish_reason"] = "length"
        case "empty":
            answer["choices"] = []
        case "refusal":
            message["content"], message["refusal"] = None, "I'm sorry, I can't help with that."
    return _json(answer)


async def _drip(request: web.Request, answer: dict[str, Any], seconds: float) -> web.StreamResponse:
    """Blank lines that keep a naive read timeout from ever firing, then the answer."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    for _ in range(max(1, int(seconds / 0.25))):
        await response.write(b"\n")
        await asyncio.sleep(0.25)
    await response.write(orjson.dumps(answer))
    await response.write_eof()
    return response


def _json(body: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")
