"""The command line: through click's runner for what it says, through real processes for how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from safetensors.numpy import load_file

from softgrad import __version__
from softgrad.cli import main
from softgrad.ops.backend import get_backend
from softgrad.train import DATASETS, TrainConfig, load_dataset
from softgrad.train.config import TRAINABLE_ACTIVATIONS, defaults_of

ROOT = Path(__file__).resolve().parent.parent
QUICK = ("--dataset", "digits", "--epochs", "2", "--hidden", "16")


def invoke(*arguments, **environment):
    return CliRunner().invoke(main, [str(argument) for argument in arguments], env=environment)


def error_of(result):
    """The one line an error must be."""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    result = invoke("train", *QUICK, "--run-dir", path)
    assert result.exit_code == 0, result.output
    return path


def test_help_is_there_for_every_command_and_shows_defaults_and_environment():
    for command in main.commands:
        result = invoke(command, "--help")
        assert result.exit_code == 0
    text = " ".join(invoke("train", "--help").output.split())
    assert "default: 256,128" in text
    assert "SOFTGRAD_TRAIN_LR" in text
    assert "|".join(TRAINABLE_ACTIVATIONS) in text
    assert "|".join(DATASETS) in text
    assert "default: 0.9 for momentum, nesterov]" in text
    assert "a third of all for step, exponential, inverse-time]" in text
    for optimizer, lr in defaults_of("lr").items():
        shown = re.search(rf"SOFTGRAD_TRAIN_LR;[^\]]*?([\d.]+) for [a-z, ]*{optimizer}\b", text)
        assert shown, optimizer
        assert float(shown[1]) == lr


def test_the_help_of_train_has_every_option_in_a_section():
    command = main.commands["train"]
    text = invoke("train", "--help").output
    titles = [line.removesuffix(":") for line in text.splitlines() if re.fullmatch(r"[A-Z][a-z ]+:", line)]
    assert titles == [*command.sections, "Other"]
    for param in command.params:
        assert len(re.findall(rf"^  {max(param.opts, key=len)} ", text, re.MULTILINE)) == 1
    listed = [name for names in command.sections.values() for name in names]
    assert {param.name for param in command.params} - set(listed) == {"debug"}


def test_defaults_of_options_are_those_of_the_configuration():
    options = {param.name: param for param in main.commands["train"].params}
    context = main.commands["train"].make_context("train", [])
    for field in fields(TrainConfig):
        assert options[field.name].get_default(context) == field.default


def test_version():
    assert invoke("--version").output == f"softgrad, version {__version__}\n"


def test_train_shows_every_epoch_a_summary_and_where_the_run_is(tmp_path):
    result = invoke("train", *QUICK, "--run-dir", tmp_path / "run")
    assert result.exit_code == 0
    assert "digits: 1,442 training and 355 test images of 8x8" in result.output
    assert "64-16-10 relu, 1,210 parameters, float32 on the cpu" in result.output
    assert " 1/2 " in result.output
    assert " 2/2 " in result.output
    assert "Summary" in result.output
    assert f"run directory {tmp_path / 'run'}" in result.output


def test_train_quiet_prints_the_result_alone(tmp_path):
    result = invoke("train", *QUICK, "--quiet", "--run-dir", tmp_path / "run")
    assert result.output.startswith("best test accuracy ")
    assert len(result.output.splitlines()) == 1


def test_train_json_prints_an_object_a_line(tmp_path):
    result = invoke("train", *QUICK, "--json", "--run-dir", tmp_path / "run")
    events = [json.loads(line) for line in result.output.splitlines()]
    assert [event["event"] for event in events] == ["start", "epoch", "epoch", "end"]
    assert events[0]["config"]["hidden"] == [16]
    assert events[-1]["status"] == "finished"
    assert events[-1]["best_test_accuracy"] == max(event["test_accuracy"] for event in events[1:3])


def test_train_auto_says_why_it_is_not_mnist(tmp_path, monkeypatch):
    monkeypatch.setattr("softgrad.train.data.datasets.user_cache", lambda: tmp_path)
    arguments = ("train", "--epochs", "1", "--hidden", "none", "--quiet", "--run-dir", tmp_path / "run")
    refused = invoke(*arguments, "--data-dir", tmp_path)  # a folder that was named is not passed over
    assert refused.exit_code == 1
    assert f"MNIST is not in {tmp_path / 'mnist'}; put its files" in error_of(refused)
    assert "pass --data-dir" not in refused.stderr
    result = invoke(*arguments, SOFTGRAD_OFFLINE="1", SOFTGRAD_DATA=str(tmp_path))
    assert result.exit_code == 0
    note, _ = result.output.splitlines()
    assert note.startswith("MNIST is not in")
    assert "using the embedded digits set" in note


def test_options_come_from_the_environment_too(tmp_path):
    result = invoke("train", "--json", "--run-dir", tmp_path / "run", "--hidden", "8", "--dataset", "digits",
                    SOFTGRAD_TRAIN_EPOCHS="1", SOFTGRAD_TRAIN_SEED="7")  # fmt: skip
    start = json.loads(result.output.splitlines()[0])
    assert start["config"]["seed"] == 7
    assert start["config"]["epochs"] == 1


def test_optimizer_and_schedule_are_kept_with_their_numbers(tmp_path):
    result = invoke("train", *QUICK, "--run-dir", tmp_path / "run", "--optimizer", "adam", "--beta1", "0.8",
                    "--schedule", "step", "--decay", "0.5", "--decay-steps", "6", "--warmup-steps", "2")  # fmt: skip
    assert result.exit_code == 0, result.output
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    expected = {"optimizer": "adam", "beta1": 0.8, "beta2": 0.999, "momentum": None, "lr": defaults_of("lr")["adam"],
                "schedule": "step", "decay": 0.5, "decay_steps": 6, "warmup_steps": 2}  # fmt: skip
    assert {name: config[name] for name in expected} == expected
    rates = [json.loads(line)["lr"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert rates == [config["lr"] * 0.5, config["lr"] * 0.5**3]


def test_a_setting_from_the_environment_that_the_optimizer_has_not_is_refused_too(tmp_path):
    result = invoke(
        "train", *QUICK, "--run-dir", tmp_path / "run", "--optimizer", "adam", SOFTGRAD_TRAIN_MOMENTUM="0.9"
    )
    assert result.exit_code == 2
    assert error_of(result).startswith("Error: SOFTGRAD_TRAIN_MOMENTUM is no setting of the optimizer adam")
    for value, words in (("0", "Error: SOFTGRAD_TRAIN_EPOCHS must be a whole number"),
                         ("x", "Error: Invalid value for SOFTGRAD_TRAIN_EPOCHS: 'x' is not a valid int")):  # fmt: skip
        result = invoke("train", "--dataset", "digits", "--run-dir", tmp_path / "run", SOFTGRAD_TRAIN_EPOCHS=value)
        assert result.exit_code == 2
        assert error_of(result).startswith(words)


def test_the_seed_decides_the_weights(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert invoke("train", *QUICK, "--quiet", "--seed", seed, "--run-dir", tmp_path / name).exit_code == 0
    a, b, c = (load_file(tmp_path / name / "last.safetensors")["layers.0.weight"] for name in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--dataset", "mnits"), 2, "must be one of auto, mnist, fashion-mnist, kmnist, digits; got 'mnits'"),
        (("--activation", "rleu"), 2, "'--activation': must be one of identity, sigmoid"),
        (("--activation", "heaviside"), 2, "'--activation': must be one of identity, sigmoid"),
        (("--backend", "tpu"), 2, "'--backend': must be one of auto, cpu, gpu; got 'tpu'"),
        (("--model", "svm"), 2, "'--model': must be one of perceptron, adaline, logistic, softmax, mlp; got 'svm'"),
        (("--model", "softmax", "--activation", "gelu"), 2, "--activation is no setting of the model softmax, but of"),
        (("--hidden", "none", "--activation", "gelu"), 2, "--activation is no setting of the mlp without hidden"),
        (("--run-dir", ""), 2, "'--run-dir': must be the name of a file or a folder; got ''"),
        (("--data-dir", ""), 2, "'--data-dir': must be the name of a file or a folder; got ''"),
        (("--resume", ""), 2, "'--resume': must be the name of a file or a folder; got ''"),
        (("--model", "adaline", "--hidden", "8"), 2, "--hidden must be none for the model adaline, which is linear"),
        (("--hidden", "0"), 2, "'--hidden': must be positive whole numbers, such as 256,128, or none; got '0'"),
        (("--hidden", "12,x"), 2, "'--hidden': must be positive whole numbers"),
        (("--hidden", ""), 2, "'--hidden': must be positive whole numbers"),
        (("--lr", "0"), 2, "--lr must be a finite number above 0; got 0.0"),
        (("--lr", "-1"), 2, "--lr must be a finite number above 0; got -1.0"),
        (("--lr", "nan"), 2, "--lr must be a finite number above 0; got nan"),
        (("--lr", "fast"), 2, "'--lr': 'fast' is not a valid float"),
        (("--optimizer", "adm"), 2, "'--optimizer': must be one of sgd, momentum, nesterov, adagrad, rmsprop, adam"),
        (("--optimizer", "adam", "--momentum", "0.9"), 2, "--momentum is no setting of the optimizer adam, but of mom"),
        (("--optimizer", "adam", "--beta1", "1"), 2, "--beta1 must be in [0, 1); got 1.0"),
        (("--decay-steps", "5"), 2, "--decay-steps is no setting of the schedule cosine, but of step, exponential"),
        (("--schedule", "step", "--decay", "0"), 2, "--decay must be in (0, 1]; got 0.0"),
        (("--schedule", "step", "--decay-steps", "0"), 2, "--decay-steps must be a whole number, 1 or above; got 0"),
        (("--warmup-steps", "120"), 2, "--warmup-steps must be below 120, the number of steps in 10 epochs of digits"),
        (("--batch-size", "5000"), 2, "--batch-size must be at most 1442, the number of training images"),
        (("--epochs", "0"), 2, "--epochs must be a whole number, 1 or above; got 0"),
        (("--resume", "nowhere"), 1, "run directory nowhere does not exist"),
        (("--resume", "nowhere", "--lr", "0.1"), 2, "--lr cannot be given with --resume"),
        (("--resume", "nowhere", "--beta2", "0.9"), 2, "--beta2 cannot be given with --resume"),
        (("--nonsense",), 2, "No such option"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_an_exit_code(arguments, code, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset = () if "--dataset" in arguments or "--resume" in arguments else ("--dataset", "digits")
    result = invoke("train", *dataset, *arguments)
    assert result.exit_code == code
    assert words in error_of(result)
    assert list(tmp_path.iterdir()) == []  # nothing half-written


@pytest.mark.skipif(get_backend("auto").name == "gpu", reason="a GPU is here")
def test_a_backend_that_cannot_run_says_what_is_missing(tmp_path):
    result = invoke("train", *QUICK, "--backend", "gpu", "--run-dir", tmp_path / "run")
    assert result.exit_code == 1
    assert "the GPU backend cannot run: " in error_of(result)
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_run_directory_is_a_failure(tmp_path):
    (tmp_path / "file").write_text("")
    result = invoke("train", *QUICK, "--run-dir", tmp_path / "file" / "run")
    assert result.exit_code == 1
    assert "cannot be written (Not a directory)" in error_of(result)


def test_debug_shows_the_traceback(tmp_path):
    for arguments in (("--debug", "train"), ("train", "--debug")):
        result = invoke(*arguments, "--resume", tmp_path / "nowhere")
        assert result.exit_code == 1
        assert type(result.exception).__name__ == "CheckpointError"


def test_labels_outside_the_classes_are_named(tmp_path, monkeypatch):
    import softgrad.train.run
    from softgrad.train.data.datasets import Dataset

    digits = load_dataset("digits")
    labels = digits.train_labels.copy()
    labels[:] = 12
    bad = Dataset(**{**digits.__dict__, "train_labels": labels})
    monkeypatch.setattr(softgrad.train.run, "load_dataset", lambda name, data_dir: bad)
    result = invoke("train", *QUICK, "--run-dir", tmp_path / "run", "--quiet")
    assert result.exit_code == 1  # no option is to blame
    assert "labels must lie in [0, 10); found 12 at row 0" in error_of(result)


def test_evaluate_reports_accuracy_classes_and_confusion(run_dir):
    result = invoke("evaluate", run_dir)
    assert result.exit_code == 0
    assert "digits test: accuracy" in result.output
    assert "precision" in result.output
    assert "Confusion" in result.output


def test_evaluate_json_agrees_with_the_metrics_of_the_run(run_dir):
    report = json.loads(invoke("evaluate", run_dir, "--json").output)
    last = json.loads((run_dir / "metrics.jsonl").read_text().splitlines()[-1])
    assert report["accuracy"] == last["test_accuracy"]
    assert report["loss"] == pytest.approx(last["test_loss"], rel=1e-12)
    confusion = np.array(report["confusion"])
    assert confusion.sum() == 355
    assert np.trace(confusion) / confusion.sum() == report["accuracy"]
    assert [row["support"] for row in report["classes"]] == confusion.sum(axis=1).tolist()
    train = json.loads(invoke("evaluate", run_dir, "--split", "train", "--json").output)
    assert np.array(train["confusion"]).sum() == 1442


def test_evaluate_refuses_a_data_set_of_other_images(run_dir, tmp_path, monkeypatch):
    from dataclasses import replace

    import softgrad.train

    other = replace(load_dataset("digits"), name="mnist", image_shape=(28, 28))
    monkeypatch.setattr(softgrad.train, "load_dataset", lambda name, data_dir: other)
    result = invoke("evaluate", run_dir, "--dataset", "mnist")
    assert result.exit_code == 1
    assert "takes 8x8 images of 10 classes; mnist has 28x28 images" in error_of(result)


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_a_damaged_checkpoint_is_a_failure(command, tmp_path):
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"nothing of the kind")
    arguments = (command, bad, "image.png") if command == "predict" else (command, bad)
    result = invoke(*arguments)
    assert result.exit_code == 1
    assert "is damaged or no safetensors file" in error_of(result)


@pytest.fixture
def digit_image(tmp_path):
    """A test image that any trained model gets right: a digit, enlarged, light on dark."""
    digits = load_dataset("digits")
    zero = int(np.flatnonzero(digits.test_labels == 0)[0])
    pixels = (digits.test_images[zero].reshape(8, 8) * (255 / 16)).astype(np.uint8)
    path = tmp_path / "zero.png"
    Image.fromarray(pixels).resize((80, 80), Image.Resampling.NEAREST).save(path)
    return path


def test_predict_names_the_digit_with_probabilities(run_dir, digit_image):
    report = json.loads(invoke("predict", run_dir, digit_image, "--json", "--top", 10).output)
    assert report["classes"][0]["class"] == "0"
    probabilities = [row["probability"] for row in report["classes"]]
    assert sum(probabilities) == pytest.approx(1, abs=1e-6)
    assert probabilities == sorted(probabilities, reverse=True)
    assert invoke("predict", run_dir, digit_image).output.startswith(f"{digit_image}: 0 ")


@pytest.mark.parametrize("model", ["perceptron", "adaline", "logistic", "softmax"])
def test_a_linear_model_is_trained_evaluated_and_used_as_a_network_is(model, tmp_path, digit_image):
    path = tmp_path / "run"
    result = invoke("train", "--model", model, "--dataset", "digits", "--epochs", 5, "--run-dir", path)
    assert result.exit_code == 0
    assert f"64-10 {model}, 650 parameters" in result.output
    record = json.loads((path / "metrics.jsonl").read_text().splitlines()[-1])
    report = json.loads(invoke("evaluate", path, "--json").output)
    assert report["accuracy"] == record["test_accuracy"] > 0.85
    assert report["loss"] == record["test_loss"]
    classes = json.loads(invoke("predict", path, digit_image, "--json", "--top", 10).output)["classes"]
    assert classes[0]["class"] == "0"
    assert sum(row["probability"] for row in classes) == pytest.approx(1, abs=1e-6)


OWN_ACTIVATION = """
from softgrad import ops
from softgrad.formulas import sigmoid

