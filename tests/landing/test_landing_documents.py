"""docs/landing.md and the decision record say what the code declares."""

from __future__ import annotations

import pytest

from landing.document import DOCS, GENERATED, block


@pytest.mark.parametrize(("name", "mark"), [(name, mark) for name, marks in GENERATED.items() for mark in marks])
def test_the_document_is_what_the_declaration_makes(name: str, mark: str) -> None:
    found = block((DOCS / name).read_text(encoding="utf-8"), mark)
    assert found is not None
    assert found[2] == GENERATED[name][mark](), "run `python -m landing.document`"
