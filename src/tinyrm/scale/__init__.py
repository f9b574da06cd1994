"""Whole files of rows: judged as a stream, picked up where a killed run left them."""

from .output import check_target
from .score import Judge, Judging, Scored, score_file, score_stream

__all__ = ["Judge", "Judging", "Scored", "check_target", "score_file", "score_stream"]
