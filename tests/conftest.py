"""What all tests share: how they are dealt to processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from xdist.remote import Producer

TOGETHER = ("tests/e2e/", "tests/spark/snapshots/", "tests/spark/")  # each shares something expensive: one process


class ByFolder(LoadScopeScheduling):
    """A file's tests in one process; of the folders above, the whole folder's."""

    def _split_scope(self, nodeid: str) -> str:
        return next((folder for folder in TOGETHER if nodeid.startswith(folder)), nodeid.split("::", 1)[0])


@pytest.hookimpl(optionalhook=True)  # unknown where somebody switches pytest-xdist off
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFolder:
    return ByFolder(config, log)
