"""Rows: one vector per unit, which forgetting the unit adds to the parameters.

    statistics     Statistics: rows in memory
    store          Store: the same rows on disk or in a bucket
    shards         the files of a store
    packing        rows as a matrix, and back
    origin         Origin, fingerprint: whose rows
    gatherers      Forward, Backward: the two orders, into memory or a store
    gathering      rows gathered along the schedule
    repair         rows carried on along a repairing training
    staleness      how far off rows have become
    attribution    products of all rows with one vector, from one pass

Rows in memory and on disk are read alike (`Rows`):

    rows.units, rows.owners                 who has a row; the unit of each example
    rows.covers(request) -> bool            whether every unit of the request has one
    rows.correction(request) -> params      the sum of the request's rows
    rows.read(units), rows.drop(units)      some rows; the rows without some
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
