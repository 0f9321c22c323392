"""`adlens <command>`: everything is listed, nothing is imported before it is asked for."""

import subprocess
import sys

import pytest

from adlens.__main__ import COMMANDS, main, usage

ASKED_FOR = (
    "landing impressions quality features materialise groups train lookup-table gate publish rollback history "
    "promote freeze unfreeze reconcile models repeat served-quality refresh-table predict day up down "
    "info airflow quarantine rebuild changes maintain erase"
).split()


def test_every_command_is_listed_and_no_other():
    assert sorted(COMMANDS) == sorted(ASKED_FOR)
    for name in ASKED_FOR:
        assert f"  {name} " in usage()


def test_help_prints_the_list(capsys):
    assert main(["--help"]) == 0
    assert "usage: adlens <command>" in capsys.readouterr().out
    assert main([]) == 0


def test_an_unknown_command_names_the_known_ones(capsys):
    assert main(["dya"]) == 2
    said = capsys.readouterr().err
    assert "`dya` is no command" in said and "publish" in said


def test_help_imports_no_engine():
    code = (
        "import sys; from adlens.__main__ import main; main(['--help']);"
        "heavy = {'pyspark', 'torch', 'airflow', 'feast', 'kfp', 'mlflow', 'deltalake'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", "train lookup-table gate publish rollback predict impressions day".split())
def test_each_command_reaches_its_package(name, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("ADLENS_HOME", str(tmp_path))
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0
    assert "usage:" in capsys.readouterr().out


def test_our_errors_become_one_line_and_their_exit_code(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("ADLENS_HOME", str(tmp_path))
    monkeypatch.setenv("ADLENS_WINDOW_DAYS", "many")
    assert main(["info"]) == 6
    said = capsys.readouterr().err
    assert said.startswith("error: ") and "window_days" in said and said.count("\n") == 1
