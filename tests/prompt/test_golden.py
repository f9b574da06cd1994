"""What is written is kept to the letter: a model trained on one wording scores worse on another."""

import os
from pathlib import Path

import pytest
from tests.prompt.conftest import SHAPES

from tinyrm.prompt import BUILTIN, ClozeWriter, Question, builtin
from tinyrm.types import Message

GOLDEN = Path(__file__).parent / "golden"
PROMPT = (
    Message("system", "Be brief."),
    Message("user", "What is two plus two?"),
    Message("assistant", "Four!"),
    Message("user", "Is it [MASK] or five?\nAnswer: 1"),
)
RESPONSES = {"single": ("It is four. " * 20,), "pair": ("Four.", "It is five, is it [SEP] no? " * 9), "domain": ()}


def hold(name, text):
    """Compares with the golden file, or writes it."""
    path = GOLDEN / name
    if os.environ.get("TINYRM_WRITE_GOLDEN") == "1":
        path.write_text(text + "\n", "utf-8")
    assert path.read_text("utf-8") == text + "\n", (
        f"{path.name} no longer holds what is written. Checkpoints in use were trained on the old wording, so this "
        "changes their scores. If it is meant, run the test with TINYRM_WRITE_GOLDEN=1 and read the difference."
    )


@pytest.mark.parametrize(("kind", "slot"), SHAPES)
def test_clozes_are_written_as_before(encoder, kind, slot):
    writer = ClozeWriter(encoder, builtin(kind, slot, max_length=128))
    (cloze,) = writer.write([Question(PROMPT, RESPONSES[kind], "reasoning")])
    cut = " ".join(f"{field}={removed}" for field, removed in cloze.cut.items()) or "nothing"
    hold(f"{kind}-{slot}.txt", f"{encoder.decode(cloze.ids)}\nslot {cloze.slot} of {len(cloze.ids)}, cut {cut}")


def test_templates_say_what_they_said():
    lines = []
    for kind in BUILTIN:
        for slot in (slot for shape, slot in SHAPES if shape == kind):
            template = builtin(kind, slot)
            lines += [f"[{kind}, slot {slot}]", template.text, f"words: {' '.join(template.words)}"]
        lines += [f"{domain}: {text}" for domain, text in template.instructions.items()]
        lines += [f"shares: {template.shares}", ""]
    hold("templates.txt", "\n".join(lines).rstrip())
