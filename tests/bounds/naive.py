"""Softmax regression by hand, in NumPy: training, retraining, and both vectors of the Hessian-free method."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Softmax:
    """Training on x f[n, p], y i[n], c classes along indices i[t, b] with rates f[t] from start f[c·p]."""

    x: np.ndarray
    y: np.ndarray
    c: int
    indices: np.ndarray
    rates: np.ndarray
    start: np.ndarray
    weight_decay: float = 0.0
    l2: float = 0.0
    denominator: str = "batch"

    def derivatives(self, w, ids):
        """(gradients f[b, d], Hessians f[b, d, d]) of the examples' losses."""
        x = self.x[ids]
        z = x @ w.reshape(self.c, -1).T
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        curvature = p[:, :, None] * (np.eye(self.c) - p[:, None, :])
        b, d = len(ids), w.size
        gradients = np.einsum("bi,bj->bij", p - np.eye(self.c)[self.y[ids]], x).reshape(b, d)
        hessians = np.einsum("bij,bk,bl->bikjl", curvature, x, x).reshape(b, d, d)
        return gradients + self.l2 * w, hessians + self.l2 * np.eye(d)

    def step(self, w, ids, size, rate):
        """(the step, its derivative) on examples `ids` of a batch of `size`."""
        divisor = size if self.denominator == "batch" else len(ids)
        gradient, hessian = np.zeros_like(w), np.zeros((w.size, w.size))
        if len(ids):
            gradients, hessians = self.derivatives(w, ids)
            gradient, hessian = gradients.sum(0) / divisor, hessians.sum(0) / divisor
        decay = 1 - rate * self.weight_decay
        return decay * w - rate * gradient, decay * np.eye(w.size) - rate * hessian

    def forget(self, gone):
        """‖w' − w‖, and ‖w' − w − a‖ for the vector of each form."""
        w, v = self.start, self.start
        first, kept = np.zeros_like(w), np.zeros_like(w)
        for ids, rate in zip(self.indices, self.rates, strict=True):
            left, b = ids[~np.isin(ids, gone)], len(ids)
            moved, slope = self.step(w, ids, b, rate)
            without, slope_without = self.step(w, left, b, rate)
            gradients, _ = self.derivatives(w, ids)
            injected = gradients - (gradients.mean(0) if self.denominator == "retained" else 0)
            first = slope @ first + rate / b * injected[np.isin(ids, gone)].sum(0)
            kept = slope_without @ kept + without - moved
            v = self.step(v, left, b, rate)[0]
            w = moved
        norm = np.linalg.norm
        return {"nothing": norm(v - w), "first_order": norm(v - w - first), "retained": norm(v - w - kept)}

    def batches(self, gone):
        """What `recursive_bound` asks for."""
        counts = np.isin(self.indices, gone).sum(axis=1)
        width = self.indices.shape[1]
        return {"rates": self.rates, "sizes": width, "gone": counts, "divisors": width} | self.target()

    def target(self):
        return {"weight_decay": self.weight_decay, "denominator": self.denominator}


def one(weights, start, rates=(0.1,), y=0, c=2, **target):
    """Steps on one example each, x = 1: along `weights` copies with label y."""
    x = np.ones((weights, 1))
    return Softmax(
        x, np.full(weights, y), c, np.arange(weights)[:, None], np.asarray(rates), np.asarray(start), **target
    )


POINT = np.log([0.2113248654, 0.7886751346])
