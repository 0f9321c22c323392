"""Stage 6: every ad of the catalogue through the model's CNN, once.

The artifact holds two tables: `gate_codes.npy`/`gate_vectors.npy` for the ads known at D 00:00 (catalogue D-1, what the
gate scores with) and `codes.npy`/`vectors.npy` for the catalogue at the end of D (what is served after a yes). The
second also goes to the Delta table `visual_table`, for whoever wants to look at it.
"""

from __future__ import annotations

import json
import time
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from contracts import artifacts, paths, report
from contracts.artifacts import Manifest
from contracts.days import day_start
from contracts.errors import DamagedArtifact
from contracts.settings import Settings
from release import delta
from release.catalogue import Built, ads_table, build, day_before
from serving.table import VisualTable, open_table

STAGE, KIND = "6-lookup-table", "table"
GATE, SERVED = ("gate_codes.npy", "gate_vectors.npy"), ("codes.npy", "vectors.npy")
AD_IDS = "ad_ids.json"  # of the served table, in the order of its codes
CODE = "1"  # raise it when the same inputs would give another table


def run(model: Path, settings: Settings) -> Path:
    """The table artifact of a model's own day. Returns its manifest's address; equal inputs return the finished one."""
    started = time.monotonic()
    manifest = artifacts.read(model)
    if manifest.kind != "model":
        raise DamagedArtifact(f"{model} is the manifest of a {manifest.kind}; lookup-table takes a model's")
    address, remarks = make(model, manifest.day, settings)
    version = publish_delta(address, settings)
    made = artifacts.read(address)
    report.write(
        settings,
        report.StageReport(
            stage=STAGE,
            day=manifest.day,
            seconds=time.monotonic() - started,
            rows_in=made.rows["ads"],
            rows_out=made.rows["ads"],
            versions={"visual_table": version},
            counts=made.rows,
            remarks=remarks,
        ),
    )
    return address


def make(model: Path, day: str, settings: Settings) -> tuple[Path, list[str]]:
    """The artifact for any day's catalogue by any model (the champion's, on a day whose gate said no)."""
    ads = ads_table(settings)
    days = [day_before(day), day]
    catalogues = delta.fingerprints(ads, days)
    inputs = {
        "model": str(model),
        "model_digest": artifacts.file_digest(model),
        "catalogues": artifacts.digest(catalogues),
        "code": CODE,
    }
    where = artifacts.folder(paths.artifacts(settings), KIND, day, inputs)
    done = artifacts.finished(where)
    if done:
        return done, [f"finished before: {done} was returned"]
    known = build(model.parent, ads, days[0], settings)
    full = build(model.parent, ads, days[1], settings)
    artifacts.fresh(where)
    for built, names in ((known, GATE), (full, SERVED)):
        np.save(where / names[0], built.table.codes, allow_pickle=False)
        np.save(where / names[1], built.table.vectors, allow_pickle=False)
    (where / AD_IDS).write_text(json.dumps(full.ad_ids), encoding="utf-8")
    address = artifacts.finish(
        where,
        Manifest(
            kind=KIND,
            day=day,
            key=artifacts.digest(inputs),
            inputs=inputs,
            versions={"ads": ads.version()},
            rows=_counts(known, full),
        ),
    )
    return address, []


def _counts(known: Built, full: Built) -> dict[str, int]:
    return {
        "ads": len(full.ad_ids),
        "ads_known_at_start": len(known.ad_ids),
        "pairs": full.pairs,
        "computed": known.computed + full.computed,
        "reused": known.reused + full.reused,
    }


def gate_table(address: Path) -> VisualTable:
    return open_table(address.parent, *GATE)


def served_table(address: Path) -> VisualTable:
    return open_table(address.parent, *SERVED)


def publish_delta(address: Path, settings: Settings) -> int:
    """The table's rows as partition `day` of `visual_table`; no commit if they are there. Returns the version."""
    manifest, visual = artifacts.read(address), served_table(address)
    ids = json.loads((address.parent / AD_IDS).read_bytes())
    day = date.fromisoformat(manifest.day)
    stamp = day_start(day + timedelta(days=1), settings.time_zone)
    created = stamp + timedelta(minutes=settings.publication_delay_minutes)
    moment = pa.timestamp("us", tz="UTC")
    flat = pa.array(np.asarray(visual.vectors[: len(ids)]).reshape(-1), pa.float32())
    offsets = pa.array(np.arange(len(ids) + 1, dtype=np.int32) * visual.dimension, pa.int32())
    rows = pa.table(
        {
            "day": pa.array([manifest.day] * len(ids), pa.string()),
            "event_timestamp": pa.array([stamp] * len(ids), moment),
            "created": pa.array([created] * len(ids), moment),
            "ad_id": pa.array(ids, pa.string()),
            "vector": pa.ListArray.from_arrays(offsets, flat),
        }
    )
    rows = rows.cast(
        pa.schema(
            [
                ("day", pa.string()),
                ("event_timestamp", moment),
                ("created", moment),
                ("ad_id", pa.string()),
                ("vector", pa.list_(pa.field("element", pa.float32()))),
            ]
        )
    )
    version, _ = delta.replace_day(paths.table(settings, "visual_table"), manifest.day, rows, "ad_id")
    return version


