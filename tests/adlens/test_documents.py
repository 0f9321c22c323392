"""Every command that a document prints exists, with the options that it is given there."""

import re
import shlex
from pathlib import Path

import pytest

from adlens.__main__ import main

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md")])
MODULES = ("landing", "spark_jobs", "training", "release", "serving", "components", "benchmarks", "adlens")


def commands(kind: str) -> list[tuple[str, str]]:
    """(document, command line) of each line in a fenced block that starts with `kind`."""
    found = []
    for document in DOCUMENTS:
        for block in re.findall(r"```\w*\n(.*?)```", document.read_text(), re.DOTALL):
            lines = block.replace("\\\n", " ").splitlines()
            shown = (line.split("  #")[0].strip().removeprefix("$ ") for line in lines)
            found += [(document.name, line) for line in shown if line.startswith(f"{kind} ")]
    return found


def test_the_documents_print_commands_at_all():
    assert len(commands("adlens")) > 5 and len(commands("make")) > 3


@pytest.mark.parametrize("document, line", commands("adlens"))
def test_adlens_takes_them(document, line, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("ADLENS_HOME", str(tmp_path))
    words = shlex.split(line)[1:]
    if "--help" in words:
        assert main(words) == 0
        return
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--help"])
    assert stopped.value.code == 0
    said = capsys.readouterr().out
    for word in words:
        assert not word.startswith("--") or word in said, f"{document}: `{line}`: no option {word}"


@pytest.mark.parametrize("document, line", commands("make"))
def test_make_has_the_targets(document, line):
    targets = re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    asked = [word for word in line.split()[1:] if "=" not in word]
    assert asked and set(asked) <= set(targets), f"{document}: `{line}`"


@pytest.mark.parametrize("document, line", commands("python -m"))
def test_modules_exist(document, line):
    module = Path(*line.split()[2].split("."))
    assert module.parts[0] in MODULES
    assert (REPOSITORY / module / "__main__.py").is_file() or (REPOSITORY / module).with_suffix(".py").is_file(), line
