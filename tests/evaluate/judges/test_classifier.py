"""Sequence classifiers against transformers' own forward, alone and in batches."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from tinyrm.errors import UserError
from tinyrm.evaluate.judges import load_judge
from tinyrm.evaluate.judges.classifier import ClassifierJudge
from tinyrm.types import to_prompt

LONG = " ".join(f"a{i % 10} question" for i in range(900))
FOLDERS = [
    ("bert", 1, False),
    ("roberta", 2, False),
    ("modernbert", 1, True),
    ("deberta-v2", 2, True),
    ("llama", 1, True),
]


def reference(folder, prompt, response, template):
    """The reward by transformers alone, one row, nothing cut."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if template:
        messages = [*prompt, {"role": "assistant", "content": response}]
        ids = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True)["input_ids"]
    else:
        ids = tokenizer("\n\n".join(turn["content"] for turn in prompt), "\n\n" + response)["input_ids"]
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].tolist()
    return logits[0] if len(logits) == 1 else logits[1] - logits[0]


@pytest.mark.parametrize(("family", "labels", "template"), FOLDERS)
def test_rewards_are_those_of_transformers(classifier_folder, family, labels, template):
    folder = classifier_folder(family, labels, template)
    judge = ClassifierJudge(str(folder))
    prompts = ["what is the answer?", "a b c", "question: two plus two is what?"]
    rows = [(to_prompt(p), text) for p in prompts for text in ("four", "no, five is the answer . . .", "y")]
    scored = judge.score_many(rows, lambda done: None)
    expected = [reference(folder, [{"role": "user", "content": p[0].content}], text, template) for p, text in rows]
    assert [one.reward for one in scored] == pytest.approx(expected, abs=1e-5)
    assert np.ptp(expected) > 1e-3
    assert judge.about["reward"] == ("logit" if labels == 1 else "logit of LABEL_1 - logit of LABEL_0")


@pytest.mark.parametrize(("family", "labels", "template"), FOLDERS)
def test_alone_and_in_a_batch(classifier_folder, pairs, family, labels, template):
    judge = ClassifierJudge(str(classifier_folder(family, labels, template)))
    together = judge.compare_many(pairs)
    alone = [judge.compare_many([pair])[0] for pair in pairs]
    assert [v.logit for v in together] == pytest.approx([v.logit for v in alone], abs=1e-5)
    swapped = judge.compare_many([(prompt, b, a) for prompt, a, b in pairs])
    assert [v.p_a for v in swapped] == [1 - v.p_a for v in together]


@pytest.mark.parametrize(("family", "labels", "template"), [FOLDERS[0], FOLDERS[1], FOLDERS[4]])
def test_what_is_cut_is_said(classifier_folder, family, labels, template):
    judge = ClassifierJudge(str(classifier_folder(family, labels, template)))
    one, other, neither = judge.compare_many(
        [
            (to_prompt("a?"), LONG, "yes"),
            (to_prompt(LONG), "yes", "no"),
            (to_prompt("a?"), "yes", "no"),
        ]
    )
    assert set(one.cut) == {"a"}
    assert set(other.cut) == {"prompt"}
    assert not neither.cut
    longest = max(judge.work.lengths)
    assert longest == judge.about["max_length"]
    # Nothing vanishes: the text is what was kept and what was cut.
    whole = len(judge._transformer.tokenizer(LONG, add_special_tokens=False)["input_ids"])
    assert whole - one.cut["a"] < longest < whole


