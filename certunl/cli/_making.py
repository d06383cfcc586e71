"""advise, train, plan and prepare: the work before the first request."""

import time
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal

import jax

from certunl import registry
from certunl.base import width
from certunl.cli._words import Folder, Settings, listed, opened, say, seeded, unlearner_of
from certunl.datasets import plan_lines
from certunl.errors import BadInput
from certunl.folders import LOSSES, RunFolder, build, compose
from certunl.planning import advise as choose
from certunl.planning import forecast, noise_prices, replays
from certunl.planning import plan as make_plan
from certunl.report.console import progress
from certunl.training.hosts import distributed as together
from certunl.training.hosts import meet
from certunl.training.mesh import own_devices
from certunl.training.training import train as train_run

__all__ = ["advise", "plan", "prepare", "train"]


def train(
    folder: Folder,
    /,
    dataset: Annotated[
        str,
        listed(
            "the data set: a file (.npz, .csv, .tsv, .parquet, .arrow, .feather), a folder of images "
            "(FOLDER/CLASS/*.png), package.module:function, or one of",
            registry.names("datasets"),
        ),
    ] = "digits",
    model: Annotated[
        str,
        listed(
            "the model: package.module:Class for a class of Flax linen, Flax NNX or Equinox, searched in the current "
            "folder too, or one of",
            registry.names("models"),
        ),
    ] = "mlp",
    set: Settings = (),
    loss: Annotated[
        str | None,
        listed(
            "the loss (default: classification if the data have classes, otherwise regression): one of the names, or "
            "package.module:function for f(outputs, targets) -> one loss per example. Names",
            LOSSES,
        ),
    ] = None,
    features: Path | None = None,
    train_size: int | None = None,
    train_from: int = 0,
    test_size: int | None = None,
    data_dir: Path | None = None,
    mislabel: float | None = None,
    states: int = 1,
    seed: int = 0,
) -> None:
    """Trains a model into a new run folder.

    Args:
        folder: the run folder to make.
        set: settings of the recipe, of the model, l2, randomness (a seed, which turns on dropout in training), or
            shards (the number of models, each with its part of the data, so that forgetting retrains few of them).
            slices=R trains in stages, to which forgetting goes back.
            data.NAME=VALUE is a setting of the data set, such as data.label=bought data.owner=user data.plan=plan.json
            for a table.
        features: another run folder, trained on public data: the model sees its network's features, kept in a copy.
        train_size: how many training examples to use (default: all).
        train_from: the number of the first training example to use.
        test_size: how many test examples to use (default: all).
        data_dir: the folder of data sets, as their authors publish them or prepared by tensorflow-datasets (default:
            $TFDS_DATA_DIR, then ~/tensorflow_datasets).
        mislabel: the share of training labels to replace by wrong ones, for requests of "mislabelled".
        states: how many states of the training are kept, to which retrain and noisy_retrain can go back.
        seed: decides the initial parameters, the batches, and the replaced labels.
    """
    limits: dict[str, Any] = {"train": train_size, "test": test_size, "train_from": train_from or None}
    limits["data_dir"] = data_dir and str(data_dir.expanduser().absolute())  # later verbs may run elsewhere
    settings, key, extractor = compose(dataset, model, set, limits, seed, mislabel, loss), seeded(seed), None
    RunFolder(folder).reserve()
    if features is not None:
        extractor, settings["features"] = RunFolder(features).features()
    built = build(settings, extractor)
    if built.splits.plan is not None:
        RunFolder(folder).announce(built.splits.plan)
        say("\n  ".join(["the data as understood (also in plan.json):", *plan_lines(built.splits.plan)]))
    if (rows := built.splits.rows) is not None:
        split = f"{len(rows):,} rows are training examples (ids 0 to {len(rows) - 1}), {len(built.splits.test):,} test"
        say(f"{split} the model; `forget --request rows:ROW` names rows of your data, from 0")
    start = time.perf_counter()
    place = RunFolder(folder)
    with place.training(settings, built) as checkpoints:
        with progress("training") as tick:
            resumable = None if built.recipe.noise else checkpoints
            run = train_run(built.problem, built.recipe, key, states=states, progress=tick, checkpoints=resumable)
        seconds = time.perf_counter() - start
        place.write_run(run, settings, built)
    scores = run.problem.scores(run.params, jax.tree.map(jax.numpy.asarray, built.splits.test))
    size = width(run.params)
    of = f"{len(built.source):,} examples of {dataset}" + (f", features of {features}," if features else "")
    say(f"trained {model} ({size:,} parameters) on {of} in {seconds:.1f} s:")
    if scores.correct is None:
        say(f"test loss {float(scores.losses.mean()):.4f}; written to {folder}")
    else:
        say(f"test accuracy {float(scores.correct.mean()):.4f}; written to {folder}")


