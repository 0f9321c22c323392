"""What the picture is worth: AUC of `daily` against `daily_dcn` over the last held-out days, paired by user.

    python -m benchmarks.picture_gain --last 2026-02-08 [--days 7] [--shuffle]

Trains both recipes for each held-out day D on the days before it (rule 4), scores D, pools the days. A model starts
from the CNN of the day before, as in production. `--shuffle` gives each ad another ad's picture, in training and in
scoring: the gain must go. Finished trainings are found again by their manifests, so the script can be stopped and run
again. Everything is written under <home>/benchmarks/; the tables and the landing folder are only read.
"""

from __future__ import annotations

import argparse
import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from contracts import paths
from contracts.days import parse_day
from contracts.errors import AdLensError
from contracts.settings import Settings, load
from training import metrics
from training.evaluate import Scored, score_day
from training.recipes import recipe
from training.train import train_day


def shuffled_landing(settings: Settings, home: Path) -> Path:
    """A landing folder whose pictures are the real ones under permuted names (links); made once, seeded."""
    images = home / "landing" / "images"
    if not images.exists():
        draft = home / "landing" / ".images"
        draft.mkdir(parents=True, exist_ok=True)
        files = sorted(paths.images(settings).glob("*.jpg"))
        order = np.random.default_rng(settings.seed).permutation(len(files))
        for file, other in zip(files, order, strict=True):
            (draft / file.name).unlink(missing_ok=True)
            (draft / file.name).symlink_to(files[other])
        draft.rename(images)
    return home / "landing"


def own_home(settings: Settings, shuffle: bool) -> Settings:
    home = settings.home_path / "benchmarks" / ("picture_gain_shuffled" if shuffle else "picture_gain")
    landing = shuffled_landing(settings, home) if shuffle else settings.landing_path
    tables = settings.tables or str(settings.home_path / "tables")
    return settings.model_copy(update={"home": home, "landing": landing, "tables": tables, "mlflow_uri": None})


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--last", required=True, help="last held-out day; it must have groups")
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--shuffle", action="store_true", help="control: pictures permuted among ads")
    parser.add_argument("--with-picture", default="daily", metavar="RECIPE")
    parser.add_argument("--without", default="daily_dcn", metavar="RECIPE")
    arguments = parser.parse_args(argv)
    try:
        settings = own_home(load(), arguments.shuffle)
        last = parse_day(arguments.last)
        held_out = [last - timedelta(days=n) for n in reversed(range(arguments.days))]
        names = (arguments.without, arguments.with_picture)
        pools: dict[str, list[Scored]] = {name: [] for name in names}
        latest: dict[str, Path | None] = dict.fromkeys(names)
        for day in held_out:
            for name in names:
                pools[name].append(_one(day, name, settings, latest))
            without, with_picture = (pools[name][-1] for name in names)
            _print(f"{day}", without, with_picture, settings)
        without, with_picture = (_pool(pools[name]) for name in names)
        _print("pooled", without, with_picture, settings)
    except AdLensError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _one(day: date, name: str, settings: Settings, latest: dict[str, Path | None]) -> Scored:
    address = train_day(day, settings, recipe(name), lambda *_: latest[name])
    latest[name] = address
    return score_day(address.parent, day.isoformat(), settings)


def _pool(days: list[Scored]) -> Scored:
    fields = ("impression_id", "user_id", "ad_id", "label", "score")
    return Scored(*(np.concatenate([getattr(day, field) for day in days]) for field in fields))


def _print(what: str, without: Scored, with_picture: Scored, settings: Settings) -> None:
    assert (without.impression_id == with_picture.impression_id).all()
    found = metrics.paired_bootstrap(
        without.label, without.score, with_picture.score, without.user_id, settings.bootstrap_samples, settings.seed
    )
    print(
        f"{what:10s} {len(without.label):7,d} impressions  AUC without {found.auc_a:.4f}  with {found.auc_b:.4f}  "
        f"difference {found.difference:+.4f} [{found.low:+.4f}, {found.high:+.4f}]",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
