"""What a caller is told when it gets no answer, in the shape that its client reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Literal

from fastapi.responses import JSONResponse

Shape = Literal["openai", "tei"]

_NAMES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    408: "RequestTimeoutError",
    413: "RequestTooLargeError",
    415: "UnsupportedMediaTypeError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
    499: "ClientClosedRequestError",
    503: "ServiceUnavailableError",
    504: "DeadlineExceededError",
}
"""Named as the `openai` package names its exceptions, where it has one."""
_TEI_KINDS = {429: "Overloaded", 424: "Backend", 500: "Backend", 503: "Unhealthy", 504: "Overloaded"}


class Refusal(Exception):
    """An answer other than the one asked for. The message never holds what the user wrote."""

    def __init__(self, status: int, message: str, *, kind: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.headers = dict(headers or {})


class Answer(JSONResponse):
    """JSON whose strings may hold lone surrogates, which become question marks as they do for the model."""

    def render(self, content: Any) -> bytes:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "replace")


def to_answer(refusal: Refusal, shape: Shape) -> Answer:
    """The body that clients of OpenAI and vLLM read, or the one of text-embeddings-inference."""
    status = refusal.status
    if shape == "tei":
        body: dict[str, Any] = {
            "error": refusal.message,
            "error_type": refusal.kind or _TEI_KINDS.get(status, "Validation"),
        }
    else:
        name = _NAMES.get(status) or ("InternalServerError" if status >= 500 else HTTPStatus(status).phrase)
        body = {"error": {"message": refusal.message, "type": name, "param": None, "code": status}}
    return Answer(body, status_code=status, headers=refusal.headers)
