"""The examples: the numbers they print are the true ones, and every picture is there and not blank."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

pytest.importorskip("matplotlib")

FOLDER = Path(__file__).resolve().parent.parent / "examples"
SHARED = {"deck", "pictures"}
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in SHARED)
TRAINING = {"batch_noise", "loss_landscape", "mnist", "your_own_activation"}
PICTURES = {"mnist": ["mnist_softmax_weights", "mnist_mlp_weights", "mnist_confusion", "mnist_mistakes"]}
DECK = r"(?<![,.\d])00[0-4]\b"

# Script, row, the numbers of its last column. The decks round or cut off; these are true to the last digit.
NUMBERS = [
    ("and_softmax", "P of 0 AND 0 = 0, 1", [0.952574, 0.047426]),
    ("and_softmax", "P of 0 AND 1 = 0, 1", [0.731059, 0.268941]),
    ("and_softmax", "P of 1 AND 0 = 0, 1", [0.731059, 0.268941]),
    ("and_softmax", "P of 1 AND 1 = 0, 1", [0.268941, 0.731059]),
    ("and_softmax", "mean cross-entropy", [0.247093]),
    ("four_by_three", "cross-entropy of each row", [0.969692, 0.880200, 1.052683, 0.831490]),
    ("four_by_three", "mean", [0.933516]),
    ("four_by_three", "arg-max", [0, 1, 0, 2]),
    ("three_logits", "softmax", [0.909912, 0.001558, 0.088531]),
    ("three_logits", "log-softmax", [-0.094408, -6.464408, -2.424408]),
    ("three_logits", "loss", [0.094408]),
    ("weather_code", "fixed code, bits a report", [3]),
    ("weather_code", "given code", [2.25]),
    ("weather_code", "Huffman's code", [1.95]),
    ("weather_code", "entropy of A", [1.861879]),
    ("weather_code", "cross-entropy of B under A", [2.495462]),
    ("weather_code", "KL divergence of B from A", [0.329505]),
    ("sgd_table", "w, b after step 1", [0.75, 0.015]),
    ("sgd_table", "w, b after step 2", [1.86988, 0.0289985]),
    ("sgd_table", "w, b after step 3", [2.536905, 0.034557]),
    ("sgd_table", "w, b after epoch 10", [2.267415, 0.051511]),
    ("sgd_table", "w, b of least squares", [1.864865, 54.594595]),
    ("perceptron", "AND: weights, bias, epochs", [2, 1, -3, 6]),
    ("perceptron", "OR: weights, bias, epochs", [1, 1, -1, 4]),
    ("perceptron", "XOR by the network", [0, 1, 1, 0]),
    ("coin", "H of a fair coin, bits", [1]),
    ("coin", "I of p = 1/8, bits", [3]),
    ("temperature", "T = 0", [1, 0, 0, 0, 0]),
    ("temperature", "T = inf", [0.2] * 5),
    ("gradient_arrows", "gradient at (1, 1)", [2, 2]),
    ("hyperplane", "dimension in 2-D and 3-D", [1, 2]),
]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A function that runs a script, once, and gives the rows it printed and the folder of its pictures."""
    known = {}

    def run(name):
        if name not in known:
            folder = tmp_path_factory.mktemp(name)
            with pytest.MonkeyPatch.context() as patch:
                patch.syspath_prepend(str(FOLDER))
                command = importlib.import_module(name).main
            options = ["--output", str(folder), *(["--quick"] if name in TRAINING else [])]
            result = CliRunner().invoke(command, options, catch_exceptions=False)
            assert result.exit_code == 0, result.output
            cells = [re.split(" {3,}", line) for line in result.output.splitlines()]
            known[name] = {row[0]: row[-1] for row in cells if len(row) == 3}, folder
        return known[name]

    return run


@pytest.mark.parametrize(("name", "row", "expected"), NUMBERS, ids=[f"{name}: {row}" for name, row, _ in NUMBERS])
def test_a_printed_number_is_the_true_one(results, name, row, expected):
    rows, _ = results(name)
    # Half a unit of the sixth decimal, of both.
    np.testing.assert_allclose([float(number) for number in rows[row].split()], expected, rtol=0, atol=1e-6)


def test_xor_has_no_perceptron_and_the_printed_sign_of_sgd_diverges(results):
    assert "never" in results("perceptron")[0]["XOR: weights, bias, epochs"]
    literal = results("sgd_table")[0]["w, b after epoch 10, sign as printed"].split()
    assert abs(float(literal[0])) > 1e7


def test_draws_follow_their_distribution(results):
    rows, _ = results("temperature")
    errors = [float(value) for name, value in rows.items() if name.startswith("largest error of a share")]
    assert len(errors) == 6
    assert max(errors) < 5 * 0.5 / np.sqrt(100_000)  # five standard deviations of a share of 1/2


def test_the_gradients_of_formulas_are_those_of_differences(results):
    rows, _ = results("your_own_activation")
    errors = [float(value) for name, value in rows.items() if "gradient is off" in name]
    assert len(errors) == 3
    assert max(errors) < 1e-9
    assert min(float(value) for name, value in rows.items() if name.endswith("test accuracy")) > 0.8


def test_noise_falls_with_the_root_of_the_batch_size(results):
    slope = float(results("batch_noise")[0]["noise goes as size to the power"])
    assert -0.6 < slope < -0.4


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_every_picture_is_there_and_not_blank(results, name):
    _, folder = results(name)
    assert sorted(path.stem for path in folder.iterdir()) == sorted(PICTURES.get(name, [name]))
    for path in folder.iterdir():
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("L"))
        assert min(pixels.shape) > 300, path
        drawn = pixels < 250
        assert drawn.mean() > 0.02, path
        halves = drawn[:, : drawn.shape[1] // 2], drawn[:, drawn.shape[1] // 2 :]
        assert min(half.mean() for half in halves) > 0.005, path  # no panel is empty


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_says_which_deck_it_is_from_and_the_list_has_it(name):
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    decks = re.findall(DECK, text.split('"""')[1])
    assert decks
    row = next(
        line for line in (FOLDER / "README.md").read_text(encoding="utf-8").splitlines() if f"({name}.py)" in line
    )
    assert set(re.findall(DECK, row)) == set(decks)
