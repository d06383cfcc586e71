"""Who may be asked for, and every request that is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.requests import parse
from tests.cases import KEY, network, trained


@pytest.fixture(scope="module")
def run():
    whole = trained(network(owners=np.arange(30) % 5))
    return whole.minus([7], whole.params)


def test_random_requests_are_sorted_unique_present_and_of_their_size(run):
    request = cu.requests.random(KEY, run, size=29 - 1)
    assert request.dtype == np.int32 and len(set(request.tolist())) == 28
    assert (np.diff(request) > 0).all() and 7 not in request
    assert request.tolist() == cu.requests.random(KEY, run, 28).tolist()
    assert request.tolist() != cu.requests.random(jax.random.key(1), run, 28).tolist()


def test_by_class_and_owner_name_exactly_their_members(run):
    labels = np.asarray(run.problem.data.y)
    assert cu.requests.by_class(KEY, run, 1).tolist() == [i for i in np.flatnonzero(labels == 1) if i != 7]
    assert cu.requests.by_owner(run, [2]).tolist() == [2, 12, 17, 22, 27]


def test_hardest_have_the_largest_losses(run):
    losses = np.array(run.problem.losses(run.params, run.problem.data))
    losses[7] = -np.inf
    assert set(cu.requests.hardest(run, 3).tolist()) == set(np.argsort(-losses)[:3].tolist())


def test_influential_are_those_whose_loss_replayed_retraining_raises_most():
    run = trained(network(), batch_size=30, epochs=20)
    asked = cu.Dataset(run.problem.data.x[10:], run.problem.data.y[10:])
    risks = []
    for i in range(30):
        params = cu.Retrain().forget(run, None, [i], KEY).params
        risks.append([run.problem.scores(params, data).losses.mean() for data in (run.problem.data, asked)])
    for column, data in ((0, None), (1, asked)):
        truly = np.argsort(-np.array(risks)[:, column])
        chosen = cu.requests.influential(run, 5, data)
        assert set(chosen) <= set(truly[:7]) and truly[0] in chosen


def test_influential_owners_are_named_example_by_example_and_who_is_gone_is_neither_named_nor_asked(run, monkeypatch):
    data = run.problem.data
    present = np.flatnonzero(run.present)
    values = np.asarray(cu.loss_changes(run, data[present]))[np.asarray(data.owners)]
    chosen = cu.requests.influential(run, 8)
    assert len(chosen) == 8 and 7 not in chosen
    assert values[chosen].min() >= np.delete(values, [*chosen, 7]).max() > values.min()
    asked = []
    monkeypatch.setattr(
        "certunl.requests.choosing.loss_changes", lambda run, on: asked.append(on) or cu.loss_changes(run, on)
    )
    whole = cu.requests.influential(run, 6, data)
    assert cu.requests.influential(run, 8).tolist() == chosen.tolist()
    assert asked[0] is data and (asked[1].x == data.x[present]).all()
    assert set(np.asarray(data.owners)[whole]) <= set(np.argsort(-np.asarray(cu.loss_changes(run, data)))[:2])


def line(points):
    """A run whose examples stand on a line."""
    x = np.array(points, float)[:, None] * np.ones((1, 2)) / np.sqrt(2)
    model = cu.models.Linear(classes=1, dtype=jnp.float64)
    return trained(cu.regression(model, cu.Dataset(x, np.zeros(len(x)))), learning_rate=1e-6)


def test_near_duplicates_by_hand_one_of_a_pair_and_a_twin_stays():
    run = line([0, 10, 0.1, 20, 10.2, 0.25, 40])
    assert cu.requests.near_duplicates(run, 1).tolist() == [0]  # 0 and 2 at 0.1
    assert cu.requests.near_duplicates(run, 2).tolist() == [0, 5]  # 5 is 0.15 from 2, which stays for both
    assert cu.requests.near_duplicates(run, 3).tolist() == [0, 1, 5]
    run = line([5, 5, 5, 5, 9, 30, 31, 60, 90])
    assert cu.requests.near_duplicates(run, 3).tolist() == [0, 2, 3]  # the first's twin stays, and is everyone's
    assert cu.requests.near_duplicates(run, 4).tolist() == [0, 2, 3, 5]
    after = run.minus([1], run.params)
    assert cu.requests.near_duplicates(after, 2).tolist() == [0, 3]


@pytest.mark.parametrize("rows", [2**24, 40])
def test_near_duplicates_are_what_a_naive_search_finds(monkeypatch, rows):
    monkeypatch.setattr("certunl.requests.choosing._BLOCK", rows)
    whole = trained(network(40))
    run = whole.minus([3, 17], whole.params)
    x, gone, twins = np.asarray(run.problem.data.x), [3, 17], set()
    apart = np.linalg.norm(x[:, None] - x[None], axis=2) + np.diag(np.full(40, np.inf))
    chosen = []
    for _ in range(19):
        left = [i for i in range(40) if i not in gone]
        pairs = [(apart[i, j], i, j) for i in left if i not in twins for j in left]
        _, i, j = min(pairs)
        chosen, gone, twins = [*chosen, i], [*gone, i], twins | {j}
        assert cu.requests.near_duplicates(run, len(chosen)).tolist() == sorted(chosen)


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ([], "empty"),
        ([30], "ids 0 to 29"),
        ([-1], "ids 0 to 29"),
        ([7], "already forgotten"),
        ([0.5], "whole numbers"),
        ([[1, 2]], "whole numbers"),
        ([True], "whole numbers"),
        (list(range(7)) + list(range(8, 30)), "every remaining example"),
    ],
)
def test_impossible_requests_are_refused(run, request_, sentence):
    with pytest.raises(cu.BadInput, match=sentence):
        run.check(request_)


def test_a_run_cannot_lose_an_example_twice_or_one_it_never_had(run):
    for wrong in ([7], [-1], [30], []):
        with pytest.raises(cu.BadInput):
            run.minus(wrong, run.params)
    assert np.flatnonzero(~np.asarray(run.minus([2], run.params).present)).tolist() == [2, 7]


def test_order_and_repetition_do_not_matter(run):
    assert run.check([5, 3, 5]).tolist() == [3, 5]


def test_words_parse_to_the_same_requests(run):
    assert parse("ids:4,2", KEY, run).tolist() == [2, 4]
    assert parse("owner:2", KEY, run).tolist() == [2, 12, 17, 22, 27]
    assert parse("random:3", KEY, run).tolist() == cu.requests.random(KEY, run, 3).tolist()
    assert parse("class:1:2", KEY, run).tolist() == cu.requests.by_class(KEY, run, 1, 2).tolist()
    assert parse("influential:3", KEY, run).tolist() == cu.requests.influential(run, 3).tolist()
    assert parse("near_duplicates:3", KEY, run).tolist() == cu.requests.near_duplicates(run, 3).tolist()
    for words in (
        "random",
        "random:x",
        "owner:",
        "some:3",
        "random:0",
        "random:500",
        "class:9",
        "hardest:29",
        "influential:29",
        "influential:0",
        "near_duplicates:15",
        "near_duplicates:0",
        "mislabelled",
        "ids:",
        "ids:1.5",
        "ids:9999999999999999999999",
    ):
        with pytest.raises(cu.BadInput):
            parse(words, KEY, run)


def test_mislabelled_are_the_planted_ones_that_are_still_there(run):
    planted = np.array([4, 7, 9, 21], np.int32)
    assert parse("mislabelled", KEY, run, planted).tolist() == [4, 9, 21]
    two = parse("mislabelled:2", KEY, run, planted).tolist()
    assert len(two) == 2 and set(two) < {4, 9, 21}
    assert {tuple(parse("mislabelled:2", jax.random.key(i), run, planted).tolist()) for i in range(20)} == {
        (4, 9),
        (4, 21),
        (9, 21),
    }
    for words, sentence in (("mislabelled:4", "there are 3 mislabelled"), ("mislabelled:x", "random:SIZE")):
        with pytest.raises(cu.BadInput, match=sentence):
            parse(words, KEY, run, planted)
    with pytest.raises(cu.BadInput, match="train with --mislabel"):
        parse("mislabelled", KEY, run)


def test_owners_must_be_known():
    with pytest.raises(cu.BadInput, match="no owners"):
        cu.requests.by_owner(trained(network()), [1])
