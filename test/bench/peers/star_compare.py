"""
How far the outputs of several programs lie apart, in fp64. The argument is a file with a Comparison (star-torch.ts); the answer
is one line of JSON: by program the largest relative Frobenius distance from torch's output, and, of the first `checked` matrices, from the
recipe in fp64, and how far the nuclear norm is from the input's. Only as many values count for it as are kept: the rounding of the elements
leaves dust in all other directions.
"""

import json
import sys

import torch
from star_torch import cut, read, star


def distance(output, reference):
    return float(torch.linalg.norm(output - reference) / torch.linalg.norm(reference))


def main(job):
    def load(path):
        return read(path, job["rows"], job["columns"]).double()

    found = {name: {"toPeer": 0.0, "toExact": 0.0, "nuclear": 0.0} for name in job["outputs"]}

    def note(name, what, value):
        found[name][what] = value if value != value else max(found[name][what], value)

    for index, path in enumerate(job["inputs"]):
        outputs = {name: load(paths[index]) for name, paths in job["outputs"].items()}
        if job["peer"] in outputs:
            for name, output in outputs.items():
                note(name, "toPeer", distance(output, outputs[job["peer"]]))
        if index < job["checked"]:
            matrix = load(path)
            exact = star(matrix, job["eta"])
            values = torch.linalg.svdvals(matrix)
            rank = cut(values, job["eta"])
            for name, output in outputs.items():
                note(name, "toExact", distance(output, exact))
                note(name, "nuclear", float(abs(torch.linalg.svdvals(output)[:rank].sum() / values.sum() - 1)))
    print(json.dumps({name: {what: value if value == value else None for what, value in one.items()} for name, one in found.items()}))


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        main(json.load(file))
