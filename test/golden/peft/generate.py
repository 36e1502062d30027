"""Adapters as the real PEFT saves them, and the models it makes of them, for test/golden/peft.test.ts.

    python3 -m venv /tmp/peft && /tmp/peft/bin/pip install torch peft 'transformers<5'
    /tmp/peft/bin/python test/golden/peft/generate.py

PEFT is only run. Every case is an adapter with random numbers in the place of trained ones, saved, loaded again onto the same base and merged
(`merge_and_unload`). Stored are the base, each adapter's two files as PEFT wrote them, and those tensors of the merged model that differ from the
base; of what cannot be merged as a product, the adapter alone.
SPDX-License-Identifier: Apache-2.0
"""

import copy
import json
import shutil
import tempfile
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from torch import nn
from transformers.pytorch_utils import Conv1D

HERE = Path(__file__).parent
CASES = HERE / "cases"
warnings.filterwarnings("ignore")


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj = nn.Linear(8, 12)
        self.k_proj = nn.Linear(8, 8)
        self.c_attn = Conv1D(10, 8)
        self.c_proj = Conv1D(8, 8)
        self.norm = nn.LayerNorm(8)


class Tiny(nn.Module):
    """Every kind of layer that PEFT has LoRA for and that has weights."""

    def __init__(self):
        super().__init__()
        self.embed_tokens = nn.Embedding(14, 8)
        self.layers = nn.ModuleList([Block(), Block()])
        self.conv = nn.Conv2d(4, 6, 3)
        self.point = nn.Conv2d(4, 6, 1)
        self.conv_1d = nn.Conv1d(4, 6, 3)
        self.attn = nn.MultiheadAttention(8, 2)
        self.head = nn.Linear(8, 14)


def fill(module: nn.Module, seed: int, scale: float = 0.5) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float32) * scale)


def base() -> Tiny:
    model = Tiny()
    fill(model, 1)
    return model


def trained(model: PeftModel, seed: int) -> None:
    """Random numbers in everything that training would change."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            if parameter.requires_grad:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)


def config(**options) -> LoraConfig:
    return LoraConfig(**{"r": 4, "lora_alpha": 6, **options})


MERGED = {
    "plain": config(target_modules=["q_proj", "k_proj"]),
    "rslora": config(target_modules=["q_proj"], use_rslora=True, r=3),
    "patterns": config(
        target_modules=r"layers\.\d+\.(q_proj|k_proj)",
        rank_pattern={"layers.1.q_proj": 2, r"^layers\.0\..*": 3, "k_proj": 5},
        alpha_pattern={"q_proj": 5, r"layers\.\d\.k_proj": 7},
    ),
    "patterns_rslora": config(target_modules=["q_proj", "k_proj"], use_rslora=True, rank_pattern={"k_proj": 6}, alpha_pattern={"k_proj": 3}),
    "fan_in_fan_out": config(target_modules=["c_attn", "c_proj"], fan_in_fan_out=True),
    "convolutions": config(target_modules=["conv", "point", "conv_1d"]),
    "embedding": config(target_modules=["embed_tokens", "head"]),
    "modules_to_save": config(target_modules=["q_proj"], modules_to_save=["norm", "head"]),
    "bias_all": config(target_modules=["q_proj"], bias="all"),
    "bias_all_and_modules_to_save": config(target_modules=["q_proj"], bias="all", modules_to_save=["head"]),
    "bias_lora_only": config(target_modules=["q_proj", "c_attn"], bias="lora_only", fan_in_fan_out=True),
    "layers_to_transform": config(target_modules=["q_proj", "k_proj"], layers_to_transform=[1], layers_pattern="layers"),
    "exclude_modules": config(target_modules=["q_proj", "k_proj"], exclude_modules=r".*0\.k_proj"),
    "gaussian": config(target_modules=["q_proj"], init_lora_weights="gaussian"),
    "orthogonal": config(target_modules=["q_proj"], init_lora_weights="orthogonal"),
}
HALF = {"bf16": torch.bfloat16, "f16": torch.float16}
REFUSED = {
    # PEFT 0.21 adds the product of out_proj twice, in forward passes as in merges.
    "attention": config(target_modules=["attn"]),
    "dora": config(target_modules=["q_proj"], use_dora=True),
    "lora_bias": config(target_modules=["q_proj"], lora_bias=True),
    "pissa": config(target_modules=["q_proj"], init_lora_weights="pissa"),
    "olora": config(target_modules=["q_proj"], init_lora_weights="olora"),
    "target_parameters": config(target_modules=[], target_parameters=["q_proj.weight"]),
    "trainable_tokens": config(target_modules=["q_proj"], trainable_token_indices={"embed_tokens": [1, 3]}),
}


def store(name: str, saved: Path, merged: dict | None) -> None:
    folder = CASES / name
    folder.mkdir(parents=True)
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(saved / file, folder / file)
    if merged is None:
        return
    before = base().state_dict()
    changed = {key: value.float().contiguous() for key, value in merged.items() if not torch.equal(value.float(), before[key])}
    save_file(changed, folder / "merged.safetensors")


def merged_from(saved: Path) -> dict:
    """What PEFT makes of a saved adapter; factors in half precision are widened first, since PEFT would round their product."""
    return PeftModel.from_pretrained(base(), saved, autocast_adapter_dtype=True).merge_and_unload().state_dict()


def main() -> None:
    shutil.rmtree(CASES, ignore_errors=True)
    save_file(base().state_dict(), HERE / "base.safetensors")
    with tempfile.TemporaryDirectory() as work:
        for seed, (name, options) in enumerate([*MERGED.items(), *((name, MERGED["plain"]) for name in HALF), *REFUSED.items()], start=2):
            torch.manual_seed(seed)
            model = get_peft_model(base(), copy.deepcopy(options))
            trained(model, seed)
            if name in HALF:
                for key, parameter in model.named_parameters():
                    if "lora_" in key:
                        parameter.data = parameter.data.to(HALF[name])
            saved = Path(work) / name
            model.save_pretrained(saved)
            store(name, saved, None if name in REFUSED else merged_from(saved))
        # PiSSA that was converted to an ordinary adapter: what its own model is, without the base that it changed.
        torch.manual_seed(1)
        model = get_peft_model(base(), config(target_modules=["q_proj"], init_lora_weights="pissa"))
        model.peft_config["default"].init_lora_weights = True
        model.save_pretrained(Path(work) / "initial")
        model.peft_config["default"].init_lora_weights = "pissa"
        trained(model, 99)
        saved = Path(work) / "pissa_converted"
        model.save_pretrained(saved, path_initial_model_for_weight_conversion=str(Path(work) / "initial"))
        store("pissa_converted", saved, model.merge_and_unload().state_dict())
    sizes = sum(path.stat().st_size for path in HERE.rglob("*.*"))
    print(json.dumps({"cases": len(list(CASES.iterdir())), "bytes": sizes}))


if __name__ == "__main__":
    main()