def prepare(
    folder: Folder,
    /,
    method: str = "hessian_free",
    set: Settings = (),
    distributed: bool = False,
    timeout: float = 600.0,
) -> None:
    """Prepares a method before the first request (hessian_free: one row per example).

    Args:
        folder: the run folder.
        method: hessian_free. Every other method prepares during forget.
        set: settings of the method.
        distributed: share the work with the other processes that were started with the same command, by srun, mpirun,
            torchrun or the like. All of them see the same folder.
        timeout: with --distributed, the seconds that a process waits for the others.
    """
    place, unlearner = RunFolder(folder), unlearner_of(method, registry.parse(set))
    if not unlearner.stores_rows:
        say(f"only rows of hessian_free are kept here: {method} prepares what it needs when it forgets")
        return
    with together(timeout=timeout) if distributed else nullcontext():
        first, count = jax.process_index() == 0, jax.process_count()
        with ExitStack() as stack:
            if first:
                with own_devices():  # an interrupted request that comes first is no work of all
                    stack.enter_context(opened(place))
            if distributed:
                meet("the folder is open", limited=False)
            start = time.perf_counter()
            with progress(f"preparing {method}") if first else nullcontext() as tick:
                store = place.prepare(method, unlearner, progress=tick)
            seconds = time.perf_counter() - start
    if first:
        by = f" by {count} processes" if distributed else ""
        say(f"prepared {method}: {len(store):,} rows in {seconds:.1f} s{by} (secret: they describe single examples)")


def advise(
    epsilon: float = 1.0,
    delta: float = 1e-5,
    requests: int = 1,
    size: int = 1,
    work: float = 1.0,
    public: bool = False,
    examples: int = 60_000,
) -> None:
    """Prints which model to train so that its forgetting is PROVED, by measured accuracies and the prices of requests.

    Args:
        epsilon: the largest epsilon, of all requests together.
        delta: the delta of all requests together.
        requests: how many requests there will be before the model is trained anew.
        size: the examples of each request.
        work: the largest share of a training that a request may repeat: 0 for seconds, 1 for retraining.
        public: there are public data of the same kind, for an extractor of features.
        examples: the number of training examples, for the sizes of batches.
    """
    question = {"requests": requests, "size": size, "work": work, "public": public, "examples": examples}
    say(str(choose(epsilon=epsilon, delta=delta, **question)))


def plan(folder: Folder, /, topology: str | None = None, parameters: Literal["copied", "sharded"] = "copied") -> None:
    """Prints what preparing, querying and retraining would cost here, and which is cheapest. For models on shards
    or in slices it prints how much of a training a request replays, and for a training with noise the price of each
    example.

    Args:
        folder: the run folder.
        topology: TPUs that are not here, such as v5e:2x4. The programs are compiled for them and nothing runs: prints
            memory, arithmetic, and what fits. It needs the package libtpu.
        parameters: "sharded" has parameters and rows in parts on the chips of --topology; "copied" has all on each.
    """
    rule = None if parameters == "copied" else parameters
    if rule and topology is None:
        raise BadInput("--parameters sharded needs --topology, the chips on which they lie")
    run = RunFolder(folder).run
    with progress("timing a few steps of each" if topology is None else f"compiling for {topology}"):
        if topology is None:
            of = replays if run.problem.sharded else noise_prices if run.noise is not None else make_plan
            costs = of(run) if run.known_states is None or of is replays else f"{of(run)}\n\n{replays(run)}"
        else:
            costs = forecast(run, topology, parameters=rule)
    say(str(costs))
