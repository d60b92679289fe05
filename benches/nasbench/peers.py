"""Optuna's and pymoo's NSGA-II on the networks of `cargo bench --bench nasbench`: evaluations to a share of the hypervolume.

    python benches/nasbench/peers.py CELLS.csv [--seeds 20] [--budget 1200]

CELLS.csv is what the benchmark writes with `--cells`: network, accuracy, two costs, one row a cell. A cell that is not in it
is no evaluation: to Optuna it is a pruned trial, to pymoo one that breaks a constraint. A network that was asked about
before is no second evaluation. Needs numpy, optuna and pymoo; says so and ends well where they are not there.
"""

import argparse
import csv
import sys

try:
    import numpy as np
    import optuna
    from pymoo.core.problem import ElementwiseProblem
    from pymoo.core.variable import Choice
    from pymoo.core.mixed import MixedVariableGA
    from pymoo.algorithms.moo.nsga2 import RankAndCrowdingSurvival
    from pymoo.core.termination import NoTermination
except ImportError as missing:
    sys.exit(print(f"skipped: {missing}"))

OPS = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
EDGES = ["e01", "e02", "e12", "e03", "e13", "e23"]


def volume(points):
    """Of what three-dimensional points dominate below 1.1."""
    points = points[(points < 1.1).all(axis=1)]
    points = points[np.argsort(points[:, 2])]
    total = 0.0
    for i in range(len(points)):
        top = points[i + 1, 2] if i + 1 < len(points) else 1.1
        if top <= points[i, 2]:
            continue
        height, area = 1.1, 0.0
        for x, y, _ in sorted(map(tuple, points[: i + 1])):
            if y < height:
                area += (1.1 - x) * (height - y)
                height = y
        total += area * (top - points[i, 2])
    return total


def front(points):
    keep = [i for i, p in enumerate(points) if not ((points <= p).all(axis=1) & (points < p).any(axis=1)).any()]
    return points[keep]


class Count:
    """Counts distinct networks until the budget is spent."""

    def __init__(self, cells, budget):
        self.cells, self.budget, self.order, self.seen = cells, budget, [], set()

    def ask(self, choices):
        found = self.cells.get(tuple(choices))
        if found is None:
            return None
        network, goals = found
        if network not in self.seen and len(self.order) < self.budget:
            self.seen.add(network)
            self.order.append(goals)
        return goals

    def full(self):
        return len(self.order) >= self.budget


def with_optuna(count, seed, limit):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(directions=["minimize"] * 3, sampler=optuna.samplers.NSGAIISampler(seed=seed))

    def objective(trial):
        goals = count.ask([trial.suggest_categorical(e, OPS) for e in EDGES])
        if count.full():
            study.stop()
        if goals is None:
            raise optuna.TrialPruned()
        return tuple(goals)

    study.optimize(objective, n_trials=limit)


def with_pymoo(count, seed, limit):
    class Cells(ElementwiseProblem):
        def __init__(self):
            super().__init__(vars={e: Choice(options=OPS) for e in EDGES}, n_obj=3, n_ieq_constr=1)

        def _evaluate(self, x, out, *args, **kwargs):
            goals = count.ask([x[e] for e in EDGES])
            out["F"] = goals if goals is not None else [0.0, 0.0, 0.0]
            out["G"] = [-1.0 if goals is not None else 1.0]

    algorithm = MixedVariableGA(pop_size=40, survival=RankAndCrowdingSurvival())
    algorithm.setup(Cells(), termination=NoTermination(), seed=seed, verbose=False)
    while not count.full() and algorithm.evaluator.n_eval < limit:
        algorithm.next()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("cells")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--budget", type=int, default=1200)
    args = parser.parse_args()
    cells = {}
    with open(args.cells, newline="") as file:
        for row in csv.DictReader(file):
            goals = [-float(row["accuracy"]), float(row["cost1"]), float(row["cost2"])]
            cells[tuple(row[e] for e in EDGES)] = (row["network"], goals)
    true = front(np.array([g for _, g in cells.values()]))
    useful = true[true[:, 0] <= -50]
    low, high = useful.min(axis=0), useful.max(axis=0)
    whole = volume((true - low) / (high - low))
    for name, run in [("Optuna NSGA-II", with_optuna), ("pymoo NSGA-II", with_pymoo)]:
        counts = {0.95: [], 0.99: []}
        for seed in range(args.seeds):
            count = Count(cells, args.budget)
            run(count, seed, 20 * args.budget)
            kept, reached = np.empty((0, 3)), {}
            for k, goals in enumerate(count.order):
                new = (np.array(goals) - low) / (high - low)
                if len(kept) and (kept <= new).all(axis=1).any():
                    continue
                kept = np.vstack([kept[~(new <= kept).all(axis=1)], new])
                share = volume(kept) / whole
                for target in counts:
                    if share >= target and target not in reached:
                        reached[target] = k + 1
            for target in counts:
                counts[target].append(reached.get(target, np.inf))
            print(f"{name}, seed {seed}: {len(count.order)} networks, {reached}", file=sys.stderr, flush=True)
        text = []
        for target, values in counts.items():
            middle, low_q, high_q = (np.quantile(values, q, method="inverted_cdf") for q in (0.5, 0.25, 0.75))
            missed = sum(np.isinf(values))
            text.append(f"{middle:.0f} [{low_q:.0f}, {high_q:.0f}], {missed} missed")
        print(f"| {name} | {' | '.join(text)} |", flush=True)


if __name__ == "__main__":
    main()
