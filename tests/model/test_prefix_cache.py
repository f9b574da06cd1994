"""The frozen layers' states are kept whole or not at all, and never taken for those of anything else."""

import multiprocessing
import os
import resource
import signal
import time
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import random_masked_lm

from tinyrm.config import CacheConfig, TrainConfig
from tinyrm.data import load_preferences
from tinyrm.errors import UserError
from tinyrm.model import prefix_cache
from tinyrm.model.base import load_base
from tinyrm.model.cloze_model import ClozeModel
from tinyrm.model.layout import Packed
from tinyrm.model.prefix_cache import cached_prefix
from tinyrm.prompt import ClozeWriter, builtin
from tinyrm.train.batches import Feed
from tinyrm.train.examples import encode
from tinyrm.train.loop import fit
from tinyrm.train.run import train

VOCABULARY, WIDTH = 60, 32
CPU = torch.device("cpu")


def model_of(family="bert", frozen=1, words=(11, 7)):
    return ClozeModel(random_masked_lm(family, VOCABULARY, layers=3, width=WIDTH), words, frozen)


def clozes(*lengths, seed=0):
    """Token ids and starts of random clozes."""
    ids = np.random.default_rng(seed).integers(1, VOCABULARY, sum(lengths)).astype(np.int32)
    return ids, np.concatenate([[0], np.cumsum(lengths)])


FEW = clozes(40, 27, 3, 90, 1)


@pytest.fixture
def config(tmp_path):
    return CacheConfig(prefix=True, folder=str(tmp_path / "cache"), dtype="float32")


@pytest.fixture
def kept(config):
    """`kept(...)`: the states, and how often the trunk ran for them."""

    def states(model=None, read=FEW, using=config, progress=lambda done, total: None):
        model = model or model_of()
        runs = []
        hook = model.trunk.register_forward_hook(lambda *call: runs.append(call))
        try:
            return cached_prefix(model, *read, using, CPU, progress), len(runs)
        finally:
            hook.remove()

    return states


@pytest.fixture
def files(tmp_path):
    """`files()`: what is kept, locks excepted."""
    return lambda: sorted(path for path in (tmp_path / "cache").glob("*") if path.suffix != ".lock")


@torch.no_grad()
def trunk_of_each(model, ids, starts):
    """The trunk's states of every cloze run alone."""
    alone = [torch.from_numpy(ids[low:high].astype(np.int64)) for low, high in pairwise(starts)]
    return torch.cat([model.trunk(one, Packed((len(one),), torch.tensor([0]))) for one in alone]).numpy()


@pytest.mark.parametrize("frozen", [1, 2, 3])
@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert"])
def test_states_are_those_of_the_trunk(kept, config, family, frozen):
    model = model_of(family, frozen)
    read = clozes(*[300] * 13, 196, 500, 1, 7)  # the first 14 take just as much as is computed at a time
    expected = trunk_of_each(model, *read)
    progress = []
    states, runs = kept(model, read, progress=lambda *told: progress.append(told))
    assert (states.dtype, states.shape) == (np.float32, (len(read[0]), WIDTH))
    np.testing.assert_allclose(states, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())
    assert progress == [(14, 17), (17, 17)]
    assert runs == 2

    half, _ = kept(model, read, replace(config, dtype="float16"))
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, expected, rtol=1e-3, atol=1e-5)
    with pytest.raises(ValueError, match="read-only"):
        states[0] = 0


@settings(max_examples=40)
@given(st.lists(st.integers(1, 100), min_size=1, max_size=12))
def test_each_cloze_is_computed_once_and_few_tokens_at_a_time(lengths):
    model, read = model_of(), clozes(*lengths)
    done = [0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefix_cache, "TOKENS", 64)
        parts = list(prefix_cache._states(model, *read, CPU, lambda now, total: done.append(now)))
    assert len(parts) == len(done) - 1
    for part, (before, after) in zip(parts, pairwise(done), strict=True):
        assert len(part) == sum(lengths[before:after])
        assert len(part) <= 64 or after - before == 1
    assert done[-1] == len(lengths)
    np.testing.assert_allclose(np.concatenate(parts), trunk_of_each(model, *read), rtol=0, atol=1e-5)


