"""Output losses: one loss per example from the outputs of a model and its targets."""

import jax
import jax.numpy as jnp

__all__ = ["LOSSES", "bit_loss", "bits_loss", "sequence_loss", "softmax_loss", "squared_loss"]


def softmax_loss(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    """-log softmax(outputs_i)[label_i]."""
    # a product with the one-hot label, because the derivative of indexing is a slow scatter
    one_hot = jax.nn.one_hot(labels, outputs.shape[-1], dtype=outputs.dtype)
    return jax.nn.logsumexp(outputs, axis=-1) - jnp.sum(outputs * one_hot, axis=-1)


def squared_loss(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """‖outputs_i − targets_i‖²/2."""
    return 0.5 * jnp.sum((outputs - targets.reshape(outputs.shape)) ** 2, axis=tuple(range(1, outputs.ndim)))


def bit_loss(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    """−log sigmoid((2 label_i − 1) outputs_i), the logistic loss of one logit."""
    return bits_loss(outputs.reshape(len(labels)), labels.reshape(-1))


def bits_loss(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    """The sum of the logistic losses of an example's logits."""
    z = outputs.reshape(len(labels), -1)
    losses = jax.nn.softplus(z) - labels.reshape(z.shape).astype(z.dtype) * z
    return jnp.sum(losses, axis=1)


def sequence_loss(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    """The mean of −log softmax(outputs_it)[label_it] over the places t of example i with a label of at least 0."""
    counted = (labels >= 0).astype(outputs.dtype)
    axes = tuple(range(1, labels.ndim))
    return jnp.sum(softmax_loss(outputs, labels) * counted, axis=axes) / jnp.maximum(jnp.sum(counted, axis=axes), 1)


LOSSES = (softmax_loss, squared_loss, bit_loss, bits_loss, sequence_loss)
"""All of them. They hold nothing of the data."""
