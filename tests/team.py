"""The work of tests/test_hosts.py, one of several processes: python -m tests.team PLACE [NAME ...]

Each piece of work leaves its numbers in PLACE/NAME-RANK.npz. `slow-store` writes its rows slowly.
"""

import os
import sys
import time
from pathlib import Path

import jax
import numpy as np

import certunl as cu
from certunl.training.mesh import in_force

LISSA = cu.LiSSA(depth=20, repeats=5, batch_size=10)


def say(word):
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def work(name, run, place):
    """The numbers of one piece of work."""
    from tests.cases import KEY, vector

    if name == "rows":
        return vector(cu.HessianFree(gather=cu.Forward(8)).prepare(run).rows)
    if name == "models":
        return vector(cu.retrainings(run, [[i] for i in range(5)]))
    if name == "cg":
        return vector(cu.Newton(damping=1.0, solver=cu.CG(tol=1e-12)).forget(run, None, [1, 2], KEY).params)
    if name == "lissa":
        return vector(cu.Newton(damping=1.0, solver=LISSA).forget(run, None, [1, 2], KEY).params)
    if name.endswith("store"):
        if name.startswith("slow"):
            write = cu.Store.write
            cu.Store.write = lambda *it: (time.sleep(0.2), write(*it), say("wrote"))
        store = cu.HessianFree(gather=cu.Forward(1)).store(run, os.environ.get("TEAM_STORE", place / "store"))
        store.drop([5])  # by all of them
        return vector(store.read(np.delete(np.arange(30), 5)))
    raise cu.BadInput(f"no work is called {name}")


def main():
    place, names = Path(sys.argv[1]), sys.argv[2:]
    with cu.distributed(timeout=60.0) as mesh:
        assert mesh.size == int(os.environ["WORLD_SIZE"])
        from tests.cases import network, trained  # which makes an array

        run = trained(network(), weight_decay=0.1)
        for name in names:
            if name == "own-error" and jax.process_index() == 1:
                raise cu.BadInput("this process has a reason of its own")
            if name == "own-error":
                time.sleep(60)
            np.savez(place / f"{name}-{jax.process_index()}.npz", work(name, run, place))
    assert in_force() is None  # alone again
    say("ended")


if __name__ == "__main__":
    main()
