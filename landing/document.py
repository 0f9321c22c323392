"""The tables of docs/landing.md, docs/features.md, docs/tables.md and docs/adr/0002, from the declarations. A test
compares; `python -m landing.document` writes them anew between their marks."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from contracts.feature import FIELDS, HOW
from contracts.features import FEATURE_SETS, feature_set
from contracts.settings import LandingSettings, Settings
from contracts.tables import LANDING, TABLES, group_tables
from landing.digest import tiny_digest
from landing.reading import spelt
from landing.shares import CTR, LOGIT_VARIANCE, LOOKS, OUTSIDE_WINDOW, SHARES, bias

JSON_FORM = {
    "string": "text",
    "timestamp": "text, ISO 8601 with `Z` or an offset",
    "int": "whole number",
    "long": "whole number",
    "double": "number",
}
DOCS = Path(__file__).parents[1] / "docs"


def columns_table() -> str:
    parts = []
    for source, columns in LANDING.items():
        rows = [
            (f"`{c.name}`", spelt(c.type), JSON_FORM[c.type], "yes" if c.nullable else "no", c.meaning) for c in columns
        ]
        parts.append(f"### {source}\n\n" + _table(("column", "Parquet", "JSON", "may be null", "meaning"), rows))
    return "\n\n".join(parts)


def settings_table() -> str:
    rows = [
        (f"`{name}`", "none" if field.default is None else str(field.default), str(field.description))
        for name, field in LandingSettings.model_fields.items()
    ]
    return _table(("name", "default", "meaning"), rows)


def features_table() -> str:
    """The production set, a field at a time, crosses last."""
    rows = []
    for f in sorted(feature_set("production"), key=lambda f: (f.kind == "cross", FIELDS.index(f.field))):
        made = " x ".join(f"`{part}`" for part in f.of) if f.kind == "cross" else str(f.transform).replace("()", "")
        made += f" of {', '.join(f'`{part}`' for part in f.of)}" if f.side == "pair" else ""
        field, sets = "cross" if f.kind == "cross" else f.field, "yes" if f.name in FEATURE_SETS["daily"] else ""
        rows.append((field, f"`{f.name}`", f.side, f.kind, made, f"{f.encoding} {f.size:,}", sets, f.description))
    return _table(("field", "name", "side", "kind", "value", "rows", "in `daily`", "meaning"), rows)


def transforms_table() -> str:
    return _table(("transform", "value"), [(f"`{how}`", meaning) for how, meaning in HOW.items()])


def tables_table() -> str:
    rows = [
        (
            f"`{table.name}`",
            ", ".join(table.key),
            ", ".join(table.partition) or "none",
            table.writer,
            "for ever" if table.kept == "forever" else "while a run needs it",
        )
        for table in (*TABLES.values(), *group_tables().values())
    ]
    return _table(("table", "key", "partition", "writer", "a row is kept"), rows)


def keeping_table() -> str:
    names = ("rerun_days", "vacuum_hours", "log_retention_days", "optimize_file_mb")
    fields = Settings.model_fields
    return _table(
        ("name", "default", "meaning"), [(f"`{n}`", str(fields[n].default), str(fields[n].description)) for n in names]
    )


def shares_table() -> str:
    rows = [(cause, f"{share:.0%}", "look" if cause in LOOKS else "") for cause, share in SHARES.items()]
    rows += [("all looks", f"{sum(LOOKS.values()):.0%}", ""), ("sum", f"{sum(SHARES.values()):.0%}", "")]
    return _table(("cause", "share of the logit's variance", ""), rows)


def constants_list() -> str:
    return "\n".join(
        (
            f"- variance of the logit: {LOGIT_VARIANCE}",
            f"- CTR aimed at: {CTR}; clicks outside the attribution window: {OUTSIDE_WINDOW}; bias: {bias()}",
            f"- digest, default: `{tiny_digest()}`",
            f"- digest, `--looks plain`: `{tiny_digest('plain')}`",
            f"- digest, `--shuffle-pictures`: `{tiny_digest(shuffle_pictures=True)}`",
        )
    )


GENERATED: dict[str, dict[str, Callable[[], str]]] = {
    "landing.md": {"columns": columns_table, "settings": settings_table},
    "features.md": {"transforms": transforms_table, "features": features_table},
    "tables.md": {"tables": tables_table, "keeping": keeping_table},
    "adr/0002-generated-data.md": {"shares": shares_table, "constants": constants_list},
}


def block(text: str, name: str) -> re.Match[str] | None:
    """The part of a document between `<!-- name -->` and `<!-- end name -->`."""
    return re.search(rf"(<!-- {name} -->\n\n)(.*?)(\n\n<!-- end {name} -->)", text, re.DOTALL)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    listed = [list(head), *map(list, rows)]
    listed.insert(1, ["---"] * len(listed[0]))
    return "\n".join("| " + " | ".join(row) + " |" for row in listed)


def main() -> int:
    for name, blocks in GENERATED.items():
        path = DOCS / name
        text = path.read_text(encoding="utf-8")
        for mark, make in blocks.items():
            found = block(text, mark)
            if found is None:
                print(f"error: {path} has no block <!-- {mark} -->", file=sys.stderr)
                return 1
            text = text[: found.start(2)] + make() + text[found.end(2) :]
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
