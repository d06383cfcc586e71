"""certunl: train, plan, prepare, forget, evaluate, report; each verb reads a run folder and adds to it."""

import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro

from certunl import disk, history, requests, rooms, storage
from certunl.budget import Budget
from certunl.calibration import certify, secret_key
from certunl.console import progress, show
from certunl.evaluation import evaluate_all
from certunl.methods import HessianFree
from certunl.planning import plan as make_plan
from certunl.report import from_json, to_json, write
from certunl.settings import adopt, compose
from certunl.training import train as train_run
from certunl.typing import BadInput, Diverged, Key

__all__ = ["main"]

Folder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="the run folder")]
Settings = Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE ...")]


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
    data_dir: str | None = None,
    mislabel: float | None = None,
    seed: int = 0,
) -> None:
    """Trains a model into a new run folder.

    Args:
        folder: the run folder to make.
        dataset: digits, wine, breast_cancer, mnist, fashion_mnist, cifar10 or svhn.
        model: linear, mlp, cnn, allcnn or resnet18.
        set: settings of the recipe, of the model, or l2.
        features: another run folder, trained on public data: the model sees its network's features, kept in a copy.
        train_size: how many training examples to use (default: all).
        train_from: the number of the first training example to use.
        test_size: how many test examples to use (default: all).
        data_dir: where prepared TFDS data lie (default: $TFDS_DATA_DIR, then ~/tensorflow_datasets).
        mislabel: a share of the training labels to replace by wrong ones, for requests of "mislabelled".
        seed: decides the initial parameters, the batches, and whose labels are replaced.
    """
    limits = {"train": train_size, "test": test_size, "train_from": train_from or None, "data_dir": data_dir}
    settings, key, extractor = compose(dataset, model, set, limits, seed, mislabel), _key(seed), None
    storage.reserve(folder)
    if features is not None:
        extractor, settings["features"] = adopt(features)
    built = storage.build(settings, extractor)
    start = time.perf_counter()
    with progress("training") as tick:
        run = train_run(built.problem, built.recipe, key, progress=tick)
    seconds = time.perf_counter() - start
    storage.save_run(folder, run, settings, built)
    correct: Any = run.problem.scores(run.params, jax.tree.map(jax.numpy.asarray, built.splits.test)).correct
    size = sum(leaf.size for leaf in jax.tree.leaves(run.params))
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
    chosen = rooms.parse(set)
    unlearner = rooms.build("methods", method, **chosen)
    with disk.lock(folder):
        run, _, _ = storage.load_run(folder)
        if getattr(unlearner, "objective_noise", 0):
            raise BadInput("objective_noise is for the library: what it prepares is a secret that no run folder keeps")
        if not isinstance(unlearner, HessianFree):
            say(f"only rows of hessian_free are kept here: {method} prepares what it needs when it forgets")
            return
        start, place = time.perf_counter(), _rows(folder, unlearner)
        with progress(f"preparing {method}") as tick:
            gone = history.forgotten(folder, method)
            rows = unlearner.store(replace(run, present=run.present.at[gone].set(False)), place, progress=tick)
        seconds = time.perf_counter() - start
    say(f"prepared {method}: {len(rows):,} rows in {seconds:.1f} s (secret: they describe single examples)")


def plan(folder: Folder, /) -> None:
    """Says what preparing, querying and retraining would cost here, and which is cheapest.

    Args:
        folder: the run folder.
    """
    run, _, _ = storage.load_run(folder)
    with progress("timing a few steps of each"):
        found = make_plan(run)
    say(str(found))


