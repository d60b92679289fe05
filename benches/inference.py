"""One network, every way to run it, side by side in one run: PyTorch eager, PyTorch's best routes, blocksmith's forms.

    python benches/inference.py --program target/release/blocksmith [--ort-lib DIR] [--rounds 5] [--seconds 1] [--out R.json]

Every route has one window a round, in a new order each round: runs until its times are steady, then for `--seconds`; the
median of a window, of runs during which nobody else had the processor where that is known. A route's time is that of its
quietest window; the ratio to PyTorch eager is that of the medians of a round, and what is printed is the middle round with
the smallest and the largest. PyTorch runs in this process and blocksmith in one of its own, one after the other, on the
same processor with the same number of threads.

Both sides run the same network: the script compares parameters, and stops where they differ. Needs torch, torchvision and
timm; says so and ends well where they are not there. `--ort-lib` adds blocksmith on ONNX Runtime.
"""

import argparse
import copy
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time

NETWORKS = {
    "shufflenet_v2_x1_0": ("shufflenet_v2.json", {"model": "x1_0", "form": "torchvision", "bias": True}),
    "ghostnet": ("ghostnet.json", {"w": 1.0}),
    "vovnet39a": ("vovnet.json", {"model": "v39", "identity": False, "gate": "none"}),
}
FORMS = ["eager", "folded", "fused", "frozen"]
EAGER = "PyTorch eager"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="target/release/blocksmith")
    parser.add_argument("--spaces", default="search_spaces/reference", help="folder with the networks' files")
    parser.add_argument("--ort-lib", help="ONNX Runtime's shared library, or a folder that has it")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cpu", type=int, help="with one thread, the processor to keep to; the last one where left out")
    parser.add_argument("--compile", action="store_true", help="torch.compile too, which takes minutes and a C++ compiler")
    parser.add_argument("--out", help="a JSON file for the figures")
    return parser.parse_args()


def window(call, seconds, alone):
    """Median time of a run, in seconds, once times are steady, as `blocksmith measure` takes it: a disturbed run of one
    thread counts with the time that the thread had the processor, and only where fewer than five are undisturbed."""

    def once():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
        start, had = time.perf_counter(), time.thread_time()
        call()
        took, had = time.perf_counter() - start, time.thread_time() - had
        disturbed = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw != before
        return min(took, had) if disturbed and alone else took, disturbed

    warm, began = [], time.perf_counter()
    while time.perf_counter() - began < 1.0 or len(warm) < 3:
        warm.append(once()[0])
        if len(warm) >= 10:
            late, early = statistics.median(warm[-5:]), statistics.median(warm[-10:-5])
            if abs(late / early - 1) < 0.05:
                break
    runs, began = [], time.perf_counter()
    while time.perf_counter() - began < seconds or len(runs) < 10:
        runs.append(once())
    quiet = [took for took, disturbed in runs if not disturbed]
    return statistics.median(quiet if len(quiet) >= 5 else [took for took, _ in runs])


def pytorch(torch, model, compiled):
    """Routes of PyTorch by name."""
    example = torch.randn(1, 3, 224, 224)
    last = example.contiguous(memory_format=torch.channels_last)
    model_last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    routes = {
        EAGER: lambda: model(example),
        "PyTorch eager, channels-last": lambda: model_last(last),
    }
    for name, x, net in [("", example, model), (", channels-last", last, model_last)]:
        traced = torch.jit.freeze(torch.jit.trace(net, x))
        best = torch.jit.optimize_for_inference(traced)
        routes[f"PyTorch optimize_for_inference{name}"] = lambda best=best, x=x: best(x)
    if compiled:
        import torch._inductor.config as inductor

        inductor.freezing = True
        net = torch.compile(model_last)
        try:
            net(last)
            routes["PyTorch torch.compile, channels-last"] = lambda: net(last)
        except Exception as error:  # whatever the compiler does not like
            print(f"torch.compile skipped: {str(error).splitlines()[0]}", file=sys.stderr)
    want = model(example)
    for name, call in routes.items():
        got = call()
        off = ((got - want).norm() / want.norm()).item()
        if off > 1e-3:
            sys.exit(f"{name} computes something else: relative error {off:.1e}")
    return routes


