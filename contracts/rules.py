"""What a row and a day of each table must be: one declaration a table, `suites/<table>.yaml`, that people edit.

A row rule of level `quarantine` becomes a Spark predicate of stage 1 and the same test in `landing check`; one of
level `stop` or `warn` is counted on the staged rows. A day rule bounds a figure; the tables that are made of the landed
ones have no others (contracts/derived.py). contracts/suite_files.py reads the files; docs/quality.md tells more.

What keys and joins rely on is not declared here and cannot be switched off: form, nulls in columns that may hold none,
unique ids, known ads, and which click belongs to which impression.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Level = Literal["stop", "quarantine", "warn", "ignore"]
DRIFT = {  # columns whose distribution over the day's impressions is followed, by the table that holds them
    "impressions": ("position",),
    "ads": ("category_id", "brand_id", "shop_id"),
    "users": ("age_band", "gender", "region", "price_sensitivity"),
}
FIGURES: dict[str, dict[str, str]] = {
    "impressions": {
        "rows": "impressions of the day",
        "ctr": "labels per impression",
        "quarantined_share": "impressions and clicks set aside, of those that landed in the folder",
        "unknown_ad_share": "impressions set aside because no catalogue knows their ad, of those that landed",
        "unknown_ads": "published impressions whose ad is in neither catalogue; null: the day before is not staged",
        "known_users": "share of impressions whose user has a profile",
        "shown_gap_minutes": "freshness: minutes from the newest impression to the day's end",
        "group_fill": "mean impressions of the day's ad groups, as a share of the most that a group may hold",
    },
    "clicks": {
        "clicks": "clicks of the folder",
        "clicks_joined": "share of the folder's clicks that found an impression, or wait for its day",
        "landed_gap_minutes": "freshness: minutes from the newest click's landing to the day's end",
    },
    "behaviours": {"behaviours_known_ads": "share of behaviours whose ad is in the day's catalogue"},
    "ads": {"missing_pictures": "share of the catalogue's ads without a usable picture"},
    "users": {"profiles": "profiles of the day"},
}
for _table, _columns in DRIFT.items():
    FIGURES[_table] |= {
        f"drift_{column}": f"population stability index of {column} over impressions: the day against the trailing week"
        for column in _columns
    }


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RowRule(_Strict):
    """What every row's rule says. A null passes: whether a column may be null is the table's declaration."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    level: Level
    words: str = Field(min_length=1)

    def columns_used(self) -> tuple[str, ...]:
        """The columns that it reads, each with one type or several that it can read."""
        return (getattr(self, "column"),)  # noqa: B009  # every kind but those that override this has one column

    def types(self) -> tuple[str, ...]:
        return ("string", "timestamp", "int", "long", "double")


class OneOf(RowRule):
    holds: Literal["one_of"]
    column: str
    values: tuple[str | int, ...] = Field(min_length=1)

    def types(self) -> tuple[str, ...]:
        return ("string",) if isinstance(self.values[0], str) else ("int", "long")


class NotNull(RowRule):
    holds: Literal["not_null"]
    column: str


class Between(RowRule):
    """`at_least` <= column <= `at_most`; NaN is above every number."""

    holds: Literal["between"]
    column: str
    at_least: float | None = None
    at_most: float | None = None

    def types(self) -> tuple[str, ...]:
        return ("int", "long", "double")


class _TimeRule(RowRule):
    column: str

    def types(self) -> tuple[str, ...]:
        return ("timestamp",)


class InFolderDay(_TimeRule):
    """The time lies in the folder's business day."""

    holds: Literal["in_folder_day"]


class NotAfterFolderDay(_TimeRule):
    """The time lies before the end of the folder's business day."""

    holds: Literal["not_after_folder_day"]


class NotLongBefore(_TimeRule):
    """The time's business day is at most `days` before the folder's."""

    holds: Literal["not_long_before_folder_day"]
    days: int = Field(ge=0)


class NotBefore(_TimeRule):
    """The time is not more than `slack_seconds` before that of the column `other`."""

    holds: Literal["not_before"]
    other: str
    slack_seconds: int = Field(0, ge=0)

    def columns_used(self) -> tuple[str, ...]:
        return (self.column, self.other)


class Unique(RowRule):
    """No two rows of a day agree in the columns. Counted on staged rows: levels stop and warn."""

    holds: Literal["unique"]
    columns: tuple[str, ...] = Field(min_length=1)

    def columns_used(self) -> tuple[str, ...]:
        return self.columns


class ClickInWindow(RowRule):
    """A labelled impression's click lies in the attribution window, another has none. Levels stop and warn."""

    holds: Literal["click_in_window"]

    def columns_used(self) -> tuple[str, ...]:
        return ("label", "shown_at", "clicked_at")


class Sql(RowRule):
    """A predicate in Spark's SQL that must not be false. `landing check` cannot judge it and says so."""

    holds: Literal["sql"]
    columns: tuple[str, ...] = Field(min_length=1)
    where: str = Field(min_length=1)

    def columns_used(self) -> tuple[str, ...]:
        return self.columns


OfTime = InFolderDay | NotAfterFolderDay | NotLongBefore | NotBefore
AnyRule = OneOf | NotNull | Between | OfTime | Unique | ClickInWindow | Sql
ROW: TypeAdapter[AnyRule] = TypeAdapter(Annotated[AnyRule, Field(discriminator="holds")])
COUNTED = (Unique, ClickInWindow)  # no property of a landed row alone


class Bound(_Strict):
    """A bound on a figure: the first of these that is there. `setting`: the landing folder's own, if it has one.
    `trailing_times`: so many times the trailing week's mean. `trailing_spread`: the mean and so many standard
    deviations (of days) beyond it, `spread_at_least` at the least. `value`: a constant."""

    setting: str | None = None
    trailing_times: float | None = Field(None, gt=0)
    trailing_spread: float | None = Field(None, gt=0)
    spread_at_least: float = Field(0.0, ge=0)
    value: float | None = None

    @property
    def trails(self) -> bool:
        return self.trailing_times is not None or self.trailing_spread is not None


class DayRule(_Strict):
    """A bound on a figure of the day. A figure that is null passes."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    figure: str
    at_least: float | Bound | None = None
    at_most: float | Bound | None = None
    level: Literal["stop", "warn", "ignore"]
    words: str = Field(min_length=1)

    @property
    def bound(self) -> Bound:
        said = self.at_least if self.at_least is not None else self.at_most
        return said if isinstance(said, Bound) else Bound.model_validate({"value": said})


class Suite(_Strict):
    """The rules of one table, those of level `ignore` left out."""

    table: str
    rows: tuple[AnyRule, ...]
    day: tuple[DayRule, ...]

    def landed(self) -> tuple[AnyRule, ...]:
        """Those that set a landed row aside, in the order in which they are asked."""
        return tuple(rule for rule in self.rows if rule.level == "quarantine")

    def staged(self) -> tuple[AnyRule, ...]:
        """Those that are counted on the staged rows."""
        return tuple(rule for rule in self.rows if rule.level != "quarantine")

    def on(self, figures: Iterable[str]) -> Suite:
        """With the rules on these figures only."""
        there = set(figures)
        return self.model_copy(update={"day": tuple(rule for rule in self.day if rule.figure in there)})


def broken(rule: RowRule) -> str:
    """The figure that counts a rule's broken rows."""
    return f"broken_{rule.name}"
