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


def cut(s, eta):
    """The smallest rank whose singular values make up eta percent of the sum of all."""
    sums = torch.cumsum(s, 0)
    return min(int(torch.searchsorted(sums, eta / 100 * sums[-1])) + 1, len(s))


def star(matrix, eta):
    u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
    rank = cut(s, eta)
    stretched = s[:rank] * (s.sum() / s[:rank].sum())
    return (u[:, :rank] * stretched) @ vt[:rank]


def read(path, rows, columns):
    return torch.from_numpy(numpy.fromfile(path, dtype=numpy.float32, count=rows * columns).reshape(rows, columns))


def peak_bytes():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def main(job):
    torch.set_num_threads(1 if job["sideBySide"] else job["threads"])

    def run(paths):
        star(read(paths[0], job["rows"], job["columns"]), job["eta"]).numpy().tofile(paths[1])

    with ThreadPoolExecutor(job["threads"]) as pool:
        each = pool.map if job["sideBySide"] else map
        warm_up = read(job["inputs"][0], min(WARM_UP, job["rows"]), min(WARM_UP, job["columns"]))
        list(each(lambda _: star(warm_up, job["eta"]), range(2 * job["threads"])))
        start, cpu_start = time.perf_counter(), time.process_time()
        list(each(run, zip(job["inputs"], job["outputs"])))
        times = {"seconds": time.perf_counter() - start, "cpuSeconds": time.process_time() - cpu_start}
    print(json.dumps({**times, "peakBytes": peak_bytes(), "library": f"torch {torch.__version__}"}))


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        main(json.load(file))
