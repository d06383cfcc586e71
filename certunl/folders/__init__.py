"""Run folders: what the command line reads and adds to. The noun is `RunFolder`.

    folder = RunFolder(path)
    with folder.locked():                                               # finishes what a crash left open
        line = folder.line("newton", method="newton", settings={})      # after its earlier requests
        entries = line.ask([(order, ids)])                              # recorded before anything is computed
        entries, line = line.answer(entries)                            # update, release, erasure

run            RunFolder: a run on disk, its stored rows and lines
line           Line: requests one after another; each is asked, applied, released, erased
order          Order, Entry: a request as it was asked, and as the ledger has it
ledger         Ledger: every request, in SQLite; chain, spending: its hashes, and the account that follows from it
repeating      the rule of an id: which request repeats an earlier one
resuming       Checkpoints: a training that goes on after a kill
settling       what is done first about requests that a crash interrupted
sharing        Shared, follow: process 0 has the folder, and other processes compute with it
releases       Releases: the updates and releases of all lines
arrays         save_arrays, load_arrays: pytrees of arrays
json_files     write_json, read_json: files of JSON without NaN
parts          Parts: arrays and facts with their digests, whole or absent, secret ones for their owner alone
modelling      models by name, and the user's own classes through their adapters
saving         save, load: a run or a release in a folder of its own, a release as safetensors
checkpoints    read_params: parameters that other programs wrote
settings       the settings that a run is built from, written down before it trains
"""

from certunl.folders.ledger import Ledger
from certunl.folders.line import Line
from certunl.folders.order import Entry, Order, drawn_id
from certunl.folders.parts import Parts
from certunl.folders.releases import Releases
from certunl.folders.resuming import Checkpoints
from certunl.folders.run import RunFolder
from certunl.folders.settings import LOSSES, Built, build, compose

__all__ = [
    "LOSSES",
    "Built",
    "Checkpoints",
    "Entry",
    "Ledger",
    "Line",
    "Order",
    "Parts",
    "Releases",
    "RunFolder",
    "build",
    "compose",
    "drawn_id",
]
