"""What a command costs on this machine: seconds, and the peak of its processes' summed PSS.

    python -m benchmarks.day_cost make day

PSS shares a page among the processes that map it, so that the sum is what the machine has to hold. A process counts if
it was started by the command, however it was detached: all of them inherit a mark in their environment.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
import uuid

import psutil

MARK = "ADLENS_DAY_COST"
EVERY = 1.0  # seconds between samples


def marked(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                found.append(process)
        except psutil.Error:  # gone, or not ours to read
            continue
    return found


def sample(mark: str) -> tuple[int, list[tuple[int, str]]]:
    """(bytes, (bytes, command line) of each process, largest first)."""
    sizes = []
    for process in marked(mark):
        try:
            sizes.append((process.memory_full_info().pss, " ".join(process.cmdline())[:90]))
        except psutil.Error:
            continue
    return sum(size for size, _ in sizes), sorted(sizes, reverse=True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    command = parser.parse_args(argv).command
    if not command:
        parser.error("which command?")
    mark, peak, over = uuid.uuid4().hex, (0, []), threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(EVERY):
            peak = max(peak, sample(mark), key=lambda one: one[0])

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    began = time.monotonic()
    done = subprocess.run(command, env=os.environ | {MARK: mark})
    seconds = time.monotonic() - began
    over.set()
    watcher.join()
    said = f"exit code {done.returncode}, {seconds:.0f} s, peak summed PSS {peak[0] / 1e9:.2f} GB"
    print(f"\n{chr(32).join(command)}: {said}")
    for size, what in peak[1][:5]:
        print(f"  {size / 1e9:5.2f} GB  {what}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
