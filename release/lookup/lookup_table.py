"""Stage 6: every ad of the catalogue through the model's CNN, once (CSCNN 3.4.2).

The artifact holds two tables: `gate.table` for the ads known at D 00:00 (catalogue D-1, what the gate scores with) and
`served.table` for the catalogue at the end of D (what is served after a yes). Both are reduced and cut alike. Beside
them stand the curves of coverage.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from deltalake import DeltaTable

from contracts import artifacts, paths, report
from contracts.artifacts import Manifest
from contracts.errors import DamagedArtifact
from contracts.settings import Settings
from release import delta
from release.lookup import catalogue as catalogues
from release.lookup import coverage, expectation, reduction
from release.lookup.catalogue import Catalogue, ads_table, day_before
from release.lookup.expectation import Expectation
from release.lookup.vectors import Vectors
from serving.table import Codec, VisualTable, open_table

STAGE, KIND = "6-lookup-table", "table"
GATE, SERVED = "gate.table", "served.table"
LACKING = "lacking.json"  # pictures of the catalogue that could not be read
CODE = "2"  # raise it when the same inputs would give another table
LARGE = 20_000_000  # ads of which the summary says what they would take


def run(model: Path, settings: Settings) -> Path:
    """The table artifact of a model's own day. Returns its manifest's address; equal inputs return the finished one."""
    started = time.monotonic()
    manifest = artifacts.read(model)
    if manifest.kind != "model":
        raise DamagedArtifact(f"{model} is the manifest of a {manifest.kind}; lookup-table takes a model's")
    address, remarks = make(model, manifest.day, settings)
    made = artifacts.read(address)
    report.write(
        settings,
        report.StageReport(
            stage=STAGE,
            day=manifest.day,
            seconds=time.monotonic() - started,
            rows_in=made.rows["ads"],
            rows_out=made.rows["ads_in_table"],
            counts=made.rows,
            remarks=remarks + sentences(made),
        ),
    )
    return address


def make(model: Path, day: str, settings: Settings, like: Path | None = None) -> tuple[Path, list[str]]:
    """The artifact for any day's catalogue by any model.

    `like`: the manifest of a table of the same model whose codec is to be kept (the champion's own, on a day whose gate
    said no): the reduction belongs to the model and is not fitted again.
    """
    ads, log = ads_table(settings), paths.table(settings, "impressions")
    span = [day_before(day, back) for back in range(settings.table_history_days + 1, -1, -1)]
    inputs = {
        "model": str(model),
        "model_digest": artifacts.file_digest(model),
        "catalogues": artifacts.digest(delta.fingerprints(ads, span)),
        "impressions": artifacts.digest(delta.fingerprints(DeltaTable(log), span) if delta.exists(log) else {}),
        "codec": _codec_digest(served_table(like).codec) if like else "fitted",
        "config": artifacts.digest(
            [settings.table_bytes, settings.table_dimensions, settings.table_storage, settings.table_max_auc_loss,
             settings.table_paired_rows, settings.table_history_days, settings.seed]
        ),
        "landed": "",
        "code": CODE,
    }  # fmt: skip
    done = like if like and _asked_for(artifacts.read(like), day, inputs) else None
    while True:
        where = artifacts.folder(paths.artifacts(settings), KIND, day, inputs)
        done = done or artifacts.finished(where)
        if not done:
            break
        landed = [one for one in lacking(done) if (paths.images(settings) / f"{one}.jpg").is_file()]
        if not landed or artifacts.digest(landed) == inputs["landed"]:
            return done, [f"finished before: {done} was returned"]
        inputs["landed"], done = artifacts.digest(landed), None  # they are there now: the table is made once more
    return _Build(model, day, settings, ads, artifacts.fresh(where), like).finish(inputs), []


class _Build:
    """One artifact in the making."""

    def __init__(self, model: Path, day: str, settings: Settings, ads: DeltaTable, where: Path, like: Path | None):
        self.model, self.day, self.settings, self.ads, self.where, self.like = model, day, settings, ads, where, like
        self.vectors = Vectors(model.parent, settings)

    def finish(self, inputs: dict[str, str]) -> Path:
        day, settings = self.day, self.settings
        known = catalogues.read(self.ads, day_before(day))
        took = catalogues.embed(known, self.ads, self.vectors)
        due = expectation.of_catalogue(known, settings)
        codec, cost = self._stored(known, due)
        full = catalogues.read(self.ads, day)
        took_full = catalogues.embed(full, self.ads, self.vectors)
        due_full = expectation.of_catalogue(full, settings)
        served = self._write(SERVED, full, due_full, codec)
        figures = cost | self._coverage(known, due, full, due_full, codec)
        grey = sorted({*took.lacking, *took_full.lacking})  # what lacks in both catalogues is told of the first only
        (self.where / LACKING).write_text(json.dumps(grey), encoding="utf-8")
        rows = {
            "ads": len(full.codes),
            "ads_known_at_start": len(known.codes),
            "ads_in_table": len(served.codes),
            "pairs": took_full.pairs,
            "computed": took.computed + took_full.computed,
            "reused": took.reused + took_full.reused,
        }
        return artifacts.finish(
            self.where,
            Manifest(
                kind=KIND,
                day=day,
                key=artifacts.digest(inputs),
                inputs=inputs,
                interval=artifacts.read(self.model, check_files=False).interval,  # of the codec
                versions={"ads": self.ads.version()},
                rows=rows,
                figures=figures | {"storage": codec.storage, "dimension": served.dimension},
            ),
        )

    def _stored(self, known: Catalogue, due: Expectation) -> tuple[Codec, dict[str, Any]]:
        """The codec and the gate's table with it; vectors are stored as they are where less would cost too much."""
        settings, codec = self.settings, Codec()
        if self.like:
            codec = served_table(self.like).codec
            self._write(GATE, known, due, codec)
            kept = artifacts.read(self.like, check_files=False).figures
            return codec, {name: value for name, value in kept.items() if "auc" in name or name == "paired_rows"}
        codec = reduction.fitted(
            settings.table_storage, settings.table_dimensions, self.vectors, known.keys, due.shown
        )
        table = self._write(GATE, known, due, codec)
        if codec.exact and len(table.codes) == len(known.codes):
            return codec, {}
        cost = reduction.cost(self.model, known, self.vectors, table, settings)
        if codec.exact or cost.largest <= settings.table_max_auc_loss:
            return codec, cost.figures()
        self._write(GATE, known, due, Codec())
        return Codec(), cost.figures() | {"refused": f"{codec.storage}, {table.dimension} numbers"}

    def _write(self, name: str, of: Catalogue, due: Expectation, codec: Codec) -> VisualTable:
        each = coverage.bytes_an_ad(codec, self.vectors.dimension)
        inside = coverage.inside(coverage.by_worth(of, due), self.settings.table_bytes, each)
        about = {"model": str(self.model), "day": of.day, "version": f"{self.day}/{self.where.name}"}
        return catalogues.write(self.where / name, of, due.shown, inside, self.vectors, codec, about)

    def _coverage(
        self, known: Catalogue, due: Expectation, full: Catalogue, due_full: Expectation, codec: Codec
    ) -> dict[str, Any]:
        each = coverage.bytes_an_ad(codec, self.vectors.dimension)
        most, log = self.settings.table_bytes // each, paths.table(self.settings, "impressions")
        shown = expectation.counts(DeltaTable(log), self.day) if delta.exists(log) else None
        before = coverage.curve(known.codes, coverage.by_worth(known, due), due, shown, [most])
        after = coverage.curve(full.codes, coverage.by_worth(full, due_full), due_full, None, [most])
        ads, ads_after = min(most, len(known.codes)), min(most, len(full.codes))
        coverage.write(self.where, self.day, before, after, ads_after, each)
        figures: dict[str, Any] = {"bytes_an_ad": each, "bytes": each * ads_after, "bytes_of_20_million": each * LARGE}
        figures |= {"coverage_predicted": after.at(ads_after)}
        if shown is not None and before.measured:
            total = int(shown.shown.sum())
            coverage.record(self.settings, self.day, str(self.model), before, ads, len(known.codes), each, total)
            figures |= {"coverage_of_day_predicted": before.at(ads), "coverage_of_day": before.at(ads, "measured")}
        return figures