class Ours:
    """blocksmith as a process of its own."""

    def __init__(self, args, name):
        file, sets = NETWORKS[name]
        self.args, self.file = args, os.path.join(args.spaces, file)
        self.sets = [word for key, value in sets.items() for word in ("--set", f"{key}={json.dumps(value).strip(chr(34))}")]

    def answer(self, *words):
        command = [self.args.program, *words, *self.sets, "--format", "json"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(command)}\n{done.stderr.strip()}")
        return json.loads(done.stdout)

    def params(self):
        return self.answer("show", self.file)["params"]

    def route(self, *words):
        """The time of one window."""
        with tempfile.TemporaryDirectory() as folder:
            said = self.answer(
                "measure", self.file, "--rounds", "1", "--max-rounds", "1", "--seconds", str(self.args.seconds),
                "--threads", str(self.args.threads), "--meter", "none", "--affinity", self.args.affinity,
                "--out", os.path.join(folder, "row.csv"), *words,
            )  # fmt: skip
        return said["rows"][0]["latency_s"]


def model_of(name):
    import timm
    import torchvision

    if name == "shufflenet_v2_x1_0":
        return torchvision.models.shufflenet_v2_x1_0()
    return timm.create_model({"ghostnet": "ghostnet_100"}.get(name, name))


def measure(torch, args, name):
    """Times of each route, round by round."""
    model, ours = model_of(name).eval(), Ours(args, name)
    params = sum(p.numel() for p in model.parameters())
    if params != ours.params():
        sys.exit(f"{name}: {params} parameters in PyTorch, {ours.params()} in {ours.file}")
    routes = {}
    for route, call in pytorch(torch, model, args.compile).items():
        routes[route] = lambda call=call: window(call, args.seconds, args.threads == 1)
    for form in FORMS:
        routes[f"blocksmith {form}"] = lambda form=form: ours.route("--form", form)
    if args.ort_lib:
        words = ["--runtime", "onnxruntime", "--ort-lib", args.ort_lib]
        routes["blocksmith on ONNX Runtime"] = lambda: ours.route(*words)
    times = {route: [] for route in routes}
    for round in range(args.rounds):
        order = list(routes)
        random.Random(round).shuffle(order)
        for route in order:
            times[route].append(routes[route]())
            print(f"{name} {round + 1}/{args.rounds} {route}: {times[route][-1] * 1e3:.3f} ms", file=sys.stderr)
    return times


def table(name, times):
    lines = [f"{name}", "", "| route | ms | times PyTorch eager | smallest | largest |", "|---|---|---|---|---|"]
    for route, own in times.items():
        ratios = sorted(eager / t for eager, t in zip(times[EAGER], own))
        middle = statistics.median(ratios)
        lines.append(f"| {route} | {min(own) * 1e3:.2f} | {middle:.2f} | {ratios[0]:.2f} | {ratios[-1]:.2f} |")
    return "\n".join(lines)


def main():
    args = arguments()
    args.affinity = "none"
    if args.threads == 1 and hasattr(os, "sched_setaffinity"):
        cpu = max(os.sched_getaffinity(0)) if args.cpu is None else args.cpu
        os.sched_setaffinity(0, {cpu})
        args.affinity = str(cpu)
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    try:
        import timm  # noqa: F401
        import torch
        import torchvision  # noqa: F401
    except ImportError as missing:
        print(f"skipped: {missing}")
        return
    if not os.path.exists(args.program):
        print(f"skipped: no program at {args.program}; build it or give --program")
        return
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    figures = {}
    with torch.no_grad():
        for name in args.networks:
            figures[name] = measure(torch, args, name)
            print(f"{table(name, figures[name])}\n", flush=True)
    print(f"torch {torch.__version__}, {args.threads} thread(s), batch 1, {args.rounds} rounds of {args.seconds} s")
    if args.out:
        with open(args.out, "w") as file:
            json.dump({"torch": torch.__version__, "threads": args.threads, "seconds": figures}, file, indent=1)


if __name__ == "__main__":
    main()
