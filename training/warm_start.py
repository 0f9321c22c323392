"""Warm start: the parent's CNN, and nothing else of it. So its features, its DCN and its recipe's fields may differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from torch import Tensor, from_numpy

from contracts.rows import UNKNOWN, RowMap, from_arrays
from training.model import ROWS_FILE, ROWS_JSON, WEIGHTS_FILE, CTRModel

CNN, CATEGORY = "cnn.", "category_id"


def take_cnn(net: CTRModel, maps: Mapping[str, RowMap], parent: Path) -> str | None:
    """Copies the CNN of the model in folder `parent` into `net`, whole or not at all; returns why not, or None.

    A_c and A_s are matched by category code: an id never changes meaning, a category that the parent lacks keeps its
    random start. The files match their manifest's checksums (training/parent.py looked), so one that cannot be read
    here is not damaged: it is of another version, and today's model begins without it.
    """
    if net.cnn is None:
        return "the recipe has no CNN"
    try:
        theirs, old = _read(parent)
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        return f"the parent's CNN cannot be read, it is of another version: {type(error).__name__}: {error}"
    own = net.cnn.state_dict()
    if different := _difference(own, theirs):
        return different
    codes = maps[CATEGORY].table.astype(np.int64)
    source, into = (one.of_codes(codes, np.ones(len(codes), np.bool_)) for one in (old, maps[CATEGORY]))
    known = source != UNKNOWN
    for name, value in own.items():
        if name.endswith(".prior"):
            value[: UNKNOWN + 1] = theirs[name][: UNKNOWN + 1]
            value[from_numpy(into[known])] = theirs[name][from_numpy(source[known])]
        else:
            value.copy_(theirs[name])
    return None


def _read(parent: Path) -> tuple[dict[str, Tensor], RowMap]:
    """The CNN's weights without their prefix, and the rows of its categories."""
    with safe_open(parent / WEIGHTS_FILE, "pt") as file:
        weights = {name.removeprefix(CNN): file.get_tensor(name) for name in file.keys() if name.startswith(CNN)}
    described = json.loads((parent / ROWS_JSON).read_bytes())
    with safe_open(parent / ROWS_FILE, "numpy") as file:
        return weights, from_arrays({CATEGORY: described[CATEGORY]}, {CATEGORY: file.get_tensor(CATEGORY)})[CATEGORY]


def _difference(own: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> str | None:
    """In words; the rows of A_c and A_s may differ in number."""
    if not theirs:
        return "the parent has no CNN"
    if foreign := sorted(own.keys() ^ theirs.keys()):
        whose = "the parent's" if foreign[0] in theirs else "the recipe's"
        return f"the parent's CNN is another one: {len(foreign)} weights differ, {foreign[0]} is only in {whose}"
    for name, value in own.items():
        skipped = name.endswith(".prior")
        mine, other = (tuple(one.shape[skipped:]) for one in (value, theirs[name]))
        if mine != other:
            return f"the parent's CNN has another size: {name} is {other}, in the recipe {mine}"
    return None
