"""Batches: every sample once, shifts in both directions, nothing but (seed, epoch) decides."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hqsearch.training.batches import Augmentation, plain_batches, training_batches


def samples(n: int = 40):
    """Sample i is filled with i + 1 in a block that stays inside under small shifts."""
    frames = np.zeros((n, 3, 2, 9, 9), np.uint8)
    for index in range(n):
        frames[index, :, :, 3:6, 3:6] = index + 1
    return frames, np.arange(n)


def test_every_sample_comes_once_with_its_label_and_shifted_as_a_whole():
    frames, labels = samples()
    seen, offsets = [], set()
    for batch, target in training_batches(frames, labels, 7, (0, 0), Augmentation(3)):
        assert batch.shape[0] == 3
        assert batch.shape[1] == len(target) <= 7
        assert batch.dtype == torch.uint8
        for place, label in enumerate(target.tolist()):
            image = batch[:, place]
            assert (image == label + 1).sum() == 3 * 2 * 9
            y, x = np.argwhere(image[0, 0].numpy())[0]
            assert np.array_equal(
                image.numpy(), np.roll(frames[label], (y - 3, x - 3), axis=(2, 3))
            )
            seen.append(label)
            offsets.add((y - 3, x - 3))
    assert sorted(seen) == labels.tolist()
    assert seen != labels.tolist()
    assert {y for y, _ in offsets} | {x for _, x in offsets} == set(range(-3, 4))
    assert len(offsets) > 15


def test_what_leaves_the_frame_is_gone_and_zeros_come_in():
    frames = np.ones((60, 1, 1, 5, 5), np.uint8)
    sizes = set()
    for batch, _ in training_batches(frames, np.zeros(60), 60, (1, 0), Augmentation(2)):
        sizes = {int(image.sum()) for image in batch[0]}
    assert sizes <= {a * b for a in (3, 4, 5) for b in (3, 4, 5)}
    assert len(sizes) > 3


def test_the_epoch_and_the_seed_decide():
    frames, labels = samples()

    def first(seed, epoch, shift=1):
        return next(iter(training_batches(frames, labels, 8, (seed, epoch), Augmentation(shift))))

    assert torch.equal(first(0, 0)[0], first(0, 0)[0])
    assert not torch.equal(first(0, 0)[1], first(0, 1)[1])
    assert not torch.equal(first(0, 0)[1], first(1, 0)[1])
    assert torch.equal(first(0, 0)[1], first(0, 0, shift=0)[1])


def test_plain_batches_keep_the_order():
    frames, _ = samples(10)
    joined = torch.cat(list(plain_batches(frames, 4)), dim=1)
    assert torch.equal(joined, torch.from_numpy(frames).transpose(0, 1))


@pytest.mark.parametrize("timesteps", [1, 2])
def test_plain_batches_are_copies_of_frames_that_must_not_change(timesteps):
    frames = np.ones((4, timesteps, 1, 2, 2), np.uint8)
    frames.setflags(write=False)
    (batch,) = plain_batches(frames, 4)
    batch += 1
    assert frames.sum() == frames.size


def test_a_reflected_border_shows_what_is_there():
    frames = np.arange(1, 26, dtype=np.uint8).reshape(1, 1, 1, 5, 5)
    seen = set()
    for epoch in range(40):
        batch, _ = next(
            training_batches(frames, np.zeros(1), 1, (0, epoch), Augmentation(2, True, "reflect"))
        )
        picture = batch[0, 0, 0].numpy()
        assert picture.min() > 0
        padded = np.pad(frames[0, 0, 0], 2, mode="reflect")
        crops = {
            (y, x, flip): (padded[y : y + 5, x : x + 5][:, :: -1 if flip else 1])
            for y in range(5)
            for x in range(5)
            for flip in (False, True)
        }
        found = [key for key, crop in crops.items() if (crop == picture).all()]
        assert found
        seen.update(found)
    assert len(seen) > 20
