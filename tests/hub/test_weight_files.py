"""Files of a model folder that comes from anyone: read whole, or refused by name."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from foretext.core.errors import CheckpointError
from foretext.hub.weight_files import read_shapes, read_tensors, weight_files, write_tensors

TENSORS = {
    "a.weight": torch.arange(15.0).view(3, 5),
    "b.bias": torch.arange(7.0),
    "c": torch.ones(2, dtype=torch.float16),
    "d": torch.tensor(3.0),
}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("max_shard_bytes", [10**9, 70, 1])
def test_what_is_written_is_read(max_shard_bytes: int, tmp_path: Path) -> None:
    """One file, several shards, and a shard for each tensor."""
    write_tensors(tmp_path, TENSORS, max_shard_bytes=max_shard_bytes)
    assert len(weight_files(tmp_path)) == {10**9: 1, 70: 2, 1: 4}[max_shard_bytes]
    assert equal(read_tensors(tmp_path), TENSORS)
    shapes = read_shapes(tmp_path)
    assert {k: (t.shape, t.dtype) for k, t in shapes.items()} == {
        k: (t.shape, t.dtype) for k, t in TENSORS.items()
    }
    assert all(t.is_meta for t in shapes.values())
    for path in weight_files(tmp_path):
        with safe_open(path, "pt") as file:
            assert file.metadata() == {"format": "pt"}


def test_views_are_written_as_they_look(tmp_path: Path) -> None:
    """Transposed tensors and parts of a fused one share memory with others."""
    fused = torch.arange(24.0).view(6, 4)
    views = {"t": fused.t(), "low": fused[:3], "high": fused[3:], "all": fused, "mid": fused[2:5]}
    write_tensors(tmp_path, views)
    assert equal(read_tensors(tmp_path), views)


def test_writing_again_leaves_no_file_of_before(tmp_path: Path) -> None:
    """An index of before would be read beside the new weights."""
    for size in (10**9, 1, 70, 10**9):
        write_tensors(tmp_path, TENSORS, max_shard_bytes=size)
        assert equal(read_tensors(tmp_path), TENSORS)
        index = tmp_path / "model.safetensors.index.json"
        files = {p.name for p in tmp_path.iterdir()} - {index.name}
        assert files == {p.name for p in weight_files(tmp_path)}
        assert index.exists() == (size < 10**9)


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ecosystem.md danger 3: a full disk ends in one line, and the previous weights stay."""

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    write_tensors(tmp_path, TENSORS)
    monkeypatch.setattr("foretext.hub.weight_files.save_file", full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        write_tensors(tmp_path, {"a.weight": torch.zeros(1)})
    assert equal(read_tensors(tmp_path), TENSORS)
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_an_empty_folder_says_what_is_expected(tmp_path: Path) -> None:
    """The rule and the remedy in one line."""
    with pytest.raises(CheckpointError, match=r"holds no weights; expected model\.safetensors"):
        read_tensors(tmp_path)


def header(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        struct.pack("<Q", 10 * 2**30) + b"{}" + b" " * 99,
        struct.pack("<Q", 2**64 - 1),
        header(b"{"),
        header(b"[]"),
        header(b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4]}}') + b"1234",
        header(b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}') + b"1234",
        header(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}') + b"1234",
        header(b'{"a":{"dtype":"X99","shape":[1],"data_offsets":[0,4]}}') + b"1234",
        header(b'{"a":{"dtype":"F4","shape":[8],"data_offsets":[0,4]}}') + b"1234",
        header(b'{"a":' * 50_000 + b"}" * 50_000),
        b"PK\x03\x04" + b"\0" * 99,
        b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n",
    ],
    ids=["empty", "short", "10GB", "2^64", "json", "list", "shape", "negative", "offset", "dtype",
         "subbyte", "deep", "zip", "lfs"],
)  # fmt: skip
def test_damaged_and_foreign_safetensors_are_refused(data: bytes, tmp_path: Path) -> None:
    """ecosystem.md danger 4; the header's length is a claim until it is checked."""
    (tmp_path / "model.safetensors").write_bytes(data)
    for read in (read_shapes, read_tensors):
        with pytest.raises(CheckpointError, match=r"model\.safetensors"):
            read(tmp_path)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    """ecosystem.md danger 4: a half-copied file is never read."""
    write_tensors(tmp_path, TENSORS)
    path = tmp_path / "model.safetensors"
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="damaged or foreign"):
            read_shapes(tmp_path)


