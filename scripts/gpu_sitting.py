"""One sitting of the grids `paper-gpu` and `paper-fast` on a GPU that is there for some minutes.

Usage: python scripts/gpu_sitting.py --data FOLDER --out FOLDER [--minutes 8] [--from FILE.tar.gz ...]

FOLDER of --data holds cifar10/train.parquet and cifar10/test.parquet. The grids run at the same time and
share the card; `--plan paper-gpu:3,paper-fast:1` says how many runs of each at a time. Into --out go
`grids.log`, the tables of each grid, and `sitting-N.tar.gz`, each below --largest megabytes: what is done,
and the last checkpoint of each run that is not, without the data. Give these archives to --from, and the next
sitting goes on from there.

    tar -xzf FILE.tar.gz -C grids && gdw experiment --results grids/paper-gpu --results grids/paper-fast

shows the results. `--device cpu --small` tries it all without a GPU: some images, one epoch.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

# In seconds: what the results and the packing take after the grids have stopped, and the checkpoints before.
RESERVE = 25
# What only a run that is not done needs, and what no run needs: the figures are in the small files.
CHECKPOINT, NEVER = ".pt", {".safetensors", ".npz", ".parquet"}
SMALL = {"train_rows": 600, "test_rows": 200}


def unpack(files: Sequence[Path], work: Path) -> None:
    for file in files:
        with tarfile.open(file) as archive:
            archive.extractall(work, filter="data")


def protocol(name: str, work: Path, device: str, small: bool, training: dict[str, Any]) -> str:
    """The protocol to run: the shipped one, or one that is based on it."""
    from gdw.experiments.protocol_files import find_protocol
    from gdw.files.yaml_files import read_yaml

    content = read_yaml(find_protocol(name))
    base = content["base"]
    if device == "cpu":
        base["training"] |= {"accelerator": "cpu", "precision": "32"}
    if small:
        base["training"] |= {"epochs": 1, "warmup_epochs": 0, "last_epochs": 1, "batch_size": 100}
        base["data"]["meta_size"] = 60
        for entry in content["data"].values():
            entry["prepare"] |= SMALL
    base["training"] |= training
    path = work / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**content, "name": name}, sort_keys=False))
    return str(path)


def run(arguments: argparse.Namespace, work: Path, until: float) -> None:
    """Run all grids at once until they are done, or until `until` by `time.monotonic()`."""
    running = []
    options = dict(pair.split("=", 1) for pair in arguments.training)
    training = {name: yaml.safe_load(value) for name, value in options.items()}
    for part in arguments.plan.split(","):
        name, jobs = part.split(":")
        path = protocol(name, work, arguments.device, arguments.small, training)
        minutes = max(0.1, (until - time.monotonic()) / 60)
        command = [sys.executable, "-m", "gdw", "experiment", path, "--output", str(work / name)]
        command += ["--data-root", str(arguments.data.resolve()), "--jobs", jobs]
        command += ["--minutes", f"{minutes:.3f}"]
        command += [word for condition in arguments.only for word in ("--only", condition)]
        log = (arguments.out / "grids.log").open("a")
        running.append((name, subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)))
    for name, process in running:
        print(f"{name}: exit status {process.wait()}", flush=True)


def kept(work: Path, names: Sequence[str]) -> Iterator[Path]:
    """The files to take along: the small ones, and the newest checkpoint of a run that is not done."""
    for name in names:
        folder = work / name
        yield from (p for p in folder.glob("*") if p.is_file() and p.suffix != ".html")
        for cell in sorted((folder / "cells").glob("*")):
            done = (cell / "result.json").is_file()
            for path in sorted(p for p in cell.rglob("*") if p.is_file()):
                if path.suffix not in NEVER and not (done and path.suffix == CHECKPOINT):
                    yield path


def pack(files: Iterator[Path], work: Path, out: Path, largest: int, most: int) -> None:
    """Write the files into archives of at most `largest` bytes; what does not fit is named."""
    sizes: list[int] = []
    archives: list[tarfile.TarFile] = []
    for path in sorted(files, key=lambda path: path.stat().st_size):
        content = path.read_bytes()
        alone = io.BytesIO()
        with tarfile.open(fileobj=alone, mode="w:gz", compresslevel=1) as archive:
            archive.add(path, arcname=str(path.relative_to(work)))
        size = len(alone.getvalue())
        number = next((i for i, taken in enumerate(sizes) if taken + size <= largest), len(sizes))
        if size > largest or number == most:
            print(f"left out, {len(content) / 1e6:.1f} MB: {path.relative_to(work)}", flush=True)
            continue
        if number == len(sizes):
            sizes.append(1024)
            target = out / f"sitting-{number + 1}.tar.gz"
            archives.append(tarfile.open(target, "w:gz", compresslevel=1))  # noqa: SIM115
        archives[number].add(path, arcname=str(path.relative_to(work)))
        sizes[number] += size
    for archive in archives:
        archive.close()


def main() -> None:
    began = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("/tmp/gdw-grids"))
    parser.add_argument("--from", dest="earlier", type=Path, nargs="*", default=[])
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--plan", default="paper-gpu:3,paper-fast:1")
    parser.add_argument("--only", action="append", default=[], metavar="AXIS=GLOB")
    parser.add_argument("--training", action="append", default=[], metavar="OPTION=VALUE")
    parser.add_argument("--device", choices=("auto", "cpu"), default="auto")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--largest", type=float, default=15.0, help="of an archive, in MB")
    parser.add_argument("--archives", type=int, default=4, help="the most of them")
    arguments = parser.parse_args()
    work, out = arguments.work, arguments.out
    for folder in (work, out):
        folder.mkdir(parents=True, exist_ok=True)
    unpack(arguments.earlier, work)
    run(arguments, work, began + 60 * arguments.minutes - RESERVE)
    names = [part.split(":")[0] for part in arguments.plan.split(",")]
    for name in names:
        if (work / name / "results.md").is_file():
            shutil.copy(work / name / "results.md", out / f"{name}.md")
    pack(kept(work, names), work, out, int(arguments.largest * 1e6), arguments.archives)
    print(f"{time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
