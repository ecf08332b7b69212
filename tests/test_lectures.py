"""The numbers of the five lecture decks, 000 to 004, each computed by the package's own functions.

The values are the true ones, to the digits that are printed here; the decks round or cut off. Where a deck is wrong the
test says what is right.
"""

from __future__ import annotations

import heapq

import numpy as np
import pytest
from devices import STAND_IN
from numerics import Arrays, central_difference

from softgrad import ops
from softgrad.train import MLP, LinearRegression, Perceptron
from softgrad.train.linear.logic_nets import (
    GATES,
    INPUTS,
    XOR_LAYERS,
    learn_gate,
    learn_xor_layers,
    predict_classes,
    threshold_network,
    train_xor_mlp,
)
from softgrad.train.model import Batch

# Half a unit of the last of six decimals.
SIX = 5.001e-7

slow_without_a_gpu = pytest.mark.skipif(STAND_IN, reason="thousands of updates by the same few kernels")


def assert_digits(found: object, printed: object, digits: object = SIX) -> None:
    difference = np.abs(np.asarray(found, np.float64) - np.asarray(printed))
    assert (difference <= digits).all(), f"got {found}, expected {printed}"


# ---- 000: cross-entropy and softmax


def test_000_softmax_of_two_classes_is_the_sigmoid_of_the_difference(backend: Arrays) -> None:
    x = np.random.default_rng(0).normal(0, 5, (20, 2))
    softmax = backend.get(ops.softmax(backend.put(x)))
    sigmoid = backend.get(ops.sigmoid(backend.put(x[:, 1] - x[:, 0])))
    np.testing.assert_allclose(softmax[:, 1], sigmoid, rtol=1e-14)


def test_000_information_of_what_is_certain_is_0_and_never_negative(backend: Arrays) -> None:
    """The deck's I = log P has the sign reversed: information is -log P, and grows as P falls."""
    found = backend.get(ops.self_information(backend.put([1.0, 0.5, 0.25, 0.125, 0.0]), base=2))
    assert found.tolist() == [0, 1, 2, 3, np.inf]


def test_000_entropy_is_largest_where_the_distribution_is_uniform(backend: Arrays) -> None:
    p = np.random.default_rng(1).dirichlet(np.ones(8), 10)
    entropies = backend.get(ops.entropy(backend.put(p), base=2))
    uniform = float(ops.entropy(backend.put(np.full(8, 1 / 8)), base=2))
    assert uniform == 3
    assert (entropies < uniform).all()
    coin = backend.get(ops.entropy(backend.put([[0.1, 0.9], [0.4, 0.6], [0.5, 0.5], [0.6, 0.4], [1, 0]]), base=2))
    assert coin.argmax() == 2
    assert coin[2] == 1
    assert coin[4] == 0


def test_000_cross_entropy_is_never_below_entropy(backend: Arrays) -> None:
    p, q = np.random.default_rng(2).dirichlet(np.ones(6), (2, 20))
    p, q = backend.put(p), backend.put(q)
    excess = backend.get(ops.cross_entropy(p, q)) - backend.get(ops.entropy(p))
    assert (excess > 0).all()
    np.testing.assert_allclose(excess, backend.get(ops.kl_divergence(p, q)), rtol=1e-12)
    np.testing.assert_allclose(backend.get(ops.cross_entropy(p, p)), backend.get(ops.entropy(p)), rtol=1e-15)


def test_000_temperature_is_a_power_that_is_normalised_again(backend: Arrays) -> None:
    """The deck's p^(1/T) alone does not sum to 1; softmax of log p at temperature T does."""
    p = np.array([0.5, 0.3, 0.15, 0.05])
    for temperature in (0.5, 1.0, 2.0):
        power = p ** (1 / temperature)
        assert temperature == 1 or abs(power.sum() - 1) > 0.1
        found = backend.get(ops.softmax(backend.put(np.log(p)), temperature=temperature))
        np.testing.assert_allclose(found, power / power.sum(), rtol=1e-14)
    logits = backend.put(np.log(p))
    assert backend.get(ops.softmax(logits, temperature=0.0)).tolist() == [1, 0, 0, 0]
    assert backend.get(ops.softmax(logits, temperature=np.inf)).tolist() == [0.25] * 4


