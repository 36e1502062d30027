"""Data files and a graph as other tools write them, for test/golden/evaluators.test.ts.

python -m venv /tmp/venv && /tmp/venv/bin/pip install numpy onnx pyarrow safetensors
/tmp/venv/bin/python test/golden/evaluators/generate.py
"""

import pathlib

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).parent
ROWS = 5

x = np.arange(ROWS * 3, dtype=np.float32).reshape(ROWS, 3) / 4 - 1
label = np.array([0, 1, 2, 1, 0], dtype=np.int64)
columns = {
    "x": x,
    "x_fortran": np.asfortranarray(x),
    "x_double": x.astype(np.float64),
    "x_half": x.astype(np.float16),
    "x_big": x.astype(">f4"),
    "cube": np.asfortranarray(np.arange(ROWS * 2 * 3, dtype=np.int16).reshape(ROWS, 2, 3)),
    "label": label,
    "small": label.astype(np.uint8),
    "large": np.array([2**53 + 1, -(2**62), 0, 1, -1], dtype=np.int64),
    "flag": label > 0,
}
np.savez(HERE / "plain.npz", **columns)
np.savez_compressed(HERE / "packed.npz", **columns)
np.savez(HERE / "objects.npz", bad=np.array([{"a": 1}], dtype=object), text=np.array(["a", "b"]))

plain = {name: np.ascontiguousarray(array) for name, array in columns.items() if name != "x_big"}
save_file(plain, HERE / "data.safetensors")


def table(extra):
    fields = {
        "x": pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), 3),
        "x_list": pa.array(x.tolist(), type=pa.list_(pa.float64())),
        "image": pa.array(np.arange(ROWS * 4).reshape(ROWS, 2, 2).tolist(), type=pa.list_(pa.list_(pa.int32()))),
        "label": pa.array(label),
        "small": pa.array(label.astype(np.uint8)),
        "score": pa.array(x[:, 0]),
        "flag": pa.array(label > 0),
        **extra,
    }
    return pa.table(fields)


broken = {
    "ragged": pa.array([[1.0], [1.0, 2.0], [3.0], [4.0], [5.0]]),
    "missing": pa.array([1.0, None, 3.0, 4.0, 5.0]),
    "text": pa.array(["a", "b", "c", "d", "e"]),
}
pq.write_table(table(broken), HERE / "snappy.parquet", compression="snappy")
pq.write_table(table({}), HERE / "zstd.parquet", compression="zstd", row_group_size=2)

# scores = relu(x @ w1 + b1) @ w2^T + own, where `own` lies in a file of its own beside the graph.
rng = np.random.default_rng(6)
weights = {
    "net.w1": rng.normal(size=(3, 4)).astype(np.float32),
    "net.b1": rng.normal(size=(4,)).astype(np.float32),
    "net.w2": rng.normal(size=(3, 4)).astype(np.float32),
    "own": rng.normal(size=(3,)).astype(np.float32),
}
graph = helper.make_graph(
    [
        helper.make_node("MatMul", ["x", "net.w1"], ["a"]),
        helper.make_node("Add", ["a", "net.b1"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Gemm", ["c", "net.w2", "own"], ["scores"], transB=1),
    ],
    "g",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
    [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 3])],
    [numpy_helper.from_array(value, name) for name, value in weights.items()],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model)
for tensor in model.graph.initializer:
    if tensor.name == "own":
        onnx.external_data_helper.set_external_data(tensor, "own.data")
onnx.save(model, HERE / "model.onnx")

zeros = {name.removeprefix("net."): np.zeros_like(value) for name, value in weights.items() if name != "own"}
named = {name.removeprefix("net."): value for name, value in weights.items() if name != "own"}
for folder, tensors in {"candidate": named, "zeros": zeros}.items():
    (HERE / folder).mkdir(exist_ok=True)
    save_file(tensors, HERE / folder / "model.safetensors", metadata={"format": "pt"})
hidden = np.maximum(x @ weights["net.w1"] + weights["net.b1"], 0)
print((hidden @ weights["net.w2"].T + weights["own"]).tolist())
print(weights["own"].tolist())
