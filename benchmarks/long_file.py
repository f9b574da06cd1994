"""`tinyrm score` on a short and on a long file: the most memory it holds, and its rate, into long_file.csv.

python benchmarks/long_file.py [ROWS, 1000 200000]
"""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORDS = ("why", "how", "the", "a", "sky", "blue", "water", "seven", "no", "yes", "because", "of", "I", "think", "maybe")


def run(rows: int, folder: Path) -> tuple[int, str, str, str]:
    """Short texts, so that the rows are many; each run is a process of its own."""
    draw = random.Random(rows)
    source, target = folder / "in.jsonl", folder / f"out-{rows}.jsonl"
    with source.open("w", encoding="utf-8") as out:
        for i in range(rows):
            texts = (" ".join(draw.choices(WORDS, k=draw.randint(2, 9))) for _ in range(2))
            out.write(json.dumps(dict(zip(("prompt", "response"), texts, strict=True)) | {"id": i}) + "\n")
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "tinyrm", "score", str(source), "-o", str(target)])
    peak = 0
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        held = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        peak = max([peak, *map(int, held)])
        time.sleep(0.05)
    seconds = time.perf_counter() - started
    with target.open() as lines:
        if process.returncode or sum(1 for _ in lines) != rows:
            sys.exit("the run failed, or rows are missing")
    return rows, f"{peak / 1024:.0f}", f"{seconds:.1f}", f"{rows / seconds:.0f}"


def main(counts: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = [run(rows, Path(folder)) for rows in counts]
    header = ("rows", "peak MiB", "seconds", "rows/s")
    with (Path(__file__).parent / "long_file.csv").open("w", newline="") as out:
        csv.writer(out).writerows([header, *table])
    for row in (header, *table):
        print("".join(f"{cell!s:>12}" for cell in row))


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [1000, 200_000])