# ---- 001: binary and categorical cross-entropy


def test_001_and_as_a_softmax_of_two_classes(backend: Arrays) -> None:
    x = backend.put([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    logits = ops.linear(x, backend.put([[-1.0, 1.0], [-1.0, 1.0]]), backend.put([2.0, -1.0]))
    assert backend.get(logits).tolist() == [[2, -1], [1, 0], [1, 0], [0, 1]]
    expected = [[0.952574, 0.047426], [0.731059, 0.268941], [0.731059, 0.268941], [0.268941, 0.731059]]
    assert_digits(backend.get(ops.softmax(logits)), expected)
    labels = backend.put(np.array(GATES["and"]))
    assert_digits(float(ops.softmax_cross_entropy(logits, labels)), 0.247093)
    assert float(ops.accuracy(logits, labels)) == 1


def test_001_binary_cross_entropy_of_probabilities_and_of_logits_is_the_same(backend: Arrays) -> None:
    p, y = np.array([0.9, 0.2, 0.6]), np.array([1.0, 0.0, 0.0])
    expected = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    logits = backend.put(np.log(p / (1 - p)))
    assert float(ops.sigmoid_cross_entropy(logits, backend.put(y))) == pytest.approx(expected, rel=1e-14)


# ---- 002: the perceptron and gradient descent


@pytest.mark.parametrize(
    ("gate", "weights", "intercept", "epochs"), [("and", [[2, 1]], -3, 6), ("or", [[1, 1]], -1, 4)]
)
def test_002_perceptron_from_zero(backend: Arrays, gate: str, weights: object, intercept: int, epochs: int) -> None:
    x = backend.put(np.array(INPUTS, np.float64))
    model = Perceptron(shuffle=False).fit(x, GATES[gate])
    assert backend.get(model.coef_).tolist() == weights
    assert backend.get(model.intercept_).tolist() == [intercept]
    assert model.n_iter_ == epochs
    assert model.score(x, GATES[gate]) == 1
    assert learn_gate(gate).coef_.tolist() == weights


def test_002_no_perceptron_learns_xor() -> None:
    model = learn_gate("xor", epochs=1000)
    assert model.n_iter_ == 1000
    assert model.score(INPUTS, GATES["xor"]) < 1


def test_002_gates_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match=r"gate must be one of and, or, xor, .*; got 'nand'"):
        learn_gate("nand")


def test_002_a_learning_rate_that_is_too_large_misses_the_minimum_and_a_small_one_is_slow() -> None:
    x, y = [[1.0], [-1.0]], [1.0, -1.0]
    final = {
        lr: LinearRegression(solver="sgd", lr=lr, batch_size=None, epochs=20).fit(x, y).loss_curve_[-1]
        for lr in (0.01, 0.5, 2.1)
    }
    assert final[0.5] < 1e-9 < 0.1 < final[0.01] < 0.5 < final[2.1]  # it was 1/2 at first


# ---- 003: gradient descent, XOR, logistic and softmax regression


X = [[50.0], [80.0], [120.0]]
Y = [150.0, 200.0, 280.0]


def test_003_table_of_stochastic_gradient_descent(backend: Arrays) -> None:
    """Down the gradient of (y^ - y)^2 / 2; with the signs of the deck's pseudocode it would climb, and diverge."""
    model = LinearRegression(solver="sgd", lr=1e-4, shuffle=False)
    table = []
    for sample, value in zip(X, Y, strict=True):
        model.partial_fit(backend.put([sample]), backend.put([value]))
        table.append((float(model.coef_[0]), float(model.intercept_)))
    assert_digits(table[0], (0.75, 0.015), 1e-15)
    assert_digits(table[1], (1.86988, 0.0289985), 1e-15)
    assert_digits(table[2], (2.53690, 0.034557), (5e-6, SIX))
    for _ in range(9):
        model.partial_fit(backend.put(X), backend.put(Y))
    assert_digits((float(model.coef_[0]), float(model.intercept_)), (2.267415, 0.051511))
    whole = LinearRegression(solver="sgd", lr=1e-4, shuffle=False, epochs=10).fit(X, Y)
    assert_digits((whole.coef_[0], whole.intercept_), (2.267415, 0.051511))


def test_003_least_squares_in_closed_form(backend: Arrays) -> None:
    model = LinearRegression().fit(backend.put(X), backend.put(Y))
    assert_digits((float(model.coef_[0]), float(model.intercept_)), (1.864865, 54.594595))


def test_003_xor_network_is_right_on_all_four_rows(backend: Arrays) -> None:
    x = backend.put(np.array(INPUTS, np.float64))
    layers = [(backend.put(w), backend.put(b)) for w, b in XOR_LAYERS]
    hidden = threshold_network(x, layers[:1])
    assert backend.get(hidden).tolist() == [[0, 0], [0, 1], [1, 0], [0, 0]]
    assert backend.get(threshold_network(x, layers))[:, 0].tolist() == list(GATES["xor"])


def test_003_xor_network_is_learned_on_line() -> None:
    for learned, given in zip(learn_xor_layers(), XOR_LAYERS, strict=True):
        for array, expected in zip(learned, given, strict=True):
            assert np.array_equal(array, expected)


@slow_without_a_gpu
@pytest.mark.parametrize("seed", range(3))
def test_003_a_network_learns_xor_by_gradient_descent(backend: Arrays, seed: int) -> None:
    model = train_xor_mlp(seed=seed, backend=backend.backend)
    assert backend.get(predict_classes(model)).tolist() == list(GATES["xor"])
    again = train_xor_mlp(seed=seed, backend=backend.backend)
    assert np.array_equal(backend.get(model.params), backend.get(again.params))


ONE_HOT = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]])
OUTPUTS = np.array(
    [[0.3792, 0.3104, 0.3104], [0.3072, 0.4147, 0.2780], [0.4263, 0.2248, 0.3490], [0.2668, 0.2978, 0.4354]]
)


