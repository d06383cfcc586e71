"""train, plan and prepare: what is there before anyone asks."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

from certunl import disk, folders, registry
from certunl.base import width
from certunl.cli._words import Folder, Settings, rows, say, seeded
from certunl.errors import BadInput
from certunl.folders.settings import adopt, compose
from certunl.planning import plan as make_plan
from certunl.report.console import progress
from certunl.training.run import train as train_run

__all__ = ["plan", "prepare", "train"]


def train(
    folder: Folder,
    /,
    dataset: str = "digits",
    model: str = "mlp",
    set: Settings = (),
    features: Path | None = None,
    train_size: int | None = None,
    train_from: int = 0,
    test_size: int | None = None,
    data_dir: Path | None = None,
    mislabel: float | None = None,
    seed: int = 0,
) -> None:
    """Trains a model into a new run folder.

    Args:
        folder: the run folder to make.
        dataset: digits, wine, breast_cancer, mnist, fashion_mnist, cifar10, svhn, adult, hapt, obesity, lfw or celeba.
        model: linear, mlp, cnn, lenet5, allcnn or resnet18.
        set: settings of the recipe, of the model, or l2.
        features: another run folder, trained on public data: the model sees its network's features, kept in a copy.
        train_size: how many training examples to use (default: all).
        train_from: the number of the first training example to use.
        test_size: how many test examples to use (default: all).
        data_dir: the folder of data sets, as their authors publish them or prepared by tensorflow-datasets (default:
            $TFDS_DATA_DIR, then ~/tensorflow_datasets).
        mislabel: a share of the training labels to replace by wrong ones, for requests of "mislabelled".
        seed: decides the initial parameters, the batches, and whose labels are replaced.
    """
    limits: dict[str, Any] = {"train": train_size, "test": test_size, "train_from": train_from or None}
    limits["data_dir"] = data_dir and str(data_dir.expanduser().absolute())  # later verbs may run elsewhere
    settings, key, extractor = compose(dataset, model, set, limits, seed, mislabel), seeded(seed), None
    folders.reserve(folder)
    if features is not None:
        extractor, settings["features"] = adopt(features)
    built = folders.build(settings, extractor)
    start = time.perf_counter()
    with progress("training") as tick:
        run = train_run(built.problem, built.recipe, key, progress=tick)
    seconds = time.perf_counter() - start
    folders.save_run(folder, run, settings, built)
    correct: Any = run.problem.scores(run.params, jax.tree.map(jax.numpy.asarray, built.splits.test)).correct
    size = width(run.params)
    of = f"{len(built.source):,} examples of {dataset}" + (f", features of {features}," if features else "")
    say(f"trained {model} ({size:,} parameters) on {of} in {seconds:.1f} s:")
    say(f"test accuracy {float(correct.mean()):.4f}; written to {folder}")


def prepare(folder: Folder, /, method: str = "hessian_free", set: Settings = ()) -> None:
    """Prepares a method before anyone asks (hessian_free: one row per example).

    Args:
        folder: the run folder.
        method: hessian_free; the others prepare what they need when they forget.
        set: settings of the method.
    """
    chosen = registry.parse(set)
    unlearner = registry.build("methods", method, **chosen)
    with disk.lock(folder):
        run, _, _ = folders.load_run(folder)
        if unlearner.serves_once:
            raise BadInput(f"{method} is for the library: what it prepares is a secret that no run folder keeps")
        if not unlearner.stores_rows:
            say(f"only rows of hessian_free are kept here: {method} prepares what it needs when it forgets")
            return
        start, place = time.perf_counter(), rows(folder, unlearner)
        with progress(f"preparing {method}") as tick:
            gone = folders.forgotten(folder, method)
            stored = unlearner.store(replace(run, present=run.present.at[gone].set(False)), place, progress=tick)
        seconds = time.perf_counter() - start
    say(f"prepared {method}: {len(stored):,} rows in {seconds:.1f} s (secret: they describe single examples)")


def plan(folder: Folder, /) -> None:
    """Says what preparing, querying and retraining would cost here, and which is cheapest.

    Args:
        folder: the run folder.
    """
    run, _, _ = folders.load_run(folder)
    with progress("timing a few steps of each"):
        found = make_plan(run)
    say(str(found))
