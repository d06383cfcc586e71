"""Rows, one vector per unit. Forgetting a unit adds its row to the parameters.

    statistics     Statistics: rows in memory
    store          Store: the same rows on disk or in a bucket
    shards         the rows of a store, written by chunk
    files          the folder or bucket that they lie in
    lease          the lock of a bucket
    packing        conversion between rows and a matrix
    origin         Origin, fingerprint: the run that rows belong to
    gatherers      Forward, Backward: the two gathering orders, into memory or a store
    gathering      rows gathered along the schedule
    repair         rows continued along a repairing training run
    staleness      the error of rows after earlier deletions
    attribution    inner products of all rows with one vector, from one pass

Rows in memory and rows on disk have the same interface (`Rows`):

    rows.units, rows.owners                 the units that have a row; the unit of each example
    rows.covers(request) -> bool            whether every unit of the request has a row
    rows.correction(request) -> params      the sum of the request's rows
    rows.read(units), rows.drop(units)      the rows of some units; the rows without those of some units
"""

from certunl.rows._rows import Rows
from certunl.rows.attribution import attribute, loss_changes
from certunl.rows.gatherers import Backward, Forward
from certunl.rows.origin import Origin, fingerprint
from certunl.rows.staleness import Staleness, measure_staleness
from certunl.rows.statistics import Statistics
from certunl.rows.store import Store

__all__ = [
    "Backward",
    "Forward",
    "Origin",
    "Rows",
    "Staleness",
    "Statistics",
    "Store",
    "attribute",
    "fingerprint",
    "loss_changes",
    "measure_staleness",
]
