"""Which failures are worth another try. A stage's exit code says (contracts/errors.py)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import RetryDecision, RetryPolicy

from contracts.errors import InputError, QualityStop, SettingsError

if TYPE_CHECKING:
    from airflow.sdk import Context

# The same input, the same audit, the same setting: the same answer.
FINAL = {error.exit_code: error.__name__ for error in (InputError, QualityStop, SettingsError)}
# How the operators word it. In client mode spark-submit exits with its application's code; in Kubernetes' cluster mode
# the code is in its log, and the hook repeats it; a standalone cluster's driver status holds none.
_CODES = (
    re.compile(r"Kubernetes spark exit code is: (\d+)"),
    re.compile(r"Error code is: (\d+)"),
    re.compile(r"non-zero exit code (\d+)"),
)


def exit_code(failure: BaseException) -> int | None:
    """The code with which the stage ended; None where the failure names none."""
    for pattern in _CODES:
        if found := pattern.search(str(failure)):
            return int(found[1])
    return None


class ByExitCode(RetryPolicy):
    """Fails at once on bad input, a quality stop and an impossible setting; else Airflow's retries with back-off."""

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        code = exit_code(exception)
        if code in FINAL:
            return RetryDecision.fail(f"exit code {code} ({FINAL[code]}): another try would end the same way")
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        return {}

    @classmethod
    def deserialize(cls, data: Mapping[str, Any]) -> ByExitCode:
        return cls()
