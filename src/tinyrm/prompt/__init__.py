"""How a question becomes a cloze: the one place that makes token ids."""

from .cloze import Cloze, ClozeWriter, Question
from .packing import allot, shorten
from .template import BUILTIN, INSTRUCTIONS, Template, builtin
from .tokens import SpecialTokens, TextEncoder

__all__ = [
    "BUILTIN",
    "INSTRUCTIONS",
    "Cloze",
    "ClozeWriter",
    "Question",
    "SpecialTokens",
    "Template",
    "TextEncoder",
    "allot",
    "builtin",
    "shorten",
]
