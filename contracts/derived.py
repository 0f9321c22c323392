"""What is followed of the tables that stages 3 and 4 make, snapshots and groups: the figures that their suites bound.

A snapshot has two figures a built feature, so that a feature needs no line here and none in a suite.
"""

from __future__ import annotations

from collections.abc import Iterable

from contracts.feature import Feature

SNAPSHOTS = {"user_features": "user", "ad_features": "ad"}  # table -> whose
GROUPS = {"user_groups": "user", "ad_groups": "ad"}
DERIVED = (*SNAPSHOTS, *GROUPS)


def valued(features: Iterable[Feature], side: str) -> list[Feature]:
    """Those that are a column of the side's snapshot; its key is none of them."""
    return [one for one in features if one.side == side and one.name != f"{side}_id"]


def figures(features: Iterable[Feature]) -> dict[str, dict[str, str]]:
    """Table -> figure -> what it is, where these features are built."""
    features = tuple(features)
    found = {table: of_snapshot(side, valued(features, side)) for table, side in SNAPSHOTS.items()}
    return found | {table: of_groups(side) for table, side in GROUPS.items()}


def of_snapshot(side: str, features: Iterable[Feature]) -> dict[str, str]:
    found = {f"{side}_rows": f"{side}s of the snapshot"}
    for one in features:
        found[f"missing_{one.name}"] = f"share of the snapshot's {side}s without a value of {one.name}"
        found[f"drift_{one.name}"] = (
            f"population stability index of {one.name} over the snapshot's {side}s: the day against the trailing week"
        )
    return found


def of_groups(side: str) -> dict[str, str]:
    return {
        f"{side}_groups": f"groups by {side} of the day",
        f"{side}_group_rows": "impressions in them",
        f"{side}_rows_off": "how many more or fewer impressions than in the log",
        f"{side}_group_ctr": "labels per impression in them",
        f"{side}_labels_off": "how many more or fewer labels of 1 than in the log",
        f"{side}_overfull": f"groups of more impressions than `{side}_group_size` allows",
        f"{side}_group_fill": f"mean impressions of a group, as a share of `{side}_group_size`",
        f"{side}_unknown": f"share of impressions whose {side} had no snapshot, or one without any single value",
    }
