"""`adlens info`: where everything is, which days ran, what is served, what runs."""

from __future__ import annotations

import argparse

from adlens import services, summary
from adlens.landing_memory import landed_days, recalled
from contracts.bundle import read_pointer
from contracts.settings import load


def main(argv: list[str] | None = None) -> int:
    argparse.ArgumentParser(prog="adlens info", description=__doc__).parse_args(argv)
    settings = load()
    days = landed_days(settings.landing_path)
    span = f"{days[0]} to {days[-1]}, {len(days)} days" if days else "no day yet"
    kind = "" if recalled(settings) or settings.landing else " (generated)"
    print(f"{'home':<11} {settings.home_path}")
    print(f"{'landing':<11} {settings.landing_path}{kind}: {span}")
    runs = sorted(file.parent.name for file in (settings.home_path / "runs").glob("*/8-publish.json"))
    print(f"{'runs':<11} {', '.join(runs[-5:]) or 'none yet: `adlens day`'}")
    pointer = read_pointer(settings)
    print(f"{'served':<11} {f'bundle {pointer.bundle[:16]} of run {pointer.day}' if pointer else 'nothing yet'}")
    here = services.running(settings)
    print(f"{'services':<11} {', '.join(here.address(name) for name in here.ports) if here else 'down: `adlens up`'}")
    for what, where in summary.places(settings)[:-1]:
        print(f"{what:<11} {where}")
    return 0
