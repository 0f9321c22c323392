"""`python -m training train --day D`: prints the address of the model's manifest."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from contracts import outcome
from contracts.artifacts import write_atomically
from contracts.days import parse_day
from contracts.errors import AdLensError
from contracts.settings import load


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if argv[:2] == ["train", "compare"] or argv[:1] == ["compare"]:
        from training.compare.command import main as compare  # imports torch: not for --help

        return compare(argv[argv.index("compare") + 1 :])
    if argv[:2] == ["train", "attention"] or argv[:1] == ["attention"]:
        from training.attention_maps.command import main as attention

        return attention(argv[argv.index("attention") + 1 :])
    parser = argparse.ArgumentParser(prog="training", description="Stage 5: trains a day's model from the ad groups.")
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser(
        "train", help="train run D on the days before D; D itself is never read",
        epilog="`train compare --help`: what the picture, its CNN and the category are worth on your data. "
        "`train attention --help`: a picture of where a model looks, and what the category changes there.",
    )  # fmt: skip
    train.add_argument("--day", required=True, metavar="D", help="the run's day, YYYY-MM-DD")
    train.add_argument("--address-file", type=Path, metavar="F", help="also write the manifest's address here")
    train.add_argument("--profile", type=Path, metavar="F", help="write some steps' trace here, for Perfetto")
    arguments = parser.parse_args(argv)
    settings = None
    try:
        settings = load()
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: waiting threads must not spin
        from training.train import train_day  # imports torch: not for --help

        address = train_day(parse_day(arguments.day), settings, profile=arguments.profile)
        if arguments.address_file:
            write_atomically(arguments.address_file, str(address))
    except AdLensError as error:
        print(f"error: {error}", file=sys.stderr)
        return outcome.failed(settings, error)
    print(address)
    return 0


if __name__ == "__main__":
    sys.exit(main())
