"""Advice on what to train: prices that real schedules have, and accuracies that were measured."""

import json
import math

import jax
import numpy as np
import pytest

import certunl as cu
from benchmarks.advice_numbers import advice_numbers
from benchmarks.readme import ADVICE, ROOT
from benchmarks.saved import Saved
from certunl.bounds.slots import slot_ratio
from certunl.certificates.budget import Charge, Common
from certunl.certificates.gaussian import noise_ratio, read_epsilon
from certunl.certificates.sharing import SHARE
from certunl.planning import Replays, advise
from certunl.training.drawing import draw
from tests.verbs import certunl, refused

FACTS = json.loads((ROOT / ADVICE).read_text())


def by_name(**asked):
    return {way.name: way for way in advise(**asked).ways}


def test_the_accuracies_are_those_of_saved_lines():
    assert (ROOT / ADVICE).read_text() == advice_numbers(Saved())
    for way in advise().ways:
        for accuracy in way.accuracy or ():
            assert f"{accuracy:.4f}" in str(advise())


@pytest.mark.parametrize(("requests", "size"), [(1, 1), (10, 1), (3, 200)])
def test_the_price_of_noise_is_that_of_schedules(requests, size):
    line, n, k = FACTS["noise"][0], FACTS["examples"], requests * size
    recipe = cu.Recipe(epochs=line["epochs"], batch_size=line["batch"], clip_each=1.0, noise=line["noise"])
    ratios = []
    for seed in range(5):
        indices = np.asarray(draw(jax.random.key(seed), recipe, n).indices)
        slots = np.isin(indices, np.random.default_rng(seed).choice(n, k, replace=False)).sum(axis=1)
        ratios.append(slot_ratio(slots, slots > 0, noise=line["noise"]))
    wanted = read_epsilon(0.9 / np.mean(ratios), 1e-5)  # a little more than its price, so that it fits as it is
    ways = by_name(epsilon=wanted, requests=requests, size=size, work=0.0)
    way = ways[f"noise {line['noise']:g}, as it is"]
    assert way.fits and way.work == 0
    assert noise_ratio(way.epsilon, 1e-5) == pytest.approx(1 / np.mean(ratios), rel=0.05)
    less = by_name(epsilon=wanted / 4, requests=requests, size=size)[f"noise {line['noise']:g}, and going back"]
    steps = round((1 - less.work) * len(indices))
    assert (
        less.epsilon == wanted / 4
        and not by_name(epsilon=wanted / 4, requests=requests, size=size, work=0.0)[less.name].fits
    )
    places = (steps, steps + len(indices) / 20)  # the state that is kept, and the next one
    least, more = (np.mean(ratios) * math.sqrt(place / len(indices)) for place in places)
    assert least < 1.0 / noise_ratio(wanted / 4, 1e-5) and more > 0.95 / noise_ratio(wanted / 4, 1e-5)


