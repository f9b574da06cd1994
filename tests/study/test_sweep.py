from __future__ import annotations

import csv
import os
import signal
import struct
import threading
import time

import optuna
import psutil
import pytest
import torch
from optuna.trial import TrialState

import tinyrm.study.trials
from tinyrm.config import load_recipe
from tinyrm.errors import UserError
from tinyrm.study.ingredients import value_of
from tinyrm.study.sweep import BEST, IMPORTANCE, PARALLEL, TRIALS, sweep
from tinyrm.study.trials import FINISHED, STUDY, best_of, finished
from tinyrm.train.materials import Silent
from tinyrm.train.run import train

GOOD = 'sweep.space={"train.lr"={low=1e-3, high=6e-3, log=true}, "model.frozen"={low=0, high=1}}'
DEADLINE = 120
"""Seconds after which something is amiss, on however slow a machine."""


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def study_of(recipe):
    return optuna.load_study(study_name="sweep", storage=f"sqlite:///{recipe.folder / STUDY}")


def outcomes(recipe):
    return [(trial.params, trial.value, trial.state) for trial in finished(study_of(recipe))]


def size_of_png(path):
    head = path.read_bytes()[:24]
    assert head.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", head[16:])


def test_the_best_recipe_trains_to_the_best_trials_score(recipe, notes):
    asked = recipe(
        "sweep.trials=5",
        "sweep.prune=false",
        'sweep.space={"train.lr"={low=1e-3, high=6e-3, log=true}, "model.adapter.kind"=["none", "dora"], '
        '"model.adapter.rank"=[2, 4], "model.adapter.alpha"=["2x"], "prompt.instruction"=["unset", "good?"]}',
    )
    path = sweep(asked, notes)
    assert path == asked.folder / BEST
    trials = finished(study_of(asked))
    best, found = best_of(trials), load_recipe(path)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 5
    assert best.value == max(trial.value for trial in trials)
    assert found.name == "tiny-best"
    assert found.data.seed == asked.seed
    assert {trial.params["model.adapter.kind"] for trial in trials} == {"none", "dora"}
    for trial in trials:
        assert ("model.adapter.rank" in trial.params) == (trial.params["model.adapter.kind"] == "dora")
    for key, value in best.params.items():
        kept = {"unset": None, "2x": 2.0 * found.model.adapter.rank}.get(value, value)
        assert value_of(found, key) == kept
    again = train(found, Silent(), keep=False).best
    assert (again["score"], again["log_loss"]) == (best.value, best.user_attrs["log_loss"])

    lines = [note for note in notes.notices if note.startswith("trial ")]
    assert len(lines) == 5
    assert lines[-1].startswith("trial 5 of 5: ")
    assert f"(best {best.value:.1%})" in lines[-1]
    assert "lr=" in lines[-1]
    assert notes.done["trials"] == (5, 5)
    with (asked.folder / TRIALS).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["score"]) for row in rows] == [trial.value for trial in trials]
    assert [row["model.adapter.rank"] for row in rows] == [
        str(trial.params.get("model.adapter.rank", "")) for trial in trials
    ]
    for name, least in ((IMPORTANCE, (800, 250)), (PARALLEL, (1200, 600))):
        assert all(have > need for have, need in zip(size_of_png(asked.folder / name), least, strict=True))
    assert not list(asked.folder.glob("*.partial*"))


def test_going_on_later_comes_to_the_same_as_going_through(recipe, tmp_path, notes):
    usual = (GOOD, "sweep.prune=false")
    through = recipe(*usual, "sweep.trials=4", f"output={tmp_path / 'through'}")
    sweep(through, Silent())
    halfway = recipe(*usual, "sweep.trials=2")
    sweep(halfway, Silent())
    first = outcomes(halfway)
    assert len(first) == 2
    sweep(recipe(*usual, "sweep.trials=4", "train.checkpoint_minutes=9", "name=other"), notes)
    assert outcomes(halfway) == outcomes(through)
    assert outcomes(halfway)[:2] == first
    assert "going on with 2 trials" in notes.notices
    sweep(recipe(*usual, "sweep.trials=3"), Silent())  # has enough already
    assert len(outcomes(halfway)) == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("train.batch_size=4", "train.batch_size is 4, was 8"),
        ("data.seed=3", "data.seed is 3, was 17"),
        ('sweep.space={"train.lr"=[1e-3]}', "sweep.space.train.lr is [0.001], was {"),
    ],
)
def test_the_folder_of_another_sweep_is_refused(recipe, change, said):
    if not (made := recipe(GOOD, "sweep.trials=1")).folder.exists():
        sweep(made, Silent())
    with pytest.raises(UserError, match="holds the sweep of another recipe") as mistake:
        sweep(recipe(GOOD, "sweep.trials=2", change), Silent())
    assert said in str(mistake.value)
    assert "output=" in str(mistake.value)
    assert len(outcomes(made)) == 1


