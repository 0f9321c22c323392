"""Every command that a document prints exists, with the options that it is given there."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from adlens import airflow_home
from adlens.__main__ import main
from contracts.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md")])
AIRFLOW = "adlens airflow "
# Airflow's own parser takes the words, and the DAG that is asked for takes the conf.
_PARSE = """
import json, sys
from airflow.cli.cli_parser import get_parser
from airflow.dag_processing.dagbag import DagBag
parser, dags = get_parser(), DagBag(sys.argv[1]).dags
for words in json.loads(sys.argv[2]):
    asked = parser.parse_args(words)
    dag = dags[asked.dag_id]
    conf = json.loads(getattr(asked, "conf", None) or "{}")
    assert set(conf) <= set(dag.params), (words, sorted(dag.params))
    dag.params.update(conf)
    dag.params.validate()
"""
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


@pytest.mark.parametrize("document, line", [one for one in commands("adlens") if not one[1].startswith(AIRFLOW)])
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


def test_airflow_takes_them(tmp_path):
    lines = [shlex.split(line.removeprefix(AIRFLOW)) for _, line in commands(AIRFLOW.strip())]
    environment = airflow_home.environment(Settings(home=tmp_path))
    words = [environment["AIRFLOW__CORE__DAGS_FOLDER"], json.dumps(lines)]
    done = subprocess.run(
        [sys.executable, "-c", _PARSE, *words], env=environment, capture_output=True, text=True, timeout=120
    )
    assert lines and done.returncode == 0, done.stderr[-2000:]
