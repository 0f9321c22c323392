from pathlib import Path

import pytest

from contracts.errors import SettingsError
from contracts.settings import load


def test_environment_wins_over_the_landing_folder(tmp_path: Path) -> None:
    (tmp_path / "adlens.yaml").write_text("time_zone: Asia/Shanghai\nwindow_days: 9\n")
    settings = load({"ADLENS_LANDING": str(tmp_path), "ADLENS_WINDOW_DAYS": "10"})
    assert (settings.time_zone, settings.window_days) == ("Asia/Shanghai", 10)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("windowdays: 9", "windowdays"),  # a misspelt name
        ("home: /elsewhere", "home"),  # not the folder's to say
        ("window_days: many", "window_days"),
        ("- 1", "name: value"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_wrong_adlens_yaml_is_refused_with_its_name(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "adlens.yaml").write_text(text)
    with pytest.raises(SettingsError, match="adlens.yaml") as caught:
        load({"ADLENS_LANDING": str(tmp_path)})
    assert said in str(caught.value)


def test_a_wrong_variable_is_refused() -> None:
    with pytest.raises(SettingsError, match="window_days"):
        load({"ADLENS_WINDOW_DAYS": "none"})
