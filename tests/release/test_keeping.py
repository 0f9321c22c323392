"""What maintenance may remove of the release's files, and whether a run can still be repeated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from contracts import artifacts, paths
from contracts.artifacts import Manifest
from contracts.errors import InputError, MissingArtifact
from contracts.settings import Settings
from release import __main__ as release
from release.publishing import publications
from release.publishing.candidate import DRAFT, draft_folder
from release.publishing.publications import Entry
from release.publishing.rollback import rollback
from release.publishing.switch import store
from release.publishing.tidy import tidy
from release.versions.repeating import model_repeatable, repeatable
from training.picture_cache import PictureCache

SUFFIXES = (".index", ".pixels")
OLD, NEW, KEPT_FROM = "2026-01-01", "2026-03-01", "2026-02-01"


def artifact(settings: Settings, kind: str, day: str, what: str, parent: str | None = None) -> str:
    where = artifacts.fresh(artifacts.folder(paths.artifacts(settings), kind, day, {"what": what}))
    made = Manifest(kind=kind, day=day, key="k", inputs={"what": what}, parent=parent)
    return str(artifacts.finish(where, made))


def bundle(settings: Settings, name: str, day: str) -> Path:
    folder = paths.bundles(settings) / name
    folder.mkdir(parents=True)
    info = {"format": 1, "day": day, "recipe": "r", "feature_set": "s", "features": [], "row_maps": {}, "model": "m",
            "visual_dimension": 0, "deep_layers": 1, "cross_layers": 1, "time_zone": "UTC", "table": "t"}  # fmt: skip
    (folder / "bundle.json").write_text(json.dumps(info))
    return folder


def test_only_what_no_publication_names_goes(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    ancestor = artifact(settings, "model", OLD, "ancestor")
    champion = artifact(settings, "model", OLD, "champion", parent=ancestor)
    table, decision = (artifact(settings, kind, OLD, "named") for kind in ("table", "decision"))
    refused = artifact(settings, "model", OLD, "refused")
    fresh = artifact(settings, "model", NEW, "refused")
    unfinished = Path(refused).parent.with_name("unfinished")
    unfinished.mkdir()
    named, unnamed, young = bundle(settings, "a", OLD), bundle(settings, "b", OLD), bundle(settings, "c", NEW)
    publications.append(settings, Entry(OLD, 1, "publish", "a", champion, table, decision, "first"))
    caches = [tmp_path / "pictures" / f"{name}{suffix}" for name in ("4-2", "2-1", "8-3") for suffix in SUFFIXES]
    for size, limit, kept in ((4, 100, 2), (2, 12, 1), (8, 600, 2)):  # full of an old one; full; not full
        cache = PictureCache(tmp_path / "pictures", size, limit)
        for digest in "123"[:kept]:
            cache.keep(digest * 64, np.ones((3, size, size), np.uint8))
    ads = pa.table({"day": [NEW, NEW], "image": ["1" * 64, None]})
    write_deltalake(paths.table(settings, "ads"), ads, partition_by=["day"])

    stopped, going = (paths.checkpoints(settings) / f"{day}-0a" for day in (OLD, NEW))
    for training in (stopped, going):
        (training / "step-3").mkdir(parents=True)

    gone = {Path(refused).parent, unfinished, unnamed, stopped, *caches[:2]}
    planned = tidy(settings, KEPT_FROM, dry_run=True)
    assert set(planned.paths) == gone and planned.size > 0 and all(one.exists() for one in gone)
    assert set(tidy(settings, KEPT_FROM).paths) == gone and not any(one.exists() for one in gone)
    assert tidy(settings, KEPT_FROM).paths == []
    stay = [ancestor, champion, table, decision, fresh, named, young, going, *caches[2:]]
    assert all(Path(one).exists() for one in stay)


def test_the_release_is_tidied_by_the_days_of_the_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`python -m release tidy`, as the DAG calls it: counted back from the newest published day, not from the clock."""
    settings = Settings(home=tmp_path)
    monkeypatch.setenv("ADLENS_HOME", str(tmp_path))
    assert release.main(["tidy"]) == 5 and "no published day" in capsys.readouterr().err
    day = pa.table({"day": ["2026-02-19"], "impression_id": ["i"]})
    write_deltalake(paths.table(settings, "impressions"), day, partition_by=["day"])
    old, kept = (artifact(settings, "model", day, "m") for day in ("2025-12-31", "2026-01-01"))  # 50 days are kept
    assert release.main(["tidy", "--start", "2026-02-22"]) == 2
    assert release.main(["tidy", "--at-latest", "2026-02-22", "--dry-run"]) == 0 and Path(old).exists()
    assert "release: 1 artifacts" in capsys.readouterr().out
    assert release.main(["tidy", "--at-latest", "2026-02-22"]) == 0
    assert not Path(old).exists() and Path(kept).exists()


