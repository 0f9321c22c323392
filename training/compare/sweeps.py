"""Fig 5: one recipe, several values of one field, or of several that change together."""

from __future__ import annotations

from collections.abc import Sequence

import yaml
from pydantic import ValidationError

from contracts.errors import SettingsError
from training.recipes import Recipe

HOW = "--sweep wants FIELD=V1,V2,... as YAML, say prior_size=2,4,6 or deep=[64,32],[128,64] or attention_layers=0,null"
NOT_SWEPT = {"name"}


def sweep(base: Recipe, asked: Sequence[str]) -> dict[str, Recipe]:
    """`base` under each value, by label, in the order asked for; checked as any recipe is.

    `asked`: FIELD=V1,V2,...; of several, the first values go together, then the second ones: so what is to be held
    equal is said (impressions_per_picture=4,16 pictures_per_batch=64,16: as many impressions a full batch).
    Raises SettingsError for an unknown field, a value that the field refuses, and lists of different lengths.
    """
    values = dict(_parsed(text) for text in asked)
    counts = {field: len(found) for field, found in values.items()}
    if len(values) < len(asked) or len(set(counts.values())) > 1 or min(counts.values()) < 2:
        told = ", ".join(f"{field} has {count}" for field, count in counts.items())
        raise SettingsError(f"{HOW}; at least two values, each field once, and of several fields equally many; {told}")
    recipes = {}
    for row in zip(*values.values(), strict=True):
        changed = dict(zip(values, row, strict=True))
        label = ", ".join(f"{field} = {_shown(value)}" for field, value in changed.items())
        if label in recipes:
            raise SettingsError(f"--sweep: {label} is asked for twice; each variant is compared once")
        recipes[label] = _variant(base, changed, label)
    return recipes


def _parsed(text: str) -> tuple[str, list[object]]:
    field, equals, values = text.partition("=")
    known = [name for name in Recipe.model_fields if name not in NOT_SWEPT]
    if not equals or field not in known:
        raise SettingsError(f"--sweep: '{field}' is no field of a recipe; {HOW}. Fields: {', '.join(known)}")
    try:
        return field, list(yaml.safe_load(f"[{values}]"))
    except yaml.YAMLError:
        raise SettingsError(f"--sweep: '{values}' is no list of values; {HOW}") from None


def _shown(value: object) -> str:
    return "null" if value is None else str(value)


def _variant(base: Recipe, changed: dict[str, object], label: str) -> Recipe:
    """Under the recipe's own name where nothing differs from it: its finished trainings serve every sweep."""
    try:
        one = Recipe.model_validate(base.model_dump() | changed)
    except ValidationError as error:
        why = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise SettingsError(f"--sweep: {label} cannot be: {why}") from None
    return one if one == base else one.model_copy(update={"name": f"{base.name}, {label}"})