def test_a_text_pair_is_the_tokenizers_own(classifier_folder, tmp_path):
    """Special tokens and token types as transformers writes them; of a long pair only the middles go."""
    import transformers

    from tinyrm.evaluate.judges.transformer import Transformer
    from tinyrm.model.base import resolve

    folder = tmp_path / "pairs"
    tokenizer = transformers.AutoTokenizer.from_pretrained(resolve("minilm"))
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    config = transformers.BertConfig(vocab_size=len(tokenizer), **sizes, num_labels=1, max_position_embeddings=64)
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    model = Transformer(folder, "pairs", "AutoModelForSequenceClassification")
    whole, cut = model.encode(["Is it so?", "a"], ["It is.", "word " * 100 + "end"])
    expected = tokenizer("Is it so?", "It is.")
    assert list(whole.ids) == expected["input_ids"]
    assert list(whole.types) == expected["token_type_ids"]
    assert (whole.cut, cut.cut) == ({}, {"response": 101 - (64 - 4)})
    assert len(cut.ids) == len(cut.types) == 64
    assert tokenizer.decode(cut.ids).startswith("[CLS] a [SEP] word word")
    assert tokenizer.decode(cut.ids).endswith("word end [SEP]")
    assert set(cut.types[3:]) == {1}


def test_cost_of_what_was_computed(classifier_folder, pairs):
    judge = ClassifierJudge(str(classifier_folder("bert")))
    judge.compare_many([*pairs, *pairs])
    cost = judge.cost()
    assert judge.work.responses == sum(judge.work.lengths.values()) == 8
    assert cost.gflops_per_response > 0
    assert cost.tokens_per_response * 8 == judge.work.tokens


def test_a_plain_path_is_recognised(classifier_folder, checkpoint_folder):
    folder = classifier_folder("bert")
    plain, named = load_judge(str(folder)), load_judge(f"hf:{folder}")
    assert plain.about == named.about
    assert plain.about["kind"] == "sequence classifier"
    assert load_judge(checkpoint_folder("bert")).about["kind"] == "tinyrm"


def test_the_hash_is_that_of_what_decides(classifier_folder, tmp_path):
    source = classifier_folder("bert")
    same, other = tmp_path / "same", tmp_path / "other"
    shutil.copytree(source, same)
    (same / "README.md").write_text("nothing that decides a score", "utf-8")
    shutil.copytree(source, other)
    config = json.loads((other / "config.json").read_text("utf-8"))
    (other / "config.json").write_text(json.dumps(config | {"hidden_act": "relu"}), "utf-8")
    hashes = [ClassifierJudge(str(folder)).about["sha256"] for folder in (source, same, other)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_models_that_are_no_judges(classifier_folder, base_folder, tmp_path):
    with pytest.raises(UserError, match="has 3 labels"):
        ClassifierJudge(str(classifier_folder("bert", 3)))
    with pytest.raises(UserError, match=r"lacks the weights .*would be random"):
        ClassifierJudge(str(base_folder("bert")))
    with pytest.raises(UserError, match="no folder"):
        ClassifierJudge(str(tmp_path / "none"))
    pickled = tmp_path / "pickled"
    shutil.copytree(classifier_folder("bert"), pickled)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"cannot load the model .*safetensors"):
        ClassifierJudge(str(pickled))
    speechless = tmp_path / "speechless"
    shutil.copytree(classifier_folder("bert"), speechless)
    for file in speechless.glob("*token*"):
        file.unlink()
    with pytest.raises(UserError, match=r"no tokenizer.json that fits|cannot load"):
        ClassifierJudge(str(speechless))
    remote = tmp_path / "remote"
    shutil.copytree(classifier_folder("bert"), remote)
    config = json.loads((remote / "config.json").read_text("utf-8"))
    ran = tmp_path / "ran"
    (remote / "own.py").write_text(f"open({str(ran)!r}, 'w').close()\nclass Own: pass\n", "utf-8")
    own = {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModelForSequenceClassification": "own.Own"}}
    (remote / "config.json").write_text(json.dumps(config | own), "utf-8")
    with pytest.raises(UserError, match="cannot load the model"):
        ClassifierJudge(str(remote))
    assert not ran.exists()


def test_a_template_that_refuses(classifier_folder, tmp_path):
    folder = tmp_path / "refuses"
    shutil.copytree(classifier_folder("bert", 1, True), folder)
    (folder / "chat_template.jinja").write_text("{{ raise_exception('only in French') }}", "utf-8")
    with pytest.raises(UserError, match="refuses a conversation: only in French"):
        ClassifierJudge(str(folder)).compare_many([(to_prompt("q"), "a", "b")])
