"""How fast event files get into the cache of frames: files and events per second and core.

Each kind of file holds the same recordings; all is counted that ``prepare_data`` does with one
thread: the look at every file, the frames, and writing them. Processor time, so that other work
on the machine matters little::

    python tests/benchmarks/loading_speed.py /work/shared/data/dvs-objects/train --files 100
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from hqsearch.data import DataSpec, check_data, prepare_data
from hqsearch.data.files import read_events

TESTS = Path(__file__).resolve().parent.parent
SENSOR = (128, 128)


def _helper(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, TESTS / "data" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(kind: str, path: Path, columns: dict[str, Any]) -> None:
    """``columns`` as a file of this kind."""
    encoders, suffix = _helper("encoders"), "." + kind.split()[0]
    path = path.with_suffix(suffix)
    if kind == "bin":
        _helper("conftest").write_bin(path, **columns)
    elif kind == "npy":
        np.save(path, np.rec.fromarrays([columns[k] for k in "xytp"], names="x,y,t,p"))
    elif kind == "aedat4":
        _helper("aedat4").write_aedat4(path, **columns, sensor=SENSOR)
    else:
        writers = {
            "raw (EVT 2.0)": encoders.write_evt2, "raw (EVT 3.0)": encoders.write_evt3,
            "dat": encoders.write_dat, "aedat": encoders.write_aedat2,
        }  # fmt: skip
        writers[kind](path, **columns, sensor=SENSOR)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="<class>/<file>.bin of a sensor of 128 x 128")
    parser.add_argument("--files", type=int, default=100)
    given = parser.parse_args()
    every = sorted(given.folder.glob("*/*.bin"))
    clips = every[:: max(1, len(every) // given.files)]
    events = [read_events(clip, SENSOR) for clip in clips]
    total = sum(map(len, events))
    print(f"{len(clips)} recordings of {total / len(clips):,.0f} events on average")
    print(f"{'kind':<16}{'files/s':>10}{'events/s':>14}")
    kinds = ("bin", "npy", "aedat4", "aedat", "dat", "raw (EVT 2.0)", "raw (EVT 3.0)")
    with tempfile.TemporaryDirectory() as scratch:
        for kind in kinds:
            root = Path(scratch) / kind.replace(" ", "")
            for number, (clip, some) in enumerate(zip(clips, events, strict=True)):
                folder = root / clip.parent.name
                folder.mkdir(parents=True, exist_ok=True)
                write(kind, folder / f"{number}.x", {name: some[name] for name in "xytp"})
            spec = DataSpec("folder", 8, 32, path=root, sensor=SENSOR)
            check_data(spec)
            read_events(next(root.glob("*/*")), SENSOR)  # what a kind imports is no loading
            start = time.process_time()
            prepare_data(spec, Path(scratch) / "cache", workers=1)
            seconds = time.process_time() - start
            print(f"{kind:<16}{len(clips) / seconds:>10,.0f}{total / seconds:>14,.0f}", flush=True)


if __name__ == "__main__":
    main()
