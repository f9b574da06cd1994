from __future__ import annotations

import os
import subprocess
import sys

from tinyrm.serve.meters import Meters, forget_the_dead


def test_two_applications_in_one_process_count_apart():
    one, other = Meters(), Meters()
    one.questions.inc(3)
    assert b"tinyrm_questions_total 3.0" in one.exposition()
    assert b"tinyrm_questions_total 0.0" in other.exposition()
    assert b"_created" not in one.exposition()


def test_the_gauges_of_a_killed_process_are_forgotten(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    dead.wait()
    gone, here = tmp_path / f"gauge_livesum_{dead.pid}.db", tmp_path / f"gauge_livesum_{os.getpid()}.db"
    kept = tmp_path / f"counter_{dead.pid}.db"
    for file in (gone, here, kept):
        file.touch()
    forget_the_dead(tmp_path)
    assert not gone.exists()
    assert here.exists()
    assert kept.exists()


def test_processes_that_share_a_folder_are_counted_together(tmp_path):
    program = "from tinyrm.serve.meters import Meters; m = Meters(); m.questions.inc(2); print(m.exposition().decode())"
    env = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    runs = [subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True) for _ in range(2)]
    assert "tinyrm_questions_total 2.0" in runs[0].stdout, runs[0].stderr
    assert "tinyrm_questions_total 4.0" in runs[1].stdout