def test_a_second_call_computes_nothing(kept, files):
    first, runs = kept()
    [path] = files()
    before = path.stat()
    again, more = kept()
    assert (runs, more) == (1, 0)
    assert np.array_equal(first, again)
    assert (path.stat().st_ino, path.stat().st_size) == (before.st_ino, before.st_size)
    assert files() == [path]


def test_what_lies_above_the_trunk_is_no_part_of_the_key(kept):
    first, _ = kept()
    other = model_of(words=(3, 9, 5))
    torch.nn.init.zeros_(other.branch.layers[0].intermediate.dense.weight)
    again, runs = kept(other)
    assert runs == 0
    assert np.array_equal(first, again)


def another_weight():
    model = model_of()
    with torch.no_grad():
        model.trunk.layers[0].output.dense.bias[3] += 1e-6
    return model


def other_heads():
    """The same weights, read as two heads instead of four."""
    masked_lm = random_masked_lm("bert", VOCABULARY, layers=3, width=WIDTH)
    masked_lm.config.num_attention_heads = 2
    made = type(masked_lm)(masked_lm.config).eval()
    made.load_state_dict(masked_lm.state_dict())
    return ClozeModel(made, (11, 7), 1)


@pytest.mark.parametrize(
    "change",
    [
        {"model": lambda: model_of(frozen=2)},
        {"model": lambda: model_of(family="roberta")},
        {"model": another_weight},
        {"model": other_heads},
        {"read": lambda: clozes(40, 27, 3, 90, 1, seed=1)},
        {"read": lambda: clozes(40, 27, 3, 89, 2)},
        {"dtype": "float16"},
    ],
    ids=["depth", "family", "weight", "heads", "ids", "starts", "dtype"],
)
def test_whatever_decides_a_state_is_part_of_the_key(kept, files, config, change):
    first, _ = kept()
    model = change.get("model", model_of)()
    read = change.get("read", lambda: FEW)()
    states, runs = kept(model, read, replace(config, dtype=change.get("dtype", "float32")))
    assert runs == 1
    assert not np.array_equal(states, first)
    assert len(files()) == 2
    np.testing.assert_allclose(states, trunk_of_each(model, *read), rtol=1e-3, atol=1e-5)
    assert np.array_equal(kept()[0], first)


small = cache(model_of)


@given(lengths=st.lists(st.integers(2, 20), min_size=2, max_size=6), data=st.data())
def test_any_change_of_an_id_or_a_start_is_another_key(lengths, data):
    model, (ids, starts) = small(), clozes(*lengths)
    key = prefix_cache._key(model, ids, starts, "float32")
    assert prefix_cache._key(model, ids.copy(), starts.copy(), "float32") == key
    other, moved = ids.copy(), starts.copy()
    other[data.draw(st.integers(0, len(ids) - 1))] += 1
    moved[data.draw(st.integers(1, len(lengths) - 1))] += 1
    assert len({key, *(prefix_cache._key(model, *read, "float32") for read in ((other, starts), (ids, moved)))}) == 3


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_training_from_kept_states_is_training(config, base_folder, pairs_file, family):
    found = []
    for keeps in (False, True):
        torch.manual_seed(3)
        base = load_base(str(base_folder(family)))
        writer = ClozeWriter(base.encoder, builtin("single", max_length=96))
        examples = encode(load_preferences(pairs_file(60)).preferences, writer)
        model = ClozeModel(base.masked_lm, writer.word_ids, frozen=1)
        below = cached_prefix(model, examples.ids, examples.starts, config, CPU) if keeps else None
        steps, runs = [], []
        model.trunk.register_forward_hook(lambda *call, runs=runs: runs.append(call))
        fit(
            model,
            Feed(examples, model.packs, base.encoder.pad, below),
            "single",
            TrainConfig(epochs=1, batch_size=8, tokens_per_batch=200, lr=1e-3, eps=1e-3, evaluations=1),
            seed=3,
            accelerator=Accelerator(cpu=True),
            on_step=steps.append,
            validate=lambda *_: {},
        )
        assert bool(runs) != keeps
        found.append([step.loss for step in steps])
    recomputed, kept = found
    assert kept[0] == pytest.approx(recomputed[0], abs=1e-6)
    assert kept == pytest.approx(recomputed, abs=1e-4)
    assert kept[-1] < kept[0]


