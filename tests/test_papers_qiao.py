"""The rows of the tables of Qiao et al. mean what their columns say, and their verdicts follow from the numbers."""

from dataclasses import replace

import numpy as np
import pytest

import certunl as cu
from benchmarks.papers.qiao2025 import ablations, epsilons, membership, noise, norms, repairing, tabular, verification
from benchmarks.papers.qiao2025.judging import KEY, clipped_steps, percent
from benchmarks.papers.qiao2025.trainings import LR, WINE, asked, drawn, smooth, trained
from benchmarks.papers.table import mean
from tests.cases import vector

TINY = replace(WINE, model=cu.models.MLP((4,), 3, "tanh"), recipe=replace(WINE.recipe, epochs=3), examples=60)
SEED, SHARE = 42, 0.1


@pytest.fixture(scope="module")
def rows():
    by_mean = verification.rows(TINY, SEED, (SHARE,), second_order=False, targets=["mean"])
    return verification.rows(TINY, SEED, (SHARE,), targets=["paper"]) + by_mean


def joined(table, rows):
    return table.joined(rows)


def row_of(rows, **names):
    (row,) = (row for row in rows if all(row[key] == value for key, value in names.items()))
    return row


def test_the_schedule_is_the_authors_with_a_short_last_batch_and_one_order_for_all_epochs():
    run, _ = trained(replace(TINY, recipe=replace(TINY.recipe, batch_size=25)), SEED)
    indices, weights = np.asarray(run.schedule.indices), np.asarray(run.schedule.weights)
    assert weights.sum(1).tolist() == run.schedule.divisors.tolist() == [25, 25, 10] * 3
    assert (indices[:3] == indices[3:6]).all() and (indices[:3] == indices[6:]).all()
    assert sorted(indices[:3][weights[:3] != 0].tolist()) == list(range(60))
    assert np.allclose(run.schedule.rates, 0.01 * 0.9995 ** np.arange(9))


def test_starts_are_uniform_within_one_over_the_root_of_a_layer_s_inputs():
    run, _ = trained(replace(WINE, recipe=replace(WINE.recipe, epochs=1)), SEED)
    for layer, inputs in (("Dense_0", 13), ("Dense_1", 64)):
        for leaf in run.start[layer].values():
            assert np.abs(leaf).max() <= inputs**-0.5
        assert np.isclose(np.std(run.start[layer]["kernel"]), (3 * inputs) ** -0.5, rtol=0.1)
    assert np.abs(run.start["Dense_1"]["bias"]).max() > 0


def test_tables_of_people_are_split_by_seed_and_standardised_by_the_training_rows_alone():
    (train, test), (other, _) = (drawn(TINY, seed) for seed in (1, 2))
    assert np.allclose(np.mean(train.x, axis=0), 0, atol=1e-5) and np.allclose(np.std(train.x, axis=0), 1, atol=1e-4)
    assert len(train) == 60 and len(train) + len(test) <= 178 and abs(np.mean(test.x, axis=0)).max() > 0.05
    assert not np.array_equal(train.y, other.y)


def test_distances_are_those_of_the_vector_and_the_retraining_that_the_row_names(rows):
    (run, _), (twin, _) = (trained(TINY, SEED, target) for target in ("paper", "mean"))
    request = asked(run, SEED, SHARE)
    truths = {
        name: vector(cu.Retrain().forget(one, None, request, KEY).params)
        for name, one in (("paper", run), ("mean", twin))
    }
    assert np.linalg.norm(truths["paper"] - truths["mean"]) > 1e-3  # these are two targets
    assert np.allclose(vector(run.params), vector(twin.params), atol=1e-6)  # of one training
    common = {"problem": TINY.name, "forgotten": "10%"}
    for target, method, one, form in (
        ("paper", "hessian_free", run, "first_order"),
        ("paper", "hessian_free, their order", run, "reference"),
        ("mean", "hessian_free", twin, "first_order"),
        ("mean", "hessian_free, as coded", run, "reference"),
    ):
        prepared = cu.HessianFree(form=form).prepare(one)  # the sum of rows, where the table has one vector
        after = vector(one.params) + vector(prepared.correction(request))
        row = row_of(rows, target=target, method=method, **common)
        assert np.isclose(row["distance"], np.linalg.norm(after - truths[target]), rtol=1e-3)
        nothing = row_of(rows, target=target, method="doing nothing", **common)
        assert nothing["relative_distance"] == 1
        assert np.isclose(row["relative_distance"], row["distance"] / nothing["distance"], rtol=1e-6)
    assert row_of(rows, target="paper", method="retrain", **common)["distance"] == 0
    assert {"newton", "newton_step", "jackknife"} <= {row["method"] for row in rows}