def test_a_run_can_be_repeated_while_its_files_are_there(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    where = paths.table(settings, "ad_groups")
    Path(where).parent.mkdir()

    def write(day: str, value: int) -> None:
        rows = pa.table({"day": [day], "value": [value]})
        new = {} if DeltaTable.is_deltatable(where) else {"partition_by": ["day"]}
        write_deltalake(where, rows, mode="overwrite", **(new or {"predicate": f"day = '{day}'"}))

    write("2026-01-01", 1)
    write("2026-01-02", 1)
    manifest = Manifest(kind="model", day="2026-01-02", key="k", inputs={}, interval=("2026-01-01", "2026-01-02"),
                        versions={"ad_groups": 1})  # fmt: skip
    write("2026-01-02", 2)
    DeltaTable(where).vacuum(0, dry_run=False, enforce_retention_duration=False)
    assert repeatable(manifest, settings) is None, "another day's files went"
    write("2026-01-01", 2)
    assert repeatable(manifest, settings) is None, "written again, but the old file is kept"
    DeltaTable(where).vacuum(0, dry_run=False, enforce_retention_duration=False)
    assert repeatable(manifest, settings) == "1 of 1 files of ad_groups@1 were removed by maintenance"
    table = DeltaTable(where)
    table.create_checkpoint()
    for version in range(table.version()):
        (Path(where) / "_delta_log" / f"{version:020d}.json").unlink()
    assert "ad_groups@1 is no longer in the table's log" in str(repeatable(manifest, settings))
    assert "table nowhere is gone" in str(
        repeatable(manifest.model_copy(update={"versions": {"nowhere": 0}}), settings)
    )
    assert "no manifest at" in str(model_repeatable(str(tmp_path / "none.json"), settings))


def history(settings: Settings, *models: str) -> None:
    """A publication of each, as a model's own bundle."""
    for model in models:
        last = (publications.read(settings) or [None])[-1]
        if not (paths.bundles(settings) / model).is_dir():
            bundle(settings, model, OLD)
        row = {"day": OLD, "action": "publish", "bundle": model, "model": model, "table": "t", "decision": "",
               "reason": "r", "version": model}  # fmt: skip
        publications.switch(settings, store(settings).look(), publications.following(last, "", **row))


@pytest.mark.parametrize(
    "acts, served",
    [
        ("X A B C A back", "C"),  # A again by a promotion: what served before that
        ("X A B C back", "B"),
        ("X A B C back back", "A"),  # further back, not forth again
        ("X A B C back back back", "X"),
        ("X A A B back B back", "A"),
        ("X A B C to:A back", "X"),  # before what was gone back to
        ("X A B C A back back", "B"),
        ("X A X B back back", "A"),
    ],
)
def test_what_a_rollback_serves_and_maintenance_keeps(tmp_path, monkeypatch, acts, served):
    settings = Settings(home=tmp_path, keep_bundles=2)
    monkeypatch.setattr("release.publishing.rollback.described", lambda _: None)
    for act in acts.split()[:-1]:
        if act == "back":
            rollback(settings)
        elif act.startswith("to:"):
            rollback(settings, to=act[3:])
        else:
            history(settings, act)
    tidy(settings, KEPT_FROM)
    assert (paths.bundles(settings) / served).is_dir()
    assert rollback(settings).model == served


def test_the_first_model_has_no_predecessor(tmp_path, monkeypatch):
    settings = Settings(home=tmp_path)
    monkeypatch.setattr("release.publishing.rollback.described", lambda _: None)
    history(settings, "X", "A")
    rollback(settings)
    with pytest.raises(InputError, match="first model"):
        rollback(settings)


def test_served_bundles_stay_by_number_and_age_and_the_champion_and_its_predecessor_always(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, keep_bundles=2)
    models = [artifact(settings, "model", OLD, name) for name in "xyz"]
    for number, model in enumerate((0, 1, 1, 2, 2, 2), start=1):
        bundle(settings, f"b{number}", OLD)
        seen = store(settings).look()
        table = artifact(settings, "table", OLD, f"t{number}")
        publications.switch(settings, seen, Entry(OLD, number, "keep", f"b{number}", models[model], table, "", "r"))
    killed = bundle(settings, f"{DRAFT}killed", OLD)
    with draft_folder(settings) as being_made:
        gone = {one.name for one in tidy(settings, KEPT_FROM).paths if one.parent == paths.bundles(settings)}
        assert being_made.is_dir() and not killed.exists()
    assert gone == {"b1", "b2", "b4", killed.name}  # 5 and 6 by number; 3 is what a rollback serves
    assert {one.name for one in paths.bundles(settings).iterdir()} == {"b3", "b5", "b6"}
    kept = {Path(entry.table).parent.is_dir(): entry for entry in publications.read(settings)}
    assert set(kept) == {True, False} and all(Path(one).is_file() for one in models)
    with pytest.raises(MissingArtifact, match="cannot be served again"):
        rollback(settings, publication=1)
    assert tidy(settings, OLD).paths == [], "nothing of a kept day goes"
