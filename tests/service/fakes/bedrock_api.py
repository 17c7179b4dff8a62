"""A Bedrock runtime that checks signatures and validates requests with AWS's own service model.

`anthropic.claude-haiku-4-5-v1:0` says back what it was told; with tools it calls the first one.
"""

from __future__ import annotations

import binascii
import json
import struct
from typing import Any
from urllib.parse import unquote

import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.validate import ParamValidator

from tests.service.fakes.serving import FakeUpstream, Refused, Send, respond, start_stream

ACCESS, SECRET, TOKEN, REGION = "AKIAFAKE", "fake/secret", "fake-token", "eu-west-1"
MODEL = "anthropic.claude-haiku-4-5-v1:0"
SERVICE = botocore.session.get_session().get_service_model("bedrock-runtime")


def refusal(status: int, name: str, message: str) -> Refused:
    return Refused(status, {"message": message}, {"x-amzn-errortype": f"{name}:http://internal.amazon.com/"})


def check_signature(method: str, url: str, headers: dict[str, str], body: bytes) -> None:
    """Sign again what came, with the same date, and compare."""
    sent = headers.get("authorization", "")
    if not sent.startswith("AWS4-HMAC-SHA256 "):
        raise refusal(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
    fields = dict(part.strip().split("=", 1) for part in sent.partition(" ")[2].split(","))
    signed = {name: headers[name] for name in fields["SignedHeaders"].split(";")}
    request = AWSRequest(method=method, url=url, data=body, headers=signed)
    request.context["timestamp"] = headers["x-amz-date"]
    auth = SigV4Auth(Credentials(ACCESS, SECRET, TOKEN), "bedrock", REGION)
    text = auth.string_to_sign(request, auth.canonical_request(request))
    if auth.signature(text, request) != fields["Signature"]:
        raise refusal(403, "InvalidSignatureException", "The request signature we calculated does not match")


def check_members(shape: Any, value: Any, where: str) -> None:
    """AWS ignores unknown members; a test should not."""
    if (
        shape.type_name == "structure"
        and isinstance(value, dict)
        and not getattr(shape, "is_document_type", 0)
    ):
        for name, inner in value.items():
            if name not in shape.members:
                raise refusal(400, "ValidationException", f"unknown member {where}.{name}")
            check_members(shape.members[name], inner, f"{where}.{name}")
    elif shape.type_name == "list":
        for inner in value:
            check_members(shape.member, inner, where)


def check(model: str, body: dict[str, Any]) -> None:
    shape = SERVICE.operation_model("Converse").input_shape
    check_members(shape, body, "$")
    report = ParamValidator().validate({**body, "modelId": model}, shape)
    if report.has_errors():
        raise refusal(400, "ValidationException", report.generate_report())
    open_calls: set[str] = set()
    last = "assistant"
    for turn in body["messages"]:
        if turn["role"] == last:
            raise refusal(400, "ValidationException", "roles must alternate between user and assistant")
        last = turn["role"]
        results = {b["toolResult"]["toolUseId"] for b in turn["content"] if "toolResult" in b}
        if results != open_calls:
            raise refusal(400, "ValidationException", "toolResult blocks do not match the toolUse blocks")
        open_calls = {b["toolUse"]["toolUseId"] for b in turn["content"] if "toolUse" in b}
        if (open_calls or results) and "toolConfig" not in body:
            raise refusal(400, "ValidationException", "The toolConfig field must be defined")


class FakeBedrock(FakeUpstream):
    """See the module. `base` is its own address, for the signature."""

    base = ""
    raw_path = ""

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Send) -> None:
        self.raw_path = scope.get("raw_path", b"").decode().partition("?")[0]
        await super().__call__(scope, receive, send)

    async def answer(self, method: str, path: str, headers: dict[str, str], body: bytes, send: Send) -> None:
        check_signature(method, self.base + self.raw_path, headers, body)
        parts = self.raw_path.split("/")
        if method != "POST" or len(parts) != 4 or parts[1] != "model":
            raise refusal(404, "UnknownOperationException", "")
        model, action = unquote(parts[2]), parts[3]
        asked = json.loads(body)
        self.requests.append(asked)
        if model != MODEL:
            raise refusal(404, "ResourceNotFoundException", "Model not found")
        check(model, asked)
        content, reason = say(asked)
        usage = {
            "inputTokens": 10,
            "outputTokens": 6,
            "totalTokens": 39,
            "cacheReadInputTokens": 20,
            "cacheWriteInputTokens": 3,
            "cacheDetails": [{"ttl": "1h", "inputTokens": 2}],
        }
        if action == "converse":
            message = {"role": "assistant", "content": content}
            whole = {"output": {"message": message}, "stopReason": reason, "usage": usage}
            await respond(send, 200, json.dumps({**whole, "metrics": {"latencyMs": 1}}).encode())
            return
        await start_stream(send, "application/vnd.amazon.eventstream")
        for name, data in stream_events(content, reason, usage):
            await send({"type": "http.response.body", "body": frame(name, data), "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def say(asked: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
    last = asked["messages"][-1]["content"]
    content: list[dict[str, Any]] = []
    if "thinking" in asked.get("additionalModelRequestFields", {}):
        told = {"text": "let me see", "signature": "c2ln"}
        content.append({"reasoningContent": {"reasoningText": told}})
    answered = any("toolResult" in block for block in last)
    if asked.get("toolConfig") and not answered:
        name = asked["toolConfig"]["tools"][0]["toolSpec"]["name"]
        used = {"toolUseId": "tooluse_1", "name": name, "input": {"city": "Oslo"}}
        content.append({"toolUse": used})
        return content, "tool_use"
    said = " ".join(b.get("text", "[image]") for b in last if "text" in b or "image" in b)
    content.append({"text": said or "done"})
    return content, "end_turn"


def stream_events(
    content: list[dict[str, Any]], reason: str, usage: dict[str, Any]
) -> list[tuple[str, dict[str, Any]]]:
    out: list[tuple[str, dict[str, Any]]] = [("messageStart", {"role": "assistant"})]
    for index, block in enumerate(content):
        deltas: list[dict[str, Any]]
        if "toolUse" in block:
            used = block["toolUse"]
            start = {"toolUse": {"toolUseId": used["toolUseId"], "name": used["name"]}}
            out.append(("contentBlockStart", {"start": start, "contentBlockIndex": index}))
            text = json.dumps(used["input"])
            deltas = [{"toolUse": {"input": piece}} for piece in (text[:5], text[5:])]
        elif "reasoningContent" in block:
            told = block["reasoningContent"]["reasoningText"]
            deltas = [{"reasoningContent": {name: told[name]}} for name in ("text", "signature")]
        else:
            words = block["text"].split(" ")
            deltas = [{"text": word if i == 0 else " " + word} for i, word in enumerate(words)]
        out += [("contentBlockDelta", {"delta": delta, "contentBlockIndex": index}) for delta in deltas]
        out.append(("contentBlockStop", {"contentBlockIndex": index}))
    out.append(("messageStop", {"stopReason": reason}))
    out.append(("metadata", {"usage": usage, "metrics": {"latencyMs": 1}}))
    return out


def frame(name: str, data: dict[str, Any], kind: str = "event") -> bytes:
    """One event-stream frame: docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html."""
    headers = b""
    told = {f":{kind}-type": name, ":content-type": "application/json", ":message-type": kind}
    for key, value in told.items():
        headers += bytes([len(key)]) + key.encode() + b"\x07" + struct.pack("!H", len(value)) + value.encode()
    payload = json.dumps(data).encode()
    prelude = struct.pack("!II", len(headers) + len(payload) + 16, len(headers))
    message = prelude + struct.pack("!I", binascii.crc32(prelude)) + headers + payload
    return message + struct.pack("!I", binascii.crc32(message))
