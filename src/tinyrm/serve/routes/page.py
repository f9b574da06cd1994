"""The page at `/`: one file, under a policy that lets it load and call nothing but its own server."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib import resources

from fastapi import APIRouter
from starlette.responses import Response

router = APIRouter()


@router.get("/", include_in_schema=False)
async def page() -> Response:
    """The page to try the model on."""
    html, headers = _page()
    return Response(html, media_type="text/html; charset=utf-8", headers=headers)


@cache
def _page() -> tuple[str, dict[str, str]]:
    html = (resources.files("tinyrm.serve.routes") / "page.html").read_text("utf-8")
    return html, {
        "Content-Security-Policy": policy(html),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }


def policy(html: str) -> str:
    """A Content-Security-Policy under which the script and the style in a page run, and no others.

    Trusted types make the browser refuse to take a text for HTML, so what users write stays text.
    """
    rules = {
        "default-src": "'none'",
        "script-src": _hashes(html, "script"),
        "style-src": _hashes(html, "style"),
        "img-src": "data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _hashes(html: str, tag: str) -> str:
    inner = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in inner)
    return " ".join(f"'sha256-{digest}'" for digest in digests)
