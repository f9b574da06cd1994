"""From typing the command to the first verdict: wall time and memory of fresh processes, into startup.csv."""

from __future__ import annotations

import csv
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 9
COMPARE = ["-m", "tinyrm", "compare", "--prompt", "What is 2 + 2?", "--a", "4", "--b", "I don't know."]
CASES = {
    "python, nothing else": ["-c", "pass"],
    "import tinyrm": ["-c", "import tinyrm"],
    "tinyrm compare, shipped model": COMPARE,
}


def main() -> None:
    rows = []
    for name, arguments in CASES.items():
        seconds = []
        for _ in range(RUNS + 1):
            started = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            seconds.append(time.perf_counter() - started)
        # The largest child so far: cases are ordered from small to large.
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        rows.append((name, f"{statistics.median(seconds[1:]):.3f}", f"{min(seconds[1:]):.3f}", f"{peak:.0f}"))
    header = ("case", "median seconds", "fastest seconds", "peak MiB")
    with (Path(__file__).parent / "startup.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    for row in (header, *rows):
        print("".join(f"{cell:<32}" if i == 0 else f"{cell:>18}" for i, cell in enumerate(row)))


if __name__ == "__main__":
    main()