def forget(
    folder: Folder,
    /,
    method: str = "hessian_free",
    request: str = "random:50",
    epsilon: float | None = None,
    delta: float = 1e-5,
    distance: float | None = None,
    sigma: float | None = None,
    total: float | None = None,
    trivial: bool = False,
    name: str | None = None,
    set: Settings = (),
    seed: int = 0,
) -> None:
    """Forgets a request and writes a certificate; the next request of the same name goes on from there.

    Args:
        folder: the run folder.
        method: hessian_free, newton, certified_removal, descent_to_delete, rewind_to_delete, noisy_finetuning,
            noisy_sgd, model_clipping, retrain, newton_step, jackknife, or a heuristic: finetune, neggrad,
            neggrad_plus, random_labels, salun, scrub, fisher, influence, lcodec.
        request: random:SIZE, class:LABEL[:SIZE], owner:ID,..., hardest:SIZE, influential:SIZE (whose deletion most
            raises the training loss), near_duplicates:SIZE (whose nearest neighbour stays), mislabelled[:SIZE]
            (where --mislabel replaced labels) or ids:ID,ID,...
        epsilon: the budget's epsilon (default 1, or read off where sigma is given).
        delta: the budget's delta.
        distance: a distance fixed before the request; refused when the proved bound exceeds it.
        sigma: a noise level fixed before the request.
        total: the epsilon that all releases of the line may reach together, at delta; refused beyond it.
        trivial: without a theorem, use the trivial bound of the ball (output perturbation).
        name: the line of requests this one continues (default: the method's name).
        set: settings of the method; solver=lissa solver.depth=500 reach its solver.
        seed: decides a random request and a method's own randomness, never the noise.
    """
    chosen, line = rooms.parse(set), storage.check_name(method if name is None else name)
    unlearner = rooms.build("methods", method, **chosen)
    key = _key(seed)
    if epsilon is None and sigma is None:
        epsilon = 1.0
    budget = Budget(epsilon=epsilon, delta=delta, distance=distance, sigma=sigma)
    limit = None if total is None else Budget(epsilon=total, delta=delta)
    with disk.lock(folder):
        run, _, known = storage.load_run(folder)
        state, earlier, account = history.resume(folder, run, line, {"method": method, "settings": chosen})
        account = account.limited(limit)
        ask_key, forget_key = jax.random.split(jax.random.fold_in(key, earlier))
        ids = requests.parse(request, ask_key, state, known["mislabelled"])
        rows, prepared = None, None
        if isinstance(unlearner, HessianFree) and (place := _rows(folder, unlearner)).exists():
            rows = unlearner.open(run, place)
            rows.drop(np.unique(rows.owners[history.forgotten(folder, method)]))
            prepared = rows if rows.covers(ids) else None
        with progress(f"forgetting by {method}"):
            own = secret_key() if getattr(unlearner, "own_noise", False) else forget_key
            update = unlearner.forget(state, prepared, ids, own)
        release = certify(update, budget, secret_key(), trivial=trivial, account=account)
        made = history.save_release(folder, line, earlier + 1, release, ids, {"method": method, "settings": chosen})
        if rows is not None:
            rows.drop(np.unique(rows.owners[ids]))
    how = "" if method != "hessian_free" or prepared is not None else " (nothing prepared: one pass for this request)"
    facts = {name: value for name, value in update.cost.items() if not name.endswith("seconds")}
    solved = "".join(f", {name.replace('_', ' ')} {value:.4g}" for name, value in facts.items())
    say(f"forgot {len(ids)} examples in {update.cost['seconds']:.4g} s{solved}{how}; written to releases/{made}")
    say(str(release.certificate))


def evaluate(folder: Folder, /) -> None:
    """Judges every release in the folder against true retraining.

    Args:
        folder: the run folder.
    """
    with disk.lock(folder):
        run, splits, _ = storage.load_run(folder)
        releases = history.load_releases(folder, run)
        if not releases:
            raise BadInput(f"{folder} holds no release; make one with: certunl forget {folder}")
        with progress("retraining, for comparison"):
            reports = evaluate_all(run, releases, test=splits.test)
        disk.write_json(folder / "evaluation.json", [to_json(report) for report in reports], mode=0o600)
    for report in reports:
        show(report)


def report(folder: Folder, /) -> None:
    """Writes RUN/report.html and report.md: tables, figures, certificates (evaluates first where that is not done).

    Args:
        folder: the run folder.
    """
    if history.stale(folder):
        evaluate(folder)
    with disk.lock(folder):
        facts = disk.read_json(folder / "run.json", "train again")
        held = disk.read_json(folder / "evaluation.json", "delete it and evaluate again")
        reports = [from_json(r) for r in held]
        certificates = history.certificates(folder)
        shown = {**facts["settings"], **facts["versions"], "device": facts["device"]}
        pages = [(r, [f"{n}\n{certificates[n]}" for n in r.rows if n in certificates]) for r in reports]
        warnings = history.warnings(folder)
        write(folder, f"certunl: {folder.name}", shown, pages, warnings)
    say(f"wrote {folder / 'report.html'}, and the same as report.md")
    for sentence in warnings:
        say(f"warning: {sentence}")


def demo(folder: Annotated[Path | None, tyro.conf.Positional] = None, /) -> None:
    """The whole story on bundled digits: train, prepare, forget two ways, certify, evaluate, report.

    Args:
        folder: where to put the run (default: a new temporary folder).
    """
    start = time.perf_counter()
    place = folder or Path(tempfile.mkdtemp(prefix="certunl-")) / "demo"
    train(place, "digits", "mlp", ("hidden=(32,)", "epochs=10", "learning_rate=0.1", "weight_decay=5e-4", "radius=20"))
    prepare(place)
    forget(place, "hessian_free", "random:50")
    forget(place, "newton", "random:50", set=("operator=ggn",))
    evaluate(place)
    report(place)
    say(f"the whole story took {time.perf_counter() - start:.1f} s")


def _rows(folder: Path, method: HessianFree) -> Path:
    """Where the rows of a form are kept."""
    return storage.secret(folder, "prepared") / f"hessian_free_{method.form}"


def _key(seed: int) -> Key:
    if not 0 <= seed < 2**31:
        raise BadInput(f"seed must be a whole number from 0 to {2**31 - 1}, got {seed}")
    return jax.random.key(seed)


def say(text: str) -> None:
    """One line (or a printed certificate) on stdout."""
    print(text, flush=True)


def main(args: list[str] | None = None) -> None:
    """Runs one verb; bad input and divergence end in one sentence on stderr and exit status 2."""
    verbs: dict[str, Any] = {f.__name__: f for f in (demo, train, plan, prepare, forget, evaluate, report)}
    try:
        tyro.extras.subcommand_cli_from_dict(verbs, prog="certunl", args=args)
    except (BadInput, Diverged) as error:
        print(f"certunl: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (OSError, MemoryError) as error:
        print(f"certunl: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(2)
