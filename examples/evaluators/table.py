#!/usr/bin/env python3
"""An evaluator that looks networks up in a table.

    blocksmith search SPACE --out DIR --objective 'max accuracy' \\
        --evaluator 'python3 examples/evaluators/table.py TABLE --metrics accuracy' --among TABLE

TABLE is CSV or Parquet with a column a decision, named by its id, and a column a metric; the `trials` table of an earlier run is
one. An empty cell is a decision that is not active. --among keeps the search to the table; without it what the table lacks is a
failed trial. Of several rows for one network the mean is told. CSV needs nothing but
Python; Parquet needs pyarrow, polars or pandas.
"""
import argparse
import csv
import json
import sys

# columns of a run's own tables that are no decisions; counts and predictions are left out by name
OWN = {"trial", "fingerprint", "feasible", "error", "params", "macs", "conv_out_elems", "mem_access_elems", "peak_activation_bytes"}


def rows(path):
    """Rows as {column: value}."""
    if not path.endswith(".parquet"):
        with open(path, newline="") as file:
            yield from csv.DictReader(file)
        return
    try:
        import pyarrow.parquet
        yield from pyarrow.parquet.read_table(path).to_pylist()
        return
    except ImportError:
        pass
    try:
        import polars
        yield from polars.read_parquet(path).to_dicts()
        return
    except ImportError:
        pass
    try:
        import pandas
    except ImportError:
        sys.exit(f"{path}: reading Parquet needs pyarrow, polars or pandas; a CSV file needs none of them")
    yield from pandas.read_parquet(path).to_dict("records")


def plain(value):
    """A value as text that is the same wherever it came from; "" where there is none."""
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value).strip()
    try:
        number = float(text)
    except ValueError:
        return text.lower() if text in ("True", "False") else text
    return str(int(number)) if number.is_integer() else repr(number)


class Table:
    def __init__(self, path, metrics, keys):
        self.keys, self.found = keys, {}
        for row in rows(path):
            if self.keys is None:
                own = lambda name: name in OWN or name in metrics or "@" in name
                self.keys = [name for name in row if not own(name)]
            missing = [name for name in [*self.keys, *metrics] if name not in row]
            if missing:
                sys.exit(f"{path} has no column {', '.join(missing)}; it has {', '.join(map(str, row))}")
            values = [plain(row[metric]) for metric in metrics]
            if "" not in values:
                key = tuple(plain(row[name]) for name in self.keys)
                self.found.setdefault(key, []).append([float(v) for v in values])
        if not self.found:
            sys.exit(f"{path} has no row with a value for each of {', '.join(metrics)}")
        self.metrics = metrics

    def look_up(self, assignment):
        key = tuple(plain(assignment.get(name.removeprefix("decision:"))) for name in self.keys)
        found = self.found.get(key)
        if not found:
            return None
        means = [sum(column) / len(found) for column in zip(*found)]
        return dict(zip(self.metrics, means))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table")
    parser.add_argument("--metrics", nargs="+", required=True, help="columns that are told")
    parser.add_argument("--keys", nargs="+", help="columns that are decisions; all others where it is left out")
    args = parser.parse_args()
    table = Table(args.table, args.metrics, args.keys)
    print(f"{len(table.found)} networks by {', '.join(table.keys)}", file=sys.stderr, flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        metrics = table.look_up(question["assignment"])
        told = {"metrics": metrics} if metrics else {"error": "not in the table"}
        print(json.dumps({"id": question["id"], **told}), flush=True)


if __name__ == "__main__":
    main()
