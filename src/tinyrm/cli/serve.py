"""tinyrm serve."""

from __future__ import annotations

from typing import Any

import click

from .options import model_options


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; the default is this machine.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@click.option("--workers", type=int, default=1, show_default=True, help="Processes, each with the model in it.")
@click.option("--token", envvar="TINYRM_TOKEN", help="What callers must show; better given as TINYRM_TOKEN.")
@click.option("--max-wait-ms", type=float, default=2.0, show_default=True, help="How long to wait to fill a batch.")
@click.option("--max-tokens-per-batch", type=int, default=0, help="Default: what the backend likes best.")
@click.option("--queue", type=int, default=4096, show_default=True, help="Questions that may wait in a process.")
@click.option("--deadline", type=float, default=30.0, show_default=True, help="Seconds that a request may take.")
@click.option("--max-body", type=int, default=8 << 20, show_default=True, help="Bytes of a request.")
@click.option("--max-items", type=int, default=256, show_default=True, help="Responses of a request.")
@click.option("--max-chars", type=int, default=500_000, show_default=True, help="Characters of one text.")
@click.option("--cors-origin", "cors_origins", multiple=True, help="A site whose pages may call; may be repeated.")
@click.option(
    "--baseline",
    default="I don't know.",
    show_default=True,
    help="The answer that a model which only compares measures a lone response by.",
)
@model_options
def serve(**options: Any) -> None:
    """Serve a model over HTTP, to the clients of OpenRLHF, verl, vLLM, text-embeddings-inference and OpenAI."""
    from ..console import Console
    from ..serve import Settings
    from ..serve.run import serve as run

    with Console() as console:
        run(Settings(**options), console.notice)
