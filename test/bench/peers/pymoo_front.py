"""
NSGA-III of pymoo on the surrogates that our search gets, and how long it takes. The argument is a job file (PymooJob in pymoo-front.ts);
the answer is one line of JSON. Metrics are maximised: sigmoid(q), evaluated for a whole population at once as a pymoo user would.
"""

import json
import sys
import time

import numpy
import pymoo
from pymoo.algorithms.moo.nsga3 import NSGA3
from pymoo.core.problem import Problem
from pymoo.optimize import minimize
from pymoo.util.ref_dirs import get_reference_directions


def terms(c):
    n = c.shape[1]
    i, j = numpy.triu_indices(n, 1)
    return numpy.hstack([c * c, c[:, i] * c[:, j], c, numpy.ones((len(c), 1))])


class Surrogates(Problem):
    def __init__(self, parameters):
        self.parameters = numpy.array(parameters).T
        size = self.parameters.shape[0]
        dimensions = int((numpy.sqrt(8 * size + 1) - 3) / 2)
        super().__init__(n_var=dimensions, n_obj=self.parameters.shape[1], xl=0.0, xu=1.0)

    def _evaluate(self, x, out, *args, **kwargs):
        out["F"] = -1 / (1 + numpy.exp(-terms(x) @ self.parameters))


def directions(job):
    layers = job["layers"]
    if len(layers) == 1:
        return get_reference_directions("das-dennis", job["objectives"], n_partitions=layers[0])
    made = [
        get_reference_directions("das-dennis", job["objectives"], n_partitions=partitions, scaling=scaling)
        for partitions, scaling in zip(layers, (1.0, 0.5))
    ]
    return numpy.vstack(made)


def main(job):
    problem = Surrogates(job["parameters"])
    job["objectives"] = problem.n_obj
    rows = directions(job)
    minimize(problem, NSGA3(ref_dirs=rows), ("n_gen", 2), seed=job["seed"])
    start, cpu_start = time.perf_counter(), time.process_time()
    result = minimize(problem, NSGA3(ref_dirs=rows), ("n_gen", job["generations"]), seed=job["seed"])
    times = {"seconds": time.perf_counter() - start, "cpuSeconds": time.process_time() - cpu_start}
    points = (-numpy.atleast_2d(result.F)).tolist()
    print(json.dumps({**times, "points": points, "directions": len(rows), "library": f"pymoo {pymoo.__version__}"}))


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        main(json.load(file))
