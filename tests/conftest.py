"""What all tests share: how they are dealt to processes."""

from __future__ import annotations

from pathlib import Path

import pytest

TOGETHER = ("e2e", "spark")  # folders whose tests share something expensive: one process each


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder = Path(item.path).relative_to(Path(__file__).parent).parts[0]
        if folder in TOGETHER:
            item.add_marker(pytest.mark.xdist_group(folder))