def write_index(folder: Path, weight_map: Any, name: str = "model.safetensors") -> None:
    (folder / f"{name}.index.json").write_text(json.dumps({"weight_map": weight_map}))


@pytest.mark.parametrize(
    "name",
    ["../model.safetensors", "/etc/passwd", "/tmp/model.safetensors", "a/b.safetensors", "..", ".",
     "", "a\\b.safetensors", "a.safetensors\n", "a b.safetensors", "a.safetensors\0", "a.bin",
     "é.safetensors", "../x/a.safetensors", "~/a.safetensors", "file:///a.safetensors",
     "config.json", "a.safetensors/.", 3, None, ["a.safetensors"]],
    ids=repr,
)  # fmt: skip
def test_an_index_cannot_name_files_elsewhere(name: object, tmp_path: Path) -> None:
    """ecosystem.md danger 16, CVE-2026-69112."""
    folder = tmp_path / "x"
    folder.mkdir()
    write_tensors(tmp_path, TENSORS)
    write_index(folder, {"a": name})
    with pytest.raises(CheckpointError, match=r"index\.json names"):
        read_tensors(folder)


def link(folder: Path, kind: str) -> None:
    """Put something that is no plain file where the weights should be."""
    path = folder / "model.safetensors"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path.name)
    else:
        path.symlink_to({"out": "../model.safetensors", "device": "/dev/zero", "broken": "x"}[kind])


@pytest.mark.parametrize("kind", ["fifo", "folder", "loop", "out", "device", "broken"])
@pytest.mark.parametrize("indexed", [False, True])
def test_only_plain_files_of_the_folder_are_opened(
    kind: str, indexed: bool, tmp_path: Path
) -> None:
    """ecosystem.md danger 16: a pipe blocks for ever, a link reads files of others."""
    write_tensors(tmp_path, TENSORS)
    folder = tmp_path / "x"
    folder.mkdir()
    link(folder, kind)
    if indexed:
        (folder / "model.safetensors").rename(folder / "model-1.safetensors")
        write_index(folder, {"a": "model-1.safetensors"})
    with pytest.raises(CheckpointError, match=r"link|regular|opened"):
        read_tensors(folder)


def test_links_within_a_folder_and_into_the_cache_are_followed(tmp_path: Path) -> None:
    """The Hugging Face cache keeps snapshots/<revision>/<name> as links to blobs/<sha>."""
    snapshot, blobs = tmp_path / "snapshots" / "r1", tmp_path / "blobs"
    snapshot.mkdir(parents=True)
    write_tensors(blobs, TENSORS)
    (snapshot / "model.safetensors").symlink_to("../../blobs/model.safetensors")
    assert equal(read_tensors(snapshot), TENSORS)
    (snapshot / "model.safetensors").rename(snapshot / "other.safetensors")
    (snapshot / "model.safetensors").symlink_to("other.safetensors")
    assert equal(read_tensors(snapshot), TENSORS)


def test_an_index_and_its_shards_must_agree(tmp_path: Path) -> None:
    """A shard of another download must not slip in."""
    write_tensors(tmp_path, TENSORS, max_shard_bytes=70)
    index = tmp_path / "model.safetensors.index.json"
    good = json.loads(index.read_text())["weight_map"]
    first, second = weight_files(tmp_path)
    write_index(tmp_path, good | {"z": first.name})
    with pytest.raises(CheckpointError, match="disagree about z"):
        read_tensors(tmp_path)
    write_index(tmp_path, {k: v for k, v in good.items() if k != "d"})
    with pytest.raises(CheckpointError, match="disagree about d"):
        read_tensors(tmp_path)
    write_index(tmp_path, good)
    content = second.read_bytes()
    second.write_bytes(first.read_bytes())
    with pytest.raises(CheckpointError, match=r"a\.weight is in .* and in"):
        read_tensors(tmp_path)
    second.write_bytes(content)
    assert equal(read_tensors(tmp_path), TENSORS)
    second.unlink()
    with pytest.raises(CheckpointError, match="missing"):
        read_tensors(tmp_path)


@pytest.mark.parametrize("text", ["{}", "[]", '{"weight_map": []}', '{"weight_map": {}}', "{"])
def test_a_broken_index_is_refused(text: str, tmp_path: Path) -> None:
    """A damaged index is named."""
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"index\.json"):
        read_tensors(tmp_path)


