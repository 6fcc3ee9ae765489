"""The generator of ResViT: published size, one transformer for two blocks, two stages."""

import pytest
import torch

from a2a.common.errors import InputError
from a2a.networks.resvit import ResViT, ResViTSize, Transformer

SMALL = ResViTSize(width=16, downs=(128,), tokens=128, layers=3, heads=4, mlp=256)
TINY = ResViTSize(width=4, blocks=3, attended=(1, 3), downs=(8,), tokens=8, layers=2, heads=2, mlp=16)


def tiny() -> ResViT:
    """A network whose every part speaks: the weights it begins with are too small for that without statistics."""
    torch.manual_seed(0)
    network = ResViT(2, 16, TINY).eval()
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return network


def stir(module: torch.nn.Module) -> None:
    """Change all weights."""
    with torch.no_grad():
        for p in module.parameters():
            p.add_(torch.randn_like(p))


@pytest.mark.parametrize(("side", "size", "count"), [(256, ResViTSize(), 123.47e6), (64, SMALL, 1.701e6)])
def test_parameters_are_as_many_as_published_and_as_planned(side, size, count):
    with torch.device("meta"):
        network = ResViT(5, side, size)
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(count, rel=1e-3)


def test_transformer_and_convolutions_have_their_published_shares():
    with torch.device("meta"):
        network = ResViT(1, 256, ResViTSize())
    whole, inside, paths = (
        sum(p.numel() for p in part.parameters()) for part in (network, network.transformer, network.attended)
    )
    assert inside == pytest.approx(85.06e6, rel=1e-3) and whole - inside - paths == pytest.approx(11.37e6, rel=1e-3)


def test_blocks_share_the_transformer_and_nothing_else():
    network = tiny()
    names = [name for name, _ in network.named_parameters()]
    assert sum("self_attn.in_proj_weight" in name for name in names) == TINY.layers
    calls = []
    network.transformer.register_forward_hook(lambda *call: calls.append(call))
    network(torch.randn(1, 2, 16, 16), True)
    assert len(calls) == len(TINY.attended)
    first, second = network.attended.values()
    assert not torch.equal(first.embed.weight, second.embed.weight)


def test_without_what_the_transformer_answers_a_block_is_a_function_of_the_convolutions():
    network, x = tiny(), torch.randn(2, 2, 16, 16)
    before = network(x, True)
    stir(network.transformer)
    assert not torch.allclose(before, network(x, True))
    for path in network.attended.values():
        torch.nn.init.zeros_(path.up[-2].weight)
        torch.nn.init.zeros_(path.up[-2].bias)
    cut = network(x, True)
    stir(network.transformer)
    assert torch.equal(cut, network(x, True)) and not torch.allclose(cut, network(-x, True))


def test_permuted_tokens_give_permuted_answers():
    torch.manual_seed(0)
    transformer, tokens, order = Transformer(TINY).eval(), torch.randn(2, 16, 8), torch.randperm(16)
    assert torch.allclose(transformer(tokens[:, order]), transformer(tokens)[:, order], atol=1e-5)


def test_position_codes_reach_the_answer():
    network, x = tiny(), torch.randn(1, 2, 16, 16)
    before = network(x, True)
    with torch.no_grad():
        network.attended["3"].position.copy_(network.attended["3"].position.flip(1))
    assert not torch.allclose(before, network(x, True))


def test_answers_lie_between_minus_one_and_one():
    network = tiny()
    answer = network(100 * torch.randn(2, 2, 16, 16), True)
    assert answer.shape == (2, 2, 16, 16) and answer.abs().max() <= 1 and answer.min() < 0 < answer.max()


def test_the_second_stage_takes_over_every_weight_and_the_weights_remember_the_stage():
    network, x = tiny().train(), torch.randn(2, 2, 16, 16)
    network(x, False)
    before = {name: p.clone() for name, p in network.named_parameters()}
    assert torch.equal(network.eval()(x), network(x, False)) and not torch.allclose(network(x), network(x, True))
    network.train()(x, True)
    assert all(torch.equal(p, before[name]) for name, p in network.named_parameters())
    again = ResViT(2, 16, TINY).eval()
    again.load_state_dict(network.state_dict())
    assert torch.equal(again(x), again(x, True))


def test_the_first_stage_leaves_the_transformer_without_gradient():
    network = tiny()
    network(torch.randn(1, 2, 16, 16), False).sum().backward()
    assert all(p.grad is None for p in (*network.transformer.parameters(), *network.attended.parameters()))
    assert all(p.grad is not None for p in network.residual.parameters())


def test_in_evaluation_batch_mates_do_not_matter():
    network, x = tiny(), torch.randn(3, 2, 16, 16)
    alone = torch.cat([network(row[None], True) for row in x])
    assert torch.allclose(network(x, True), alone, atol=1e-5)
    network.train()
    assert not torch.allclose(network(x, False)[:1], network(x[:1], False), atol=1e-3)


def test_misfits_are_refused_by_name():
    with pytest.raises(InputError, match="8 must divide the side"):
        ResViT(2, 20, TINY)
    with pytest.raises(InputError, match=r"stacks of shape \(2, 16, 16\), got \(2, 32, 32\)"):
        tiny()(torch.zeros(1, 2, 32, 32))
