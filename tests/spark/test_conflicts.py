"""How often a write that met another run's is tried again."""

import pytest
from delta import exceptions

from contracts.errors import AdLensError
from spark_jobs import conflicts


@pytest.mark.parametrize("kind", conflicts.CONFLICTS)
def test_a_conflict_is_tried_again(kind, monkeypatch):
    monkeypatch.setattr(conflicts, "PAUSE", 0)
    conflicting = iter([kind("overtaken")] * (conflicts.ATTEMPTS - 1))

    def attempt() -> str:
        for conflict in conflicting:
            raise conflict
        return "written"

    assert conflicts.persevere(attempt, "users") == "written"


def test_not_for_ever(monkeypatch):
    monkeypatch.setattr(conflicts, "PAUSE", 0)
    tries = []

    def attempt() -> None:
        tries.append(1)
        raise exceptions.ConcurrentAppendException("overtaken")

    with pytest.raises(AdLensError, match="6 writes in a row to table users"):
        conflicts.persevere(attempt, "users")
    assert len(tries) == conflicts.ATTEMPTS == 6


def test_another_error_is_not_tried_again():
    tries = []

    def attempt() -> None:
        tries.append(1)
        raise ValueError("something else")

    with pytest.raises(ValueError, match="something else"):
        conflicts.persevere(attempt, "users")
    assert len(tries) == 1
