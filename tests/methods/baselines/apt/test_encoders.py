"""What describes images: the small encoder, and BiomedCLIP's from a file that the test makes."""

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from a2a.common.errors import InputError
from a2a.methods.baselines.apt.encoders import BiomedCLIPSize, SmallSize, make_encoder, read_biomedclip
from a2a.networks.vit import VisionTransformer, ViTSize

TINY = BiomedCLIPSize(width=16, depth=2, heads=2, patch=8, image=32, dims=12)


@pytest.fixture
def file(tmp_path):
    """The tensors of a tiny model with the names of open_clip, its text encoder among them."""
    draw, wide = torch.Generator().manual_seed(0), TINY.width
    shapes = {
        "trunk.cls_token": (1, 1, wide), "trunk.pos_embed": (1, 17, wide),
        "trunk.patch_embed.proj.weight": (wide, 3, 8, 8),
        "trunk.patch_embed.proj.bias": (wide,), "trunk.norm.weight": (wide,), "trunk.norm.bias": (wide,),
        "head.proj.weight": (TINY.dims, wide),
    }  # fmt: skip
    for block in range(TINY.depth):
        layers = {"norm1": (wide,), "attn.qkv": (3 * wide, wide), "attn.proj": (wide, wide), "norm2": (wide,),
                  "mlp.fc1": (4 * wide, wide), "mlp.fc2": (wide, 4 * wide)}  # fmt: skip
        for name, shape in layers.items():
            shapes[f"trunk.blocks.{block}.{name}.weight"] = shape
            shapes[f"trunk.blocks.{block}.{name}.bias"] = shape[:1]
    tensors = {f"visual.{name}": 0.2 * torch.randn(shape, generator=draw) for name, shape in shapes.items()}
    tensors |= {"text.transformer.embeddings.weight": torch.zeros(3, 4), "logit_scale": torch.zeros(1)}
    save_file(tensors, tmp_path / "clip.safetensors")
    return tmp_path / "clip.safetensors", tensors


def by_hand(images, w):
    """The same network written out, without the modules under test."""
    x = F.interpolate(images, (32, 32), mode="bilinear", align_corners=False).repeat(1, 3, 1, 1)
    x = F.conv2d(x, w["trunk.patch_embed.proj.weight"], w["trunk.patch_embed.proj.bias"], stride=8).flatten(2).mT
    x = torch.cat([w["trunk.cls_token"].repeat(len(x), 1, 1), x], 1) + w["trunk.pos_embed"]
    for block in range(2):
        p = {name: (w[f"trunk.blocks.{block}.{name}.weight"], w[f"trunk.blocks.{block}.{name}.bias"])
             for name in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")}  # fmt: skip
        q, k, v = F.linear(F.layer_norm(x, (16,), *p["norm1"], eps=1e-6), *p["attn.qkv"]).chunk(3, -1)
        heads = [(a @ b.mT / 8**0.5).softmax(-1) @ c
                 for a, b, c in zip(q.split(8, -1), k.split(8, -1), v.split(8, -1), strict=True)]  # fmt: skip
        x = x + F.linear(torch.cat(heads, -1), *p["attn.proj"])
        h = F.gelu(F.linear(F.layer_norm(x, (16,), *p["norm2"], eps=1e-6), *p["mlp.fc1"]))
        x = x + F.linear(h, *p["mlp.fc2"])
    x = F.layer_norm(x, (16,), w["trunk.norm.weight"], w["trunk.norm.bias"], eps=1e-6)
    return x[:, 0] @ w["head.proj.weight"].T


def test_biomedclip_is_read_and_sees_what_its_tensors_say(file):
    path, tensors = file
    images = torch.rand(2, 1, 20, 20, generator=torch.Generator().manual_seed(1)) * 2 - 1
    found = read_biomedclip(path, TINY)(images)
    weights = {name.removeprefix("visual."): value for name, value in tensors.items() if name.startswith("visual.")}
    torch.testing.assert_close(found, by_hand(images, weights))


def test_the_published_encoder_has_its_published_size():
    with torch.device("meta"):
        network = VisionTransformer(ViTSize())
    assert sum(p.numel() for p in network.trunk.parameters()) == 85_798_656  # ViT-B/16 without a classifier
    assert network.head["proj"].weight.shape == (512, 768)


def test_a_file_that_does_not_fit_is_refused(file, tmp_path):
    path, tensors = file
    with pytest.raises(
        InputError, match=r"trunk.cls_token is \(1, 1, 16\), but the encoder of the recipe needs \(1, 1, 24\)"
    ):
        read_biomedclip(path, TINY.model_copy(update={"width": 24}))
    lacking = {name: value for name, value in tensors.items() if "head" not in name}
    save_file(lacking, tmp_path / "lacking.safetensors")
    with pytest.raises(InputError, match="lacks visual.head.proj.weight"):
        read_biomedclip(tmp_path / "lacking.safetensors", TINY)
    (tmp_path / "noise.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="corrupt or not a safetensors file"):
        read_biomedclip(tmp_path / "noise.safetensors", TINY)
    for name in ("missing.safetensors", "open_clip_pytorch_model.bin"):
        with pytest.raises(InputError, match=f"{name}: no such .safetensors file"):
            read_biomedclip(tmp_path / name, TINY)


def test_the_small_encoder_describes_images_of_any_size():
    encoder = make_encoder(SmallSize(widths=(4, 8), dims=6))
    assert encoder(torch.randn(3, 1, 16, 20)).shape == (3, 6)
