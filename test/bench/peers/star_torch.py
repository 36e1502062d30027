"""
The reference recipe of STAR in torch, and a process that times it. The argument is a job file (TorchJob in star-torch.ts); the answer is
one line of JSON. With `sideBySide` as many matrices are worked on at a time as there are threads, each with one thread.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy
import torch

WARM_UP = 256


def star(matrix, eta):
    """The leading singular values that make up eta percent of their sum, stretched to the sum of all."""
    u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
    sums = torch.cumsum(s, 0)
    rank = min(int(torch.searchsorted(sums, eta / 100 * sums[-1])) + 1, len(s))
    return (u[:, :rank] * (s[:rank] * (sums[-1] / sums[rank - 1]))) @ vt[:rank]


def read(path, rows, columns):
    return torch.from_numpy(numpy.fromfile(path, dtype=numpy.float32, count=rows * columns).reshape(rows, columns))


def peak_bytes():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def main(job):
    torch.set_num_threads(1 if job["sideBySide"] else job["threads"])

    def run(paths):
        star(read(paths[0], job["rows"], job["columns"]), job["eta"]).numpy().tofile(paths[1])

    with ThreadPoolExecutor(job["threads"] if job["sideBySide"] else 1) as pool:
        warm_up = read(job["inputs"][0], WARM_UP, WARM_UP)
        list(pool.map(lambda _: star(warm_up, job["eta"]), range(2 * job["threads"])))
        start = time.perf_counter()
        list(pool.map(run, zip(job["inputs"], job["outputs"])))
        seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "peakBytes": peak_bytes(), "library": f"torch {torch.__version__}"}))


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        main(json.load(file))
