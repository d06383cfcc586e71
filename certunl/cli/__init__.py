"""certunl: advise, train, plan, prepare, forget, evaluate, compare, audit, report, ledger, verify, purge, serve."""

import io
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import tyro

import certunl
from certunl.cli._forgetting import forget
from certunl.cli._judging import evaluate, report
from certunl.cli._keeping import ledger, purge, verify
from certunl.cli._making import advise, plan, prepare, train
from certunl.cli._programs import keeping_programs
from certunl.cli._serving import serve
from certunl.cli._stopping import stoppable
from certunl.cli._studying import audit, compare
from certunl.cli._words import say
from certunl.disk import trouble
from certunl.errors import BadInput, Diverged
from certunl.folders import RunFolder

__all__ = ["main"]


def demo(folder: Annotated[Path | None, tyro.conf.Positional] = None, /) -> None:
    """Runs every step on bundled digits: train, prepare, forget by two methods, certify, evaluate, report.

    A network comes first, of which nothing is proved. A linear model follows, whose certificate is PROVED. Two networks
    that are PROVED come last: five models on shards, and one that learns with noise. Each has its price.

    Args:
        folder: the run folder to make (default: a new temporary folder). The others are FOLDER-head, FOLDER-shards and
            FOLDER-noise.
    """
    start = time.perf_counter()
    place = (folder or Path(tempfile.mkdtemp(prefix="certunl-")) / "demo").absolute()
    head, shards, noise = (place.with_name(f"{place.name}-{name}") for name in ("head", "shards", "noise"))
    for folder in (place, head, shards, noise):
        RunFolder(folder).reserve()
    train(place, "digits", "mlp", ("hidden=(32,)", "epochs=10", "learning_rate=0.5", "weight_decay=5e-4", "radius=20"))
    prepare(place)
    forget(place, "hessian_free", "random:50")
    forget(place, "newton", "random:50", set=("operator=ggn",))
    evaluate(place)
    report(place)
    say("\nNo theorem holds for the network, so it was released without noise. One holds for a linear model:")
    recipe = ("bound=1", "epochs=50", "batch_size=100", "learning_rate=1", "weight_decay=0.001")
    train(head, "digits", "linear", recipe)
    forget(head, "certified_removal", "random:50")
    evaluate(head)
    report(head)
    say(
        "\nTwo networks are PROVED as well. Of models on shards, the one that has learnt from the request is retrained:"
    )
    train(shards, "digits", "mlp", ("hidden=(32,)", "epochs=20", "batch_size=20", "learning_rate=0.3", "shards=5"))
    forget(shards, "retrain", "random:1")
    say("\nNoise in every step hides each example, so that the network has forgotten it as it is:")
    train(noise, "digits", "mlp", ("hidden=(32,)", "epochs=20", "batch_size=300", "learning_rate=2", *_NOISE))
    forget(noise, "noisy_retrain", "random:1", epsilon=4.0)
    say(_price(place, head))
    for of, name in ((shards, "retrain-1"), (noise, "noisy_retrain-1")):
        say(_own_price(of, name))
    say(f"the whole story took {time.perf_counter() - start:.1f} s")


def _price(network: Path, head: Path) -> str:
    """Verdict and test accuracy of the released network and of the released linear model."""
    sentences = []
    for place, name, model in ((network, "newton-1", "the network"), (head, "certified_removal-1", "the linear model")):
        for facts in RunFolder(place).read("evaluation", []):
            released = f"{name} + noise" if f"{name} + noise" in facts["rows"] else name
            if released in facts["rows"]:
                accuracy = 100 * facts["rows"][released]["test_accuracy"]
                sentences.append(f"{facts['verdicts'][name]}: {model} as released, test accuracy {accuracy:.1f}%")
    return "\n".join(sentences)


_NOISE = ("clip_each=1", "noise=5")


def _own_price(place: Path, name: str) -> str:
    """Verdict, epsilon, work and test accuracy of a released network."""
    folder = RunFolder(place)
    release, test = folder.releases.release(name), jax.tree.map(jnp.asarray, folder.splits.test)
    correct: Any = folder.run.problem.scores(release.params, test).correct
    accuracy = 100 * float(correct.mean())
    certificate, share = release.certificate, release.update.cost["share_of_training"]
    price = f"epsilon {certificate.epsilon:.3g}, {share:.0%} of a training, test accuracy {accuracy:.1f}%"
    return f"{certificate.verdict}: the network of {place.name} as released, {price}"


_VERBS = (demo, advise, train, plan, prepare, forget, evaluate, compare, audit, report, ledger, verify, purge, serve)


def main(args: list[str] | None = None) -> None:
    """Runs one verb. Bad input and divergence end in one sentence on stderr and exit status 2, Ctrl-C and SIGTERM in
    one and 130 or 143."""
    verbs: dict[str, Any] = {f.__name__: keeping_programs(f) for f in _VERBS}
    words = sys.argv[1:] if args is None else args
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal cannot show must not end a verb
            stream.reconfigure(errors="backslashreplace")
    if words == ["--version"]:
        return say(f"certunl {certunl.__version__}")
    about = "Certified machine unlearning. certunl VERB --help explains a verb, certunl --version prints the version."
    try:
        with stoppable(words[0] if words else ""), warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: print(f"certunl: warning: {message}", file=sys.stderr)
            tyro.extras.subcommand_cli_from_dict(verbs, prog="certunl", description=about, args=words)
    except (BadInput, Diverged) as error:
        print(f"certunl: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (OSError, MemoryError) as error:
        print(f"certunl: {trouble(error) or f'{type(error).__name__}: {error}'}", file=sys.stderr)
        sys.exit(2)