def test_a_run_that_keeps_the_states_is_the_run_that_does_not(recipe, notes, tmp_path):
    quick = ("model.frozen=1", "train.epochs=1", "train.evaluations=2", "train.lr=1e-3")
    keeping = ("cache.prefix=true", f"cache.folder={tmp_path / 'cache'}", "cache.dtype=float32")
    plain = train(recipe(*quick, f"output={tmp_path / 'plain'}"), notes)
    kept = train(recipe(*quick, *keeping, f"output={tmp_path / 'kept'}"), notes)
    np.testing.assert_allclose(kept.logits, plain.logits, rtol=0, atol=1e-3)
    label = "keeping the frozen layers' states of {} pairs"
    assert {label.format("held-out"), label.format("training")} <= notes.done.keys()
    files = {path: path.stat().st_ino for path in (tmp_path / "cache").glob("*.npy")}
    assert len(files) == 2
    notes.done.clear()
    train(recipe(*quick, *keeping, "train.lr=1e-4", f"output={tmp_path / 'next'}"), notes)
    assert not any(said.startswith("keeping") for said in notes.done)
    assert {path: path.stat().st_ino for path in (tmp_path / "cache").glob("*.npy")} == files


def test_more_than_the_budget_is_refused_before_anything_is_computed(kept, files, config):
    many = FEW[0], np.array([0, 10**9])  # so many that the ids are never looked at
    said = r"states of 1,000,000,000 tokens take 64\.00 GB, but cache\.budget_gb = 20: .*cache\.prefix = false"
    with pytest.raises(UserError, match=said):
        kept(read=many, using=replace(config, dtype="float16"))
    needed = len(FEW[0]) * WIDTH * 4
    with pytest.raises(UserError, match=r"cache\.budget_gb"):
        kept(using=replace(config, budget_gb=(needed - 1) / 1e9))
    assert files() == []
    assert kept(using=replace(config, budget_gb=(needed + 1) / 1e9))[1] == 1


def test_more_than_the_disk_is_refused_before_anything_is_computed(kept, files, config):
    with pytest.raises(UserError, match=r"take 128000000\.00 GB, but .*cache has .* GB left.*cache\.folder"):
        kept(read=(FEW[0], np.array([0, 10**15])), using=replace(config, budget_gb=1e12))
    assert files() == []


def test_the_least_recently_used_make_room(kept, files, config):
    room = replace(config, budget_gb=3 * (len(FEW[0]) * WIDTH * 4 + 200) / 1e9)
    reads = {name: clozes(40, 27, 3, 90, 1, seed=seed) for seed, name in enumerate("abcde")}
    names = {}

    def read(name):
        kept(read=reads[name], using=room)
        names.update({path: name for path in files() if path not in names})
        return "".join(sorted(names[path] for path in files()))

    assert [read(name) for name in "abc"] == ["a", "ab", "abc"]
    for path, name in names.items():
        os.utime(path, times=(1000 + ord(name), 1000 + ord(name)))
    assert read("a") == "abc"  # and so the most recently used
    assert read("d") == "acd"
    assert read("e") == "ade"


def test_a_large_cache_takes_the_room_of_several(kept, files, config):
    for seed in range(3):
        kept(read=clozes(100, seed=seed))
    kept(read=clozes(200), using=replace(config, budget_gb=(300 * WIDTH * 4 + 500) / 1e9))
    assert len(files()) == 2


def test_states_too_large_for_the_format_are_refused_and_nothing_is_left(kept, files, config):
    model = model_of("modernbert")
    with torch.no_grad():
        model.trunk.lower[0].norm.weight *= 1e5
    with pytest.raises(UserError, match=r"too large for float16: set cache\.dtype = float32"):
        kept(model, using=replace(config, dtype="float16"))
    assert files() == []
    states, _ = kept(model)
    assert np.abs(states).max() > np.finfo(np.float16).max


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_states_that_are_no_numbers_are_refused_and_nothing_is_left(kept, files, config, dtype):
    model = model_of()
    with torch.no_grad():
        model.trunk.layers[0].output.dense.bias[3] = torch.nan
    with pytest.raises(UserError, match="states that are no numbers"):
        kept(model, using=replace(config, dtype=dtype))
    assert files() == []


