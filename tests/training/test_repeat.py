"""A run is made again from its manifest alone, bit for bit, whatever came into the tables since."""

from __future__ import annotations

from datetime import date

import pytest
from deltalake import DeltaTable

from contracts import artifacts, paths
from contracts.errors import DamagedArtifact, InputError, MissingArtifact
from release.versions.repeat import manifest_of, repeat
from training.recipes import recipe
from training.train import train_day

DAY = date(2026, 1, 9)


def test_equal_to_the_bit_and_what_is_gone_is_named(make, tmp_path, monkeypatch):
    settings = make(days=9, impressions=600, ads=40)
    first = train_day(date(2026, 1, 8), settings, recipe("tiny"), lambda *_: None)
    address = train_day(DAY, settings, recipe("tiny"), lambda *_: first)
    before = artifacts.read(address)
    groups = DeltaTable(paths.table(settings, "ad_groups"))
    groups.delete("day = '2026-01-03'")  # a later version, which the run has not read
    other = settings.model_copy(update={"seed": 99, "window_days": 3, "recipe": "daily"})  # settings moved on, too

    assert manifest_of(before.figures["mlflow_run_id"], settings) == address
    with pytest.raises(InputError, match="no model of run nothing"):
        manifest_of("nothing", settings)
    (tmp_path / "there").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr("training.train.train_day", lambda *_, **__: pytest.fail("trained in vain"))
        with pytest.raises(InputError, match="there is there already; name a folder that is not"):
            repeat(address, other, keep=tmp_path / "there")
    said = repeat(address, other, keep=tmp_path / "again")
    assert "equal to the last bit" in said and f"ad_groups@{before.versions['ad_groups']}" in said
    assert artifacts.read(tmp_path / "again" / "manifest.json").files == before.files

    weights = address.parent / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 1
    weights.write_bytes(content)
    damaged = artifacts.finish(address.parent, before)  # another model under a right checksum
    with pytest.raises(DamagedArtifact, match=r"came out otherwise in model.safetensors"):
        repeat(damaged, settings)

    picture = next(paths.images(settings).glob("*.jpg"))
    hidden = picture.rename(tmp_path / "hidden.jpg")
    with pytest.raises(MissingArtifact, match=f"pictures are not in .*{picture.stem}"):
        repeat(address, settings)
    hidden.rename(picture)
    first.rename(tmp_path / "parent.json")
    with pytest.raises(MissingArtifact, match="its parent .* is gone"):
        repeat(address, settings)
    (tmp_path / "parent.json").rename(first)
    groups.vacuum(0, dry_run=False, enforce_retention_duration=False)
    with pytest.raises(MissingArtifact, match="files of ad_groups@.* were removed by maintenance"):
        repeat(address, settings)


def test_only_a_model_of_one_process_is_promised(tmp_path, make):
    settings = make(days=1, impressions=10, ads=5)
    where = artifacts.fresh(tmp_path / "model")
    made = artifacts.Manifest(kind="model", day="2026-01-08", key="k", inputs={}, interval=("2026-01-01", "2026-01-08"),
                              figures={"processes": 2})  # fmt: skip
    with pytest.raises(InputError, match="by 2 processes"):
        repeat(artifacts.finish(where, made), settings)
