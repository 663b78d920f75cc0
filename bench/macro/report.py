"""The table of goals, all figures as CSV, and plots."""

import csv
import shutil
import subprocess

FIGURES = ("iops", "mbps", "p50_us", "p99_us", "p999_us", "target_us", "client_us",
           "target_core_percent", "memory_per_session", "disk_bytes_per_distinct_byte",
           "median_end_s", "last_end_s")


class Missing(Exception):
    """A figure that was not measured in this run."""


class Goal:
    """`value` gets a function that looks a figure up; `limit` is the most or the least."""

    def __init__(self, text, sense, limit, value, unit=""):
        self.text, self.sense, self.limit, self.value, self.unit = text, sense, limit, value, unit

    def row(self, results):
        def figure(name, key):
            if name not in results or key not in results[name]:
                raise Missing
            return results[name][key]
        try:
            measured, detail = self.value(figure)
        except Missing:
            return None
        met = measured <= self.limit if self.sense == "at most" else measured >= self.limit
        return (self.text, f"{self.sense} {self.limit:g}{self.unit}",
                f"{measured:.3g}{self.unit}", detail, "yes" if met else "no")


def ratio(one, other, key, digits=1):
    """A goal's value: figure `key` of one result to that of another."""
    def value(figure):
        a, b = figure(one, key), figure(other, key)
        return a / b, f"{a:,.{digits}f} to {b:,.{digits}f}"
    return value


def figure_of(name, key, scale=1, detail=""):
    return lambda figure: (figure(name, key) * scale, detail)


CPU, IOPS, P50, MBPS = "target_us", "iops", "p50_us", "mbps"


def goals():
    for place in ("tmpfs", "ext4"):
        for workload, name, tgt, istgt in (("rr4k-qd32", "random read", 0.30, 0.23),
                                           ("rw4k-qd32", "random overwrite", 0.45, None)):
            for peer, limit in (("tgt", tgt), ("istgt", istgt)):
                if limit:
                    yield Goal(f"{place}: target CPU per 4 KiB {name}, QD 32, to {peer}'s",
                               "at most", limit, ratio(f"{place} cowtgt {workload}",
                                                       f"{place} {peer} {workload}", CPU))
        for workload, name, limit in (("rr4k-qd32", "read", 2.0), ("rw4k-qd32", "write", 1.5)):
            yield Goal(f"{place}: IOPS 4 KiB random {name} QD 32, to tgt's", "at least", limit,
                       ratio(f"{place} cowtgt {workload}", f"{place} tgt {workload}", IOPS, 0))
        yield Goal(f"{place}: p50 latency 4 KiB read QD 1, to the TCP ping-pong's", "at most", 1.25,
                   ratio(f"{place} cowtgt rr4k-qd1", f"{place} tcp rr4k-qd1", P50))
        yield Goal(f"{place}: 128 KiB sequential read MB/s, to the TCP ping-pong's", "at least",
                   0.9, ratio(f"{place} cowtgt sr128k-qd8", f"{place} tcp sr128k-qd8", MBPS, 0))
        yield Goal(f"{place}: 128 KiB sequential write MB/s, to tgt's", "at least", 2.5,
                   ratio(f"{place} cowtgt sw128k-qd8", f"{place} tgt sw128k-qd8", MBPS, 0))
        yield Goal(f"{place}: 1 MiB sequential read MB/s, to a TCP stream's", "at least", 0.75,
                   ratio(f"{place} cowtgt sr1m-qd4", f"{place} tcp sr1m-qd4", MBPS, 0))
        for what, plain, limit in (("read", "read", 0.97), ("overwrite", "overwrite", 0.95),
                                   ("first write", "overwrite", 0.85)):
            yield Goal(f"{place}: overlay against plain disk, {what} IOPS", "at least", limit,
                       ratio(f"{place} overlay {what}", f"{place} plain {plain}", IOPS, 0))
    yield Goal("p50 latency 4 KiB read QD 1 with busy-poll, to tgt's", "at most", 0.55,
               ratio("poll polling rr4k-qd1", "poll tgt rr4k-qd1", P50))
    yield Goal("idle CPU with busy-poll set, % of a core", "at most", 0.5,
               figure_of("poll polling idle", "target_core_percent"), " %")
    for workload, size, limit in (("rr4k-qd32", "4 KiB", 0.85), ("sr128k-qd8", "128 KiB", 0.75)):
        yield Goal(f"both digests on against off, {size} reads, MB/s", "at least", limit,
                   ratio(f"ext4 fresh {workload} digests", f"ext4 fresh {workload}", MBPS, 0))
    yield Goal("idle CPU with 1,000 logged-in sessions, % of a core", "at most", 0.5,
               figure_of("scale idle 1000", "target_core_percent"), " %")
    yield Goal("memory per idle session with its instance", "at most", 64,
               figure_of("scale idle 1000", "memory_per_session", 1 / 1024), " KiB")
    yield Goal("CPU per I/O, 32 of 1,000 sessions active at QD 1, to 32 sessions'", "at most", 1.3,
               ratio("scale 32 of 1000 qd1", "scale 32 of 32 qd1", CPU))
    yield Goal("boot storm of 100: bytes read from disk per distinct byte", "at most", 1.05,
               figure_of("storm 100", "disk_bytes_per_distinct_byte"))
    yield Goal("boot storm of 100: last machine's time to the median's", "at most", 3,
               lambda figure: (figure("storm 100", "last_end_s") /
                               figure("storm 100", "median_end_s"),
                               f"all done after {figure('storm 100', 'last_end_s'):.1f} s"))