def test_what_is_hopeless_is_pruned(recipe, notes):
    good, hopeless = [4e-3, 5e-3, 6e-3], [1e-8, 1e-9, 1e-10]
    asked = recipe("sweep.trials=5", f'sweep.space={{"train.lr"={[*good, *hopeless]}}}')
    sweep(asked, notes)
    trials = finished(study_of(asked))
    pruned = [trial for trial in trials if trial.state == TrialState.PRUNED and trial.params["train.lr"] in hopeless]
    assert pruned
    assert all(len(trial.intermediate_values) < asked.train.evaluations for trial in pruned)
    assert all(trial.value < best_of(trials).value for trial in pruned)
    assert any("pruned at" in note for note in notes.notices)
    assert load_recipe(asked.folder / BEST).train.lr in good


def test_values_that_cannot_be_are_given_up_and_the_rest_goes_on(recipe, notes):
    space = 'sweep.space={"prompt.instruction"=["%s", "good?"]}' % ("very " * 90)
    asked = recipe("sweep.trials=6", space)
    sweep(asked, notes)
    states = {trial.params["prompt.instruction"]: trial.state for trial in finished(study_of(asked))}
    assert set(states.values()) == set(FINISHED)
    assert states["good?"] == TrialState.COMPLETE
    assert any("given up" in note and "max_length" in note for note in notes.notices)

    hopeless = recipe("sweep.trials=2", space.replace(', "good?"', ""), f"output={asked.folder}-2")
    with pytest.raises(UserError, match=r"none of 2 trials came to its end; the last: .*max_length"):
        sweep(hopeless, Silent())


def test_the_same_values_are_not_trained_twice(recipe, notes):
    asked = recipe("sweep.trials=3", 'sweep.space={"train.lr"=[3e-3]}')
    sweep(asked, notes)
    first, *others = finished(study_of(asked))
    assert [trial.value for trial in others] == [first.value] * 2
    assert [trial.user_attrs["same_as"] for trial in others] == [first.number] * 2
    assert [trial.intermediate_values for trial in others] == [first.intermediate_values] * 2
    assert sum("tried before" in note for note in notes.notices) == 2


def test_mistakes_in_the_recipe_end_the_sweep_at_once(recipe):
    for change in ('data.train=[{path="none.jsonl"}]', 'sweep.space={"train.lr"=["fast"]}', "data.train=[]"):
        with pytest.raises(UserError):
            sweep(recipe(GOOD, change), Silent())
    assert not (recipe().folder / STUDY).exists()


def test_two_workers_share_a_study_and_none_is_one_too_many(recipe, notes):
    asked = recipe(GOOD, "sweep.trials=5", "sweep.prune=false", "train.epochs=2")
    sweep(asked, notes, workers=2)
    trials = study_of(asked).trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 5
    assert len({str(trial.params) for trial in trials}) == 5
    assert sum(note.startswith("trial ") for note in notes.notices) == 5
    assert notes.done["trials"] == (5, 5)


@pytest.mark.slow
def test_a_killed_worker_and_ctrl_c_lose_no_finished_trial(recipe, monkeypatch):
    """One of two workers is killed outright, then the command is interrupted; a later one makes up for both."""
    asked = recipe(GOOD, "sweep.trials=99", "sweep.prune=false", "train.epochs=6")
    workers: list[psutil.Process] = []

    def disturb():
        until(lambda: counted(asked, TrialState.COMPLETE) and counted(asked, TrialState.RUNNING) == 2)
        workers[:] = [it for it in psutil.Process().children() if "spawn_main" in " ".join(it.cmdline())]
        workers[0].kill()
        time.sleep(2 * tinyrm.study.trials.WAIT)  # the other one goes on
        os.kill(os.getpid(), signal.SIGINT)

    trouble = threading.Thread(target=disturb)
    trouble.start()
    with pytest.raises(KeyboardInterrupt):
        sweep(asked, Silent(), workers=2)
    trouble.join()
    assert len(workers) == 2
    assert not any(worker.is_running() for worker in workers)
    done = outcomes(asked)
    assert done
    (orphan,) = [trial for trial in study_of(asked).trials if trial.state == TrialState.RUNNING]

    monkeypatch.setattr(tinyrm.study.trials, "HEARTBEAT", 1)
    monkeypatch.setattr(tinyrm.study.trials, "GRACE", 2)
    sweep(recipe(GOOD, f"sweep.trials={len(done) + 2}", "sweep.prune=false", "train.epochs=6"), Silent())
    trials = study_of(asked).trials
    assert outcomes(asked)[: len(done)] == done
    assert len(outcomes(asked)) == len(done) + 2
    assert trials[orphan.number].state == TrialState.FAIL
    assert any(trial.params == orphan.params and trial.state in FINISHED for trial in trials)


def counted(recipe, state):
    try:
        return sum(trial.state == state for trial in study_of(recipe).trials)
    except Exception:  # the study is just being made
        return 0


def until(condition):
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
