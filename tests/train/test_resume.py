"""Runs that are killed, or run out of disk, go on and end as if nothing had happened."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import textwrap

import pytest
import torch

from tinyrm.errors import UserError
from tinyrm.model.checkpoint import MANIFEST, METRICS, WEIGHTS, open_checkpoint
from tinyrm.train.folder import LOCK, LOG, RESUME, STATE, write_recipe
from tinyrm.train.run import train
from tinyrm.train.state import read_state, write_state

MORTAL = textwrap.dedent("""
    import os, signal, sys, time

    recipe, folder, strides = sys.argv[1], sys.argv[2], [int(stride) for stride in sys.argv[3:]]
    os.environ["OMP_NUM_THREADS"] = "1"  # a process that has started threads cannot be forked
    import torch
    torch.set_num_threads(1)
    import accelerate, transformers, tomli_w
    from tinyrm.config import load_recipe
    from tinyrm.errors import UserError
    from tinyrm.train.materials import Silent
    from tinyrm.train.run import train

    def live(output, stride):
        # Runs in a fork, which kills itself at the file event of that number in the run's folder.
        left = stride

        def die(event, arguments):
            nonlocal left
            if event.split(".")[0] in ("open", "os", "shutil") and any(str(a).startswith(output) for a in arguments):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        child = os.fork()
        if child == 0:
            if stride:
                sys.addaudithook(die)
            try:
                train(load_recipe(recipe, [f"output={output}"]), Silent())
            except UserError as told:  # killed after the last file was in its place, while it tidied up
                assert "finished model" in str(told)
            os._exit(0)
        return os.waitpid(child, 0)[1]

    assert live(f"{folder}/unbroken", 0) == 0
    for stride in strides:
        deaths = 0
        while status := live(f"{folder}/{stride}", stride):
            assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, status
            deaths += 1
            assert deaths < 100
        print(stride, deaths, flush=True)
