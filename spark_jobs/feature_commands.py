"""`adlens features list | plan | apply`; any other words are those of stage 3, `adlens features --start D`.

list     every declared feature, the sets that hold it, and whether the tables have its column
plan     what the tables lack: columns, days, rows, bytes, about how long it takes; changes nothing
apply    builds that; what serves goes on serving, and the same command goes on after a kill
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from contracts.errors import AdLensError
from contracts.features import FEATURE_SETS, FEATURES, built
from contracts.settings import Settings, load
from spark_jobs import feature_plan
from spark_jobs.feature_plan import GROUPS, REPORTS, SNAPSHOTS, Plan


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] not in ("list", "plan", "apply"):
        if words and words[0] in ("-h", "--help"):
            print(__doc__)
        from spark_jobs.__main__ import main as stage

        return stage(["features", *words])
    asked = _parser().parse_args(words)
    try:
        settings = load()
        if asked.word == "list":
            _list(settings)
        elif asked.word == "plan":
            _say(settings, feature_plan.make(settings))
        else:
            _apply(settings)
    except AdLensError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="adlens features", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("word", choices=("list", "plan", "apply"))
    return parser


def _list(settings: Settings) -> None:
    chosen = built(settings)
    lacking = {name for table in (*SNAPSHOTS, *GROUPS) for name in feature_plan.absent(settings, table)}
    table = Table("feature", "field", "side", "kind", "sets", "tables", "owner", "meaning", box=None)
    for one in FEATURES:
        sets = ", ".join(name for name, names in FEATURE_SETS.items() if one.name in names)
        names = {one.name, f"c_{one.name}", f"impressions.element.c_{one.name}"}
        state = "lack it" if names & lacking else "hold it"
        if one.side in ("pair", "cross"):
            state = "need not"
        elif one not in chosen:
            state = "not asked"
        table.add_row(one.name, one.field, one.side, one.kind, sets, state, one.owner, one.description)
    _console().print(table)


def _say(settings: Settings, plan: Plan) -> None:
    """The plan in words for a person, in a table and a line or two."""
    print(f"feature_sets: {settings.feature_sets} ({len(built(settings))} features)")
    if not plan.lacks:
        print("the tables hold every column of them: nothing to build")
        return
    table = Table("table", "columns", "days", "rows", "bytes", box=None)
    for lack in plan.lacks:
        days = sorted(lack.days)
        rows, size = (sum(one[n] for one in lack.days.values()) for n in (0, 1))
        span = f"{len(days)}: {days[0]} to {days[-1]}" if days else "none"
        names = ", ".join(name.replace(".element.", ".") for name in lack.columns)
        table.add_row(lack.table, names, span, f"{rows:,}", f"{size:,}")
    _console().print(table)
    if plan.reads_from:
        print(f"the snapshots read the log from {plan.reads_from} on")
    about = ", ".join(f"{stage} about {seconds:,.0f} s" for stage, seconds in plan.seconds.items())
    unknown = [stage for side, stage in REPORTS.items() if stage not in plan.seconds and _days(plan, side)]
    if about:
        print(f"time, at the pace of the reports under {settings.home_path / 'runs'}: {about}")
    if unknown:
        print(f"time of {', '.join(unknown)}: not known, it has not reported yet")
    print("`adlens features apply` builds it; days before the window stay as they are (null in the new columns)")


def _apply(settings: Settings) -> None:
    from spark_jobs import feature_apply
    from spark_jobs.session import spark_session

    spark = spark_session(settings, "features-apply")
    try:
        plan = feature_apply.apply(spark, settings)
    finally:
        spark.stop()
    built_days = f"{len(plan.snapshots)} days of snapshots and {len(plan.groups)} of groups built"
    print(built_days if plan.lacks else "nothing to build")


def _days(plan: Plan, side: tuple[str, ...]) -> tuple[str, ...]:
    return plan.snapshots if side == SNAPSHOTS else plan.groups


def _console() -> Console:
    """As wide as the terminal; where the output is no terminal, wide enough that no line is broken."""
    console = Console()
    return console if console.is_terminal else Console(width=240)


if __name__ == "__main__":
    sys.exit(main())
