"""Writes tiny data sets as CIFAR-10 and CIFAR-100 are published, as pickles and as binaries, and trains on each.

    python cifar.py TRAIN.py FOLDER < QUESTION

Prints, for each data set, whether the loader gives back the pixels and classes that were written, and the answer to the
question of a run of one epoch.
"""
import importlib.util
import json
import pathlib
import pickle
import subprocess
import sys

import numpy
import torch

script, folder = sys.argv[1], pathlib.Path(sys.argv[2])
question = sys.stdin.readline()
spec = importlib.util.spec_from_file_location("train", script)
train = importlib.util.module_from_spec(spec)
spec.loader.exec_module(train)
draw = numpy.random.default_rng(5)


def pickles_10(path, pixels, labels):
    for k, part in enumerate(numpy.array_split(numpy.arange(len(labels)), 5), 1):
        names = [b"image_%d.png" % i for i in part]
        batch = {b"batch_label": b"training batch %d of 5" % k, b"labels": labels[part].tolist(), b"data": pixels[part], b"filenames": names}
        (path / f"data_batch_{k}").write_bytes(pickle.dumps(batch, protocol=2))
    (path / "test_batch").write_bytes(pickle.dumps({b"labels": [1], b"data": pixels[:1]}, protocol=2))
    (path / "batches.meta").write_bytes(pickle.dumps({b"label_names": [b"x"] * 10}, protocol=2))


def binaries_10(path, pixels, labels):
    for k, part in enumerate(numpy.array_split(numpy.arange(len(labels)), 5), 1):
        records = numpy.concatenate([labels[part, None].astype(numpy.uint8), pixels[part]], 1)
        (path / f"data_batch_{k}.bin").write_bytes(records.tobytes())
    (path / "test_batch.bin").write_bytes(records.tobytes())
    (path / "batches.meta.txt").write_text("airplane\n")


def pickles_100(path, pixels, labels):
    batch = {b"fine_labels": labels.tolist(), b"coarse_labels": (labels // 5).tolist(), b"data": pixels, b"batch_label": b"training batch 1 of 1"}
    (path / "train").write_bytes(pickle.dumps(batch, protocol=2))
    (path / "test").write_bytes(pickle.dumps(batch, protocol=2))


def binaries_100(path, pixels, labels):
    heads = numpy.stack([labels // 5, labels], 1).astype(numpy.uint8)
    (path / "train.bin").write_bytes(numpy.concatenate([heads, pixels], 1).tobytes())
    (path / "test.bin").write_bytes(b"")


found = {}
for name, write, classes in [("pickles_10", pickles_10, 10), ("binaries_10", binaries_10, 10), ("pickles_100", pickles_100, 100), ("binaries_100", binaries_100, 100)]:
    path = folder / name
    path.mkdir()
    pixels = draw.integers(0, 256, (60, 3072), dtype=numpy.uint8)
    labels = draw.permutation(numpy.arange(60) * 7 % classes)
    labels[0] = classes - 1
    write(path, pixels, labels)
    images, told = train.cifar(path)
    same = torch.equal(images, torch.from_numpy(pixels).view(60, 3, 32, 32)) and told.tolist() == labels.tolist()
    command = [sys.executable, script, "--data", str(path), "--epochs", "1", "--batch-size", "16", "--threads", "1", "--device", "cpu"]
    run = subprocess.run(command, input=question, capture_output=True, text=True)
    if run.returncode:
        sys.exit(run.stderr)
    found[name] = {"same": same, "answer": json.loads(run.stdout), "said": run.stderr.splitlines()[0]}
print(json.dumps(found))
