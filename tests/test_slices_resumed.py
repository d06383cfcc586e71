"""A training or a retraining that was killed goes on only as what it was."""

import numpy as np
import pytest

import certunl as cu
from tests.cases import KEY, classes, gap, network
from tests.test_slices import retrained, sliced
from tests.test_slices_attacked import exact


def stopping(at):
    def stop(done, total):
        if done >= at:
            raise KeyboardInterrupt

    return stop


@pytest.mark.parametrize("shards", [1, 3])
def test_a_training_that_was_killed_does_not_go_on_with_other_places(shards, tmp_path):
    schedule = sliced(shards=shards).schedule
    problem = cu.training.sharding.sharded(network(), shards) if shards > 1 else network()
    checkpoints = cu.Checkpoints(tmp_path / "states", seconds=0)

    def train(states, **more):
        settings = cu.Recipe(epochs=6, batch_size=4, learning_rate=0.3)
        return cu.fit(problem, settings, problem.init(KEY), schedule, states=states, checkpoints=checkpoints, **more)

    with pytest.raises(KeyboardInterrupt):
        train(4, progress=stopping(len(schedule) // 2))
    with pytest.raises(cu.BadInput, match="other settings or data"):
        train(2)
    run = train(4)
    assert gap(retrained(run, [3]).params, exact(run, [3])) == 0


def test_a_killed_retraining_goes_on_from_a_state(tmp_path):
    for shards in (1, 3):
        run = sliced(shards=shards, epochs=40)
        late = next(i for i in range(30) if retrained(run, [i]).cost["share_of_training"] < 0.9 / shards)

        last = 0.8 * len(run.schedule)

        class Dying(cu.Checkpoints):
            def save(self, steps, arrays, last=last):
                super().save(steps, arrays)
                if steps >= last:
                    raise KeyboardInterrupt

        Dying.__module__, Dying.__qualname__ = cu.Checkpoints.__module__, cu.Checkpoints.__qualname__
        place = tmp_path / str(shards)
        with pytest.raises(KeyboardInterrupt):
            cu.Retrain(checkpoints=Dying(place, seconds=0)).forget(run, None, [late], KEY)
        update = cu.Retrain(checkpoints=cu.Checkpoints(place, seconds=0)).forget(run, None, [late], KEY)
        assert gap(update.params, exact(run, [late])) == 0
        again = run.minus([late], update)
        assert again.known_states is not None and gap(retrained(again, [7]).params, exact(run, [late, 7])) == 0


def test_a_training_that_was_killed_does_not_go_on_with_other_data_or_losses(tmp_path):
    data, recipe = classes(30), cu.Recipe(epochs=6, batch_size=4, learning_rate=0.3)

    def problem(shift=0.0, **more):
        mlp = cu.models.MLP(hidden=(6,), classes=3)
        return cu.classification(mlp, cu.Dataset(np.array(data.x) + shift, data.y), **more)

    checkpoints = cu.Checkpoints(tmp_path / "states", seconds=0)
    with pytest.raises(KeyboardInterrupt):
        cu.train(problem(), recipe, KEY, checkpoints=checkpoints, progress=stopping(20))
    for other in (problem(1.0), problem(l2=1.0)):
        with pytest.raises(cu.BadInput, match="other settings or data"):
            cu.train(other, recipe, KEY, checkpoints=checkpoints)
    assert (
        gap(cu.train(problem(), recipe, KEY, checkpoints=checkpoints).params, cu.train(problem(), recipe, KEY).params)
        == 0
    )
