from pathlib import Path

import pytest

from contracts import artifacts
from contracts.artifacts import Manifest
from contracts.errors import DamagedArtifact, MissingArtifact


def _made(root: Path) -> Path:
    inputs = {"groups": "abc"}
    where = artifacts.fresh(artifacts.folder(root, "model", "2026-02-02", inputs))
    (where / "weights").write_bytes(b"1234")
    return artifacts.finish(where, Manifest(kind="model", day="2026-02-02", key=where.name, inputs=inputs))


def test_finished_only_with_its_manifest(tmp_path: Path) -> None:
    where = artifacts.folder(tmp_path, "model", "2026-02-02", {"groups": "abc"})
    assert artifacts.finished(where) is None
    address = _made(tmp_path)
    assert artifacts.finished(where) == address
    assert artifacts.read(address).files.keys() == {"weights"}


def test_other_inputs_are_another_artifact(tmp_path: Path) -> None:
    _made(tmp_path)
    assert artifacts.finished(artifacts.folder(tmp_path, "model", "2026-02-02", {"groups": "abd"})) is None


def test_damage_is_found(tmp_path: Path) -> None:
    address = _made(tmp_path)
    (address.parent / "weights").write_bytes(b"1235")
    with pytest.raises(DamagedArtifact, match="weights"):
        artifacts.read(address)
    (address.parent / "weights").unlink()
    with pytest.raises(DamagedArtifact, match="missing"):
        artifacts.read(address)


def test_a_missing_manifest_says_where(tmp_path: Path) -> None:
    with pytest.raises(MissingArtifact, match="nowhere"):
        artifacts.read(tmp_path / "nowhere" / "manifest.json")