def test_the_work_of_shards_is_that_of_the_plan():
    for size in (1, 10, 100):
        ways = [way for name, way in by_name(size=size).items() if name.endswith(("shards", "slices", "retrained"))]
        assert len(ways) == 6
        for way in ways:
            parts = dict(word.split("=") for word in way.train.split() if "=" in word)
            shards, slices = (int(parts.get(name, 1)) for name in ("shards", "slices"))
            n, stages = 60_000 // shards, []
            for j in range(1, slices + 1):
                stages.append((2 * j / (slices * (slices + 1)), (n * j // slices,) * shards))
            plan = Replays(sizes=(n,) * shards, seconds=(1.0, 1.0), owners=False, stages=tuple(stages))
            assert way.work == pytest.approx(plan.share(size), rel=2e-3) and way.epsilon == 0


def test_the_most_accurate_way_that_fits_comes_first():
    for asked in ({}, {"work": 0.0}, {"work": 0.25, "requests": 20}, {"epsilon": 8.0, "work": 0.0, "public": True}):
        advice = advise(**asked)
        fits = [way for way in advice.ways if way.fits]
        assert fits == list(advice.ways[: len(fits)]) == sorted(fits, key=lambda way: -way.accuracy[0])
        assert all(way.epsilon <= advice.epsilon * (1 + 1e-9) and way.work <= advice.work + 1e-9 for way in fits)
        assert f"take: {fits[0].name}" in str(advice)
    assert advise().ways[0].name == "one model, retrained" and not by_name(work=0.9)["one model, retrained"].fits
    public = {way.name: way for way in advise(public=True).ways}
    assert [way.verdict for way in public.values() if "public" in way.name] == ["CONDITIONAL"]
    assert not any("public" in name for name in by_name())


def test_more_noise_than_was_measured_has_no_accuracy_and_does_not_fit():
    ways = advise(epsilon=0.1, requests=100, work=0.0).ways
    assert not any(way.fits for way in ways)
    assert next(way for way in ways if "features" in way.name).accuracy is None
    accuracies = [advise(requests=k, work=0.0).ways[0].accuracy[0] for k in (1, 2, 3)]
    assert accuracies == sorted(accuracies, reverse=True)


@pytest.mark.parametrize("requests", [1, 4, 30])
def test_all_requests_together_stay_within_epsilon(requests):
    delta, wanted = 1e-5, 6.0
    for name, way in by_name(epsilon=wanted, delta=delta, requests=requests).items():
        each = float(way.forget.split("--epsilon ")[1].split()[0])
        whole, account = 1 / noise_ratio(each, delta), cu.Account()
        for number in range(requests):
            common, own = (), (whole,)
            if "features" in name:
                common, own = (
                    (Common(SHARE * whole, str(number), str(number + 1), 9),),
                    (math.sqrt(1 - SHARE**2) * whole,),
                )
            elif "secret" in name:
                part = Common(9.0, str(number), str(number + 1), 9, True, True, True, (each, delta))
                account = account.charge(Charge(pairs=((each, delta),), common=(part,)))
                continue
            elif name.startswith("noise"):
                common, own = (Common(whole, str(number), str(number + 1), 9),), (0.0,)
            account = account.charge(Charge(ratios=own, common=common), exact="retrain" in way.forget.split()[1])
        assert account.epsilon(delta) <= wanted * (1 + 1e-6)
        if requests > 1 and "retrain" not in way.forget.split()[1]:
            assert account.epsilon(delta) > 0.95 * wanted


def test_the_commands_run_as_they_stand(tmp_path, capsys):
    ways = advise(epsilon=6.0, work=1.0, examples=142).ways
    chosen = {way.name.split(" ")[0] + way.name[-6:] + str(bool(way.network)): way for way in ways if way.accuracy}
    back = next(way for way in advise(epsilon=1.0, examples=142).ways if "going back" in way.name)
    linear = next(way for way in ways if way.name.startswith("linear model, no"))
    for number, way in enumerate([*chosen.values(), back, linear]):
        run, network = tmp_path / f"run{number}", tmp_path / f"network{number}"
        if way.network:
            certunl("train", network, "--dataset", "wine", *way.network.split())
        certunl("train", run, "--dataset", "wine", *way.train.replace("NETWORK", str(network)).split())
        capsys.readouterr()
        certunl("forget", run, "--request", "ids:3", *way.forget.split())
        out = capsys.readouterr().out
        assert f"{way.verdict}: " in out
        if way is back:
            assert float(out.split("share of training ")[1].split(",")[0].split(";")[0]) == pytest.approx(way.work)


def test_the_command_line_advises(capsys):
    certunl("advise", "--epsilon", "2", "--requests", "10", "--work", "0.2", "--public")
    out = capsys.readouterr().out
    assert "take: " in out and "certunl forget RUN" in out and "CONDITIONAL" in out and "MNIST" in out
    certunl("advise", "--epsilon", "0.001", "--work", "0", "--requests", "1000")
    assert "work is the share of a training" in capsys.readouterr().out
    assert "epsilon must be a positive number" in refused(capsys, "advise", "--epsilon", "0")
    assert "work must lie between 0 and 1" in refused(capsys, "advise", "--work", "2")
    assert "requests must be a whole number" in refused(capsys, "advise", "--requests", "0")
