"""What saw the forgotten cannot enter unnamed by start, schedule, initializer, model, losses, optimizer or features."""

import gc
import pickle
import weakref
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import struct

import certunl as cu
from certunl.folders import RunFolder, build, compose
from certunl.training.provenance import Provenance, known
from tests.cases import KEY, classes, trained
from tests.doors import (
    RECIPE,
    Net,
    Pulled,
    Softer,
    Stubborn,
    by_hand,
    derived,
    given,
    holding_labels,
    of_features,
    ordered,
    problem,
    run,
    teacher,
)

START, SCHEDULE = "the start and the schedule", "train did not draw"
OUTSIDE = "not all certunl's own"


def verdict(run):
    """Of exact retraining, which nothing but the origin of its parts can make CONDITIONAL."""
    certificate = cu.certify(
        cu.Retrain().forget(run, None, [1, 2], KEY), cu.Budget(epsilon=1.0, delta=1e-5)
    ).certificate
    return certificate.verdict, " ".join(certificate.unchecked)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (given, SCHEDULE),
        (lambda: given(origin="a public model, random batches"), "(a public model, random batches)"),
        (holding_labels, OUTSIDE),
        (ordered, SCHEDULE),
        (lambda: of_features(over=True), "extractor"),
        (lambda: cu.train(problem(Net()), RECIPE, KEY), OUTSIDE),
        (lambda: cu.train(problem(Softer(classes=3, bound=1.0)), RECIPE, KEY), OUTSIDE),
        (teacher, OUTSIDE),
        (lambda: replace(holding_labels(), problem=problem()), OUTSIDE),
        (lambda: replace(cu.train(problem(), Pulled(epochs=2, batch_size=10), KEY), recipe=RECIPE), OUTSIDE),
        (lambda: cu.train(problem(), replace(RECIPE, optimizer=optax.sgd(1.0)), KEY), OUTSIDE),
        (lambda: by_hand(run()), SCHEDULE),
        (lambda: replace(run(), start=run().params), SCHEDULE),
        (lambda: derived(schedule=struct.dataclass(Stubborn)(**vars(run().schedule))), SCHEDULE),
        (lambda: cu.train(problem(), Pulled(learning_rate=0.1, epochs=2, batch_size=10), KEY), OUTSIDE),
        (lambda: replace(run(), schedule=run().schedule.masked(run().schedule.indices > 3)), SCHEDULE),
        (
            lambda: cu.train(problem(data=replace(classes(), unchecked=("scaled by rows",))), RECIPE, KEY),
            "scaled by rows",
        ),
    ],
)
def test_what_may_have_seen_the_forgotten_is_named_and_makes_a_certificate_conditional(make, named):
    found, unchecked = verdict(make())
    assert found == "CONDITIONAL" and named in unchecked


@pytest.mark.parametrize("make", [run, of_features])
def test_what_the_code_drew_itself_is_proved(make):
    assert verdict(make()) == ("PROVED", "")


def test_a_warm_start_is_named_by_every_method():
    """The door of the published pipelines: train, train on, forget."""
    warm = given()
    methods = (
        cu.HessianFree(assumed="linear"),
        cu.RewindToDelete(assumed="linear"),
        cu.CertifiedRemoval(),
        cu.Newton(assumed="residual", gradient="retained", damping=0.0),
        cu.DescentToDelete(steps=3, assumed="linear"),
        cu.FineTune(),
    )
    for method in methods:
        update = method.forget(warm, None, [1, 2], KEY)
        assert any(START in one for one in update.unchecked), method


def test_trained_on_from_a_drawn_run_stays_drawn_and_from_a_given_one_given():
    for first, named in ((run(), ()), (given(), SCHEDULE)):
        method = cu.HessianFree()
        longer, _ = method.repair(first, method.prepare(first), jax.random.key(5), epochs=1)
        assert len(longer.schedule) > len(first.schedule)
        assert longer.unchecked == () if not named else named in longer.unchecked[0]
        assert verdict(longer)[0] == ("CONDITIONAL" if named else "PROVED")


def test_a_drawn_run_stays_drawn_on_another_device_and_after_requests():
    first = run()
    moved = jax.tree.map(lambda a: jnp.asarray(np.array(a)), first)
    assert moved.start is not first.start and moved.unchecked == ()
    assert first.minus([1], first.params).unchecked == ()
    numpy = replace(first, start=jax.tree.map(np.array, first.start))
    assert numpy.unchecked == ()
    numpy.start["Dense_0"]["kernel"][0, 0] += 1  # written over in place
    assert SCHEDULE in numpy.unchecked[0]


def test_the_models_whose_start_depends_on_the_key_alone_are_real_ones():
    names = {"AllCNN", "CNN", "LeNet5", "Linear", "MLP", "ResNet18"}
    assert {name for name in cu.models.__all__ if known(object.__new__(getattr(cu.models, name)))} == names


def test_a_provenance_keeps_no_arrays_alive_and_is_pickled():
    first = run()
    again = pickle.loads(pickle.dumps(first.provenance))
    assert again.unchecked(first.start, first.schedule) == () and again.seal == first.provenance.seal
    alive = weakref.ref(jax.tree.leaves(first.start)[0])
    provenance = first.provenance
    del first
    gc.collect()
    assert alive() is None and provenance.seal


def test_runs_of_other_provenance_share_compiled_programs():
    assert Provenance("a") == Provenance("b") and hash(Provenance("a")) == hash(Provenance())


def test_a_run_folder_keeps_the_provenance(tmp_path):
    settings = compose("wine", "linear", (), {"train": 30}, 0, None)
    built = build(settings, None)
    drawn = cu.train(built.problem, built.recipe, KEY)
    warm = cu.fit(drawn.problem, drawn.recipe, drawn.params, drawn.schedule, origin="trained before")
    for name, one, unchecked in (("a", drawn, 0), ("b", warm, 1)):
        RunFolder.create(tmp_path / name, one, settings, built)
        assert len(RunFolder(tmp_path / name).run.unchecked) == unchecked
    facts = (tmp_path / "b" / "run.json").read_text()
    (tmp_path / "b" / "run.json").write_text(facts.replace('"origin": "trained before"', '"origin": ""'))
    with pytest.raises(cu.BadInput, match="fingerprint"):
        _ = RunFolder(tmp_path / "b").run


def test_an_origin_is_words():
    first = trained(problem())
    with pytest.raises(cu.BadInput, match="in words"):
        cu.fit(first.problem, first.recipe, first.start, first.schedule, origin=3)


def test_present_is_a_mask():
    """~ of the integers 0 and 1 is always true, so every example would be masked."""
    first = run()
    with pytest.raises(cu.BadInput, match=r"present must be bool\[n\]"):
        cu.Retrain().forget(replace(first, present=jnp.ones(30, int)), None, [1], KEY)


def test_a_model_whose_functions_were_replaced_is_not_the_library_s():
    model = cu.models.Linear(classes=3)
    assert known(model)
    object.__setattr__(model, "init", lambda key, x, **_: {"params": {}})
    assert not known(model)
