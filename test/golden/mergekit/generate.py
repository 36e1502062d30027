"""Runs every case of cases/*.yml through the real mergekit and stores what comes out, for test/golden/mergekit.test.ts.

    python3 -m venv /tmp/mergekit && /tmp/mergekit/bin/pip install -r test/bench/peers/requirements.txt
    /tmp/mergekit/bin/python test/golden/mergekit/generate.py [--only NAME] [--work DIR]

mergekit is LGPL-3.0 and is only run: its installed command `mergekit-yaml` is looked up by name and called with arguments, once a case, in a
process forked off this one (so that torch is loaded once). Nothing of it is stored here but numbers.

A case: name; recipe (`@` becomes the folder of the case's dtype, `$` the folder above it); dtypes of the checkpoints (F32 and BF16);
arguments for mergekit-yaml; refused: mergekit must fail, and why, in our words. The other keys are for the test (test/support/golden-cases.ts).

sce and multislerp add their models in the order of a set of objects, which changes from process to process: F32 outputs of three models and
more differ in the last bit each time this runs. Everything else comes out the same.

Stored are all elements of vectors and every 7th of matrices, gzipped: expected/DTYPE/NAME.safetensors.gz, the full shapes in its metadata.
SPDX-License-Identifier: Apache-2.0
"""

import argparse
import gzip
import io
import json
import os
import platform
import shutil
import sys
import tempfile
from importlib.metadata import entry_points, version
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", OMP_NUM_THREADS="1")

import torch
import yaml
from safetensors import safe_open
from safetensors.torch import save
from tiny_models import MODELS, write_model

HERE = Path(__file__).parent
SAMPLE = 7
NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}


def run_mergekit(command, arguments: list[str], log: Path) -> bool:
    """True if mergekit made a model."""
    child = os.fork()
    if child == 0:
        with log.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            try:
                command.main(arguments, standalone_mode=False)
                os._exit(0)
            except BaseException as error:  # noqa: BLE001
                print(f"FAILED {type(error).__name__}: {error}", flush=True)
                os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def pack(folder: Path) -> tuple[bytes, dict]:
    """The sampled tensors as gzipped safetensors, and facts on the files."""
    sampled, shapes, files = {}, {}, {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():
                tensor = file.get_tensor(name)
                shapes[name] = list(tensor.shape)
                flat = tensor.flatten()
                sampled[name] = (flat if tensor.dim() < 2 else flat[::SAMPLE]).contiguous()
                files[path.name] = files.get(path.name, 0) + tensor.nbytes
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=9, mtime=0) as stream:
        stream.write(save(sampled, {"shapes": json.dumps(shapes)}))
    return buffer.getvalue(), {"stored": "/".join(sorted({NAMES[t.dtype] for t in sampled.values()})), "bytesOfFiles": files}


def run_case(command, case: dict, dtype: str, work: Path) -> dict:
    out, log, recipe = work / "out", work / "log", work / "recipe.yml"
    shutil.rmtree(out, ignore_errors=True)
    recipe.write_text(case["recipe"].replace("@", f"{work}/{dtype}/").replace("$", f"{work}/"))
    arguments = [str(recipe), str(out), "--no-copy-tokenizer", "--quiet", *case.get("arguments", [])]
    merged = run_mergekit(command, arguments, log)
    target = HERE / "expected" / dtype / f"{case['name']}.safetensors.gz"
    said = [line for line in log.read_text().splitlines() if line.strip()][-1:] or [""]
    print(f"{dtype:4} {case['name']}: {'merged' if merged else 'refused: ' + said[0][:300]}", flush=True)
    if merged == ("refused" in case):
        sys.exit(f"{case['name']} was expected {'to be refused' if merged else 'to merge'}:\n{log.read_text()[-3000:]}")
    if not merged:
        return {"refused": case["refused"]}
    packed, facts = pack(out)
    if "ours" not in case:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(packed)
    return facts


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", help="one case; the others keep their results")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "tributary-golden")
    options = parser.parse_args()
    (command,) = (entry.load() for entry in entry_points(group="console_scripts", name="mergekit-yaml"))
    cases = [case for path in sorted(HERE.glob("cases/*.yml")) for case in yaml.safe_load(path.read_text())]
    inputs = {f"{dtype}/{model}": write_model(options.work / dtype / model, model, dtype) for dtype in ("F32", "BF16", "F16") for model in MODELS}
    file = HERE / "results.json"
    old = json.loads(file.read_text())["cases"] if options.only and file.exists() else {}
    found = {}
    for case in cases:
        for dtype in case.get("dtypes", ["F32"] if "refused" in case else ["F32", "BF16"]):
            key = f"{case['name']}/{dtype}"
            if options.only in (None, case["name"]):
                found[key] = run_case(command, case, dtype, options.work)
            elif key in old:
                found[key] = old[key]
    versions = {name: version(name) for name in ("mergekit", "torch", "transformers", "numpy")}
    facts = {"versions": {**versions, "python": platform.python_version()}, "cpu": torch.backends.cpu.get_cpu_capability()}
    file.write_text(json.dumps({**facts, "sampleEvery": SAMPLE, "inputs": inputs, "cases": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