def test_003_cross_entropy_of_four_samples_and_three_classes(backend: Arrays) -> None:
    """The outputs are rounded to four places, and so their sums are not checked."""
    targets = backend.put(ONE_HOT.astype(np.float64))
    losses = backend.get(ops.cross_entropy(targets, backend.put(OUTPUTS), validate=False))
    assert_digits(losses, [0.969692, 0.880200, 1.052683, 0.831490])
    assert_digits(losses.mean(), 0.933516)
    assert backend.get(backend.put(OUTPUTS).argmax(axis=1)).tolist() == [0, 1, 0, 2]
    assert float(ops.accuracy(backend.put(OUTPUTS), backend.put(ONE_HOT.argmax(axis=1)))) == 0.75  # row 3 is wrong


def test_003_gradient_of_softmax_cross_entropy_is_outputs_minus_targets(backend: Arrays) -> None:
    logits = np.random.default_rng(3).normal(0, 2, (4, 3))
    labels = backend.put(ONE_HOT.argmax(axis=1))
    _, grad = ops.softmax_cross_entropy_with_grad(backend.put(logits), labels, reduction="sum")
    outputs = backend.get(ops.softmax(backend.put(logits)))
    np.testing.assert_allclose(backend.get(grad), outputs - ONE_HOT, atol=1e-15)

    def loss(values: np.ndarray) -> float:
        return float(ops.softmax_cross_entropy(backend.put(values), labels, reduction="sum"))

    np.testing.assert_allclose(backend.get(grad), central_difference(loss, logits), atol=1e-9)