def goal_table(results):
    rows = [row for row in (goal.row(results) for goal in goals()) if row]
    lines = ["| figure | goal | measured | of | met |", "|---|---|---:|---|---|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def workload_table(results, place, peers):
    """IOPS, MB/s, latency and CPU of all targets side by side."""
    names = sorted({name.split()[2] for name in results
                    if name.startswith(f"{place} {peers[0]} ")} - {"idle"})
    lines = [f"| {place} | " + " | ".join(
        f"{peer}: IOPS | MB/s | p50 / p99 us | CPU us, client's" for peer in peers) + " |",
             "|---|" + "---:|" * (4 * len(peers))]
    for name in names:
        cells = []
        for peer in peers:
            row = results.get(f"{place} {peer} {name}")
            cells.append("- | - | - | -" if row is None else
                         f"{row['iops']:,.0f} | {row['mbps']:,.0f} | {row['p50_us']:.0f} / "
                         f"{row['p99_us']:.0f} | {row['target_us']:.1f}, "
                         f"{row['client_us']:.1f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def limits_table(results):
    """What the machine can do without a target."""
    kinds = {"file": "fio on the same file, io_uring", "tcp": "TCP over loopback, the same bytes"}
    names = [name for name in results
             if len(name.split()) == 3 and name.split()[1] in kinds]
    if not names:
        return ""
    lines = ["| limit | place | load | IOPS | MB/s | p50 / p99 us | CPU us, client's |",
             "|---|---|---|---:|---:|---:|---:|"]
    for name in names:
        place, kind, workload = name.split()
        row = results[name]
        is_stream = row["iops"] == 0
        counts = "stream | " if is_stream else f"{row['iops']:,.0f} | "
        delays = "-" if is_stream else f"{row['p50_us']:.0f} / {row['p99_us']:.0f}"
        used = (f"{row['target_us']:.1f}, {row['client_us']:.1f}"
                if kind == "tcp" and not is_stream else "-")
        lines.append(f"| {kinds[kind]} | {place} | {workload} | {counts}"
                     f"{row['mbps']:,.0f} | {delays} | {used} |")
    return "\n".join(lines) + "\n\n"


def clients_table(results):
    """The same reads through libiscsi."""
    names = [name for name in results if name.startswith(("iscsi-perf", "fio-nbd"))]
    if not names:
        return ""
    lines = ["| 4 KiB reads through | target | load | IOPS | CPU us per I/O |",
             "|---|---|---|---:|---:|"]
    for name in names:
        client, target, workload = name.split()
        row = results[name]
        client = {"iscsi-perf": "iscsi-perf", "fio-nbd": "fio, nbd engine, qemu-nbd"}[client]
        lines.append(f"| {client} | {target} | {workload} | {row['iops']:,.0f} | "
                     f"{row['target_us']:.1f} |")
    return "\n".join(lines) + "\n\n"


def scale_table(results):
    rows = [(int(name.split()[2]), row) for name, row in results.items()
            if name.startswith("scale sessions")]
    if not rows:
        return ""
    lines = ["| sessions, 64 commands in all | IOPS | p50 / p99 us | CPU us per I/O |",
             "|---:|---:|---:|---:|"]
    lines += [f"| {sessions} | {row['iops']:,.0f} | {row['p50_us']:.0f} / {row['p99_us']:.0f} | "
              f"{row['target_us']:.1f} |" for sessions, row in sorted(rows)]
    two = results.get("rings two, 64 sessions")
    if two:
        lines.append(f"| 64 on two rings, nothing pinned | {two['iops']:,.0f} | "
                     f"{two['p50_us']:.0f} / {two['p99_us']:.0f} | {two['target_us']:.1f} |")
    return "\n".join(lines) + "\n"


def plot(out, name, title, peers, rows):
    """Bars: one group per workload, one bar per target."""
    data = out / f"{name}.dat"
    lines = ["workload " + " ".join(peers)]
    lines += [f"{workload} " + " ".join(f"{value:.6g}" for value in values)
              for workload, values in rows]
    data.write_text("\n".join(lines) + "\n", encoding="ascii")
    columns = ", ".join(f"'{data}' using {i + 2}:xtic(1) title columnheader"
                        for i in range(len(peers)))
    script = f"""set terminal svg size 900,420
set output '{out / (name + ".svg")}'
set title '{title}'
set style data histogram
set style fill solid 0.8
set yrange [0:*]
set grid ytics
plot {columns}
"""
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


def plots(results, out, place, peers):
    if not shutil.which("gnuplot"):
        print("gnuplot is not installed: no plots (tools/packages bench)")
        return
    for key, name, title in ((CPU, "cpu", "target CPU, us per I/O"), (IOPS, "iops", "IOPS")):
        rows = []
        for workload in ("rr4k-qd1", "rr4k-qd32", "rw4k-qd32", "mix4k-qd32", "sr128k-qd8"):
            found = [results.get(f"{place} {peer} {workload}") for peer in peers]
            if all(found):
                rows.append((workload, [row[key] for row in found]))
        if rows:
            plot(out, f"{place}-{name}", f"{title} ({place})", peers, rows)


def write(results, out):
    out.mkdir(parents=True, exist_ok=True)
    with (out / "all.csv").open("w", newline="", encoding="ascii") as file:
        table = csv.writer(file)
        table.writerow(("name", *FIGURES))
        for name, row in results.items():
            table.writerow((name, *(row.get(figure, "") for figure in FIGURES)))
    text = goal_table(results) + "\n"
    for place in ("tmpfs", "ext4"):
        peers = [peer for peer in ("cowtgt", "tgt", "istgt")
                 if f"{place} {peer} rr4k-qd32" in results]
        if peers:
            text += workload_table(results, place, peers) + "\n"
            plots(results, out, place, peers)
    text += limits_table(results) + clients_table(results) + scale_table(results)
    (out / "goals.md").write_text(text, encoding="ascii")
    print(f"\n{text}\nwritten to {out}: goals.md, all.csv, plots")
