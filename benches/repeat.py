"""How far two measurements of the same networks are apart.

    python benches/repeat.py FIRST.parquet SECOND.parquet

Rows of `blocksmith measure`, CSV or Parquet, are matched by network and setting. Prints the median of second over first with
the spread of that ratio, for networks and for single operators. Needs polars; says so and ends well where it is not there.
"""

import sys

try:
    import polars as pl
except ImportError as missing:
    sys.exit(print(f"skipped: {missing}"))

KEYS = ["name", "arch", "space", "choices", "runtime", "precision", "threads", "batch", "form"]


def read(path):
    table = pl.read_csv(path) if path.endswith(".csv") else pl.read_parquet(path)
    operators = pl.col("suite").fill_null("") == "ops"
    table = table.with_columns(operators=operators, **{k: pl.col(k).cast(pl.String).fill_null("") for k in KEYS})
    return table.unique(KEYS, keep="last").select(*KEYS, "operators", "latency_s", "load_1m", "flags")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    both = read(sys.argv[1]).join(read(sys.argv[2]), on=KEYS, suffix="_second")
    both = both.with_columns(ratio=pl.col("latency_s_second") / pl.col("latency_s"))
    for what, rows in [("networks", both.filter(~pl.col("operators"))), ("operators", both.filter(pl.col("operators")))]:
        if rows.is_empty():
            continue
        ratio, off = rows["ratio"], (rows["ratio"] - 1).abs()
        load = [rows[name].median() for name in ("load_1m", "load_1m_second")]
        print(
            f"{len(rows)} {what}: median ratio {ratio.median():.4f}, tenth {ratio.quantile(0.1):.4f}, "
            f"ninth tenth {ratio.quantile(0.9):.4f}; median distance {off.median():.2%}, "
            f"within 3 % {(off <= 0.03).mean():.0%}, within 10 % {(off <= 0.1).mean():.0%}; "
            f"load {load[0]:.1f} and {load[1]:.1f}"
        )
        worst = rows.sort(off, descending=True).head(5)
        for row in worst.iter_rows(named=True):
            print(f"  {row['name']}: {row['latency_s'] * 1e3:.3f} and {row['latency_s_second'] * 1e3:.3f} ms")


if __name__ == "__main__":
    main()
