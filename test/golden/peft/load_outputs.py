"""Loads what Tributary writes as adapters with PEFT itself and holds the weights against PyTorch's own arithmetic.

By hand, from the repository's root, after `npm run build`, with a Python that has torch, transformers < 5 and peft:

    python test/golden/peft/load_outputs.py

Everything is made in a temporary folder: tiny models with random weights, adapters that PEFT saves, fine-tunes. Prints one line a case and
ends with status 1 if one is off.
"""

import copy
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file

transformers.logging.set_verbosity_error()
CLI = ["node", "dist/client/cli/main.js", "--quiet", "--format", "json"]
failed = []


def tributary(*arguments):
    done = subprocess.run([*CLI, *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"tributary {' '.join(map(str, arguments))}\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def randomize(model, seed, size=0.3):
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad:
            with torch.no_grad():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * size)
    return model


def llama():
    config = transformers.LlamaConfig(
        vocab_size=40, hidden_size=24, intermediate_size=36, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, attention_bias=True, tie_word_embeddings=False,
    )
    return randomize(transformers.LlamaForCausalLM(config), 1)


def gpt2():
    config = transformers.GPT2Config(vocab_size=40, n_positions=16, n_embd=24, n_layer=2, n_head=4)
    return randomize(transformers.GPT2LMHeadModel(config), 1)


def vit():
    config = transformers.ViTConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=36, image_size=16, patch_size=4,
    )
    return randomize(transformers.ViTForImageClassification(config), 1)


def make_adapter(base_dir, kind, config, seed, folder):
    model = randomize(get_peft_model(kind.from_pretrained(base_dir), config), seed)
    model.save_pretrained(folder)
    return model.merge_and_unload().state_dict()


def compare(name, kind, base_dir, adapter_dir, expected, tolerance):
    loaded = PeftModel.from_pretrained(kind.from_pretrained(base_dir), adapter_dir)
    stored = load_file(Path(adapter_dir) / "adapter_model.safetensors")
    known = {key.replace(".default", "").replace(".modules_to_save", "") for key in loaded.state_dict()}
    unknown = [key for key in stored if key not in known]
    got = loaded.merge_and_unload().state_dict()
    off = max((got[key].double() - expected[key].double()).abs().max().item() for key in expected)
    good = off < tolerance and not unknown
    if not good:
        failed.append(name)
    print(f"{'ok  ' if good else 'FAIL'} {name}: off by {off:.1e} at most{f', unknown to PEFT: {unknown}' if unknown else ''}")


def merge_case(name, root, build, kind, configs, weights, rule="task_arithmetic", tolerance=2e-5):
    folder = Path(tempfile.mkdtemp(dir=root))
    base_dir = folder / "base"
    build().save_pretrained(base_dir)
    base = kind.from_pretrained(base_dir).state_dict()
    merged = {key: value.double() for key, value in base.items()}
    lines = []
    for index, (config, weight) in enumerate(zip(configs, weights, strict=True)):
        states = make_adapter(base_dir, kind, config, 10 + index, folder / f"a{index}")
        for key in merged:
            merged[key] += weight * (states[key].double() - base[key].double())
        lines.append(f"  - {{model: {folder}/a{index}, parameters: {{weight: {weight}}}}}")
    recipe = folder / "recipe.yml"
    recipe.write_text(f"merge_method: {rule}\nbase_model: {base_dir}\noutput: adapter\nmodels:\n" + "\n".join(lines) + "\n")
    tributary("merge", recipe, "--out", folder / "out")
    compare(name, kind, base_dir, folder / "out", merged, tolerance)


def extract_case(name, root, build, kind, *flags, tolerance=2e-5, change=lambda key: True):
    folder = Path(tempfile.mkdtemp(dir=root))
    model = build()
    model.save_pretrained(folder / "base")
    tuned = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for key, parameter in tuned.named_parameters():
            if change(key):
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    tuned.save_pretrained(folder / "tuned")
    tributary("extract-lora", folder / "tuned", "--base", folder / "base", "--out", folder / "out", "--energy", 1, *flags)
    compare(name, kind, folder / "base", folder / "out", kind.from_pretrained(folder / "tuned").state_dict(), tolerance)


def lora(rank, **more):
    return LoraConfig(r=rank, lora_alpha=2 * rank, init_lora_weights=False, **more)


def main():
    causal = transformers.AutoModelForCausalLM
    images = transformers.AutoModelForImageClassification
    with tempfile.TemporaryDirectory(prefix="tributary-peft-") as root:
        merge_case(
            "llama: unequal ranks, patterns, rsLoRA", root, llama, causal,
            [
                lora(2, target_modules=["q_proj", "v_proj"], rank_pattern={"layers.1.self_attn.q_proj": 5}, task_type="CAUSAL_LM"),
                lora(4, target_modules=["q_proj", "down_proj"], use_rslora=True, task_type="CAUSAL_LM"),
            ],
            [0.75, -0.5],
        )
        merge_case(
            "llama: embeddings, whole modules, biases", root, llama, causal,
            [
                lora(2, target_modules=["q_proj", "embed_tokens"], modules_to_save=["norm"], bias="lora_only"),
                lora(3, target_modules=["k_proj", "embed_tokens"], modules_to_save=["lm_head", "input_layernorm"], bias="all"),
            ],
            [1.0, 0.5],
        )
        merge_case("gpt2: (in, out)", root, gpt2, causal, [lora(2, target_modules=["c_attn", "c_proj"], fan_in_fan_out=True)] * 2, [0.5, 0.5])
        merge_case("vit: convolutions", root, vit, images, [lora(3, target_modules=["projection", "query"], modules_to_save=["classifier"])], [1.0])
        whole = "input_layernorm,post_attention_layernorm,norm"
        extract_case("llama: extracted", root, llama, causal, "--modules-to-save", f"{whole},embed_tokens")
        extract_case("llama: extracted, embeddings as factors", root, llama, causal, "--embeddings", "--modules-to-save", whole)
        extract_case("gpt2: extracted", root, gpt2, causal, "--modules-to-save", "ln_1,ln_2,ln_f", "--embeddings", tolerance=5e-5)
        extract_case("vit: extracted", root, vit, images, "--modules-to-save", "layernorm_before,layernorm_after,layernorm",
                     change=lambda key: "token" not in key and "position" not in key)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
