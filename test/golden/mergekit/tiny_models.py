"""The tiny Llama checkpoints that the golden outputs are merges of: every number follows from a formula, so none of them is stored.

The same formula stands in test/support/tiny-llama.ts; `inputs` in results.json holds the SHA-256 of what both must give. Imported by
generate.py, which says how to run. SPDX-License-Identifier: Apache-2.0
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

HIDDEN, LAYERS, INTERMEDIATE, VOCABULARY, HEADS, KV_HEADS = 32, 3, 48, 64, 4, 2
TORCH_DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}

# name: (stream of the own noise, its size, size of the part all models share, rows of the embeddings, factor on every number)
MODELS = {
    "base": ("", 0.0, 0.0, 64, 1.0),
    "m1": ("m1", 1.0, 1.0, 64, 1.0),
    "m2": ("m2", 1.0, 1.0, 64, 1.0),
    "m3": ("m3", 1.5, 1.0, 64, 1.0),
    "m4": ("m4", 4.0, 2.0, 64, 1.0),
    "far": ("far", 40.0, 0.0, 64, 1.0),
    "anti": ("anti", 0.5, -1.0, 64, 1.0),
    "wide": ("wide", 1.0, 1.0, 72, 1.0),
    "narrow": ("narrow", 1.0, 1.0, 60, 1.0),
    "small1": ("m1", 0.25, 0.25, 64, 1.0),
    "small2": ("m2", 0.25, 0.5, 64, 1.0),
    "bigbase": ("", 0.0, 0.0, 64, 1024.0),
    "bigsmall1": ("m1", 0.25, 0.25, 64, 1024.0),
    "bigsmall2": ("m2", 0.25, 0.5, 64, 1024.0),
}


def shapes(rows: int) -> dict[str, tuple[int, ...]]:
    found = {"model.embed_tokens.weight": (rows, HIDDEN)}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        found[at + "input_layernorm.weight"] = (HIDDEN,)
        found[at + "self_attn.q_proj.weight"] = (HIDDEN, HIDDEN)
        found[at + "self_attn.k_proj.weight"] = (HIDDEN * KV_HEADS // HEADS, HIDDEN)
        found[at + "self_attn.v_proj.weight"] = (HIDDEN * KV_HEADS // HEADS, HIDDEN)
        found[at + "self_attn.o_proj.weight"] = (HIDDEN, HIDDEN)
        found[at + "post_attention_layernorm.weight"] = (HIDDEN,)
        found[at + "mlp.gate_proj.weight"] = (INTERMEDIATE, HIDDEN)
        found[at + "mlp.up_proj.weight"] = (INTERMEDIATE, HIDDEN)
        found[at + "mlp.down_proj.weight"] = (HIDDEN, INTERMEDIATE)
    found["model.norm.weight"] = (HIDDEN,)
    found["lm_head.weight"] = (rows, HIDDEN)
    return found


def _words(stream: str, count: int) -> np.ndarray:
    """`count` 32-bit words: MurmurHash3's last step over a counter that begins at the FNV-1a hash of the stream's name."""
    seed = 0x811C9DC5
    for byte in stream.encode():
        seed = ((seed ^ byte) * 0x01000193) & 0xFFFFFFFF
    with np.errstate(over="ignore"):
        h = np.uint32(seed) + np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B9)
        h ^= h >> np.uint32(16)
        h *= np.uint32(0x85EBCA6B)
        h ^= h >> np.uint32(13)
        h *= np.uint32(0xC2B2AE35)
        return h ^ (h >> np.uint32(16))


def _bell(stream: str, count: int) -> np.ndarray:
    """Four uniform numbers added up, less 2: variance 1/3."""
    u = _words(stream, 4 * count).astype(np.float64).reshape(count, 4) / 2.0**32
    return ((u[:, 0] + u[:, 1]) + u[:, 2]) + u[:, 3] - 2.0


def values(model: str, tensor: str, shape: tuple[int, ...]) -> np.ndarray:
    """fp32 values of one tensor. Planted: frozen elements, equal magnitudes, elements equal in all models, opposite ones in m1 and m2."""
    own, own_size, shared_size, _, factor = MODELS[model]
    count = int(np.prod(shape))
    index = np.arange(count)
    norm = len(shape) == 1
    sign = np.where(_words(f"sign/{own}/{tensor}", count) & np.uint32(1), 1.0, -1.0)
    base = 1.0 + 0.2 * _bell(f"base/{tensor}", count) if norm else 0.08 * _bell(f"base/{tensor}", count)
    unit = 0.01 if norm else 0.0011
    shared = _bell(f"shared/{tensor}", count)
    delta = unit * (own_size * (_bell(f"{own}/{tensor}", count) if own else np.zeros(count)) + shared_size * shared)
    # Numbers that all three dtypes hold, so that differences are exact in each: equal magnitudes, and sums of exactly zero.
    exact = (1.0 if norm else 0.0) + ((index >> 5) % 9 - 4) * 2.0**-8
    step = 2.0**-7 if norm else 2.0**-10
    moved = 0.0 if own_size == 0 else 1.0
    frozen, equal, common, opposite = (index % m == r for m, r in ((17, 3), (23, 5), (29, 7), (31, 9)))
    planted = frozen | equal | common | opposite
    base = np.where(~frozen & (equal | opposite), exact, base)
    delta = np.where(opposite, {"m1": 2.0, "m2": -2.0}.get(own, 0.0) * step, delta)
    delta = np.where(common, moved * 2.0 * unit * shared, delta)
    delta = np.where(equal, moved * step * sign, delta)
    delta = np.where(frozen, 0.0, delta)
    delta = np.where(~planted & (index % 19 == 4) & (own == "m1"), 0.0, delta)
    return ((base + delta) * factor).astype(np.float32)


def write_model(folder: Path, model: str, dtype: str) -> str:
    """Writes the checkpoint; returns the SHA-256 of all values, tensor after tensor."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = MODELS[model][3]
    tensors = {
        name: torch.from_numpy(values(model, name, shape)).reshape(shape).to(TORCH_DTYPES[dtype]) for name, shape in shapes(rows).items()
    }
    save_file(tensors, str(folder / "model.safetensors"), metadata={"format": "pt"})
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "vocab_size": rows,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "torch_dtype": str(TORCH_DTYPES[dtype]).removeprefix("torch."),
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    digest = hashlib.sha256()
    for tensor in tensors.values():
        digest.update(tensor.contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
