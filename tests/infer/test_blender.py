"""What a user of llm_blender.Blender calls, and the shapes that come back."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import tinyrm
from tinyrm.errors import UserError

INPUTS = ["what is two plus two?", "say yes or no"]
CANDIDATES = [["four", "five", "it is four", "five"], ["yes", "no", "yes or no", "maybe"]]


@pytest.fixture(scope="module", params=["single", "pair"])
def blender(request, checkpoint_folder):
    made = tinyrm.Blender()
    made.loadranker(checkpoint_folder("bert", kinds=(request.param,)), device="cpu")
    return made


def test_ranks_and_scores_are_of_one_shape_and_one_mind(blender):
    ranks = blender.rank(INPUTS, CANDIDATES, batch_size=1, disable_tqdm=True)
    scores = blender.rank(INPUTS, CANDIDATES, return_scores=True)
    assert (ranks.shape, ranks.dtype) == ((2, 4), np.int32)
    assert (scores.shape, scores.dtype) == ((2, 4), np.float32)
    for rank, score in zip(ranks, scores, strict=True):
        assert [1 + sum(other > one for other in score) for one in score] == rank.tolist()
    assert ranks[0, 1] == ranks[0, 3], "equal candidates share a place"
    lists = [blender.ranker.rank(prompt, texts) for prompt, texts in zip(INPUTS, CANDIDATES, strict=True)]
    for row, ranking in zip(scores, lists, strict=True):
        assert [row[place.index] for place in ranking] == pytest.approx([place.score for place in ranking], abs=1e-5)


def test_compare_is_antisymmetric_and_agrees_with_the_model(blender):
    a, b = [texts[0] for texts in CANDIDATES], [texts[1] for texts in CANDIDATES]
    logits = blender.compare(INPUTS, a, b, return_logits=True)
    assert blender.compare(INPUTS, a, b).tolist() == [logit > 0 for logit in logits]
    assert (blender.compare(INPUTS, b, a, return_logits=True) == -logits).all()
    assert logits.tolist() == [verdict.logit for verdict in blender.ranker.compare(INPUTS, a, b)]


def test_one_order_alone(blender):
    a, b = [texts[0] for texts in CANDIDATES], [texts[1] for texts in CANDIDATES]
    first, second, both = (
        blender.compare(INPUTS, a, b, return_logits=True, mode=mode) for mode in ("[A,B]", "[B,A]", "[A,B]+[B,A]")
    )
    if blender.ranker.reads_pairs:
        assert (first - second) / 2 == pytest.approx(both, abs=1e-5), "the second mode asks whether B is better"
        assert second == pytest.approx(blender.compare(INPUTS, b, a, return_logits=True, mode="[A,B]"), abs=1e-6)
    else:
        assert (first == both).all()
        assert (second == both).all()


def test_the_best_and_the_worst_are_the_ends_of_one_order(blender):
    ranks = blender.rank(INPUTS, CANDIDATES)
    for kind in ("bubble", "full"):
        best = blender.get_best_of_n(INPUTS, CANDIDATES, pairrm_cmp_type=kind)
        assert best == [texts[list(rank).index(1)] for texts, rank in zip(CANDIDATES, ranks, strict=True)]
        ordered = blender.get_best_of_n(INPUTS, CANDIDATES, pairrm_cmp_type=kind, return_all=True)
        assert [texts[0] for texts in ordered] == best
        worst = blender.get_worst_of_n(INPUTS, CANDIDATES, pairrm_cmp_type=kind, return_all=True)
        assert [texts[::-1] for texts in worst] == ordered, "the equal ones read the same both ways"


@pytest.mark.parametrize(
    ("mode", "chosen"), [("longest", 2), ("shortest", 0), ("first", 0), ("last", 3), ("median_length", 1)]
)
def test_against_a_reference(blender, mode, chosen):
    inputs, candidates = INPUTS[:1], CANDIDATES[:1]
    scores = blender.rank_with_ref(inputs, candidates, return_scores=True, ref_mode=mode)
    assert scores[0, chosen] == 0
    assert (scores == blender.rank_with_ref(inputs, candidates, return_scores=True, mode=mode)).all()
    mine = blender.rank_with_ref(inputs, candidates, return_scores=True, ref_candidates=[candidates[0][chosen]])
    assert (scores == mine).all()
    ranks = blender.rank_with_ref(inputs, candidates, ref_mode=mode)
    assert ranks[0].tolist() == [1 + sum(other > one for other in scores[0]) for one in scores[0]]


def test_conversations_part_where_their_answers_differ(blender):
    head = [{"role": "USER", "content": "hi"}, {"role": "ASSISTANT", "content": "yes"}]
    last = {"role": "USER", "content": "what is two plus two?"}
    a, b = ([*head, last, {"role": "ASSISTANT", "content": text}] for text in ("four", "five"))
    found = blender.compare_conversations([a], [b], return_logits=True)
    prompt = [{"role": turn["role"].lower(), "content": turn["content"]} for turn in [*head, last]]
    assert found.tolist() == [blender.ranker.compare(prompt, "four", "five").logit]
    with pytest.raises(UserError, match=r"conversation 0: the turns of USER differ"):
        blender.compare_conversations([a], [[{**a[0], "content": "other"}, *b[1:]]])
    with pytest.raises(UserError, match=r"conversation 0: .*by turns"):
        blender.compare_conversations([a[:3]], [b[:3]])


def test_an_instruction_stands_before_its_input(blender):
    with_instruction = blender.rank(INPUTS, CANDIDATES, instructions=["a ", "b "], return_scores=True)
    written = blender.rank(["a " + INPUTS[0], "b " + INPUTS[1]], CANDIDATES, return_scores=True)
    assert (with_instruction == written).all()


def test_what_cannot_be_done_is_said(blender, checkpoint_folder):
    with pytest.raises(UserError, match="no ranker is loaded"):
        tinyrm.Blender().rank(INPUTS, CANDIDATES)
    with pytest.raises(UserError, match="not a model of TinyRM"):
        tinyrm.Blender().loadranker("llm-blender/PairRM")
    with pytest.raises(UserError, match="makes none"):
        blender.fuse(INPUTS, CANDIDATES)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = blender.nonsense
    with pytest.raises(UserError, match="input 1 has 1 candidates"):
        blender.rank(INPUTS, [["a", "b"], ["a"]])
    with pytest.raises(UserError, match="2 inputs, but candidates for 1"):
        blender.rank(INPUTS, CANDIDATES[:1])
    with pytest.raises(UserError, match="unknown ref_mode 'tallest'"):
        blender.rank_with_ref(INPUTS, CANDIDATES, ref_mode="tallest")
    with pytest.raises(UserError, match="1 instructions for 2 inputs"):
        blender.rank(INPUTS, CANDIDATES, instructions=["a"])
    configured = tinyrm.Blender(ranker_config=SimpleNamespace(load_checkpoint=str(checkpoint_folder("bert"))))
    assert configured.compare(INPUTS[:1], ["yes"], ["no"]).shape == (1,)
