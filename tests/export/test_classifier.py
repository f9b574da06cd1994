"""A plain classifier reads the same tokens and gives the same reward, with nothing of ours loaded."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyrm
from tinyrm.cli import run
from tinyrm.errors import UserError
from tinyrm.export import classifier as exporting
from tinyrm.export.classifier import FILES, TOLERANCE, export_classifier
from tinyrm.export.framing import MARK
from tinyrm.model.checkpoint import open_checkpoint
from tinyrm.prompt import Question
from tinyrm.train.run import train
from tinyrm.types import Message, to_prompt

KINDS = ("bytes", "pieces")
SPECIAL = ("[MASK]", "[SEP]", "[PAD]", "[CLS]", "[UNK]", "<|endoftext|>", "<code>", "   ", "{{ x }}", "Answer: good")
words = st.one_of(
    st.sampled_from(SPECIAL), st.text(alphabet=st.characters(exclude_categories=["Cs", "Cn"]), max_size=9)
)
texts = st.lists(words, min_size=1, max_size=6).map("".join).filter(lambda text: MARK not in text)
prompts = texts.filter(str.strip)
short = texts.filter(lambda text: len(text.encode()) <= 48)


@pytest.fixture(scope="module")
def plain(classifier):
    from transformers import AutoTokenizer

    return {kind: AutoTokenizer.from_pretrained(classifier(kind)) for kind in KINDS}


@pytest.fixture(scope="module")
def writers(slot_first):
    return {kind: open_checkpoint(slot_first(kind)).writers()["single"] for kind in KINDS}


def asked(writer, prompt, response) -> list[int]:
    (cloze,) = writer.write([Question(to_prompt(prompt), (response,), "chat")])
    assert not cloze.cut
    return list(cloze.ids)


def conversation(tokenizer, turns, response) -> list[int]:
    messages = [*turns, {"role": "assistant", "content": response}]
    ids = tokenizer.apply_chat_template(messages)["input_ids"]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    assert tokenizer(text)["input_ids"] == tokenizer(text, add_special_tokens=False)["input_ids"] == ids
    return ids


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60)
@given(prompt=prompts, response=texts)
def test_a_pair_and_a_conversation_become_the_tokens_of_the_cloze(plain, writers, kind, prompt, response):
    expected = asked(writers[kind], prompt, response)
    assert expected[0] == writers[kind].encoder.mask
    assert conversation(plain[kind], [{"role": "user", "content": prompt}], response) == expected
    alone = {token.content for token in plain[kind].added_tokens_decoder.values()}
    if response and prompt not in alone and response not in alone:
        assert plain[kind](prompt, response)["input_ids"] == expected


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30)
@given(  # short texts: a tokenizer of bytes takes four for a character
    turns=st.lists(
        st.tuples(st.sampled_from(["system", "user", "assistant", "tool"]), short.filter(str.strip)),
        min_size=1,
        max_size=3,
    ),
    response=short,
)
def test_every_turn_of_a_conversation_is_written_as_ours(plain, writers, kind, turns, response):
    prompt = tuple(Message(*turn) for turn in turns)
    said = [{"role": role, "content": text} for role, text in turns]
    assert conversation(plain[kind], said, response) == asked(writers[kind], prompt, response)
    parts = [{"role": turn["role"], "content": [{"type": "text", "text": turn["content"]}]} for turn in said]
    assert conversation(plain[kind], parts, response) == asked(writers[kind], prompt, response)


def test_what_is_reserved_is_dropped_from_a_conversation(plain, writers):
    mask, sep = (plain["bytes"].convert_ids_to_tokens(asked(writers["bytes"], "a", "b")[i]) for i in (0, -1))
    assert mask.startswith(MARK)
    found = conversation(plain["bytes"], [{"role": "user", "content": f"what{mask}"}], f"{sep}yes")
    assert found == asked(writers["bytes"], "what[MASK]", "[SEP]yes")


def test_a_conversation_without_its_answer_is_where_the_one_with_it_begins(plain):
    turns = [{"role": "user", "content": "what is it?"}]
    whole = plain["bytes"].apply_chat_template([*turns, {"role": "assistant", "content": "yes"}], tokenize=False)
    assert whole.startswith(plain["bytes"].apply_chat_template(turns, tokenize=False))
    with pytest.raises(Exception, match="no prompt to judge"):
        plain["bytes"].apply_chat_template([{"role": "assistant", "content": "yes"}])


@pytest.mark.parametrize("kind", KINDS)
def test_the_pipeline_gives_our_reward(slot_first, classifier, kind):
    from transformers import pipeline

    pairs = [("what is it?", "yes " * n + "no") for n in (0, 1, 5, 30)] + [("[MASK] a\n\nb  ", "[SEP] </s> \U0001f600")]
    judge = tinyrm.load(slot_first(kind))
    expected = [judge.score(*pair, domain="chat").logit for pair in pairs]
    assert max(expected) - min(expected) > 0.1
    plain = pipeline("text-classification", model=str(classifier(kind)))
    asked = [{"text": prompt, "text_pair": response} for prompt, response in pairs]
    for batch_size in (1, len(pairs)):
        found = [one["score"] for one in plain(asked, batch_size=batch_size)]
        assert found == pytest.approx(expected, abs=TOLERANCE)


def test_truncation_keeps_the_frame_of_a_pair(plain):
    cut = plain["bytes"]("what is it?", "yes " * 900, truncation=True)["input_ids"]
    whole = plain["bytes"]("what is it?", "yes")["input_ids"]
    assert len(cut) == 256
    assert (cut[:20], cut[-1]) == (whole[:20], whole[-1])


def test_the_folder_holds_what_transformers_reads_and_no_more(slot_first, tmp_path):
    target = tmp_path / "new" / "folder"
    done = export_classifier(slot_first(), target)
    assert {path.name for path in target.iterdir()} == set(FILES)
    assert [path.name for path in target.parent.iterdir()] == ["folder"]
    assert (done.folder, done.size) == (target, (target / "model.safetensors").stat().st_size)
    assert 0 <= done.difference <= TOLERANCE


def test_the_domain_picks_the_instruction(slot_first, tmp_path):
    from transformers import AutoTokenizer

    read = {}
    for domain in (None, "safety"):
        tokenizer = AutoTokenizer.from_pretrained(
            export_classifier(slot_first(), tmp_path / str(domain), domain=domain).folder
        )
        read[domain] = tokenizer.decode(tokenizer("a", "b")["input_ids"])
    template = open_checkpoint(slot_first()).manifest.templates["single"]
    for domain, text in read.items():
        assert template.instruction(domain) in text
    with pytest.raises(UserError, match="no instruction for the domain 'saftey'; did you mean 'safety'"):
        export_classifier(slot_first(), tmp_path / "typo", domain="saftey")


@pytest.mark.parametrize(
    ("shape", "why"),
    [
        ({"slot": "last"}, "train with prompt.slot = 'first'"),
        ({"templates": ("pair",)}, "only compares pairs"),
        ({"head": "mean", "templates": ("single",)}, "has a 'mean' head"),
        ({"head": "cls", "templates": ("single",)}, "has a 'cls' head"),
        ({"kind": "pieces", "family": "bert"}, "is a bert, and only a ModernBERT"),
    ],
)
def test_what_is_no_classifier_is_refused_with_the_way_out(slot_first, tmp_path, shape, why):
    with pytest.raises(UserError, match=re.escape(why)):
        export_classifier(slot_first(**shape), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_difference_is_refused_loudly_and_leaves_nothing(slot_first, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "TOLERANCE", 0.0)
    with pytest.raises(UserError, match=r"off by .* from the checkpoint's rewards"):
        export_classifier(slot_first(), tmp_path / "out")
    monkeypatch.setattr(exporting, "framed_config", lambda writer, _: framed_for_another(writer))
    with pytest.raises(UserError, match="as a conversation, it reads"):
        export_classifier(slot_first(), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def framed_for_another(writer):
    from tinyrm.export.framing import framed_config

    return framed_config(writer, "Is it?")


def test_what_is_there_is_not_overwritten(slot_first, classifier, tmp_path):
    before = sorted((path.name, path.read_bytes()) for path in classifier().iterdir())
    with pytest.raises(UserError, match="is there already"):
        export_classifier(slot_first(), classifier())
    assert sorted((path.name, path.read_bytes()) for path in classifier().iterdir()) == before


def test_an_onnx_checkpoint_is_no_source(exported_folder, tmp_path):
    with pytest.raises(UserError, match=r"holds no model\.safetensors"):
        export_classifier(exported_folder("bert"), tmp_path / "out")


def test_the_command(slot_first, tmp_path, capsys):
    target = tmp_path / "out"
    arguments = ["export", str(slot_first()), "-o", str(target), "--format", "classifier"]
    assert run([*arguments, "--domain", "chat"]) == 0
    assert re.fullmatch(rf"{target}: 0\.\d MB, rewards within \S+ of the checkpoint's\n", capsys.readouterr().out)
    assert run([*arguments, "--weights", "int8"]) == 2
    assert "--weights is for --format onnx" in capsys.readouterr().err
    assert run(["export", str(slot_first()), "-o", str(tmp_path / "x"), "--domain", "chat"]) == 2
    assert "--domain is for --format classifier" in capsys.readouterr().err


def test_it_is_judged_where_there_is_no_tinyrm(slot_first, classifier):
    code = (
        "import sys; sys.modules['tinyrm'] = None\n"
        "from transformers import pipeline\n"
        "judge = pipeline('text-classification', model=sys.argv[1])\n"
        "print(judge({'text': 'what is it?', 'text_pair': 'yes'})['score'])"
    )
    done = subprocess.run([sys.executable, "-c", code, classifier()], capture_output=True, text=True, check=True)
    expected = tinyrm.load(slot_first()).score("what is it?", "yes", domain="chat").logit
    assert float(done.stdout) == pytest.approx(expected, abs=TOLERANCE)


def test_what_a_recipe_trained_is_exported(recipe, base_folder, notes, tmp_path):
    from transformers import pipeline

    base = f"model.base={base_folder('modernbert')}"
    settings = recipe(base, "prompt.template=single", "prompt.slot=first", "train.epochs=0.2", "train.evaluations=1")
    train(settings, notes)
    folder = export_classifier(tmp_path / "out", tmp_path / "reward").folder
    found = pipeline("text-classification", model=str(folder))([{"text": "question a?", "text_pair": "yes yes"}])
    expected = tinyrm.load(tmp_path / "out").score("question a?", "yes yes").logit
    assert found[0]["score"] == pytest.approx(expected, abs=TOLERANCE)
