"""Four questions of a fleet, by DuckDB, Polars, Spark and from the JSON reports.

usage: questions.py TABLES REPORTS BAD

TABLES has the Parquet tables of all overlays and of the map of the base, REPORTS a report in JSON
for each overlay, and BAD is a bad region of the base, START+LENGTH in bytes. The answers must be
the same, row for row. The readers must read every table without a warning.
"""
import glob
import json
import os
import sys
import time
import warnings
from collections import Counter

import duckdb
import polars
import pyarrow.parquet
from pyspark.sql import SparkSession

warnings.simplefilter("error")

TABLES, REPORTS = sys.argv[1], sys.argv[2]
START, LENGTH = map(int, sys.argv[3].split("+"))
END = START + LENGTH

# The questions, in SQL that DuckDB and Spark both read. `bin` makes the join of places one of
# equal numbers, which every engine does well.
SHADOW = "select overlay from changes where path = '/etc/shadow' order by overlay"
COSTLY = """select path, sum(length) as bytes from ranges
    group by path order by bytes desc, path limit 20"""
BAD = f"""select distinct o.path, r.overlay from owners o
    join ranges r on o.path_raw = r.path_raw and o.volume = r.volume
    where o.start < {END} and o.start + o.length > {START}
      and o.bin <= {(END - 1) >> 20} and o.last_bin >= {START >> 20}
    order by 1, 2"""
COMMON = """select path from changes group by path
    having count(distinct overlay) = (select count(distinct overlay) from changes) order by path"""
QUESTIONS = {"shadow": SHADOW, "costly": COSTLY, "bad": BAD, "common": COMMON}


def files(table):
    return os.path.join(TABLES, table, "*", "part.parquet")


def by_duckdb():
    con = duckdb.connect()
    for table in ("changes", "ranges", "owners"):
        con.execute(f"create view {table} as select * from "
                    f"read_parquet('{files(table)}', hive_partitioning=true)")
    return {name: con.execute(sql).fetchall() for name, sql in QUESTIONS.items()}


def by_polars():
    scan = {t: polars.scan_parquet(files(t), hive_partitioning=True)
            for t in ("changes", "ranges", "owners")}
    changes, ranges, owners = scan["changes"], scan["ranges"], scan["owners"]
    col = polars.col
    shadow = changes.filter(col("path") == "/etc/shadow").select("overlay").sort("overlay")
    costly = (ranges.group_by("path").agg(col("length").sum().alias("bytes"))
              .sort(["bytes", "path"], descending=[True, False]).head(20))
    region = owners.filter((col("start") < END) & (col("start") + col("length") > START))
    bad = (region.join(ranges, on=["path_raw", "volume"]).select("path", "overlay").unique()
           .sort(["path", "overlay"]))
    every = changes.select(col("overlay").n_unique()).collect().item()
    common = (changes.group_by("path").agg(col("overlay").n_unique().alias("n"))
              .filter(col("n") == every).select("path").sort("path"))
    answers = {"shadow": shadow, "costly": costly, "bad": bad, "common": common}
    return {name: frame.collect().rows() for name, frame in answers.items()}


def by_spark():
    spark = (SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
             .config("spark.driver.bindAddress", "127.0.0.1")
             .config("spark.driver.host", "127.0.0.1")
             .config("spark.sql.shuffle.partitions", "4").getOrCreate())
    spark.sparkContext.setLogLevel("ERROR")
    for table in ("changes", "ranges", "owners"):
        spark.read.parquet(os.path.join(TABLES, table)).createOrReplaceTempView(table)
    found = {name: [tuple(row) for row in spark.sql(sql).collect()]
             for name, sql in QUESTIONS.items()}
    spark.stop()
    return found


def by_json():
    shadow, common, costly = set(), Counter(), Counter()
    of_path, owners = {}, set()
    overlays = sorted(glob.glob(os.path.join(REPORTS, "*.jsonl")))
    for report in overlays:
        name = os.path.basename(report).removesuffix(".jsonl")
        paths = set()
        for line in open(report):
            record = json.loads(line)
            if record["type"] != "change":
                continue
            paths.add(record["path"])
            costly[record["path"]] += sum(r["length"] for r in record["ranges"])
            if record["ranges"]:
                raw = record.get("path_raw") or record["path"]
                of_path.setdefault((record["volume"], raw), set()).add(name)
        common.update(paths)
        if "/etc/shadow" in paths:
            shadow.add(name)
    for line in open(os.path.join(TABLES, "map.jsonl")):
        record = json.loads(line)
        if record["type"] != "owner" or record["start"] >= END:
            continue
        if record["start"] + record["length"] <= START:
            continue
        for owner in record["owners"]:
            if owner["paths"]:
                raw = (owner.get("paths_raw") or owner["paths"])[0]
                owners.add((owner["paths"][0], record["volume"], raw))
    bad = {(path, name) for path, volume, raw in owners for name in of_path.get((volume, raw), ())}
    costly = Counter({path: size for path, size in costly.items() if size})
    return {
        "shadow": sorted((name,) for name in shadow),
        "costly": sorted(costly.items(), key=lambda row: (-row[1], row[0]))[:20],
        "bad": sorted(bad),
        "common": sorted((path,) for path, n in common.items() if n == len(overlays)),
    }


def read_all():
    """Reads every table with three readers; they must agree on the number of rows."""
    for table in sorted(os.listdir(TABLES)):
        parts = sorted(glob.glob(files(table)))
        if not parts:
            continue
        arrow = sum(pyarrow.parquet.read_table(p, partitioning=None).num_rows for p in parts)
        duck = duckdb.sql(f"select count(*) from read_parquet('{files(table)}')").fetchall()[0][0]
        pola = polars.scan_parquet(files(table)).select(polars.len()).collect().item()
        assert arrow == duck == pola, (table, arrow, duck, pola)
        print(f"  table {table:16} {len(parts):5} files {arrow:9} rows, by three readers")


def main():
    read_all()
    answers = {}
    for engine in (by_json, by_duckdb, by_polars, by_spark):
        start = time.monotonic()
        answers[engine.__name__[3:]] = engine()
        print(f"  {engine.__name__[3:]:7} {time.monotonic() - start:7.2f} s")
    for name in QUESTIONS:
        expected = answers["json"][name]
        assert expected, f"{name}: nothing was found, so nothing was compared"
        for engine, found in answers.items():
            assert found[name] == expected, (name, engine, found[name][:3], expected[:3])
        print(f"  question {name:8} {len(expected):5} rows, the same by all")


main()
