import pytest
import torch
from safetensors.torch import save_file

from memloc.errors import InputError
from memloc.models import checkpoint

TENSORS = {
    "weight": torch.arange(6.0).reshape(2, 3),
    "count": torch.tensor(7),
    "flags": torch.tensor([True, False]),
    "half": torch.tensor([0.5, 0.1], dtype=torch.bfloat16),
}
ABOUT = {"seed": 3, "history": [{"loss": 0.1}], "name": "é"}


@pytest.fixture
def path(tmp_path):
    checkpoint.save(TENSORS, ABOUT, tmp_path / "c.safetensors")
    return tmp_path / "c.safetensors"


def complaint(path):
    with pytest.raises(InputError) as caught:
        checkpoint.load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


def test_tensors_and_description_come_back(path):
    tensors, about = checkpoint.load(path)
    assert about == ABOUT and set(tensors) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert torch.equal(tensors[name], tensor) and tensors[name].dtype == tensor.dtype
        assert tensors[name].shape == tensor.shape


def test_memory_layout_and_gradients_do_not_matter(tmp_path):
    weight = torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last).requires_grad_()
    checkpoint.save({"w": weight, "t": torch.rand(3, 2).T}, {}, tmp_path / "c.safetensors")
    assert torch.equal(checkpoint.load(tmp_path / "c.safetensors")[0]["w"], weight.detach())


def test_the_same_content_gives_the_same_bytes(path, tmp_path):
    other = tmp_path / "d.safetensors"
    checkpoint.save(dict(reversed(TENSORS.items())), dict(reversed(ABOUT.items())), other)
    assert checkpoint.load(other)[1] == checkpoint.load(path)[1]
    assert other.read_bytes()[-40:] == path.read_bytes()[-40:]


def test_a_file_cut_off_anywhere_is_refused(path):
    data = path.read_bytes()
    for length in (0, 1, 8, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        assert "not a complete checkpoint" in complaint(path)


def test_a_byte_flipped_anywhere_is_refused(path):
    data = path.read_bytes()
    for at in range(len(data)):
        for bit in (1, 0x20, 0x80):
            altered = bytearray(data)
            altered[at] ^= bit
            path.write_bytes(bytes(altered))
            try:
                tensors, about = checkpoint.load(path)
            except InputError as error:
                assert str(path) in str(error)
                continue
            # Only what carries no meaning, as a space in the header, may pass.
            assert about == ABOUT, at
            assert all(torch.equal(tensors[n], t) and tensors[n].dtype == t.dtype for n, t in TENSORS.items()), at


def test_a_flipped_bit_of_a_weight_is_told_as_altered(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    assert "altered since it was written" in complaint(path)


def test_a_missing_file_is_refused(tmp_path):
    complaint(tmp_path / "gone.safetensors")


def test_safetensors_of_others_are_refused(tmp_path):
    save_file({"w": torch.ones(2)}, tmp_path / "x.safetensors")
    assert "not a checkpoint of memloc" in complaint(tmp_path / "x.safetensors")


def test_a_state_is_restored_whole(network, tmp_path):
    a, b = network(0), network(1)
    checkpoint.restore(b, a.state_dict(), "p")
    assert all(torch.equal(x, b.state_dict()[n]) for n, x in a.state_dict().items())


@pytest.mark.parametrize("change", ["shape", "missing", "extra"])
def test_wrong_names_or_shapes_are_named_and_change_nothing(network, change):
    encoder = network()
    before = {n: t.clone() for n, t in encoder.state_dict().items()}
    state = {n: t + 1 for n, t in before.items()}
    name = "block3.conv.weight"
    if change == "shape":
        state[name] = torch.ones(1)
    elif change == "missing":
        del state[name]
    else:
        name = "block9.conv.weight"
        state[name] = torch.ones(1)
    with pytest.raises(InputError, match=rf"p\.safetensors: belongs to another encoder \({name} differs\)"):
        checkpoint.restore(encoder, state, "p.safetensors")
    assert all(torch.equal(t, before[n]) for n, t in encoder.state_dict().items())


def test_an_interrupted_write_leaves_the_old_checkpoint(path, monkeypatch):
    before = path.read_bytes()

    def fail(tensors, file, metadata):
        file.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(checkpoint, "save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(TENSORS, {}, path)
    assert path.read_bytes() == before and [p.name for p in path.parent.iterdir()] == [path.name]
