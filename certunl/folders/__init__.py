"""Run folders: what the command line reads and adds to. The noun is `RunFolder`.

    folder = RunFolder(path)
    with folder.locked():
        line = folder.line("newton", method="newton", settings={})      # after its earlier requests
        update = method.forget(line.run, folder.rows(...), request, key)
        line.save(certify(update, budget, account=line.account), request)

run            RunFolder: a run on disk, its stored rows and lines
releases       Releases and Line: the updates and releases of all lines of requests
arrays         save_arrays, load_arrays: pytrees of arrays
parts          Parts: arrays and facts with their digests, whole or absent, secret ones for their owner alone
modelling      models by name, and the user's own classes through their adapters
saving         save, load: a run or a release in a folder of its own, a release as safetensors
checkpoints    read_params: parameters that other programs wrote
settings       the settings that a run is built from, written down before it trains
"""

from certunl.folders.parts import Parts
from certunl.folders.releases import Line, Releases
from certunl.folders.run import RunFolder
from certunl.folders.settings import LOSSES, Built, build, compose

__all__ = ["LOSSES", "Built", "Line", "Parts", "Releases", "RunFolder", "build", "compose"]
