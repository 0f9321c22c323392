"""Every table, declared once: key, partition, columns with type, unit and meaning, writer, forbidden columns.

Types: string, long, int, double, timestamp (UTC), and `array<...>` / `struct<...>` of them in Spark's own spelling.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from contracts.feature import FIELDS, Feature, code_type, value_type
from contracts.features import built as built_features
from contracts.features import feature_set
from contracts.settings import Settings

LISTED = "array<struct<"


@dataclass(frozen=True)
class Column:
    name: str
    type: str
    meaning: str
    nullable: bool = True

    def fields(self) -> dict[str, str]:
        """Name -> type of a list of structs; none of any other type."""
        if not self.type.startswith(LISTED):
            return {}
        inner = self.type.removeprefix(LISTED).removesuffix(">>").split(",")  # no struct in it: no other comma
        return {name: kind for name, kind in (one.split(":", 1) for one in inner)}


@dataclass(frozen=True)
class Table:
    """`never` lists columns that must not be in the table (labels in features: a leak).

    `kept`: `window` (maintenance deletes days that no run needs any more) or `forever`.
    """

    name: str
    writer: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    partition: tuple[str, ...] = ("day",)
    never: tuple[str, ...] = field(default=())
    kept: Literal["window", "forever"] = "window"

    @property
    def ddl(self) -> str:
        """Spark's schema text."""
        return ", ".join(f"{c.name} {c.type}{'' if c.nullable else ' NOT NULL'}" for c in self.columns)

    def names(self) -> list[str]:
        return [column.name for column in self.columns]


DAY = Column("day", "string", "business day, YYYY-MM-DD", nullable=False)
FOLDER = Column("day", "string", "landing folder (business day on which the row landed), YYYY-MM-DD", nullable=False)

# What lands, a folder a day. In JSON a timestamp is text: ISO 8601 with `Z` or an offset.
LANDING: dict[str, tuple[Column, ...]] = {
    "impressions": (
        Column("impression_id", "string", "unique within a business day", nullable=False),
        Column("shown_at", "timestamp", "when the ad was shown, UTC", nullable=False),
        Column("user_id", "string", "who saw it", nullable=False),
        Column("ad_id", "string", "which ad", nullable=False),
        Column("position", "int", "slot on the page, 0 first; logged, never a feature"),
        Column("query", "string", "search words, null where the page was not a search"),
    ),
    "clicks": (
        Column("impression_id", "string", "the impression that was clicked", nullable=False),
        Column("clicked_at", "timestamp", "when, UTC", nullable=False),
        Column("landed_at", "timestamp", "when the click reached the log, UTC", nullable=False),
    ),
    "behaviours": (
        Column("user_id", "string", "who", nullable=False),
        Column("ad_id", "string", "on which ad's item", nullable=False),
        Column("kind", "string", "view, cart, favourite or order", nullable=False),
        Column("at", "timestamp", "when, UTC", nullable=False),
    ),
    "ads": (
        Column("ad_id", "string", "unique in the catalogue", nullable=False),
        Column("category_id", "string", "product category"),
        Column("brand_id", "string", "brand"),
        Column("shop_id", "string", "shop"),
        Column("price", "double", "in the platform's currency"),
        Column("title", "string", "what the ad says"),
        Column("reviews", "long", "number of reviews of the item"),
        Column("image", "string", "SHA-256 of the picture's file, lower-case hex; the file is images/<image>.jpg"),
    ),
    "users": (
        Column("user_id", "string", "unique among the profiles", nullable=False),
        Column("age_band", "string", "e.g. 25-34"),
        Column("gender", "string", "as the platform records it"),
        Column("region", "string", "where the user lives"),
        Column("price_sensitivity", "string", "e.g. low, middle, high"),
    ),
}
BEHAVIOUR_KINDS = ("view", "cart", "favourite", "order")

_SNAPSHOT = (
    DAY,
    Column("event_timestamp", "timestamp", "the stamp: the end of `day`, UTC", nullable=False),
    Column("created", "timestamp", "stamp plus publication delay, UTC", nullable=False),
)
_LABELS = ("label", "clicked_at", "position")


def _log(name: str, key: tuple[str, ...]) -> Table:
    return Table(name, "spark_jobs.impressions", key, (FOLDER, *LANDING[name]))


def _figures(name: str, writer: str) -> Table:
    """Of an audit: each stage that has one writes a table of its own."""
    columns = (
        DAY,
        Column("table", "string", "the table whose suite bounds it", nullable=False),
        Column("figure", "string", "of contracts.rules or contracts.derived, or broken_<rule>: rows", nullable=False),
        Column("value", "double", "null where it cannot be told"),
        Column("base", "double", "what a share is a share of; a trailing mean weighs the days by it"),
        Column("lower", "double", "the highest lower bound of the figure's rules"),
        Column("upper", "double", "the lowest upper bound of the figure's rules"),
        Column("level", "string", "stop or warn: the strongest of the figure's rules; null: only followed"),
        Column("verdict", "string", "pass, warn or stop", nullable=False),
        Column("buckets", "array<double>", "of a drift: the day's rows by bucket of the value"),
    )
    return Table(name, writer, ("day", "table", "figure"), columns, kept="forever")


