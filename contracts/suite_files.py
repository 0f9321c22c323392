"""The suites' files -> rules. A landing folder may hold files `suites/<table>.yaml` of its own: a rule there replaces
the packaged one of the same name, or is added."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from contracts import features as declared
from contracts.derived import DERIVED, figures
from contracts.errors import SettingsError
from contracts.feature import Feature
from contracts.rules import COUNTED, FIGURES, ROW, AnyRule, Between, Bound, DayRule, Suite
from contracts.settings import LandingSettings
from contracts.tables import LANDING, TABLES

PACKAGED = Path(__file__).parent / "suites"
ANY = "*"  # at the end of a figure's name: a rule on each figure that begins so


def load(landing: Path | None = None) -> dict[str, Suite]:
    """Landing table -> its suite: the packaged one, with what `<landing>/suites/<table>.yaml` replaces or adds.

    Raises SettingsError that names file and rule, and says what would be right.
    """
    return _loaded(landing, {table: FIGURES[table] for table in LANDING})


def derived(
    landing: Path | None = None, tables: Iterable[str] = DERIVED, built: Iterable[Feature] | None = None
) -> dict[str, Suite]:
    """The same of snapshots and groups, with the rules on figures of the features that are built (None: on all). A rule
    may name a figure of any declared feature. Raises SettingsError as `load` does."""
    known, there = figures(declared.FEATURES), figures(declared.FEATURES if built is None else built)
    found = _loaded(landing, {table: known[table] for table in tables})
    return {table: one.on(there[table]) for table, one in found.items()}


def _loaded(landing: Path | None, known: Mapping[str, Mapping[str, str]]) -> dict[str, Suite]:
    """`known`: table -> its figures."""
    own = landing / "suites" if landing is not None else None
    if own is not None and own.is_dir():
        possible = (*LANDING, *DERIVED)
        strange = sorted(f.name for f in own.iterdir() if f.stem not in possible or f.suffix != ".yaml")
        if strange:
            wanted = ", ".join(f"{name}.yaml" for name in possible)
            raise SettingsError(f"{own} holds {', '.join(strange)}, which is no table's suite; wanted {wanted}")
    suites = {}
    for table, figures_of in known.items():
        rows, day = _file(PACKAGED / f"{table}.yaml", table, figures_of)
        if own is not None and (own / f"{table}.yaml").is_file():
            more_rows, more_day = _file(own / f"{table}.yaml", table, figures_of)
            rows, day = rows | more_rows, day | more_day
        suites[table] = Suite(
            table=table,
            rows=tuple(rule for rule in rows.values() if rule.level != "ignore"),
            day=tuple(rule for rule in _each(day.values(), figures_of) if rule.level != "ignore"),
        )
    names = [rule.name for suite in suites.values() for rule in (*suite.rows, *suite.day)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SettingsError(f"the suites hold two rules of the name {', '.join(twice)}; a name is of one rule only")
    return suites


def _each(day: Iterable[DayRule], known: Iterable[str]) -> Iterable[DayRule]:
    """A rule on figures that begin alike becomes one on each of them, but on those that a rule names in full."""
    day = list(day)
    named = {rule.figure for rule in day}
    for rule in day:
        if not rule.figure.endswith(ANY):
            yield rule
            continue
        start = rule.figure.removesuffix(ANY)
        for figure in (one for one in known if one.startswith(start) and one not in named):
            name = f"{rule.name}_{figure.removeprefix(start)}"
            yield rule.model_copy(update={"name": name, "figure": figure})


def _file(path: Path, table: str, known: Mapping[str, str]) -> tuple[dict[str, AnyRule], dict[str, DayRule]]:
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not YAML: {error}") from None
    if not isinstance(said, dict) or set(said) - {"rows", "day"}:
        found = ", ".join(map(str, said)) if isinstance(said, dict) else type(said).__name__
        raise SettingsError(f"{path} must hold `rows:` and `day:`, each a list of rules; found {found}")
    if table in DERIVED and said.get("rows"):
        raise SettingsError(
            f"{path}: `rows:` holds rules on what lands, and {table} is made of that; wanted rules under `day:` only"
        )
    rows = [_row_rule(path, table, entry) for entry in said.get("rows") or []]
    day = [_day_rule(path, table, known, entry) for entry in said.get("day") or []]
    return {rule.name: rule for rule in rows}, {rule.name: rule for rule in day}


def _parsed(path: Path, entry: object, parse: Any) -> Any:
    if not isinstance(entry, dict):
        raise SettingsError(f"{path}: a rule is a list of `key: value` lines, found {entry!r}")
    try:
        return parse(entry)
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise SettingsError(f"{path}: rule {entry.get('name', '(no name)')}: {said}") from None


def _row_rule(path: Path, table: str, entry: object) -> AnyRule:
    rule: AnyRule = _parsed(path, entry, ROW.validate_python)
    where = f"{path}: rule {rule.name}: "
    if rule.level == "quarantine" and isinstance(rule, COUNTED):
        raise SettingsError(f"{where}`{rule.holds}` is counted on a whole day; its level can be stop, warn or ignore")
    landed = {column.name: column.type for column in LANDING[table]}
    there = landed if rule.level == "quarantine" else {c.name: c.type for c in TABLES[table].columns}
    for name in rule.columns_used():
        if name not in there:
            raise SettingsError(f"{where}there is no column {name} in {table}; there are {', '.join(there)}")
        if there[name] not in rule.types():
            raise SettingsError(
                f"{where}column {name} is {there[name]}; `{rule.holds}` wants {' or '.join(rule.types())}"
            )
    if isinstance(rule, Between) and rule.at_least is None and rule.at_most is None:
        raise SettingsError(f"{where}`between` wants at_least, at_most or both")
    return rule


def _day_rule(path: Path, table: str, known: Mapping[str, str], entry: object) -> DayRule:
    rule: DayRule = _parsed(path, entry, DayRule.model_validate)
    where = f"{path}: rule {rule.name}: "
    start = rule.figure.removesuffix(ANY)
    if not (any(one.startswith(start) for one in known) if start != rule.figure else rule.figure in known):
        raise SettingsError(f"{where}there is no figure {rule.figure} of {table}; there are {', '.join(known)}")
    if (rule.at_least is None) == (rule.at_most is None):
        raise SettingsError(f"{where}wants one of at_least and at_most")
    if rule.bound.setting is not None and rule.bound.setting not in LandingSettings.model_fields:
        there = ", ".join(LandingSettings.model_fields)
        raise SettingsError(f"{where}there is no setting {rule.bound.setting}; there are {there}")
    if not rule.bound.model_dump(exclude_defaults=True):
        raise SettingsError(f"{where}the bound is empty; wants a number, or {', '.join(Bound.model_fields)}")
    return rule
