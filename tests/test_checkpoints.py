"""Parameters that other programs wrote, by their own writers."""

import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import serialization

import certunl as cu
from certunl.folders.arrays import save_arrays
from certunl.folders.checkpoints import tensors, write_tensors
from tests.cases import KEY, network, vector


@pytest.fixture(scope="module")
def params():
    return jax.tree.map(np.asarray, network().init(KEY))


def orbax(place, params):
    save_arrays(place / "there", {"params": params, "step": np.ones(())})
    return place / "there"


def managed(place, params):
    (place / "7").mkdir()
    save_arrays(place / "7/default", {"params": params})
    return place / "7"


def msgpack(place, params):
    (place / "there.msgpack").write_bytes(serialization.to_bytes({"params": params}))
    return place / "there.msgpack"


def safetensors(place, params):
    write_tensors(place / "there.safetensors", params, {})
    return place / "there.safetensors"


def npz(place, params):
    flat = {f"{layer}.{name}": leaf for layer, leaves in params.items() for name, leaf in leaves.items()}
    np.savez(place / "there.npz", **flat)
    return place / "there.npz"


WRITERS = [orbax, managed, msgpack, safetensors, npz]


@pytest.mark.parametrize("write", WRITERS)
def test_what_others_wrote_is_read_and_adopted(write, params, tmp_path):
    place = write(tmp_path, params)
    tree = cu.read_params(place)
    run = cu.adopt(network(), tree.get("params", tree))
    assert (vector(run.params) == vector(params)).all()
    if write is not npz:  # its names have dots
        assert (vector(cu.read_params(place, like=params)) == vector(params)).all()


def test_an_adopted_checkpoint_serves_newton(params, tmp_path):
    run = cu.adopt(network(), cu.read_params(orbax(tmp_path, params), like=params), recipe=cu.Recipe(weight_decay=0.05))
    update = cu.Newton(operator="ggn").forget(run, None, [1, 2], KEY)
    assert np.isfinite(vector(update.params)).all() and update.cost["damping"] > 0


def test_pytorch_layouts_are_turned(tmp_path):
    rng = np.random.default_rng(0)
    dense, conv, table = rng.normal(size=(3, 5)), rng.normal(size=(4, 2, 3, 1)), rng.normal(size=(7, 2))
    arrays = {"fc.weight": dense, "conv.weight": conv, "words.weight": table, "fc.bias": np.ones(3)}
    np.savez(tmp_path / "torch.npz", **arrays)
    names = {"Dense_0/kernel": "fc.weight", "Dense_0/bias": "fc.bias", "Conv_0/kernel": "conv.weight"}
    names["Embed_0/embedding"] = "words.weight"
    tree = cu.read_params(tmp_path / "torch.npz", names=names)
    x = rng.normal(size=5)
    np.testing.assert_allclose(x @ tree["Dense_0"]["kernel"], dense @ x)
    assert tree["Conv_0"]["kernel"].shape == (3, 1, 2, 4)
    assert tree["Conv_0"]["kernel"][2, 0, 1, 3] == conv[3, 1, 2, 0]
    assert (tree["Embed_0"]["embedding"] == table).all()
    (tmp_path / "names.json").write_text(json.dumps(names))
    again = cu.read_params(tmp_path / "torch.npz", names=tmp_path / "names.json")
    assert (vector(again) == vector(tree)).all()


class Block(nn.Module):
    """The block of Flax's ImageNet example, with PyTorch's padding."""

    features: int
    stride: int

    @nn.compact
    def __call__(self, x):
        pad = [(1, 1), (1, 1)]
        norm = {"use_running_average": True}
        y = nn.Conv(self.features, (3, 3), self.stride, pad, use_bias=False)(x)
        y = nn.relu(nn.BatchNorm(**norm)(y))
        y = nn.BatchNorm(**norm)(nn.Conv(self.features, (3, 3), 1, pad, use_bias=False)(y))
        if x.shape != y.shape:
            x = nn.Conv(self.features, (1, 1), self.stride, use_bias=False, name="conv_proj")(x)
            x = nn.BatchNorm(**norm, name="norm_proj")(x)
        return nn.relu(x + y)


