"""Training: one objective, one loop, and everything derived from the two.

    problem        Dataset, Problem, Scores: the objective is losses(params, batch) -> f[b], one number per example
    supervised     problems of a model: classification, regression
    recipe         the settings of training
    schedule       the batches, drawn from a recipe; a deletion is a mask on them
    secret_batches the batches that nobody knows, for training with noise
    loop           step, follow, replay: a scan of one step along a schedule
    run            Run: a trained model and everything that determines it
    training       fit, train, retrained
    sharding       several models on disjoint shards of the data, which are one model
    adoption       adopt: the run of a model that was trained elsewhere, without a history
    recording      record: the schedule of one's own loop
    continuing     further training of a run
    sensitivity    the derivative of the loop with respect to the presence of each example
    curvature      Hessian, Gauss-Newton and Fisher as functions v -> A v
    streaming      sums over all the data in the memory of a few examples
    risk           the risk that retraining minimises
    ensemble       many models trained together
    mesh           use_mesh: the devices that share the work of one call
    placing        parameters in parts on several devices
    hosts          distributed: several processes that make the same calls together, and watch each other
    workers        blocks of work, spread over cores and devices
    memory         what is free, and the refusal of what needs more

A custom problem consists of two functions and the data:

    problem = Problem(init=lambda key: params, losses=lambda params, batch: f[b], data=Dataset(x, y))
"""

from certunl.training.problem import Dataset, Problem, Scores
from certunl.training.recipe import Recipe
from certunl.training.run import Run
from certunl.training.schedule import Schedule
from certunl.training.supervised import classification, regression
from certunl.training.training import fit, retrained, train

__all__ = [
    "Dataset",
    "Problem",
    "Recipe",
    "Run",
    "Schedule",
    "Scores",
    "classification",
    "fit",
    "regression",
    "retrained",
    "train",
]
