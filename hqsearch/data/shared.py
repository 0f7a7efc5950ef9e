"""Samples that lie in two splits: what is measured on them says little."""

from __future__ import annotations

import hashlib

from hqsearch.data.frames import FrameData, Split

#: Frames of a study that are looked through; larger sets are not.
MOST_BYTES = 1 << 28


def shared_samples(data: FrameData) -> list[str]:
    """How many samples of validation and test are, frame by frame, those of another split.

    Empty samples are alike without being the same, and do not count.
    """
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    if sum(split.frames.nbytes for split in splits.values()) > MOST_BYTES:
        return []
    found = {name: _hashes(split) for name, split in splits.items()}
    told = []
    for name, other in (("validation", "train"), ("test", "train"), ("test", "validation")):
        seen = set(found[other])
        twice = sum(key in seen for key in found[name])
        if twice:
            told.append(
                f"{twice:,} of {len(splits[name]):,} {name} samples are {other} samples, too: an "
                "accuracy on them says little (check names them)"
            )
    return told


def _hashes(split: Split) -> list[bytes]:
    return [hashlib.sha256(f.tobytes()).digest() for f in split.frames if f.any()]
