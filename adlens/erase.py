"""`adlens erase user USER_ID --reason ...`: removes a person from everything that AdLens keeps.

First the erasure is recorded (by the id's hash), so that nothing that lands again brings the person back; then go, in
this order, Data Docs and logs, landing files generated inside ADLENS_HOME, the online store, the tables, and last the
impressions by which all else was found. Killed anywhere, the same command goes on. Old versions of the tables hold the
person until `adlens maintain` removes their files (setting vacuum_hours) and log entries (log_retention_days).
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from adlens import erase_files
from contracts import erasures
from contracts.errors import InputError
from contracts.settings import Settings, load

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def erase_user(spark: SparkSession, settings: Settings, user_id: str, asked_at: datetime, reason: str) -> list[str]:
    """What was done, in sentences. An unknown user is told and not recorded."""
    from landing import erasing
    from spark_jobs import erase, online_erase

    person = erasures.person_of(user_id)
    before = [one for one in erasures.read(settings) if one.person == person]
    said = [f"was erased before, asked for at {one.asked_at:%Y-%m-%d %H:%M} UTC" for one in before]
    folder = settings.landing_path
    own_landing = why_left(settings) == ""
    with ExitStack() as until:
        found = erase.Person(spark, settings, user_id, until)
        traces = found.find()
        known = bool(traces.rows) or (own_landing and erasing.holds(folder, user_id))
        if not before and known:
            erasures.record(settings, erasures.Erasure(person, asked_at, reason, erase.versions(settings)))
        files = erase_files.erase(settings, user_id, traces.impression_ids)
        landed = erasing.erase(folder, user_id) if own_landing else 0
        online = online_erase.erase(settings, user_id)
        for name in erase.order(list(traces.rows)):
            found.remove(name, sorted(traces.rows[name]))
            said.append(f"{name}: {traces.total(name):,} rows")
    done = {**files, "rows of generated landing files": landed, "values of the online store": online}
    said += [f"{what}: {n:,}" for what, n in done.items() if n]
    if not said:
        return ["no trace of this user: nothing was done, and nothing recorded"]
    if not (traces.rows or any(done.values())):
        said.append("nothing of this user is left to remove")
    if not own_landing and folder.is_dir():
        said.append(f"{folder} {why_left(settings)}: take the user's rows out of it yourself; stage 1 drops them")
    said.append("old versions hold the rows until `adlens maintain` has removed their files")
    return said


def why_left(settings: Settings) -> str:
    """Why the landing folder is only read; empty where it is AdLens's own and is rewritten: generated, and in the home.
    What was generated elsewhere may be somebody's by now."""
    from landing import erasing

    if not erasing.generated(settings.landing_path):
        return "is not written by AdLens"
    inside = settings.landing_path.is_relative_to(settings.home_path)
    return "" if inside else f"was generated, but outside ADLENS_HOME ({settings.home_path}), and is only read"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="adlens erase", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    user = kinds.add_parser("user", help="a person who saw ads", description=__doc__)
    user.add_argument("user_id", metavar="USER_ID")
    user.add_argument("--reason", default="asked for", help="a sentence for the record; must not name the person")
    user.add_argument("--asked-at", metavar="TIME", help="ISO 8601 with an offset (default: now)")
    asked = parser.parse_args(argv)
    try:
        moment = datetime.fromisoformat(asked.asked_at) if asked.asked_at else datetime.now(UTC)
    except ValueError:
        raise InputError(f"'{asked.asked_at}' is no time; write it as 2026-02-03T08:15:30+00:00") from None
    if moment.tzinfo is None:
        raise InputError(f"'{asked.asked_at}' has no offset; write it as 2026-02-03T08:15:30+00:00")
    if asked.user_id in asked.reason:
        raise InputError("the reason must not name the person: it is kept")
    from spark_jobs.session import spark_session

    settings = load()
    spark = spark_session(settings, "erase")
    try:
        said = erase_user(spark, settings, asked.user_id, moment.astimezone(UTC), asked.reason)
    finally:
        spark.stop()
    print("\n".join(said))
    return 0
