"""Networks of Hi-Net, MM-SYN and UcDGAN: published sizes, and how they fuse."""

import pytest
import torch
from torch import nn

from a2a.common.errors import InputError
from a2a.networks.hinet import HiNet, mixed
from a2a.networks.image_discriminator import ImageDiscriminator, ModalityDiscriminators, SourceClassifier
from a2a.networks.mmsyn import Decoder, Encoder, MMSyn, fused
from a2a.networks.translator import Translator, told


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (lambda: HiNet(2, 1), 3_872_259),
        (lambda: HiNet(2, 1, 16), 970_755),
        (lambda: ImageDiscriminator((32, 64, 128, 256), kernel=3, norm=nn.BatchNorm2d), 391_041),
        (lambda: Encoder(32, 16), 521_744),
        (lambda: Decoder(32, 16, "relu"), 37_073),
        (lambda: MMSyn(5, 16, 8), 700_085),
        (lambda: ImageDiscriminator((64, 128, 256), 2, norm=nn.BatchNorm2d, flat=(512,)), 2_765_505),
        (lambda: ImageDiscriminator((16, 32, 64)), 42_353),
    ],
)
def test_parameters_are_as_many_as_published(make, wanted):
    with torch.device("meta"):
        assert count(make()) == wanted


def test_two_equal_inputs_fuse_to_their_double_their_square_and_themselves():
    x, y = torch.randn(2, 3, 4, 8, 8)
    assert torch.equal(mixed([x, x]), torch.cat([2 * x, x**2, x], dim=1))
    assert torch.equal(mixed([x]), torch.cat([x, x, x], dim=1))
    torch.testing.assert_close(mixed([x, y]), mixed([y, x]))


def test_swapped_inputs_with_swapped_encoders_swap_what_is_decoded_and_keep_what_is_fused():
    torch.manual_seed(0)
    network, x = HiNet(3, 3, 4).eval(), torch.randn(2, 3, 16, 16)
    answer, own = network(x, [0, 1])
    network.encoders = nn.ModuleList([network.encoders[i] for i in (1, 0, 2)])
    swapped, theirs = network(x[:, [1, 0, 2]], [0, 1])
    torch.testing.assert_close(swapped, answer)
    torch.testing.assert_close(theirs, own.flip(1))
    assert not torch.allclose(own[:, 0], own[:, 1])


def test_one_given_image_is_its_own_latent_and_order_does_not_matter():
    torch.manual_seed(0)
    network, x = MMSyn(3, 4, 5), torch.rand(2, 3, 16, 16)
    latents, answers = network(x, [2])
    assert latents.shape == (1, 2, 5, 16, 16) and torch.equal(fused(latents), latents[0])
    assert torch.equal(fused(torch.stack([latents[0], latents[0]])), latents[0])
    alone = network(x, [2], singly=True)[1]
    assert len(alone) == 2 and torch.equal(alone[0], alone[1]) and torch.equal(alone[1], answers[0])
    assert torch.equal(network(x, [0, 2])[1], network(x, [2, 0])[1])


def test_the_published_end_of_mm_syn_is_never_negative_and_a_linear_one_may_be():
    torch.manual_seed(0)
    x = torch.rand(2, 2, 16, 16)
    low = {ending: float(MMSyn(2, 4, 4, ending)(x, [0, 1])[1].detach().min()) for ending in ("relu", "linear")}
    assert low["relu"] == 0 > low["linear"]


def test_features_do_not_know_the_target_and_the_image_does():
    torch.manual_seed(0)
    network, x = Translator(3, 4, 2).eval(), torch.randn(2, 1, 16, 16)
    for p in network.parameters():
        nn.init.normal_(p, std=0.2)
    features = network.encoded(x)
    first, second = (network.decoded(features, torch.tensor([i, i])) for i in (0, 1))
    assert not torch.allclose(first, second, atol=1e-4) and torch.equal(network(x, torch.tensor([1, 1])), second)
    assert -1 < first.min() and first.max() < 1 and first.shape == x.shape
    source = torch.tensor([2, 0])  # back to the source, the cycle is an auto-encoder of the same two networks
    assert torch.equal(network(x, source), network.decoded(network.encoded(x), source))
    code = told(torch.tensor([2, 0]), 3, features)
    assert code.shape == (2, 3, 4, 4) and (code[0, 2] == 1).all() and code.sum() == 2 * 16


def test_each_modality_has_a_discriminator_that_sees_it_alone():
    torch.manual_seed(0)
    judges, x = ModalityDiscriminators(3, lambda: ImageDiscriminator((4, 8))), torch.randn(2, 3, 16, 16)
    before, changed = judges(x, [2, 0]), x.clone()
    changed[:, 0] = torch.randn(2, 16, 16)
    after = judges(changed, [2, 0])
    assert before.shape == (2, 2, 3, 3)
    assert torch.equal(before[:, 0], after[:, 0]) and not torch.allclose(before[:, 1], after[:, 1])


def test_a_classifier_answers_once_for_each_map():
    assert SourceClassifier(5, 3, (4, 8))(torch.randn(6, 5, 16, 16)).shape == (6, 3)


@pytest.mark.parametrize("network", [HiNet(2, 2, 4), MMSyn(2, 4, 4)])
def test_misfits_and_nothing_are_refused(network):
    with pytest.raises(InputError, match="give at least one modality"):
        network(torch.rand(1, 2, 16, 16), [])
    with pytest.raises(InputError, match="takes 2 modalities with sides that"):
        network(torch.rand(1, 3, 16, 16), [0])
    with pytest.raises(InputError, match="takes 2 modalities with sides that"):
        network(torch.rand(1, 2, 16, 18), [0])
