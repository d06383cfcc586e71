"""Runs as arrays and facts, and runs from them again."""

import dataclasses
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import Params, digest
from certunl.errors import BadInput
from certunl.folders._describing import described, rebuilt
from certunl.training.dataset import placed
from certunl.training.loop import follow
from certunl.training.noisy import NoiseRecord
from certunl.training.problem import Dataset, Problem
from certunl.training.provenance import Provenance
from certunl.training.recipe import Recipe
from certunl.training.run import Run
from certunl.training.schedule import Schedule
from certunl.training.slot_table import SlotTable
from certunl.training.starting import fitting
from certunl.training.states import States

__all__ = ["listed", "of_run", "run_of"]

_REPLAYED = 8


def of_run(run: Run, data: bool) -> tuple[Params, dict[str, Any]]:
    """The arrays and the facts of a run."""
    model = described(run.problem)
    arrays: dict[str, Any] = {"start": run.start, "params": run.params, "present": run.present}
    if run.history:  # orbax refuses arrays without elements
        arrays["schedule"] = run.schedule.arrays()
    if run.losses is not None:
        arrays["losses"] = run.losses
    if run.noise is not None:
        arrays["states"] = run.noise.arrays()
    if run.states is not None:
        arrays["stages"] = run.states.arrays()
    if data and model is not None and not run.problem.data.on_host:
        whole = run.problem.data
        arrays["data"] = {name: a for name in ("x", "y", "owners") if (a := getattr(whole, name)) is not None}
    if (slots := run.problem.data.slots) is not None:
        arrays["slots"] = slots.indices
    recipe = {field.name: getattr(run.recipe, field.name) for field in dataclasses.fields(run.recipe)}
    if not isinstance(recipe["optimizer"], str):
        recipe["optimizer"] = None
    return listed(arrays), {
        "kind": "run",
        "model": model,
        "unchecked": run.problem.data.unchecked,
        **({} if slots is None else {"slots": slots.facts()}),
        "recipe": recipe,
        "provenance": run.provenance.facts(),
        **({} if run.noise is None else {"noise": run.noise.facts()}),
        "data": digest(None, _on_host(run.problem.data)),
    }


def run_of(place: Path, facts: Any, arrays: Any, problem: Problem | None, recipe: Recipe | None) -> Run:
    """The run of its facts and arrays."""
    if problem is None:
        if facts["model"] is None or "data" not in arrays:
            lacks = "the training data" if facts["model"] else "the model and losses, which are not of this library,"
            raise BadInput(f"{lacks} were not saved in {place}; give them: load(place, problem=...)")
        data = Dataset(**jax.tree.map(jnp.asarray, arrays["data"]), unchecked=tuple(facts["unchecked"]))
        problem = rebuilt(facts["model"], data)
    elif described(problem) != facts["model"]:
        raise BadInput(f"the model or the losses of the problem are not those of the run in {place}; give the same")
    words = tuple(dict.fromkeys((*problem.data.unchecked, *facts["unchecked"])))
    slots = SlotTable.made_of(arrays["slots"], facts["slots"]) if "slots" in facts else None
    problem = replace(problem, data=replace(placed(problem.data), unchecked=words, slots=slots))
    if digest(None, _on_host(problem.data)) != facts["data"]:
        raise BadInput(f"the data of the problem are not those of the run in {place}; give the same in the same order")
    settings = dict(facts["recipe"])
    if settings["optimizer"] is None:
        if recipe is None or isinstance(recipe.optimizer, str):
            raise BadInput(
                f"the optimizer of the run in {place} is an object, which is not saved; give recipe=Recipe(...)"
            )
        settings["optimizer"] = recipe.optimizer
    same = Recipe(**settings)
    if recipe is not None and recipe != same:
        raise BadInput(f"the run in {place} was trained by {same}, got {recipe}; give the same recipe")
    history = {name: jnp.asarray(array) for name, array in arrays.get("schedule", {}).items()}
    nothing = {"indices": jnp.zeros((0, 1), "int32"), "weights": jnp.zeros((0, 1)), "rates": jnp.zeros(0)}
    run = Run(
        problem=problem,
        recipe=same,
        start=fitting(arrays["start"], problem),
        schedule=Schedule(**(history or nothing)),
        params=fitting(arrays["params"], problem),
        present=jnp.asarray(arrays["present"]),
        provenance=Provenance(**facts["provenance"]),
        losses=jnp.asarray(arrays["losses"]) if "losses" in arrays else None,
        noise=NoiseRecord.of(arrays["states"], facts["noise"]) if "noise" in facts else None,
        states=States.of(arrays["stages"]) if "stages" in arrays else None,
    )
    _check_first_losses(run, place)
    return run


def _check_first_losses(run: Run, place: Path) -> None:
    """Raises BadInput if the first batches have other losses than in training.

    The problem or the optimizer is then another one. Later batches may differ by rounding on another machine.
    """
    if run.losses is None or not run.history or run.noise is not None:  # noise cannot be drawn again
        return
    first = jax.tree.map(lambda array: array[:_REPLAYED], run.schedule)
    now, then = np.asarray(follow(run.problem, run.recipe, run.start, first)[1]), np.asarray(run.losses[:_REPLAYED])
    if len(off := np.flatnonzero(~np.isclose(now, then, rtol=1e-4, atol=1e-6))):
        raise BadInput(
            f"batch {off[0] + 1} of the run in {place} has the loss {now[off[0]]:.6g} by this problem and recipe, but "
            f"had {then[off[0]]:.6g} in training; give the same model, losses, optimizer and frozen parameters"
        )


def _on_host(data: Dataset) -> Dataset:
    """The data as NumPy arrays of the dtypes that JAX keeps."""
    return jax.tree.map(lambda a: np.asarray(a, jax.dtypes.canonicalize_dtype(np.asarray(a).dtype)), data)


def listed(arrays: Params) -> Params:
    """`arrays` as nested dictionaries of NumPy arrays, as `load_arrays` gives them back."""
    return jax.tree.map(np.asarray, arrays)