@ops.elementwise
def swish(x, *, beta=1.5):
    return x * sigmoid(beta * x)

@ops.elementwise
def branching(x):
    return x if x > 0 else 0 * x
"""


def test_an_activation_of_one_s_own_is_found_in_its_module(tmp_path, monkeypatch):
    name = "activations_of_a_user"
    (tmp_path / f"{name}.py").write_text(OWN_ACTIVATION)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    result = invoke("train", *QUICK, "--activation", f"{name}:swish", "--run-dir", "run", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout.splitlines()[-1])["best_test_accuracy"] > 0.5
    assert invoke("evaluate", "run", "--json").exit_code == 0

    sys.modules.pop(name)  # as in another process
    result = invoke("evaluate", "run")
    assert result.exit_code == 1
    assert f"is not imported; import it first, on the command line with --import {name}" in error_of(result)
    assert invoke("evaluate", "run", "--import", name).exit_code == 0
    sys.modules.pop(name)

    for given, words in (
        (f"{name}:nothing", f"the module {name} has no nothing"),
        (f"{name}:ops", "must be a formula made by ops.elementwise; got module"),
        ("no_such_module:swish", "the module no_such_module cannot be imported: ModuleNotFoundError"),
        (f"{name}:branching", "write where(condition, a, b)"),
    ):
        result = invoke("train", *QUICK, "--activation", given, "--run-dir", "other")
        assert result.exit_code == 2
        assert words in error_of(result)
    assert not (tmp_path / "other").exists()


def test_predict_temperature_sharpens_and_flattens(run_dir, digit_image):
    def best(temperature):
        report = json.loads(invoke("predict", run_dir, digit_image, "--json", "--temperature", temperature).output)
        return report["classes"][0]["probability"]

    assert best(0) == 1
    assert best(0.5) > best(1) > best(5) > best("inf")
    assert best("inf") == pytest.approx(0.1, rel=1e-6)
    assert invoke("predict", run_dir, digit_image, "--temperature", -1).exit_code == 2


def test_predict_inverts_ink_on_paper(run_dir, digit_image, tmp_path):
    ink = tmp_path / "ink.png"
    Image.fromarray(255 - np.asarray(Image.open(digit_image))).save(ink)
    inverted = invoke("predict", run_dir, ink, "--invert", "--json").output
    assert (
        json.loads(inverted)["classes"]
        == json.loads(invoke("predict", run_dir, digit_image, "--json").output)["classes"]
    )


def test_predict_refuses_what_is_no_image(run_dir, tmp_path):
    text = tmp_path / "text.png"
    text.write_text("not a picture")
    result = invoke("predict", run_dir, text)
    assert result.exit_code == 1
    assert "text.png" in error_of(result)
    result = invoke("predict", run_dir, tmp_path / "missing.png")
    assert result.exit_code == 1
    assert "missing.png" in error_of(result)


def test_predict_classifies_the_others_beside_what_is_no_image(run_dir, digit_image, tmp_path):
    bad = [tmp_path / f"bad{i}.png" for i in range(2)]
    for path in bad:
        path.write_text("not a picture")
    result = invoke("predict", run_dir, bad[0], digit_image, bad[1], digit_image, "--json")
    assert result.exit_code == 1
    assert [json.loads(line)["image"] for line in result.stdout.splitlines()] == [str(digit_image)] * 2
    errors = result.stderr.splitlines()
    assert [line.split(":")[1].strip() for line in errors] == [str(path) for path in bad]


def test_doctor_tells_what_it_found():
    result = invoke("doctor", SOFTGRAD_OFFLINE="1")
    assert result.exit_code == 0
    for words in ("numba", "SIMD", "threads", "BLAS", "OPENBLAS_CORETYPE", "GPU", "compiled kernels", "data: digits"):
        assert words in result.output
    report = json.loads(invoke("doctor", "--json", SOFTGRAD_OFFLINE="1").output)
    assert report["softgrad"] == __version__
    assert report["simd_bits"] in (128, 256, 512)
    assert report["data"]["digits"] == "embedded in softgrad"


def test_doctor_warns_of_a_core_type_that_holds_the_matrix_products_back(monkeypatch):
    from softgrad.ops import environment

    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setattr(environment, "_blas", lambda: ("openblas 0.3, kernels for Haswell", "Haswell", 2))
    monkeypatch.setattr(environment, "_simd_bits", lambda: 512)
    assert "OPENBLAS_CORETYPE=Haswell keeps NumPy's matrix products" in invoke("doctor", SOFTGRAD_OFFLINE="1").output
    monkeypatch.setattr(environment, "_simd_bits", lambda: 256)
    assert "warning" not in invoke("doctor", SOFTGRAD_OFFLINE="1").output


# ---- real processes


def run_process(*command, cwd, **environment):
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300, check=False
    )


def test_the_command_runs_as_a_process_and_as_a_script(tmp_path):
    for command in ((sys.executable, "-m", "softgrad"), (sys.executable, "cli.py")):
        out = tmp_path / f"run-{len(command)}"
        done = run_process(*command, "train", *QUICK, "--backend", "cpu", "--quiet", "--run-dir", str(out), cwd=ROOT)
        assert done.returncode == 0, done.stderr
        assert (out / "last.safetensors").exists()
        assert done.stderr == ""


def test_import_ops_works_at_the_root_of_a_checkout():
    code = "import ops; print(float(ops.softmax([0.0, 0.0])[0]), ops.relu([-1.0, 2.0]).tolist())"
    done = run_process(sys.executable, "-c", code, cwd=ROOT)
    assert done.stdout.split() == ["0.5", "[0.0,", "2.0]"], done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["doctor", "--help"], ["bench", "--help"]])
def test_help_does_not_wait_for_numba(arguments, tmp_path):
    code = f"from softgrad import cli; cli.main({arguments}, standalone_mode=False)\n"
    code += "import sys; assert 'numba' not in sys.modules and 'numpy' not in sys.modules"
    done = run_process(sys.executable, "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_wrong_use_ends_with_2_and_one_line(tmp_path):
    done = run_process(sys.executable, "-m", "softgrad.cli", "train", "--lr", "nan", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: --lr must be a finite number above 0; got nan\n"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_leaves_a_checkpoint_from_which_the_run_ends_as_if_never_interrupted(tmp_path):
    settings = ("--dataset", "digits", "--epochs", "400", "--hidden", "32", "--batch-size", "32", "--quiet")
    command = [sys.executable, "-m", "softgrad.cli", "train", *settings, "--run-dir", "cut"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # ignored in a shell's background
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "cut" / "metrics.jsonl").exists():  # training is under way
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "Interrupted in epoch" in output
    assert "softgrad train --resume cut" in output
    assert errors == ""

    resumed = run_process(sys.executable, "-m", "softgrad.cli", "train", "--resume", "cut", "--quiet", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    whole = run_process(sys.executable, "-m", "softgrad.cli", "train", *settings, "--run-dir", "whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    expected = load_file(tmp_path / "whole" / "last.safetensors")
    found = load_file(tmp_path / "cut" / "last.safetensors")
    for name in expected:
        assert np.array_equal(expected[name], found[name]), name


def test_out_of_memory_is_one_line_with_the_size_and_the_remedy(monkeypatch):
    def full(*arguments):
        raise MemoryError("Out of memory allocating 1,024 bytes")

    monkeypatch.setattr("softgrad.train.run.Trainer", full)
    result = invoke("train", "--dataset", "digits")
    assert result.exit_code == 1
    assert error_of(result) == (
        "Error: out of memory: Out of memory allocating 1,024 bytes; a smaller --batch-size or --hidden needs less"
    )
