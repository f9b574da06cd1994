"""Trackers are told what the run's own log and metrics say."""

import contextlib
import json
import os
import subprocess
import sys
import textwrap

import pytest
import yaml
from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import tinyrm
from tinyrm.errors import UserError
from tinyrm.model.checkpoint import MANIFEST, METRICS
from tinyrm.train.folder import LOG, write_recipe
from tinyrm.train.run import train
from tinyrm.train.trackers import Trackers

QUICK = ("train.epochs=1", "train.evaluations=3", "train.lr=1e-3")
SHOWN = 'train.trackers=["tensorboard"]'


def shown_in(folder) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()


def scalars(folder) -> dict[str, dict[int, float]]:
    """What TensorBoard shows: the value of every step, by name; where a step was done twice, the later one."""
    shown = shown_in(folder)
    return {name: {event.step: event.value for event in shown.Scalars(name)} for name in shown.Tags()["scalars"]}


def approximately(values):
    return pytest.approx(values, rel=1e-6)  # TensorBoard keeps them in float32


def log_of(folder) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / LOG).read_text("utf-8").splitlines()]


def check_steps(shown, log):
    for name in ("step", "steps", "loss", "lr", "tokens", "preferences", "seconds"):
        assert shown[name] == approximately({line["step"]: line[name] for line in log}), name


def check_history(shown, history):
    measures = ("score", "accuracy", "log_loss", "pairs")
    for name in measures:
        assert shown[f"held_out/{name}"] == approximately({entry["step"]: entry[name] for entry in history}), name
    for domain in ("chat", "safety", "reasoning"):
        for name in measures[1:]:
            expected = {entry["step"]: entry["domains"][domain][name] for entry in history}
            assert shown[f"held_out/domains/{domain}/{name}"] == approximately(expected), (domain, name)


def history_of(folder):
    return json.loads((folder / METRICS).read_text("utf-8"))["history"]


def test_tensorboard_shows_the_log_and_the_history(recipe, notes):
    resolved = recipe(*QUICK, SHOWN)
    folder = train(resolved, notes).folder
    shown, log, history = scalars(folder / "tiny"), log_of(folder), history_of(folder)
    assert len(log) > 10
    assert len(history) == 3
    check_steps(shown, log)
    check_history(shown, history)
    assert not any(name.endswith("domains") for name in shown)  # a table of numbers is none itself

    [settings] = [yaml.safe_load(path.read_text("utf-8")) for path in folder.rglob("hparams.yml")]
    assert settings["train.lr"] == 1e-3
    assert settings["model.adapter.kind"] == "none"
    assert settings["name"] == "tiny"
    assert tinyrm.load(folder).compare("question a?", "yes", "no").better in ("A", "B")


def test_to_be_shown_changes_no_bit(recipe, notes, tmp_path):
    seen, unseen = (
        train(recipe(*QUICK, *more, f"output={tmp_path / name}"), notes).folder
        for name, more in (("seen", (SHOWN,)), ("unseen", ()))
    )
    assert (seen / "model.safetensors").read_bytes() == (unseen / "model.safetensors").read_bytes()


class Enough(Exception):
    pass


@pytest.mark.parametrize("from_the_start", [True, False])
def test_a_run_that_goes_on_is_shown_to_its_end(recipe, notes, from_the_start):
    evaluated = []

    def stop(step, metrics):
        evaluated.append(step)
        if len(evaluated) == 2:
            raise Enough

    begun = recipe(*QUICK, *([SHOWN] if from_the_start else []))
    with pytest.raises(Enough):
        train(begun, notes, on_validation=stop)
    assert not (begun.folder / MANIFEST).exists()
    assert (begun.folder / "tiny").exists() == from_the_start

    folder = train(recipe(*QUICK, SHOWN), notes).folder  # who looks on may change between a run and its continuation
    saved = evaluated[0]
    assert f"going on from step {saved}" in notes.notices
    shown, log, history = scalars(folder / "tiny"), log_of(folder), history_of(folder)
    assert [line["step"] for line in log] == list(range(1, len(log) + 1))
    if from_the_start:
        check_steps(shown, log)
        check_history(shown, history)
    else:
        check_steps(shown, log[saved:])
        check_history(shown, history[1:])


@pytest.mark.parametrize("named", ["tensorbord", "Tensorboard", "tensorboardx"])
def test_an_unknown_tracker_is_refused_with_the_nearest_name(recipe, notes, named):
    resolved = recipe(*QUICK, f'train.trackers=["{named}"]')
    with pytest.raises(UserError, match=f"no tracker is called '{named}'; did you mean 'tensorboard'"):
        train(resolved, notes)
    assert not (resolved.folder / LOG).exists()


def test_a_tracker_that_is_not_installed_is_refused_with_the_command(recipe, notes):
    missing = sorted({*LOGGER_TYPE_TO_CLASS} - {str(name) for name in get_available_trackers()})
    if not missing:
        pytest.skip("every tracker is installed here")
    resolved = recipe(*QUICK, f'train.trackers=["tensorboard", "{missing[0]}"]')
    with pytest.raises(UserError, match=rf"the tracker {missing[0]} is not installed: pip install {missing[0]}$"):
        train(resolved, notes)
    assert not (resolved.folder / "tiny").exists()


def test_only_numbers_are_logged(recipe):
    resolved = recipe(SHOWN)
    with Trackers(resolved, keeps=True).start(Accelerator(cpu=True)) as trackers:
        trackers.log({"whole": 3, "yes": True, "text": "x", "none": None, "table": {"inner": {"half": 0.5}}}, 7)
    assert scalars(resolved.folder / "tiny") == {"whole": {7: 3.0}, "table/inner/half": {7: 0.5}}
    assert not shown_in(resolved.folder / "tiny").Tags()["tensors"]  # where texts would be


def test_the_trackers_end_with_the_run_however_it_ends(recipe):
    accelerator = Accelerator(cpu=True)
    with contextlib.suppress(Enough), Trackers(recipe(SHOWN), keeps=True).start(accelerator):
        writer = accelerator.get_tracker("tensorboard", unwrap=True)
        assert writer.all_writers
        raise Enough
    assert writer.all_writers is None


def test_a_trial_shows_nothing(recipe, notes):
    resolved = recipe(*QUICK, SHOWN)
    train(resolved, notes, keep=False)
    assert not resolved.folder.exists()


def test_without_trackers_nothing_of_them_is_loaded_or_written(recipe, tmp_path):
    resolved = recipe("train.epochs=0.1", "train.evaluations=1")
    write_recipe(tmp_path / "plain.toml", resolved)
    program = textwrap.dedent("""
        import sys
        from tinyrm.config import load_recipe
        from tinyrm.train.materials import Silent
        from tinyrm.train.run import train

        train(load_recipe(sys.argv[1], []), Silent())
        print([name for name in sys.modules if "tensorboard" in name])
    """)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "plain.toml")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.stdout.strip() == "[]"
    assert (resolved.folder / MANIFEST).exists()
    assert not [path for path in resolved.folder.rglob("*") if path.is_dir() or "tfevents" in path.name]