""")


@pytest.mark.parametrize("adapter", [pytest.param("none", marks=pytest.mark.slow), "dora"])
def test_a_run_killed_at_any_file_event_ends_with_the_same_bytes(recipe, tmp_path, adapter):
    # Strides without a common factor, so that in the end every kind of event has been the last.
    steady = recipe(
        "train.epochs=1",
        "train.evaluations=4",
        "train.checkpoint_minutes=0",
        f"model.adapter.kind={adapter}",
        "model.frozen=1",
        "train.lr=1e-2",
    )
    path = tmp_path / "steady.toml"
    write_recipe(path, steady)
    strides = [41, 53, 67] if adapter == "none" else [61]
    done = subprocess.run(
        [sys.executable, "-c", MORTAL, str(path), str(tmp_path / "runs"), *map(str, strides)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    deaths = dict(map(int, line.split()) for line in done.stdout.splitlines())
    assert all(deaths[stride] >= 2 for stride in strides), deaths
    unbroken = tmp_path / "runs" / "unbroken"
    for stride in strides:
        broken = tmp_path / "runs" / str(stride)
        assert (broken / WEIGHTS).read_bytes() == (unbroken / WEIGHTS).read_bytes()
        assert open_checkpoint(broken).manifest == open_checkpoint(unbroken).manifest
        assert facts(broken) == facts(unbroken)
        assert losses(broken) == losses(unbroken)


def facts(folder) -> dict:
    """What a run says of itself, without what the clock decides."""
    metrics = json.loads((folder / METRICS).read_text("utf-8"))
    del metrics["training"]["seconds"]
    return metrics


def losses(folder) -> list:
    lines = (folder / LOG).read_text("utf-8").splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "seconds"} for line in lines]


class Enough(Exception):
    pass


def interrupted(resolved, notes, at=2):
    """Runs until the evaluation of that number, which ends the run."""
    seen = []

    def stop(step, metrics):
        seen.append(step)
        if len(seen) == at:
            raise Enough

    with pytest.raises(Enough):
        train(resolved, notes, on_validation=stop)
    assert (resolved.folder / RESUME / STATE).exists()
    assert not (resolved.folder / MANIFEST).exists()


QUICK = ("train.epochs=1", "train.evaluations=4", "train.lr=1e-2")


def test_a_full_disk_ends_in_a_clear_error_and_the_run_goes_on_when_there_is_room(recipe, notes, tmp_path):
    whole, broken = (recipe(*QUICK, f"output={tmp_path / name}") for name in ("whole", "broken"))
    train(whole, notes)
    interrupted(broken, notes)
    before = (broken.folder / RESUME / STATE).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))  # for a file, what a full disk is for all
    try:
        with pytest.raises(UserError, match=r"could not be saved in .*broken.*the same command goes on from there"):
            train(broken, notes)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (broken.folder / RESUME / STATE).read_bytes() == before
    assert not list((broken.folder / RESUME).glob("*.partial"))
    train(broken, notes)
    assert any(notice.startswith("going on from step") for notice in notes.notices)
    assert (broken.folder / WEIGHTS).read_bytes() == (whole.folder / WEIGHTS).read_bytes()


@pytest.mark.parametrize("change", ["train.lr=2e-2", "model.frozen=1", "seed=4", "data.validation=0.3"])
def test_another_recipe_does_not_go_on_and_is_told_what_differs(recipe, notes, change):
    interrupted(recipe(*QUICK), notes)
    with pytest.raises(UserError, match=f"differs in {change.partition('=')[0]}"):
        train(recipe(*QUICK, change), notes)
    train(recipe(*QUICK, change), notes, overwrite=True)


def test_other_rows_do_not_go_on(recipe, notes, pairs_file):
    resolved = recipe(*QUICK)
    interrupted(resolved, notes)
    pairs_file(rows=121)
    with pytest.raises(UserError, match="differs in the rows themselves"):
        train(resolved, notes)


def test_what_decides_nothing_may_change(recipe, notes):
    interrupted(recipe(*QUICK), notes)
    train(recipe(*QUICK, "train.checkpoint_minutes=1", "sweep.trials=3"), notes)


def test_a_head_once_warmed_up_is_not_warmed_up_again(recipe, notes, headless_folder, tmp_path):
    warm = (*QUICK, f"model.base={headless_folder}", "warmup.tokens=6000")
    whole, broken = (recipe(*warm, f"output={tmp_path / name}") for name in ("whole", "broken"))
    train(whole, notes)
    interrupted(broken, notes)
    notes.done.clear()
    train(broken, notes)
    assert "warming up the head" not in notes.done
    assert (broken.folder / WEIGHTS).read_bytes() == (whole.folder / WEIGHTS).read_bytes()
    assert facts(broken.folder) == facts(whole.folder)


def test_a_trial_keeps_nothing(recipe, notes):
    resolved = recipe(*QUICK)
    outcome = train(resolved, notes, keep=False)
    assert outcome.folder is None
    assert len(outcome.logits) == len(outcome.held_out)
    assert not resolved.folder.exists()


def test_a_state_is_read_back_as_it_was_written_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / STATE
    tensors = {"a": torch.randn(3, 4), "b": torch.tensor(7.0), "c": torch.arange(5)}
    assert read_state(path) is None
    write_state(path, tensors, {"step": 3})
    saved = read_state(path)
    assert saved.facts == {"step": 3}
    assert saved.tensors.keys() == tensors.keys()
    assert all(torch.equal(saved.tensors[name], tensors[name]) for name in tensors)
    content = path.read_bytes()
    for torn in (content[: len(content) // 2], content[:5], b"", b"{}" * 40):
        path.write_bytes(torn)
        assert read_state(path) is None
    assert [file.name for file in path.parent.iterdir()] == [STATE]


def test_two_runs_do_not_write_one_folder(recipe, notes):
    steady = recipe(*QUICK)
    (steady.folder / RESUME).mkdir(parents=True)
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, filelock as f; lock = f.FileLock(sys.argv[1]); lock.acquire(); print(flush=True); input()",
            steady.folder / RESUME / LOCK,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    holder.stdout.readline()
    with pytest.raises(UserError, match="another run is writing"):
        train(steady, notes)
    holder.communicate(b"\n")
    assert train(steady, notes).folder == steady.folder
    assert not (steady.folder / RESUME).exists()
