from __future__ import annotations

import shutil

import pytest

import tinyrm
from tinyrm.errors import UserError
from tinyrm.evaluate.cost import architecture_of, flops
from tinyrm.evaluate.judges import load_judge
from tinyrm.types import to_prompt


@pytest.mark.parametrize("protocol", ["single", "pair"])
def test_it_judges_as_the_model_does_and_counts(checkpoint_folder, pairs, protocol):
    folder = checkpoint_folder("modernbert")
    judge, model = load_judge(folder), tinyrm.load(folder)
    assert judge.protocols == ("pair", "single")
    assert judge.compare_many(pairs, protocol=protocol) == model.compare_many(pairs, protocol=protocol)
    assert judge.work.tokens == model.tokens
    assert judge.work.responses == 2 * len(pairs)
    cost = judge.cost()
    assert cost.gflops_per_token * judge.work.tokens == pytest.approx(cost.gflops_per_response * judge.work.responses)


def test_cost_of_the_default_model():
    """MiniLM's: 10.6 million weights in its layers, of which the slot needs less in the last."""
    judge = load_judge()
    judge.compare_many([(to_prompt("How do I boil an egg?"), "In water.", "In a pan, over a fire.")])
    assert 0.017 < judge.cost().gflops_per_token < 0.022
    assert judge.cost().peak_memory_mb > 50


def test_a_folder_that_tells_no_sizes_has_no_operations(exported_folder, pairs, tmp_path):
    copy = shutil.copytree(exported_folder("bert"), tmp_path / "copy")
    (copy / "config.json").unlink()
    judge = load_judge(copy)
    judge.compare_many(pairs)
    assert judge.cost().gflops_per_token is None
    assert judge.cost().tokens_per_second > 0


def test_only_what_the_model_can(checkpoint_folder, pairs):
    judge = load_judge(checkpoint_folder("bert", ("single",)))
    assert judge.protocols == ("single",)
    with pytest.raises(UserError, match="it has no 'pair' template"):
        judge.compare_many(pairs, protocol="pair")


def test_the_formula_is_used_with_the_models_own_words(checkpoint_folder):
    judge = load_judge(checkpoint_folder("bert"))
    judge.compare_many([(to_prompt("q"), "a", "b")], protocol="single")
    config = judge.model.backend._backend._model.masked_lm.config.to_dict()
    expected = sum(n * flops(architecture_of(config), length, words=4) for length, n in judge.work.lengths.items())
    assert judge.cost().gflops_per_response == pytest.approx(expected / judge.work.responses / 1e9)
