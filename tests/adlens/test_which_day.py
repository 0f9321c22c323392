"""Which day runs, and which landing folder a home belongs to."""

from datetime import date, timedelta

import pytest

from adlens.day_choice import GENERATED_FIRST, choose
from adlens.landing_memory import landed_days, recalled, settle
from contracts.errors import DamagedArtifact, InputError, SettingsError
from contracts.settings import Settings


def days(first: str, n: int) -> list[date]:
    return [date.fromisoformat(first) + timedelta(days=k) for k in range(n)]


@pytest.mark.parametrize(
    "asked, latest, landed, wanted",
    [
        (None, None, None, "2026-02-02"),  # generated: 32 days before it
        (None, "2026-02-02", None, "2026-02-03"),
        ("2026-03-01", "2026-02-02", None, "2026-03-01"),
        ("2026-02-02", "2026-02-05", None, "2026-02-02"),  # an old day again
        (None, None, days("1998-01-01", 60), "1998-02-02"),
        (None, None, days("1998-01-01", 20), "1998-01-20"),  # fewer than a window: the last one
        (None, None, days("1998-01-01", 9), "1998-01-09"),  # 7 to train on, and the first without a snapshot
        (None, "1998-01-10", days("1998-01-01", 20), "1998-01-11"),
    ],
)
def test_the_day(asked, latest, landed, wanted):
    day = choose(
        Settings(), asked and date.fromisoformat(asked), latest and date.fromisoformat(latest), landed
    )
    assert day == ((landed or [GENERATED_FIRST])[0], date.fromisoformat(wanted))


@pytest.mark.parametrize(
    "asked, latest, landed, words",
    [
        ("2025-12-31", None, None, "before the first day"),
        ("2026-01-05", None, None, "needs at least 7"),
        (None, None, days("1998-01-01", 8), "1998-01-08 has 6 days before it to train on"),
        (None, "1998-01-20", days("1998-01-01", 20), "for 1998-01-21 (the latest run was 1998-01-20)"),
        ("1998-03-01", None, days("1998-01-01", 20), "begin on 1998-01-01 and end on 1998-01-20"),
        (None, None, [], "holds no day=YYYY-MM-DD folder"),
    ],
)
def test_no_such_day_is_explained(asked, latest, landed, words):
    with pytest.raises(InputError, match="1998|2026|holds") as stopped:
        choose(Settings(), asked and date.fromisoformat(asked), latest and date.fromisoformat(latest), landed)
    assert words in str(stopped.value)


def test_a_home_remembers_its_landing_folder(tmp_path):
    settings = Settings(home=tmp_path / "home")
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.mkdir(), other.mkdir()
    assert settle(settings, mine) == mine
    assert settle(settings, None) == mine and settle(settings, mine) == mine and recalled(settings) == mine
    with pytest.raises(SettingsError, match="ADLENS_HOME"):
        settle(settings, other)


def test_a_home_of_generated_data_takes_no_folder(tmp_path):
    settings = Settings(home=tmp_path / "home")
    assert settle(settings, None) is None and recalled(settings) is None
    with pytest.raises(SettingsError, match="generated landing data"):
        settle(settings, tmp_path)


def test_a_folder_that_is_not_there_is_not_remembered(tmp_path):
    settings = Settings(home=tmp_path / "home")
    with pytest.raises(InputError, match="no landing folder"):
        settle(settings, tmp_path / "nowhere")
    assert settle(settings, None) is None


def test_a_damaged_note_is_no_folder(tmp_path):
    settings = Settings(home=tmp_path)
    (tmp_path / "landing.json").write_text("[]")
    with pytest.raises(DamagedArtifact, match="landing.json"):
        recalled(settings)


def test_landed_days_are_sorted_and_foreign_names_passed_over(tmp_path):
    for name in ("day=2026-01-02", "day=2026-01-01", "day=tomorrow", "images"):
        (tmp_path / name).mkdir()
    assert landed_days(tmp_path) == days("2026-01-01", 2)
