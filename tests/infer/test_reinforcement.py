"""Rewards as TRL's trainers ask for them."""

from __future__ import annotations

import copy
import pickle

import pytest

import tinyrm
from tinyrm.errors import UserError

PROMPTS = ["what is two plus two?"] * 3 + ["say yes or no"] * 2
COMPLETIONS = ["four", "five", "it is four", "yes", "no"]


@pytest.fixture(scope="module", params=[("single",), ("pair",)])
def folder(request, checkpoint_folder):
    return checkpoint_folder("bert", kinds=request.param)


def test_a_reward_is_the_models_score(default_model):
    reward = tinyrm.reward_function(default_model)
    found = reward(PROMPTS, COMPLETIONS, trainer_state=None, completion_ids=[[1]] * 5)
    assert found == [one.logit for one in default_model.score(PROMPTS, COMPLETIONS)]
    assert all(isinstance(number, float) for number in found)
    assert reward.__name__ == default_model.manifest.name, "trainers log rewards under this name"
    assert tinyrm.reward_function(default_model, name="mine").__name__ == "mine"


def test_messages_are_read_as_what_the_assistant_said(default_model):
    reward = tinyrm.reward_function(default_model)
    prompts = [[{"role": "user", "content": prompt}] for prompt in PROMPTS]
    completions = [[{"role": "assistant", "content": text}] for text in COMPLETIONS]
    assert reward(prompts, completions) == reward(PROMPTS, COMPLETIONS)
    called = [
        {"role": "assistant", "content": None, "tool_calls": [{"name": "add"}]},
        {"role": "tool", "content": "4"},
        {"role": "assistant", "content": "four"},
    ]
    assert reward(prompts[:1], [called]) == reward(PROMPTS[:1], ["four"])
    with pytest.raises(TypeError, match="a completion is a string or a list of messages"):
        reward(["a?"], [[1]])


def test_relative_rewards_of_a_group_sum_to_nothing(folder):
    reward = tinyrm.reward_function(folder, relative=True)
    found = reward(PROMPTS, COMPLETIONS)
    assert sum(found[:3]) == pytest.approx(0, abs=1e-5)
    assert sum(found[3:]) == pytest.approx(0, abs=1e-5)
    order = [4, 0, 3, 2, 1]
    shuffled = reward([PROMPTS[i] for i in order], [COMPLETIONS[i] for i in order])
    assert shuffled == pytest.approx([found[i] for i in order], abs=1e-5), "groups need not stand together"
    margin = found[3] - found[4]
    assert margin * tinyrm.load(folder).compare(PROMPTS[3], "yes", "no").logit > 0


def test_the_domain_comes_from_the_column_or_is_fixed(default_model):
    domains = ["chat", "safety", None, "reasoning", "chat"]
    by_column = tinyrm.reward_function(default_model)(PROMPTS, COMPLETIONS, domain=domains)
    assert by_column == [one.logit for one in default_model.score(PROMPTS, COMPLETIONS, domain=domains)]
    other = tinyrm.reward_function(default_model, domain_column="topic")(PROMPTS, COMPLETIONS, topic=domains, domain=5)
    assert other == by_column
    fixed = tinyrm.reward_function(default_model, domain="safety")(PROMPTS, COMPLETIONS, domain=domains)
    assert fixed == [one.logit for one in default_model.score(PROMPTS, COMPLETIONS, domain=["safety"] * 5)]


def test_prompts_may_stand_in_a_column(default_model):
    reward = tinyrm.reward_function(default_model, prompt_column="question")
    found = reward(["<|user|>" + prompt for prompt in PROMPTS], COMPLETIONS, question=PROMPTS)
    assert found == tinyrm.reward_function(default_model)(PROMPTS, COMPLETIONS)
    with pytest.raises(UserError, match="no column 'question'; it has id"):
        reward(PROMPTS, COMPLETIONS, id=[1])


def test_it_travels_to_other_processes_by_name(checkpoint_folder):
    folder = checkpoint_folder("bert", kinds=("single",))
    reward = tinyrm.reward_function(folder)
    copied = pickle.loads(pickle.dumps(reward))
    assert copied(PROMPTS, COMPLETIONS) == reward(PROMPTS, COMPLETIONS)
    with pytest.raises(TypeError, match="give reward_function its name or path"):
        pickle.dumps(tinyrm.reward_function(tinyrm.load(folder)))


def test_a_model_of_pairs_alone_gives_no_reward_of_one(checkpoint_folder):
    with pytest.raises(UserError, match="only compares pairs: use reward_function\\(relative=True\\)"):
        tinyrm.reward_function(checkpoint_folder("bert", kinds=("pair",)))


@pytest.mark.peers
@pytest.mark.parametrize("relative", [False, True])
def test_trl_learns_from_it(relative, base_folder, tokenizer, tmp_path):
    """Two steps of TRL's GRPOTrainer on a random causal LM: the rewards that it logs are ours."""
    datasets = pytest.importorskip("datasets")
    trl = pytest.importorskip("trl")
    import transformers as hf

    heard: list[list[float]] = []
    reward = tinyrm.reward_function(relative=relative)

    def listening(prompts, completions, **columns):
        heard.append(reward(prompts, completions, **columns))
        return heard[-1]

    listening.__name__ = reward.__name__
    size = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    policy = hf.LlamaForCausalLM(hf.LlamaConfig(vocab_size=len(tokenizer), num_key_value_heads=2, **size))
    rows = datasets.Dataset.from_list([{"prompt": prompt, "domain": "chat"} for prompt in ("what is two?", "yes?")] * 2)
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.padding_side, tokenizer.eos_token = "left", "[SEP]"
    trainer = trl.GRPOTrainer(
        model=policy,
        reward_funcs=listening,
        processing_class=tokenizer,
        train_dataset=rows,
        args=trl.GRPOConfig(
            output_dir=str(tmp_path),
            per_device_train_batch_size=4,
            num_generations=4,
            max_completion_length=8,
            max_steps=2,
            logging_steps=1,
            report_to=[],
            use_cpu=True,
            bf16=False,
            save_strategy="no",
        ),
    )
    trainer.train()
    logged = [entry for entry in trainer.state.log_history if f"rewards/{reward.__name__}/mean" in entry]
    means = [entry[f"rewards/{reward.__name__}/mean"] for entry in logged]
    assert len(means) == 2
    assert means == pytest.approx([sum(batch) / len(batch) for batch in heard], abs=1e-4)
    if relative:
        assert means == pytest.approx([0, 0], abs=1e-4)
