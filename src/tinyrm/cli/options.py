"""Options that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def model_options(command: Command) -> Command:
    """--model, --backend and -v."""
    for option in (
        click.option(
            "-v", "--verbose", is_flag=True, expose_value=False, callback=_say_more, help="Tell what computes."
        ),
        click.option(
            "--backend",
            type=click.Choice(
                ["auto", "onnx", "openvino", "openvino-int8", "torch", "torch-float32", "torch-bfloat16"]
            ),
            default="auto",
            show_default=True,
            help="What computes: torch on a GPU, else ONNX Runtime where the model has an ONNX file, else torch.",
        ),
        click.option(
            "--model", metavar="NAME_OR_PATH", help="A checkpoint folder or Hub name; default: the shipped model."
        ),
    ):
        command = option(command)
    return command


def _say_more(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    if wanted:
        import logging

        logging.basicConfig(stream=sys.stderr, format="%(message)s")
        logging.getLogger("tinyrm").setLevel(logging.INFO)


domain_option = click.option("--domain", help="chat, safety or reasoning: picks the instruction; general if left out.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
server_option = click.option(
    "--server", metavar="URL", help="Ask a running `tinyrm serve`, with the token in TINYRM_TOKEN, and load nothing."
)
bad_rows_option = click.option(
    "--on-bad-row",
    type=click.Choice(["skip", "refuse"]),
    default="skip",
    show_default=True,
    help="Tell and go on, or stop at the first row that cannot be read.",
)
