"""tests/accuracy/fuzz_cli.py, a moment of it, and that it sees what it looks for."""

from __future__ import annotations

import click
import fuzz_cli
import pytest
from click.testing import CliRunner

from softgrad import cli

CALLS = 100


@pytest.mark.slow
def test_hostile_command_lines():
    endings = fuzz_cli.fuzz(CALLS, seed=1)
    assert endings.total() == CALLS
    assert {code for _, code in endings} == {0, 1, 2}


def says(text):
    return lambda *arguments, **settings: click.echo(text, color=True)


def raises(error):
    def call(*arguments, **settings):
        raise error

    return call


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (says("\x1b[2J"), "printed"),
        (says("NaN"), "is no JSON"),
        (raises(KeyError("x")), "did not expect"),
        (raises(SystemExit(7)), "ended with 7"),
        (raises(SystemExit(2)), "ended with 2 and said ''"),
        (lambda *arguments, **settings: open("../beside/new", "w").close(), "wrote beside"),
        (lambda *arguments, **settings: open("given/plain", "w").close(), "changed what it was given"),
    ],
)  # fmt: skip
def test_a_fault_is_found(fault, words, monkeypatch):
    with fuzz_cli.a_place() as place:
        monkeypatch.setattr("softgrad.train.tables.print_environment", fault)
        given = ["doctor", "--json"]
        result = CliRunner().invoke(cli.main, given, env={"SOFTGRAD_OFFLINE": "1"}, color=True)
        with pytest.raises(ValueError if "JSON" in words else fuzz_cli.Broken, match=words):
            fuzz_cli.check(result, given, place)
