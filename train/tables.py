"""What a person, or with --json a program, reads of an evaluation, of predictions and of the environment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.cells import cell_len

from softgrad.terminal import safe
from softgrad.train import strict_json
from softgrad.train.data.datasets import Dataset
from softgrad.train.evaluation import Evaluation
from softgrad.train.screen import Screen, Words

if TYPE_CHECKING:
    from softgrad.ops.environment import Environment


def print_evaluation(evaluation: Evaluation, dataset: Dataset, split: str, *, as_json: bool) -> None:
    """Print accuracy, loss, the classes and the confusion matrix."""
    scores = evaluation.class_scores()
    if as_json:
        strict_json.print_line(
            dataset=dataset.name,
            split=split,
            accuracy=evaluation.accuracy,
            loss=evaluation.loss,
            unclassified=evaluation.unclassified,
            classes=[
                {"class": name, "precision": s.precision, "recall": s.recall, "f1": s.f1, "support": s.support}
                for name, s in zip(dataset.class_names, scores, strict=True)
            ],
            confusion=evaluation.confusion.tolist(),
        )
        return
    screen = Screen()
    screen.tell(
        (dataset.name, "bold"), f" {split}: accuracy ", (f"{evaluation.accuracy:.2%}", "bold"),
        f", loss {evaluation.loss:.4f}",
    )  # fmt: skip
    if evaluation.unclassified:
        screen.tell((f"{evaluation.unclassified} images have no class: their scores are not numbers", "yellow"))
    screen.say()
    rows = [
        (name, f"{score.precision:.2%}", f"{score.recall:.2%}", f"{score.f1:.2%}", str(score.support))
        for name, score in zip(dataset.class_names, scores, strict=True)
    ]
    screen.table("Classes", ("class", "precision", "recall", "f1", "images"), rows)
    confusion: list[tuple[Words, ...]] = [
        (name, *(_confusion_cell(count, right=i == j) for j, count in enumerate(row)))
        for i, (name, row) in enumerate(zip(dataset.class_names, evaluation.confusion.tolist(), strict=True))
    ]
    title = "Confusion: a row for each true class, a column for each predicted"
    screen.table(title, ("", *dataset.class_names), confusion)


def _confusion_cell(count: int, *, right: bool) -> tuple[str, str]:
    if count == 0:
        return ".", "dim"
    return str(count), "bold green" if right else "red"


def print_predictions(
    paths: Sequence[Path], probabilities: np.ndarray, class_names: Sequence[str], top: int, *, as_json: bool
) -> None:
    """Print the likeliest classes of each image with their probabilities; none if those are not numbers."""
    screen = Screen()
    for path, row in zip(paths, probabilities, strict=True):
        # Likeliest first; of equals the first class.
        best = [] if np.isnan(row).any() else np.argsort(-row, kind="stable")[:top].tolist()
        if as_json:
            classes = [{"class": class_names[j], "probability": float(row[j])} for j in best]
            strict_json.print_line(image=str(path), classes=classes)
            continue
        shown = [f"{class_names[j]} {row[j]:.2%}" for j in best] or ["no class: its scores are not numbers"]
        line = f"{path}: {'   '.join(shown)}"
        if cell_len(safe(line)) <= screen.width:
            screen.say(line)
        else:  # a line for each, so that none is broken
            for text in (f"{path}:", *(f"  {text}" for text in shown)):
                screen.say(text)


def print_environment(environment: Environment, data: dict[str, str], *, as_json: bool) -> None:
    """Print what was found, and what holds the machine back."""
    if as_json:
        strict_json.print_line(**environment.to_json(), data=data)
        return
    screen = Screen()
    e = environment
    rows = {
        "softgrad": e.softgrad,
        "Python": e.python,
        "packages": ", ".join(f"{name} {version}" for name, version in e.packages.items()),
        "system": e.system,
        "processor": f"{e.cpu}, {e.simd_bits}-bit SIMD",
        "threads": f"{e.threads}, {e.threading_layer}",
        "BLAS": f"{e.blas}, {e.blas_threads} threads; OPENBLAS_CORETYPE {e.openblas_coretype}",
        "GPU": e.gpu,
        "compiled kernels": e.kernel_cache,
        **{f"data: {name}": where for name, where in data.items()},
    }
    screen.facts(rows)
    for warning in e.warnings:
        screen.tell(("warning", "yellow"), f": {warning}", indent=2)
