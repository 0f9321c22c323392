"""A decision as an artifact and as rows: what the gate found, readable by people, analysts and the next stage."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from contracts import artifacts, paths
from contracts.errors import DamagedArtifact
from contracts.release_tables import RELEASE_TABLES
from contracts.settings import Settings
from release import delta
from release.judging import rule
from release.judging.rule import Limits, Verdict

KIND, DECISION = "decision", "decision.json"
OPENING = {rule.YES: "YES", rule.NO: "NO, the champion stays", rule.WAIT: "WAIT, the champion stays for now"}


def described(verdict: Verdict, limits: Limits) -> dict[str, Any]:
    """decision.json's part that comes from the rule: verdict and reason, figures with intervals, slices, the rule.
    `lasting`: whether the next run of the same inputs may take it over (Verdict.lasting)."""
    return {
        "verdict": verdict.answer,
        "reasons": verdict.reasons,
        "lasting": verdict.lasting,
        "figures": verdict.figures,
        "comparisons": verdict.comparisons,
        "slices": [asdict(one) for one in verdict.slices],
        "service": verdict.service,
        "limits": asdict(limits),
        "rule": rule.__doc__,
    }


def read_decision(address: Path) -> dict[str, Any]:
    """decision.json of a decision's manifest. Raises DamagedArtifact where it is none."""
    manifest = artifacts.read(address)
    if manifest.kind != KIND:
        raise DamagedArtifact(f"{address} is the manifest of a {manifest.kind}; a decision's is needed")
    decision: dict[str, Any] = json.loads((address.parent / DECISION).read_bytes())
    return decision


def log(address: Path, decision: dict[str, Any], settings: Settings) -> dict[str, int]:
    """The decision into `gate_decisions`, its slices into `evaluation_slices`, unless they are there. Versions."""
    at = {"day": decision["day"], "key": artifacts.read(address, check_files=False).key}
    row = {
        **at,
        "verdict": decision["verdict"],
        "challenger": decision["model"],
        "champion": decision["champion"] or "",
        "reasons": json.dumps(decision["reasons"]),
        "figures": json.dumps(decision),
    }
    slices = [{**at, **one} for one in decision["slices"]]
    versions = {}
    for name, rows in (("gate_decisions", [row]), ("evaluation_slices", slices)):
        declared = RELEASE_TABLES[name]
        if rows:
            versions[name] = delta.append_once(
                paths.table(settings, name), delta.logged(declared, rows), declared.key
            )
    return versions


def sentences(decision: dict[str, Any]) -> list[str]:
    """The decision for a person: verdict, reasons, figures."""

    def number(value: float | None, form: str = ".4f") -> str:
        return "none" if value is None else format(value, form)

    lines = [f"{OPENING[decision['verdict']]}: {'; '.join(decision['reasons'])}"]
    for name, f in decision["figures"].items():
        lines.append(
            f"{name}: AUC {number(f['auc'])}, GAUC {number(f['gauc'])}, log loss {number(f['log_loss'])}, "
            f"calibration {number(f['calibration'], '.3f')}"
        )
    for name, c in decision["comparisons"].items():
        lines.append(
            f"against {name}: AUC difference {number(c['difference'], '+.4f')}, 95 % interval "
            f"[{number(c['low'], '+.4f')}, {number(c['high'], '+.4f')}]; the smallest difference that this day "
            f"could have shown is {number(c['smallest_visible'])}"
        )
    asked = [one for one in decision["slices"] if one["chance_auc"] is not None]
    if asked:
        lowest = min(asked, key=lambda one: min(one["chance_auc"], one["chance_loss"]))
        lines.append(
            f"{len(asked)} of {len(decision['slices'])} slices are large enough to be compared, "
            f"{sum(one['verdict'] == 'worse' for one in asked)} are worse; the lowest p is that of "
            f"{lowest['dimension']} {lowest['slice']}, AUC difference {number(lowest['difference'], '+.4f')}"
        )
    if decision["service"]:
        s = decision["service"]
        lines.append(
            f"{s['coverage']:.1%} of the impressions had their ad in the table; bundle {s['bundle_bytes'] / 2**20:.1f} "
            f"MiB; a thousand ads in {s['latency_ms']:.1f} ms"
        )
    if decision["best_possible_auc"] is not None:
        lines.append(f"best possible AUC on this day (planted probabilities): {decision['best_possible_auc']:.4f}")
    return lines


def finite_or_none(value: object) -> object:
    """For JSON, which knows no NaN."""
    if isinstance(value, dict):
        return {name: finite_or_none(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [finite_or_none(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
