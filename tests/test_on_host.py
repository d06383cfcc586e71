"""Inputs that stay on the host give the numbers of those on the device."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from tests.cases import KEY, classes, gap, network, trained, vector


def moved(problem: cu.Problem) -> cu.Problem:
    data = problem.data
    return replace(problem, data=replace(data, x=cu.OnHost(np.asarray(data.x))))


def both(**settings) -> list[cu.Run]:
    return [trained(problem, **settings) for problem in (network(), moved(network()))]


@pytest.mark.parametrize(
    "method",
    [
        cu.Retrain(),
        cu.HessianFree(),
        cu.HessianFree(gather=cu.Backward()),
        cu.Newton(operator="ggn"),
        cu.SCRUB(),
        cu.NegGrad(),
    ],
    ids=lambda method: type(method).__name__,
)
def test_methods_give_the_same_numbers(method):
    near, far = both(epochs=2)
    np.testing.assert_array_equal(vector(near.params), vector(far.params))
    updates = [method.forget(run, method.prepare(run), [1, 4, 9], KEY) for run in (near, far)]
    assert gap(updates[1].params, updates[0].params) < 1e-12


def test_reports_and_attacks_give_the_same_numbers():
    test = classes(seed=1)
    reports = []
    for run in both(epochs=2):
        update = cu.HessianFree().forget(run, None, np.arange(8), KEY)
        hidden = replace(test, x=cu.OnHost(test.x)) if isinstance(run.problem.data.x, cu.OnHost) else test
        reports.append(cu.evaluate(run, np.arange(8), update, test=hidden, key=KEY, attacks=["lira"], shadows=4))
    a, b = ({k: v for k, v in report.rows["hessian_free"].items() if "second" not in k} for report in reports)
    assert a.keys() == b.keys()
    np.testing.assert_allclose(list(a.values()), list(b.values()), rtol=1e-8)
    assert str(reports[0].attacks) == str(reports[1].attacks)


def test_a_file_larger_than_what_is_read_of_it_is_an_input(tmp_path):
    x = np.asarray(classes().x, np.float64)
    np.save(tmp_path / "x.npy", x)
    data = cu.Dataset(cu.OnHost(np.load(tmp_path / "x.npy", mmap_mode="r")), classes().y)
    run = trained(cu.classification(cu.models.Linear(classes=3, dtype="float64"), data))
    near = trained(cu.classification(cu.models.Linear(classes=3, dtype="float64"), classes()))
    np.testing.assert_array_equal(vector(run.params), vector(near.params))


def test_rows_of_one_place_belong_to_runs_of_the_other():
    from certunl.rows.origin import fingerprint

    near, far = both(epochs=1)
    assert fingerprint(near) == fingerprint(far)
    changed = np.array(near.problem.data.x)
    changed[3, 1] += 1
    other = replace(far, problem=replace(far.problem, data=replace(far.problem.data, x=cu.OnHost(changed))))
    assert fingerprint(other) != fingerprint(far)
    assert cu.OnHost(changed) == cu.OnHost(changed.copy()) != cu.OnHost(np.asarray(near.problem.data.x))


def test_nothing_is_proved_of_inputs_that_may_be_written_over():
    near, far = both(epochs=1)
    assert any("stay on the host" in words for words in far.unchecked) and not near.unchecked


def test_what_is_no_array_is_refused():
    for wrong in ([1.0], np.float64(3), np.array(["a"], object)):
        with pytest.raises(cu.BadInput, match="OnHost needs a NumPy array"):
            cu.OnHost(wrong)


@pytest.mark.parametrize("part", ["y", "owners"])
def test_targets_and_owners_are_in_memory(part):
    data = replace(classes(owners=np.arange(30)), **{part: cu.OnHost(np.arange(30) % 3)})
    for make in (cu.classification, cu.regression):
        with pytest.raises(cu.BadInput, match=f"{part} of the data must be an array in memory"):
            make(cu.models.Linear(classes=3), data)
    problem = replace(network(), data=data)
    with pytest.raises(cu.BadInput, match=f"{part} of the data must be an array in memory"):
        trained(problem)


def test_training_afresh_leaves_the_inputs_where_they_are_and_is_as_conditional_as_a_replay():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 4)), rng.integers(0, 3, 30)
    runs = [cu.train(cu.classification(cu.models.Linear(classes=3), cu.Dataset(inputs, y)), cu.Recipe(epochs=1), KEY)
            for inputs in (cu.OnHost(x), x)]  # fmt: skip
    far, near = (cu.Retrain(afresh=cu.Recipe(epochs=2)).forget(run, None, [3, 7], KEY) for run in runs)
    np.testing.assert_array_equal(vector(far.params), vector(near.params))
    assert any("stay on the host" in word for word in far.unchecked) and not near.unchecked


def test_a_part_of_inputs_on_the_host_is_a_view():
    whole = cu.OnHost(np.arange(12.0).reshape(6, 2))
    part = whole.take([4, 0, 2]).take([2, 1])
    assert part.shape == (2, 2) and part.rows(np.array([0, 5])).tolist() == [[4, 5], [0, 1]]
    assert np.asarray(part).tolist() == [[4, 5], [0, 1]] and part[np.array([1])].tolist() == [[0, 1]]
    assert jax.jit(lambda i: part[i])(jnp.array([1, 0])).tolist() == [[0, 1], [4, 5]]
    assert (
        part == whole.take([2, 0]) and part != whole.take([0, 2]) and whole == cu.OnHost(np.arange(12.0).reshape(6, 2))
    )
