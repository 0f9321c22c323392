"""What an audit says to a person: the rules that were broken, with what was observed and what was wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from contracts.verdicts import observed
from spark_jobs.audit import Failure
from spark_jobs.figures import Figure, Known


def warnings(days: Sequence[str], known: Known, misses: Sequence[Failure]) -> list[str]:
    """A sentence a rule of level warn that days break, with the last such day's figure."""
    said = []
    for miss in misses:
        broken = [day for day in days if known[day][_figure(miss)].verdict != "pass"]
        if broken:
            where = broken[0] if len(broken) == 1 else f"{len(broken)} days up to {broken[-1]}"
            said.append(f"{miss.rule} on {where}: {_observed(known[broken[-1]][_figure(miss)])}; {miss.wanted}")
    return said


def stops(failures: Sequence[Failure], known: Mapping[str, Figure]) -> str:
    """The rules of level stop that a day, whose figures `known` are, has broken."""
    said = []
    for failure in (one for one in failures if one.level == "stop"):
        seen = [_observed(known[name]) for name in failure.columns if name in known]
        said.append(f"{failure.rule}: observed {', '.join(seen)}; wanted: {failure.wanted}")
    return " | ".join(said)


def _figure(failure: Failure) -> str:
    """The figure among the expectation's columns, beside which there may be a bound."""
    return next(name for name in failure.columns if not name.startswith("bound of "))


def _observed(one: Figure) -> str:
    return observed(one.figure, one.value, one.lower, one.upper)
