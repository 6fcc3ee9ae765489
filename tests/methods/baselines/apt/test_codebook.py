"""What stands in for a missing contrast, and of which training slices that is known."""

import pytest
import torch
from torch import nn

from a2a.common.errors import InputError
from a2a.methods.baselines.apt.codebook import KINDS, Codebook
from a2a.methods.baselines.apt.curves import transformed

NAMES = ("T1", "T2", "PD")


class Pixels(nn.Module):
    """Describes an image by its own pixels, without their mean."""

    def __init__(self):
        super().__init__()
        self.one = nn.Parameter(torch.ones(()))

    def forward(self, images):
        flat = images.flatten(1) * self.one
        return flat - flat.mean(dim=1, keepdim=True)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """T2 is T1 inverted and twice as dark; PD is noise of its own."""
    draw = torch.Generator().manual_seed(0)
    t1 = 0.1 + 0.9 * torch.rand(10, 12, 12, generator=draw)
    t1[:, :3] = 0
    return torch.stack([t1, transformed(t1, 2) / 2, torch.rand(10, 12, 12, generator=draw)], dim=1)


@pytest.fixture(scope="module")
def book(images) -> Codebook:
    return Codebook.of(Pixels(), images, NAMES, "fingerprint")


def test_it_finds_what_one_contrast_is_made_of(book, images):
    assert book.choose(1, [True, False, True]) == (0, 2)
    source, kind = book.choose(0, [False, True, True])
    assert source == 1 and kind >= 2  # inverted again
    found = torch.stack([book.image(1, stack, 0, 2) for stack in images])
    torch.testing.assert_close(found, images[:, 1], atol=1e-5, rtol=1e-4)
    means = images[:, 1].mean() / transformed(images[:, 2], 3).mean()
    torch.testing.assert_close(book.factor[1, 2, 3], means)


def test_a_target_is_never_its_own_source(book):
    for target in range(3):
        assert not book.share[target, target].any()
        assert book.share[target].sum() == pytest.approx(1)
        for given in ([1, 1, 1], [0, 1, 1], [1, 0, 1], [1, 1, 0]):
            assert book.choose(target, given)[0] != target


def test_without_the_best_source_it_falls_back_on_the_next(book):
    assert book.share[1, 2].sum() == 0  # no training slice of T2 looks most like PD
    source, kind = book.choose(1, [False, False, True])
    assert source == 2 and book.similarity[1, 2, kind] == book.similarity[1, 2].max()
    with pytest.raises(InputError, match="Nothing is given from which T2 could begin"):
        book.choose(1, [False, True, False])


def test_it_is_the_same_whatever_is_computed_together(book, images, monkeypatch):
    monkeypatch.setattr("a2a.methods.baselines.apt.codebook.BATCH", 3)
    other = Codebook.of(Pixels(), images, NAMES, "fingerprint")
    for table in ("share", "similarity", "factor"):
        torch.testing.assert_close(getattr(other, table), getattr(book, table))


def test_it_is_refused_for_other_contrasts_and_other_data(book):
    assert book.require(NAMES, "fingerprint") is book
    with pytest.raises(InputError, match="codebook: it is of T1, T2, PD, but the data are of T1, PD, T2"):
        book.require(("T1", "PD", "T2"), "fingerprint")
    with pytest.raises(InputError, match="it was made of data fingerprint, these are another; make it anew"):
        book.require(NAMES, "another")


def test_it_comes_back_from_its_file_and_others_are_refused(book, tmp_path):
    path = tmp_path / "book.json"
    book.save(path)
    found = Codebook.load(path)
    assert (found.modalities, found.data) == (NAMES, "fingerprint")
    for table in ("share", "similarity", "factor"):
        torch.testing.assert_close(getattr(found, table), getattr(book, table))
    assert found.share.shape == (3, 3, KINDS)
    path.write_text(path.read_text().replace('"S-curve"', '"Z-curve"'))
    with pytest.raises(InputError, match="book.json: no codebook for 3 contrasts and the transforms as it is, S-curve"):
        Codebook.load(path)
    path.write_text("{}")
    with pytest.raises(InputError, match=r"book.json.*modalities"):
        Codebook.load(path)