@pytest.mark.parametrize("left", [0, 5, 100, 128, -1])
def test_a_file_that_lost_its_end_is_not_trusted(kept, files, left):
    first, _ = kept()
    first = first.copy()
    [path] = files()
    os.truncate(path, left if left >= 0 else path.stat().st_size + left)
    again, runs = kept()
    assert runs == 1
    assert np.array_equal(first, again)


def test_a_file_that_is_no_array_is_not_trusted(kept, files):
    first, _ = kept()
    first = first.copy()
    [path] = files()
    for content in (b"PK\x03\x04", b"text" * 9999, path.read_bytes().replace(b"(161, 32)", b"(322, 16)")):
        path.write_bytes(content)
        again, runs = kept()
        assert runs == 1
        assert np.array_equal(first, again)


@contextmanager
def largest_file(size):
    """For a file, what a full disk is for all."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 100, 20_000])
def test_a_full_disk_leaves_nothing(kept, files, size):
    with largest_file(size), pytest.raises(UserError, match=r"cache: File too large: make room, or name"):
        kept()
    assert files() == []
    assert kept()[1] == 1


fork = multiprocessing.get_context("fork")
LONG = 600
"""Seconds until a worker is held to hang: many, since a busy machine may stop it for minutes."""


def forked(work):
    """A process of its own that does some work; its exit code comes from `ended`."""
    process = fork.Process(target=work, daemon=True)
    process.start()
    return process


def ended(process):
    process.join(LONG)
    if process.exitcode is None:
        process.kill()
        pytest.fail("a worker hangs")
    return process.exitcode


@pytest.mark.parametrize("killed", [FEW, clozes(70, 70)], ids=["the same", "another"])
def test_what_a_killed_process_leaves_is_never_read(kept, files, killed):
    def die(done, total):
        os.kill(os.getpid(), signal.SIGKILL)

    assert ended(forked(lambda: kept(read=killed, progress=die))) == -signal.SIGKILL
    assert [path.suffix for path in files()] == [".partial"]
    states, runs = kept()
    assert runs == 1
    np.testing.assert_allclose(states, trunk_of_each(model_of(), *FEW), rtol=0, atol=1e-5)
    assert [path.suffix for path in files()] == [".npy"]  # another's partial file is gone too: nobody writes it


def test_what_another_process_is_writing_is_left_alone(kept, files):
    writing, over = fork.Event(), fork.Event()

    def slow(done, total):
        writing.set()
        assert over.wait(LONG)

    other = clozes(70, 70)
    process = forked(lambda: kept(read=other, progress=slow))
    assert writing.wait(LONG)
    assert kept()[1] == 1
    assert sorted(path.suffix for path in files()) == [".npy", ".partial"]
    over.set()
    assert ended(process) == 0
    assert kept(read=other)[1] == 0


def test_of_two_processes_one_computes_and_the_other_waits(kept, files):
    writing, asking, told = fork.Event(), fork.Event(), fork.Queue()

    def slow(done, total):
        writing.set()
        assert asking.wait(LONG)
        time.sleep(0.5)  # by now the other asks for the states

    def first():
        states, runs = kept(progress=slow)
        told.put((runs, states.tobytes()))

    def second():
        assert writing.wait(LONG)
        asking.set()
        states, runs = kept()
        told.put((runs, states.tobytes()))

    processes = [forked(first), forked(second)]
    answers = [told.get(timeout=LONG) for _ in processes]
    assert [ended(process) for process in processes] == [0, 0]
    assert sorted(runs for runs, _ in answers) == [0, 1]
    assert answers[0][1] == answers[1][1] == kept()[0].tobytes()
    assert len(files()) == 1


def test_a_model_without_frozen_layers_is_refused(kept, files):
    with pytest.raises(UserError, match=r"cache\.prefix keeps the frozen layers' states, but model\.frozen = 0"):
        kept(model_of(frozen=0))
    with pytest.raises(UserError, match=r"cache\.prefix does not work with deberta-v2: set it to false"):
        kept(model_of("deberta-v2"))
    assert files() == []