class Touch:
    """Unpickling this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_pickles_are_read_on_request_and_safetensors_before_them(
    zipped: bool, tmp_path: Path
) -> None:
    """The issue: .bin files only with --allow-pickle; both of PyTorch's formats occur."""
    path = tmp_path / "pytorch_model.bin"
    torch.save(OrderedDict(TENSORS), path, _use_new_zipfile_serialization=zipped)
    for read in (read_shapes, read_tensors):
        with pytest.raises(CheckpointError, match=r"a pickle, which can run code.*--allow-pickle"):
            read(tmp_path)
    assert equal(read_tensors(tmp_path, allow_pickle=True), TENSORS)
    assert read_shapes(tmp_path, allow_pickle=True)["a.weight"].shape == (3, 5)
    write_tensors(tmp_path, {"new": torch.ones(1)})
    assert list(read_tensors(tmp_path, allow_pickle=True)) == ["new"]


def test_an_index_of_safetensors_cannot_name_a_pickle(tmp_path: Path) -> None:
    """Else a pickle would be read that nobody allowed."""
    torch.save(TENSORS, tmp_path / "a.bin")
    write_index(tmp_path, dict.fromkeys(TENSORS, "a.bin"))
    with pytest.raises(CheckpointError, match=r"plain \.safetensors file"):
        read_tensors(tmp_path)


def test_sharded_pickles_are_read_on_request(tmp_path: Path) -> None:
    """Large models of before safetensors come in several .bin files."""
    owners = {}
    for i, (name, tensor) in enumerate(TENSORS.items()):
        owners[name] = f"pytorch_model-{i}.bin"
        torch.save({name: tensor}, tmp_path / owners[name])
    write_index(tmp_path, owners, "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="--allow-pickle"):
        read_tensors(tmp_path)
    assert equal(read_tensors(tmp_path, allow_pickle=True), TENSORS)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_never_runs(zipped: bool, tmp_path: Path) -> None:
    """ecosystem.md danger 14: 0 executed, and the message names the function."""
    evil = {"a": Touch(tmp_path / "pwned")}
    torch.save(evil, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"wants to run posix\.system.*--allow-pickle"):
        read_tensors(tmp_path, allow_pickle=True)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    "value",
    [[torch.ones(2)], torch.ones(2), {"a": 1}, {1: torch.ones(2)}, {"a": {"b": torch.ones(2)}},
     {"a": torch.ones(2, device="meta")}, {"a": torch.ones(2, 2).to_sparse()}, 3, {"a": None}],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
def test_pickles_of_something_else_are_refused(value: object, tmp_path: Path) -> None:
    """Training states and odd tensors are no weight files."""
    torch.save(value, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"no weight file|holds 'a'"):
        read_tensors(tmp_path, allow_pickle=True)


def test_compressed_pickles_are_refused(tmp_path: Path) -> None:
    """ecosystem.md danger 13: 0.5 MB may unpack to 512 MB; torch.save never compresses."""
    torch.save(TENSORS, tmp_path / "plain.bin")
    target = tmp_path / "pytorch_model.bin"
    with (
        zipfile.ZipFile(tmp_path / "plain.bin") as source,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for member in source.namelist():
            bomb.writestr(member, source.read(member))
    with pytest.raises(CheckpointError, match="compressed"):
        read_tensors(tmp_path, allow_pickle=True)


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_pickles_end_in_our_error(zipped: bool, tmp_path: Path) -> None:
    """ecosystem.md danger 4: flipped and missing bytes give the tensors or one clear line."""
    path = tmp_path / "pytorch_model.bin"
    torch.save({"a": torch.ones(3)}, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    refused = 0
    for at in range(0, len(whole), 5):
        flipped = bytearray(whole)
        flipped[at] ^= 0x5B
        for data in (bytes(flipped), whole[:at]):
            path.write_bytes(data)
            try:
                read_tensors(tmp_path, allow_pickle=True)
            except CheckpointError:
                refused += 1
    assert refused > len(whole) // 5


def test_shapes_cost_no_memory(tmp_path: Path) -> None:
    """design.md: what is refused is refused before memory is taken."""
    write_tensors(tmp_path, {"a": torch.zeros(25_000_000)})
    code = (
        "import resource, sys; from pathlib import Path; import foretext.hub.weight_files as w\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak(); w.read_shapes(Path(sys.argv[1])); print(peak() - before)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert int(run.stdout) < 20_000  # kB, of the file's 97,000
