"""`python -m landing generate | check | from-movielens`."""

from __future__ import annotations

import argparse
import sys
from datetime import date
from pathlib import Path

from contracts import settings as all_settings
from contracts.days import Days
from contracts.errors import AdLensError
from landing.world import Sizes


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="landing", description="make or check landing data")
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("generate", help="write the default data, with planted truth")
    make.add_argument("--seed", type=int, help="default: the setting data_seed")
    make.add_argument("--start", default="2026-01-01", help="first day (default %(default)s)")
    make.add_argument("--end", help="day after the last one (default: one day)")
    make.add_argument("--out", type=Path, help="default: the landing folder of the settings")
    standard = Sizes()
    make.add_argument("--impressions", type=int, default=standard.impressions, help="a day (default %(default)s)")
    make.add_argument("--ads", type=int, default=standard.ads, help="in the catalogue (default %(default)s)")
    make.add_argument("--users", type=int, default=standard.users, help="default %(default)s")
    make.add_argument("--image-size", type=int, default=standard.image_size, help="pixels a side (default %(default)s)")
    make.add_argument("--looks", choices=("category", "plain"), default="category", help="plain: a control")
    make.add_argument("--shuffle-pictures", action="store_true", help="a control: each ad shows another ad's picture")
    check = commands.add_parser("check", help="say what is wrong in a landing folder; exit code 2 if a day would stop")
    check.add_argument("folder", type=Path)
    check.add_argument("--day", help="only this day, YYYY-MM-DD")
    films = commands.add_parser("from-movielens", help="turn MovieLens 100K with posters into landing data")
    films.add_argument("out", type=Path)
    films.add_argument("--from", dest="source", type=Path, help="default: the setting real_data")
    return parser


def _generate(options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from landing.generate import generate

    settings = all_settings.load()
    out = options.out or settings.landing_path
    seed = settings.data_seed if options.seed is None else options.seed
    days = Days.parse(options.start, options.end)
    sizes = Sizes(options.impressions, options.ads, options.users, options.image_size)
    console = Console(stderr=True)
    shown = ("[progress.description]{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    columns = [TextColumn(part) if isinstance(part, str) else part for part in shown]
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("landing data", total=len(days))

        def advance(day: date) -> None:
            bar.update(task, advance=1, description=f"landing data {day}")

        generate(out, days, sizes, seed, options.looks, options.shuffle_pictures, advance)
    print(f"{len(days)} days from {days.start} in {out}")
    return 0


def _check(options: argparse.Namespace) -> int:
    from landing.check import run

    return run(options.folder, options.day)


def _films(options: argparse.Namespace) -> int:
    from landing.movielens import run

    return run(options.out, options.source or all_settings.load().real_data)


def main(argv: list[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    command = {"generate": _generate, "check": _check, "from-movielens": _films}[options.command]
    try:
        return command(options)
    except AdLensError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