class ResNet(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Conv(64, (7, 7), 2, [(3, 3), (3, 3)], use_bias=False, name="conv_init")(x)
        x = nn.relu(nn.BatchNorm(use_running_average=True, name="bn_init")(x))
        x = nn.max_pool(x, (3, 3), (2, 2), [(1, 1), (1, 1)])
        for i in range(8):
            x = Block(64 * 2 ** (i // 2), 2 if i in (2, 4, 6) else 1, name=f"ResNetBlock_{i}")(x)
        return nn.Dense(1000)(x.mean((1, 2)))


def test_the_names_of_torchvisions_resnet18_fill_a_flax_resnet18(tmp_path):
    """Every array lands at its place, by its shape and by a number of its own."""
    like = jax.eval_shape(ResNet().init, KEY, jax.ShapeDtypeStruct((1, 64, 64, 3), "float32"))
    shapes, number = {}, 0
    widths = [64, 128, 256, 512]
    shapes["conv1.weight"] = (64, 3, 7, 7)
    norms = {"bn1": 64}
    for level, width in enumerate(widths):
        for block in (0, 1):
            before = width if block or not level else widths[level - 1]
            place = f"layer{level + 1}.{block}"
            shapes[f"{place}.conv1.weight"], shapes[f"{place}.conv2.weight"] = (
                (width, before, 3, 3),
                (width, width, 3, 3),
            )
            norms |= {f"{place}.bn1": width, f"{place}.bn2": width}
            if level and not block:
                shapes[f"{place}.downsample.0.weight"] = (width, before, 1, 1)
                norms[f"{place}.downsample.1"] = width
    for place, width in norms.items():
        shapes |= {f"{place}.{end}": (width,) for end in ("weight", "bias", "running_mean", "running_var")}
        shapes[f"{place}.num_batches_tracked"] = ()
    shapes |= {"fc.weight": (1000, 512), "fc.bias": (1000,)}
    arrays = {name: np.full(shape, number, np.float32) for number, (name, shape) in enumerate(shapes.items())}
    np.savez(tmp_path / "resnet18.npz", **arrays)
    variables = cu.read_params(tmp_path / "resnet18.npz", like=like, names="resnet18_torchvision")
    params, stats = variables["params"], variables["batch_stats"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 11_689_512  # as torchvision says
    number = {name: array.flat[0] for name, array in arrays.items()}
    assert params["ResNetBlock_4"]["conv_proj"]["kernel"].flat[0] == number["layer3.0.downsample.0.weight"]
    assert params["ResNetBlock_7"]["BatchNorm_1"]["scale"][0] == number["layer4.1.bn2.weight"]
    assert stats["ResNetBlock_7"]["BatchNorm_0"]["var"][0] == number["layer4.1.bn1.running_var"]
    values = [leaf.flat[0] for leaf in jax.tree.leaves(variables)]
    assert len(set(values)) == len(values) == 102
    model = cu.models.Frozen(ResNet(), stats)
    data = cu.Dataset(np.zeros((2, 64, 64, 3), np.float32), np.array([0, 999]))
    assert not cu.adopt(cu.classification(model, data), params).history


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64", "int8", "int64", "bool"])
def test_every_dtype_comes_back(dtype, tmp_path):
    array = np.asarray(jnp.arange(6).reshape(2, 3) - 2, jnp.dtype(dtype))
    write_tensors(tmp_path / "w.safetensors", {"a": {"w": array}}, {})
    back = tensors(tmp_path / "w.safetensors")["a/w"]
    assert back.dtype == array.dtype and (back == array).all()


def test_without_the_library_safetensors_is_named(tmp_path, monkeypatch):
    write_tensors(tmp_path / "w.safetensors", {"w": np.ones(1)}, {})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(cu.BadInput, match=r"pip install 'certunl\[safetensors\]'"):
        cu.read_params(tmp_path / "w.safetensors")


def test_what_cannot_be_read_is_said_in_one_sentence(params, tmp_path):
    place = npz(tmp_path, params)
    (tmp_path / "cut.safetensors").write_bytes(b"12")
    (tmp_path / "cut.msgpack").write_bytes(b"\xc1")
    (tmp_path / "cut.npz").write_bytes(b"PK")
    (tmp_path / "weights.bin").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    np.savez(tmp_path / "clash.npz", **{"a": np.ones(1), "a.b": np.ones(1)})
    np.savez(tmp_path / "objects.npz", a=np.array([{}], object))
    for name, settings, sentence in (
        ("none.npz", {}, "there is no "),
        ("cut.safetensors", {}, "cannot be read as .safetensors"),
        ("cut.msgpack", {}, "cannot be read as .msgpack"),
        ("cut.npz", {}, "cannot be read as .npz"),
        ("objects.npz", {}, "cannot be read as .npz"),
        ("weights.bin", {}, r"must end in \.npz, \.msgpack, \.safetensors"),
        ("empty", {}, "empty is no checkpoint of orbax$"),
        ("clash.npz", {}, "'a.b' lies below 'a'"),
        (place.name, {"like": params}, "has no 'Dense_0/bias'; it has Dense_0"),
        (place.name, {"names": {"a": "b"}}, "has no 'b'; it has Dense_0"),
        (place.name, {"names": "vgg"}, "names must be a table .* resnet18_torchvision, got 'vgg'"),
        (place.name, {"names": {"w": "Dense_0.bias"}, "like": {"w": np.ones(5)}}, r"shape \[6\], expected \[5\]"),
    ):
        with pytest.raises(cu.BadInput, match=sentence):
            cu.read_params(tmp_path / name, **settings)
