"""The suites' files -> rules. A landing folder may hold files `suites/<table>.yaml` of its own: a rule there replaces
the packaged one of the same name, or is added."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from contracts.errors import SettingsError
from contracts.rules import COUNTED, FIGURES, ROW, AnyRule, Between, Bound, DayRule, Suite
from contracts.settings import LandingSettings
from contracts.tables import LANDING, TABLES

PACKAGED = Path(__file__).parent / "suites"


def load(landing: Path | None = None) -> dict[str, Suite]:
    """Table -> its suite: the packaged one, with what `<landing>/suites/<table>.yaml` replaces or adds.

    Raises SettingsError that names file and rule, and says what would be right.
    """
    own = landing / "suites" if landing is not None else None
    if own is not None and own.is_dir():
        strange = sorted(f.name for f in own.iterdir() if f.stem not in LANDING or f.suffix != ".yaml")
        if strange:
            wanted = ", ".join(f"{name}.yaml" for name in LANDING)
            raise SettingsError(f"{own} holds {', '.join(strange)}, which is no table's suite; wanted {wanted}")
    suites = {}
    for table in LANDING:
        rows, day = _file(PACKAGED / f"{table}.yaml", table)
        if own is not None and (own / f"{table}.yaml").is_file():
            more_rows, more_day = _file(own / f"{table}.yaml", table)
            rows, day = rows | more_rows, day | more_day
        suites[table] = Suite(
            table=table,
            rows=tuple(rule for rule in rows.values() if rule.level != "ignore"),
            day=tuple(rule for rule in day.values() if rule.level != "ignore"),
        )
    names = [rule.name for suite in suites.values() for rule in (*suite.rows, *suite.day)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SettingsError(f"the suites hold two rules of the name {', '.join(twice)}; a name is of one rule only")
    return suites


def _file(path: Path, table: str) -> tuple[dict[str, AnyRule], dict[str, DayRule]]:
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not YAML: {error}") from None
    if not isinstance(said, dict) or set(said) - {"rows", "day"}:
        found = ", ".join(map(str, said)) if isinstance(said, dict) else type(said).__name__
        raise SettingsError(f"{path} must hold `rows:` and `day:`, each a list of rules; found {found}")
    rows = [_row_rule(path, table, entry) for entry in said.get("rows") or []]
    day = [_day_rule(path, table, entry) for entry in said.get("day") or []]
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


def _day_rule(path: Path, table: str, entry: object) -> DayRule:
    rule: DayRule = _parsed(path, entry, DayRule.model_validate)
    where = f"{path}: rule {rule.name}: "
    if rule.figure not in FIGURES[table]:
        known = ", ".join(FIGURES[table])
        raise SettingsError(f"{where}there is no figure {rule.figure} of {table}; there are {known}")
    if (rule.at_least is None) == (rule.at_most is None):
        raise SettingsError(f"{where}wants one of at_least and at_most")
    if rule.bound.setting is not None and rule.bound.setting not in LandingSettings.model_fields:
        known = ", ".join(LandingSettings.model_fields)
        raise SettingsError(f"{where}there is no setting {rule.bound.setting}; there are {known}")
    if not rule.bound.model_dump(exclude_defaults=True):
        raise SettingsError(f"{where}the bound is empty; wants a number, or {', '.join(Bound.model_fields)}")
    return rule