def test_verdicts_of_the_verification_turn_when_the_numbers_do(rows):
    before = joined(verification.TABLE, rows)
    after = joined(
        verification.TABLE,
        [row | ({"distance": 0.0} if row["method"] == "newton_step" else {}) for row in rows],
    )
    verdicts = [{s.says: s for s in verification.statements(one)} for one in (before, after)]
    (closest,) = (says for says in verdicts[0] if says.startswith("HF is closer"))
    assert verdicts[0][closest].holds and "1 of 1" in verdicts[0][closest].ours
    assert not verdicts[1][closest].holds and "newton_step" in verdicts[1][closest].ours and verdicts[1][closest].why
    far = [row | {"relative_distance": 3.0} for row in rows]
    (useful,) = (s for s in verification.statements(joined(verification.TABLE, far)) if "approximates" in s.says)
    assert useful.verdict == "not confirmed" and "3" in useful.ours


def test_norms_are_those_of_both_changes(rows):
    (row,) = norms.rows(TINY, SEED, (SHARE,))
    nothing = row_of(rows, target="paper", method="doing nothing")
    assert np.isclose(row["exact"], nothing["distance"], rtol=1e-5)
    assert np.isclose(row["ratio"], row["approximate"] / row["exact"]) and -1 <= row["cosine"] <= 1
    mine = row_of(rows, target="paper", method="hessian_free")["distance"]
    sides = row["exact"] ** 2 + row["approximate"] ** 2 - 2 * row["cosine"] * row["exact"] * row["approximate"]
    assert np.isclose(mine**2, sides, rtol=1e-3)  # the law of cosines


def test_clipped_steps_are_counted():
    for clip, share in ((1e-6, 1.0), (1e6, 0.0), (None, 0.0)):
        run, _ = trained(replace(TINY, recipe=replace(TINY.recipe, clip_norm=clip)), SEED)
        assert clipped_steps(run) == share * len(run.schedule)


def test_a_changed_rate_is_the_training_at_that_rate():
    own, _ = ablations.changed(TINY, SEED, "rate", 0.02)
    plain, _ = trained(replace(TINY, recipe=replace(TINY.recipe, learning_rate=0.02)), SEED)
    assert np.allclose(vector(own.params), vector(plain.params), atol=1e-7)
    assert ablations.rows(TINY, SEED, (SHARE,), "epochs", 1)[0]["value"] == "1"


def test_a_blow_up_is_confirmed_only_where_the_error_grows_exponentially():
    def found(distances):
        return {r: {"distance": (d, 0, 1), "relative_distance": (d, 0, 1)} for r, d in distances.items()}

    flat, exploding = {0.01: 1.0, 0.2: 1.5, 0.3: 2.0, 0.5: 3.0}, {0.01: 1.0, 0.2: 1.5, 0.3: 40.0, 0.5: 1e4}
    assert not ablations._blow_up(found(flat), "x").holds and ablations._blow_up(found(exploding), "x").holds


def test_an_attack_without_power_over_doing_nothing_leaves_the_verdict_open():
    def rows(nothing, mine):
        aucs = {"doing nothing": nothing, "retrain": 0.5, "hessian_free": mine}
        return [
            {"network": "x", "forgotten": "5%", "sigma": "0", "method": name, "mia_l_auc": (auc, 0, 1)}
            for name, auc in aucs.items()
        ]

    verdicts = [
        membership._defended(rows(*pair), "x", "mia_l").verdict for pair in ((0.52, 0.5), (0.8, 0.5), (0.8, 0.8))
    ]
    assert verdicts == ["open", "confirmed", "not confirmed"]


def test_epsilon_is_exact_and_the_classical_rule_is_unsafe_where_it_is_large():
    distance = 0.01 * 3.7306316  # epsilon 1 at delta 1e-5
    assert np.isclose(epsilons.exact(0.1 * 3.7306316**2, distance * 10), 1.0, rtol=1e-4)
    assert np.isclose(epsilons.coded_bound(LR, 1), 0.092995, rtol=1e-4)  # the number of the authors' program
    cells = [{"epsilon_classical": (c, 0, 1), "epsilon_measured": (e, 0, 1)} for c, e in ((1.0, 0.7), (20.0, 30.0))]
    assert not noise._classical(cells).holds and "1 of 2" in noise._classical(cells).ours
    assert noise._classical(cells[:1]).holds


def test_repairing_begins_where_forgetting_ends():
    found = repairing.rows(smooth(TINY), SEED, (0.5, 0.1), (1,))
    assert [(row["state"], row["epochs"]) for row in found] == [("trained", "0"), ("forgotten", "0"), ("repaired", "1")]
    assert found[0]["distance"] < 1e-6 < found[1]["distance"]
    assert all(0 <= row["test_accuracy"] <= 1 and row["next_request"] > 0 for row in found)


def test_a_set_that_is_not_there_is_left_out_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("CERTUNL_BENCHMARKS_DATA", raising=False)
    (job,) = (job for job in tabular.jobs("small") if job.name.startswith("hapt"))
    with pytest.raises(cu.BadInput, match="data set 'hapt' is not in"):
        job.run()


def test_the_line_of_the_code_that_moves_the_distance_most_is_named():
    assert "Approximator" in tabular._why(ours=0.01, order=0.05, coded=0.06)
    assert "retrain" in tabular._why(ours=0.01, order=0.02, coded=0.06)
    assert percent(0.05) == "5%" and np.isnan(mean([], "distance"))
