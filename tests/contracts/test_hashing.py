"""Codes against values computed elsewhere: Spark 4.2's own `SELECT xxhash64('...')`."""

import pytest

from contracts.hashing import code, words


def test_a_null_has_no_code() -> None:
    assert code(None) is None


def test_codes_are_signed_64_bit() -> None:
    seen = [code(str(n)) for n in range(1000)]
    assert len(set(seen)) == 1000
    assert all(-(2**63) <= c < 2**63 for c in seen if c is not None)
    assert any(c < 0 for c in seen if c is not None)


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        (None, 8, None),
        ("", 8, []),
        ("  Red\tshoe \n RED ", 8, ["red", "shoe"]),
        ("Ärmel É", 8, ["Ärmel", "É"]),  # only ASCII letters change case
        ("a b c d", 2, ["a", "b"]),
        ("no\u00a0break", 8, ["no\u00a0break"]),  # only ASCII white space splits
    ],
)
def test_words(text: str | None, limit: int, expected: list[str] | None) -> None:
    assert words(text, limit) == expected