def _asked_for(made: Manifest, day: str, inputs: dict[str, str]) -> bool:
    """Whether a table is what these inputs would give, its own codec among them."""
    return made.day == day and made.inputs == inputs | {name: made.inputs[name] for name in ("codec", "landed")}


def _codec_digest(codec: Codec) -> str:
    return artifacts.digest([codec.storage, *(array.tolist() for array in codec.arrays().values())])


def lacking(address: Path) -> list[str]:
    """The pictures for which the reserved one stands in."""
    return list(json.loads((address.parent / LACKING).read_bytes()))


def gate_table(address: Path) -> VisualTable:
    return open_table(address.parent / GATE)


def served_table(address: Path) -> VisualTable:
    return open_table(address.parent / SERVED)


def sentences(manifest: Manifest) -> list[str]:
    """What the artifact is, for a person."""
    f, rows = manifest.figures, manifest.rows
    said = [
        f"{rows['ads_in_table']:,} of {rows['ads']:,} ads, {f['dimension']} numbers of {f['storage']}: "
        f"{f['bytes_an_ad']} bytes an ad (20 million: {f['bytes_of_20_million'] / 1e9:.2f} GB); expected to cover "
        f"{f['coverage_predicted']:.1%} of the next day's impressions"
    ]
    if "coverage_of_day" in f:
        said.append(
            f"of {manifest.day} the table of the evening before covered {f['coverage_of_day']:.1%}; "
            f"{f['coverage_of_day_predicted']:.1%} had been expected"
        )
    if "auc_lost" in f:
        said.append(
            f"storing costs {f['auc_lost']:+.6f} AUC, 95 % interval [{f['auc_lost_low']:+.6f}, "
            f"{f['auc_lost_high']:+.6f}], on {f['paired_rows']:,} impressions of the window"
        )
    if "refused" in f:
        said.append(
            f"{f['refused']}: costs more AUC than table_max_auc_loss allows, or nobody can tell; vectors are stored as "
            "they are"
        )
    if "auc_outside" in f:
        said.append(
            f"ads outside the table: AUC {f['auc_outside']:.4f} with their category's vector, "
            f"{f['auc_outside_exact']:.4f} with their own"
        )
    return said