def test_003_gradient_of_the_weights_is_outputs_minus_targets_times_inputs(backend: Arrays) -> None:
    """(A - Y)^T X for Z = X W^T + b; the trainer keeps W^T, (inputs, classes), and so the transpose of that."""
    rng = np.random.default_rng(4)
    model = MLP((5, 3), "identity", "float64", backend.backend)
    model.initialise(0)
    batch = Batch(model, 4)
    x = rng.normal(0, 1, (4, 5))
    batch.inputs[...] = backend.put(x)
    logits = model.forward(batch)
    outputs = backend.get(ops.softmax(logits))
    _, grad = ops.softmax_cross_entropy_with_grad(logits, backend.put(ONE_HOT.argmax(axis=1)), reduction="sum")
    model.backward(batch, grad)
    grads = {name: backend.get(view) for name, view in model.named(model.grads)}
    np.testing.assert_allclose(grads["layers.0.weight"].T, (outputs - ONE_HOT).T @ x, atol=1e-14)
    np.testing.assert_allclose(grads["layers.0.bias"], (outputs - ONE_HOT).sum(axis=0), atol=1e-14)


# ---- 004: several classes


def test_004_softmax_and_loss_of_three_scores(backend: Arrays) -> None:
    """The deck's -6.4377 is the logarithm of 0.0016, a rounded number; that of the softmax is -6.464408."""
    logits = backend.put([[-1.45, -7.82, -3.78]])
    assert_digits(backend.get(ops.softmax(logits)), [[0.909912, 0.001558, 0.088531]])
    assert_digits(float(ops.softmax_cross_entropy(logits, backend.put([0]))), 0.094408)
    assert_digits(backend.get(ops.log_softmax(logits))[0, 1], -6.464408)


A = np.array([0.25, 0.45, 0.2, 0.09, 0.01])
B = np.array([0.3, 0.2, 0.2, 0.25, 0.05])


def mean_length(codes: list[str], p: np.ndarray) -> float:
    """Bits a message of p takes on average; of codes none of which begins another."""
    for code in codes:
        assert not any(other.startswith(code) for other in codes if other is not code)
    return float(p @ [len(code) for code in codes])


def shortest_length(p: np.ndarray) -> float:
    """Huffman 1952: the two rarest become one, and a bit tells them apart, until one is left."""
    heap, bits = sorted(p.tolist()), 0.0
    while len(heap) > 1:
        both = heapq.heappop(heap) + heapq.heappop(heap)
        bits += both
        heapq.heappush(heap, both)
    return bits


def test_004_weather_codes(backend: Arrays) -> None:
    """The ideal length is log2(1 / q), not 1 / q as deck 000 has it."""
    fixed, given = ["000", "001", "010", "011", "100"], ["1100", "0", "10", "1101", "1110"]
    huffman = ["10", "0", "110", "1110", "1111"]
    assert mean_length(fixed, A) == pytest.approx(3, rel=1e-15)
    assert mean_length(given, A) == pytest.approx(2.25, rel=1e-15)
    assert mean_length(huffman, A) == pytest.approx(1.95, rel=1e-15) == shortest_length(A)
    p = backend.put(A)
    assert_digits(float(ops.entropy(p, base=2)), 1.861879)
    lengths = backend.get(ops.self_information(p, base=2))
    np.testing.assert_allclose(lengths, [2, 1.152003, 2.321928, 3.473931, 6.643856], atol=SIX)
    assert float(ops.entropy(p, base=2)) == pytest.approx(A @ lengths, rel=1e-15)
    assert mean_length(huffman, A) > float(ops.entropy(p, base=2))


def test_004_weather_of_city_b_in_the_code_of_city_a(backend: Arrays) -> None:
    a, b = backend.put(A), backend.put(B)
    assert_digits(float(ops.cross_entropy(b, a, base=2)), 2.495462)
    assert_digits(float(ops.kl_divergence(b, a, base=2)), 0.329505)
