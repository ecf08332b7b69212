"""What reaches a terminal: names as they are, nothing that it would obey, numbers whole at every width."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from numerics import one_quick

from softgrad.cli import main
from softgrad.terminal import forgiving_streams, one_line, safe, shell_word
from softgrad.train import DATASETS, load_dataset, tables
from softgrad.train.errors import remedy
from softgrad.train.evaluation import Evaluation
from softgrad.train.screen import Screen

WIDTHS = (30, 40, 60, 80, 120)
HOSTILE = "[bold]:100:\x1b[31m\x07\x9b2J\r\u202egnp.\x7f"
SHOWN = r"[bold]:100:\x1b[31m\x07\x9b2J\r\u202egnp.\x7f"


def invoke(*arguments, **environment):
    return CliRunner().invoke(
        main, [str(argument) for argument in arguments], env=environment, color=True
    )  # as a terminal gets it


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    result = invoke("train", "--dataset", "digits", "--epochs", 1, "--hidden", 8, "--run-dir", path)
    assert result.exit_code == 0, result.output
    return path


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (HOSTILE, SHOWN),
        ("a\nb\u2028c\x00", r"a\nb\u2028c\x00"),
        ("caf\u00e9 \u65e5\u672c\u3000\u4e00\t\\x1b \U0001f600 \u0645\u06cc\u200c\u062e", None),  # as it is
        (os.fsdecode(b"\xff.png"), r"\udcff.png"),
    ],
)
def test_safe_shows_what_a_terminal_would_obey_and_leaves_the_rest(text, shown):
    assert safe(text) == (text if shown is None else shown)
    assert safe(safe(text)) == safe(text)


def test_a_message_is_one_line_and_keeps_the_spaces_of_names():
    assert one_line("  first\n   second of a  b\tc\x1b \n") == "first second of a  b\tc\\x1b"


def test_an_error_is_written_in_the_stream_s_own_encoding():
    done = subprocess.run(
        [sys.executable, "-m", "softgrad", "evaluate", "日本"],
        env=os.environ | {"PYTHONIOENCODING": "ascii"}, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert rb"checkpoint \u65e5\u672c cannot be read" in done.stderr


def test_a_tab_does_not_break_a_cell(capsys):
    Screen().table("", ["name", "count"], [("a\tb", "1")])
    assert r"a\tb" in capsys.readouterr().out


def test_an_encoding_that_lacks_a_character_is_no_error(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    with forgiving_streams():
        Screen().table("T", ("", "\u00e9"), [("\u00fc", "1")])
        Screen().say("\udcff\u00d7")
    assert stream.errors == "strict"
    stream.flush()
    assert rb"\udcff\xd7" in stream.buffer.getvalue()


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
@pytest.mark.parametrize(
    "name", ["runs/a", "a b", "it's", "a\tb", "$(x)", "a\nb'\\", "\x1b[2J\u00e9", os.fsdecode(b"\xff\n")]
)
def test_a_shell_reads_a_word_as_the_path(name):
    word = shell_word(name)
    assert safe(word) == word
    done = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True)
    assert done.stdout == os.fsencode(name)


def test_names_are_printed_as_they_are(run_dir, tmp_path, monkeypatch, capsys):
    for name, shown in ((":100:", ":100:"), ("a\tb  c", "a\tb  c"), ("[bold]x[/]", "[bold]x[/]"), (HOSTILE, SHOWN)):
        tables.print_predictions([tmp_path / name], np.array([[1.0]]), [name], 1, as_json=False)
        assert capsys.readouterr().out == f"{tmp_path}/{shown}: {shown} 100.00%\n"
    tables.print_predictions([tmp_path / HOSTILE], np.array([[1.0]]), [HOSTILE], 1, as_json=True)
    line = capsys.readouterr().out
    assert line.isprintable() or line[:-1].isprintable()
    assert json.loads(line)["classes"][0]["class"] == HOSTILE


@pytest.mark.parametrize("command", ["evaluate", "predict", "train --resume", "train --run-dir"])
def test_errors_are_one_line_without_what_a_terminal_obeys(command, tmp_path):
    path = tmp_path / "no folder" / HOSTILE
    (tmp_path / "no folder").write_text("")
    result = invoke(*command.split(), path, *{"predict": ("x.png",), "evaluate": ()}.get(command, ()),
                    *(("--dataset", "digits") if "--run-dir" in command else ()))  # fmt: skip
    assert result.exit_code == 1
    assert SHOWN in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stderr[:-1].isprintable()


@pytest.mark.parametrize(
    "arguments", [("--\x1b",), ("\x1b",), ("train", "--\x1b"), ("train", "--lr", "\x1b"), ("evaluate",)]
)
def test_wrong_use_is_one_safe_line(arguments):
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert result.stderr[:-1].isprintable()


def test_a_path_after_an_equals_sign_has_its_home(tmp_path):
    home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    assert "~" not in invoke("train", "--resume=~/nowhere", **home).stderr
    result = invoke("train", "--dataset", "digits", "--hidden", 8, "--epochs", 1, "--run-dir=~/x y", "--quiet", **home)
    assert result.output.endswith(f"run directory {tmp_path / 'x y'}\n")
    assert (tmp_path / "x y" / "last.safetensors").exists()


def test_a_finished_run_that_is_resumed_says_so(run_dir):
    result = invoke("train", "--resume", run_dir, "--quiet")
    assert result.exit_code == 0
    assert result.output.startswith("Nothing is left to train: the run is finished, with all 1 epoch.\n")
    assert json.loads(invoke("train", "--resume", run_dir, "--json").output.splitlines()[0])["finished"] is True


# ---- widths


def numbers(text):
    return sorted(re.findall(r"\d[\d,.%/]*", text))


def fits(text, width):
    return [line for line in text.splitlines() if len(line.rstrip()) > width] == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    "names",
    [DATASETS["digits"].class_names, DATASETS["fashion-mnist"].class_names, tuple("x" * 60 + c for c in "abcdefghij")],
)
def test_an_evaluation_keeps_its_numbers_whole(names, width, monkeypatch, capsys):
    confusion = np.arange(100).reshape(10, 10) * 97 + 1
    evaluation = Evaluation(0.5, 0.75, confusion, confusion.sum(axis=1))
    dataset = replace(load_dataset("digits"), class_names=names)
    monkeypatch.setenv("COLUMNS", str(width))
    tables.print_evaluation(evaluation, dataset, "test", as_json=False)
    out = capsys.readouterr().out
    assert fits(out, width)
    assert set(map(str, confusion.ravel().tolist())) <= set(out.split())
    if names[1] == "Trouser":  # headings and names are whole too: words of names may stand one below the other
        assert {word for name in names for word in name.split()} <= set(out.split())


@pytest.mark.parametrize("width", WIDTHS)
def test_training_keeps_its_numbers_whole(width, tmp_path):
    result = invoke(
        "train", "--dataset", "digits", "--epochs", 2, "--hidden", 8, "--run-dir", tmp_path / "r", COLUMNS=str(width)
    )
    out = result.output.partition("best test accuracy")[0].replace(str(tmp_path / "r"), "")  # paths are as they are
    assert fits(out, width)
    record = json.loads((tmp_path / "r" / "metrics.jsonl").read_text().splitlines()[-1])
    line = next(line for line in out.splitlines() if "2/2" in line)
    assert f"{record['test_accuracy']:.2%}" in line
    everything = {
        f"{record[f'{part}_{what}']:{form}}"
        for part in ("train", "test")
        for what, form in (("loss", ".4f"), ("accuracy", ".2%"))
    }
    assert everything <= set(out.split())
    assert ("Too narrow for: " in out) == (width < 70)


@pytest.mark.parametrize("width", one_quick(WIDTHS))
def test_doctor_and_predictions_break_no_word(width, monkeypatch, capsys):
    result = invoke("doctor", COLUMNS=str(width), SOFTGRAD_OFFLINE="1")
    wide = invoke("doctor", SOFTGRAD_OFFLINE="1")
    assert result.output.split() == wide.output.split()
    assert all(len(line) <= width or len(line.split()) == 1 for line in result.output.splitlines())
    monkeypatch.setenv("COLUMNS", str(width))
    tables.print_predictions(["a.png"], np.array([[0.5, 0.3, 0.2]]), ["Trouser", "Ankle boot", "Bag"], 3, as_json=False)
    out = capsys.readouterr().out
    assert fits(out, width)
    assert {"50.00%", "30.00%", "20.00%"} <= set(out.split())


@pytest.mark.parametrize("columns", ["0", "-1", "x", "\u00b2", "1", "7", "99999999999999999999"])
def test_any_columns_will_do(columns, run_dir):
    result = invoke("evaluate", run_dir, COLUMNS=columns, LINES=columns)
    assert result.exit_code == 0, result.exception
    assert "precision" in "".join(result.output.split())


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "free some space"), (errno.EACCES, "where this user may"), (errno.EROFS, "where this user may"),
     (errno.ENOTDIR, "is in the way"), (errno.ENAMETOOLONG, "shorter"), (errno.ENOENT, "choose another place")],
)  # fmt: skip
def test_the_remedy_is_that_of_the_error(number, words):
    assert words in remedy(OSError(number, os.strerror(number)))


def test_doctor_says_that_downloading_is_switched_off_only_where_it_is(monkeypatch, tmp_path):
    monkeypatch.setattr("softgrad.train.data.datasets.user_cache", lambda: tmp_path)
    monkeypatch.delenv("SOFTGRAD_DATA", raising=False)
    for offline, switched_off, downloads in (("0", False, True), ("1", True, False)):
        data = json.loads(invoke("doctor", "--json", SOFTGRAD_OFFLINE=offline).output)["data"]["mnist"]
        assert ("switched off by SOFTGRAD_OFFLINE" in data) == switched_off
        assert ("`softgrad train --dataset mnist` downloads it" in data) == downloads
    assert "downloads" not in invoke("doctor", "--json", "--data-dir", tmp_path).output


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="a folder in which nothing can be made")
def test_a_folder_that_cannot_be_made_is_not_for_want_of_space():
    result = invoke("train", "--dataset", "digits", "--hidden", "8", "--run-dir", "/proc/x")
    assert result.exit_code == 1
    assert "run directory /proc/x cannot be written (" in result.stderr
    assert "space" not in result.stderr
    assert result.stderr.endswith("; choose another place\n")
