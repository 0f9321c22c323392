"""Airflow's pools: how many tasks of a kind may run at once, in all DAGs together.

    adlens_log       1   impressions, quality, maintain: late clicks make their runs rewrite the same older days, so of
                         two at once one could publish labels that the other has already changed
    adlens_data      n   features, groups, rebuild: a day's rows follow from tables that stand, so days do not disturb
                         each other (setting `data_slots`)
    adlens_release   1   materialise, release, tidy: what serves changes one step at a time

With a local Spark master all of them share `adlens_data`, and what must be alone takes all of its slots: one machine
has room for one driver.
"""

from __future__ import annotations

from typing import Literal, TypedDict

from contracts import spark_options
from contracts.settings import Settings

Kind = Literal["log", "data", "release"]


class Place(TypedDict):
    """Where a task waits for its turn: an operator's arguments."""

    pool: str
    pool_slots: int


def data_slots(settings: Settings) -> int:
    return settings.data_slots or (1 if spark_options.is_local(settings) else 4)


def place(settings: Settings, kind: Kind) -> Place:
    if spark_options.is_local(settings):
        return {"pool": "adlens_data", "pool_slots": 1 if kind == "data" else data_slots(settings)}
    return {"pool": f"adlens_{kind}", "pool_slots": 1}


def declared(settings: Settings) -> dict[str, dict[str, object]]:
    """What `airflow pools import` reads."""
    sizes = {
        "adlens_log": (1, "impressions and quality: one at a time"),
        "adlens_data": (data_slots(settings), "features and groups: several days at once"),
        "adlens_release": (1, "materialise and release: one at a time"),
    }
    return {
        name: {"slots": slots, "description": what, "include_deferred": False} for name, (slots, what) in sizes.items()
    }
