"""certunl: train, plan, prepare, forget, evaluate, compare, audit, report; each reads a run folder and adds to it."""

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import tyro

import certunl
from certunl.cli._forgetting import forget
from certunl.cli._judging import evaluate, report
from certunl.cli._making import plan, prepare, train
from certunl.cli._studying import audit, compare
from certunl.cli._words import say
from certunl.errors import BadInput, Diverged

__all__ = ["main"]


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


_VERBS = (demo, train, plan, prepare, forget, evaluate, compare, audit, report)


def main(args: list[str] | None = None) -> None:
    """Runs one verb; bad input and divergence end in one sentence on stderr and exit status 2."""
    verbs: dict[str, Any] = {f.__name__: f for f in _VERBS}
    words = sys.argv[1:] if args is None else args
    if words == ["--version"]:
        return say(f"certunl {certunl.__version__}")
    about = "Certified machine unlearning. certunl VERB --help explains a verb, certunl --version prints the version."
    try:
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
        print(f"certunl: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(2)