_ALL = (
    Table(
        "impressions",
        "spark_jobs.quality (publishes what spark_jobs.impressions staged)",
        ("day", "impression_id"),
        (
            DAY,
            *LANDING["impressions"],
            Column(
                "label", "int", "1 if a click within the attribution window had landed by the bound", nullable=False
            ),
            Column("clicked_at", "timestamp", "the earliest such click, UTC"),
        ),
    ),
    _log("clicks", ("day", "impression_id", "clicked_at")),
    _log("behaviours", ("day", "user_id", "ad_id", "kind", "at")),
    _log("ads", ("day", "ad_id")),
    _log("users", ("day", "user_id")),
    Table(
        "quarantine",
        "spark_jobs.impressions",
        ("day", "source", "reason", "row"),
        (
            FOLDER,
            Column("source", "string", "which landing file: impressions, clicks, ...", nullable=False),
            Column("reason", "string", "the broken rule, in words", nullable=False),
            Column("row", "string", "the row as it landed, as JSON or as raw text", nullable=False),
            Column("times", "long", "landed rows that are this one, equal to the byte; null: once"),
            Column("rule", "string", "the broken rule's name in its suite; null: a rule that is in no suite"),
        ),
    ),
    Table(
        "released",
        "spark_jobs.release_rows",
        ("day", "source", "id"),
        (
            FOLDER,
            Column("source", "string", "which landing file: impressions, clicks, ...", nullable=False),
            Column("id", "string", "of the quarantined row, as `adlens quarantine show` prints it", nullable=False),
            Column("row", "string", "the row that stage 1 takes in the place of the original, as JSON", nullable=False),
            Column("original", "string", "the quarantined row, as it landed", nullable=False),
            Column("reason", "string", "why it had been set aside", nullable=False),
            Column("waived", "string", "the declared rule, in words, that does not count for it"),
            Column("because", "string", "what the person who released it said", nullable=False),
        ),
    ),
    _figures("quality_figures", "spark_jobs.quality"),
    _figures("snapshot_figures", "spark_jobs.features"),
    _figures("group_figures", "spark_jobs.groups"),
    Table(
        "erasures",
        "spark_jobs.erase (contracts.erasures)",
        ("person",),
        (
            Column("person", "string", "SHA-256 of the erased user's id, hex", nullable=False),
            Column("asked_at", "timestamp", "when it was asked for, UTC", nullable=False),
            Column("reason", "string", "what the person who asked said", nullable=False),
            Column("versions", "string", "JSON: each table that was there -> its version before", nullable=False),
        ),
        partition=(),
        kept="forever",
    ),
)


def snapshot_tables(features: Iterable[Feature] = feature_set("daily")) -> dict[str, Table]:
    """`user_features` and `ad_features`; a value column bears its feature's name, fields in the order of Table 7."""
    features = sorted(features, key=lambda one: FIELDS.index(one.field))

    def table(side: str, beside: tuple[Column, ...]) -> Table:
        key = f"{side}_id"
        values = [Column(f.name, value_type(f), f.description) for f in features if f.side == side and f.name != key]
        columns = (*_SNAPSHOT, Column(key, "string", "entity", nullable=False), *values, *beside)
        return Table(f"{side}_features", "spark_jobs.features", ("day", key), columns, never=_LABELS)

    picture = Column("image", "string", "SHA-256 of the picture, null where missing or unreadable")
    return {"user_features": table("user", ()), "ad_features": table("ad", (picture,))}


# The snapshots with the columns of the default set; `declared` has those of a run.
TABLES: dict[str, Table] = {table.name: table for table in _ALL} | snapshot_tables()
VISUAL_TABLE = "visual_table"  # of release.publishing.publish (deltalake), a partition a day as well
STAGED = "staged"  # `staged/<table>`: what stage 1 wrote and stage 2 has not yet audited; nobody else reads it


def group_tables(features: Iterable[Feature] = feature_set("daily")) -> dict[str, Table]:
    """`ad_groups` and `user_groups`; their code columns follow the features (column `c_<feature>`)."""
    features = tuple(features)

    def codes(*sides: str) -> list[tuple[str, str]]:
        return [(f"c_{f.name}", code_type(f)) for f in features if f.side in sides and f.kind != "cross"]

    def struct(fields: list[tuple[str, str]]) -> str:
        return LISTED + ",".join(f"{name}:{kind}" for name, kind in fields) + ">>"

    logged = [("impression_id", "string"), ("shown_at", "timestamp"), ("position", "int"), ("label", "int")]
    ad = [("ad_id", "string"), ("image", "string"), *codes("ad")]
    user = [("user_id", "string"), *codes("user")]

    def table(name: str, outer: list[tuple[str, str]], inner: list[tuple[str, str]], what: str) -> Table:
        columns = [DAY, Column("group_id", "string", "unique in the day", nullable=False)]
        columns += [Column(column, kind, "of the group's " + what) for column, kind in outer]
        columns.append(Column("impressions", struct(logged + inner + codes("context")), "the group's impressions"))
        return Table(name, "spark_jobs.groups", ("day", "group_id"), tuple(columns))

    return {
        "ad_groups": table("ad_groups", ad, user, "ad, once"),
        "user_groups": table("user_groups", user, ad, "user, once"),
    }


def declared(settings: Settings) -> dict[str, Table]:
    """Every table of a run: the snapshots and the groups have the columns of the features that its settings build."""
    features = built_features(settings)
    return TABLES | snapshot_tables(features) | group_tables(features)
