"""The phases of bench/firstwrite and its goals. A result is a row of figures with a name such as
"ext4 cowtgt flush-64"."""

import itertools
import os
import random

from loop_disk import LoopDisk, file_bytes
from machine import median
from peers import Cowtgt, Qcow2, ask_daemon
from report import IOPS, CPU, Goal, ratio

TEMPLATE_BYTES = 10 << 30
FILLED_BYTES = 256 << 20  # of the template; the rest of it is a hole
SMALL_BYTES = 512 << 20   # disks that are written or read as a whole
BLOCK = 4096

# name: commands in flight, writes per flush (0: none), part of the writes
REGIMES = {"qd1": (1, 0, 1), "qd32": (32, 0, 1), "flush-64": (32, 64, 1), "flush-1": (1, 1, 0.1)}
READS_BURSTS = 4  # turns per round where the limits are a few percent
QD32_READS = ("--depth", 32, "--seconds", 2 / READS_BURSTS)


class Bench:
    def __init__(self, tools, disk, memory, writes, rounds):
        self.tools, self.disk, self.memory = tools, disk, memory
        self.writes, self.rounds = writes, rounds
        self.running, self.results = [], {}
        self.numbers = itertools.count(1)

    def image(self, folder, size, filled):
        path = folder / f"image-{size}.raw"
        if not path.exists():
            with path.open("wb") as image:
                for _ in range(filled >> 20):
                    image.write(os.urandom(1 << 20))
                image.truncate(size)
                os.fsync(image.fileno())
        return path

    def started(self, peer):
        self.running.append(peer)
        return peer

    def stop(self, peer):
        self.running.remove(peer)
        peer.stop()

    def stop_all(self):
        for peer in list(self.running):
            self.stop(peer)

    def places(self, count, seed, size=TEMPLATE_BYTES):
        """A file with `count` different blocks for cowtgt-load."""
        path = self.disk / f"places-{count}-{seed}-{size}"
        if not path.exists():
            blocks = random.Random(seed).sample(range(size // BLOCK), count)
            path.write_text("".join(f"{block * BLOCK} {BLOCK}\n" for block in blocks))
        return path

    def new_disk(self, cow):
        name = f"d{next(self.numbers)}"
        cow.add_disk(name)
        return name

    def keep(self, name, row):
        self.results[name] = row
        print(f"{name:34} " + " ".join(f"{key} {value:.5g}" for key, value in row.items()
                                       if key in SHOWN), flush=True)

    def interleaved(self, candidates, bursts=1):
        """Every candidate in turn, as often as there are rounds, every other round backwards (the
        machine changes its speed while they run); keeps the medians."""
        rows = {name: [] for name in candidates}
        for number in range(self.rounds * bursts):
            for name in sorted(candidates, key=list(candidates).index, reverse=number % 2 == 1):
                rows[name].append(candidates[name]())
        for name, measured in rows.items():
            self.keep(name, median(measured))


SHOWN = ("iops", "mbps", "p50_us", "p99_us", "target_us", "allocated", "device")


def write_places(bench, cow, disk, places, depth, per_flush, *more):
    row = bench.tools.load(cow, disk, "--read", 0, "--trace", places, "--depth", depth,
                           "--warm-up", 0, "--flush-every", per_flush, *more)
    return {key: row[key] for key in ("iops", "p50_us", "p99_us", "target_us")}


def cowtgt_first_writes(bench, cow, depth, per_flush, writes, seed=42):
    disk = bench.new_disk(cow)
    row = write_places(bench, cow, disk, bench.places(writes, seed), depth, per_flush)
    folder = cow.folder / "store" / "instances" / disk
    return {**row, "allocated": file_bytes(folder) / (writes * BLOCK)}


def qcow2_first_writes(bench, folder, image, depth, per_flush, writes, tcp=False):
    peer = bench.started(Qcow2(folder / f"q{next(bench.numbers)}", image, tcp))
    row = bench.tools.fio_writes(peer, depth, per_flush, writes, TEMPLATE_BYTES)
    bench.stop(peer)
    allocated = file_bytes(peer.folder) / (writes * BLOCK)
    peer.remove()
    return {**row, "allocated": allocated}


def rates(bench):
    """Writes per second on the disk, side by side."""
    image = bench.image(bench.disk, TEMPLATE_BYTES, FILLED_BYTES)
    cow = bench.started(Cowtgt(bench.disk / "rates", image, bench.tools.binaries))
    polling = bench.started(Cowtgt(bench.disk / "polling", image, bench.tools.binaries,
                                   settings="busy_poll_us = 100"))
    for name, (depth, per_flush, part) in REGIMES.items():
        writes = int(bench.writes * part)

        def first_writes(peer):
            return lambda: cowtgt_first_writes(bench, peer, depth, per_flush, writes)

        candidates = {
            f"disk cowtgt {name}": first_writes(cow),
            f"disk qcow2 {name}":
                lambda: qcow2_first_writes(bench, bench.disk, image, depth, per_flush, writes)}
        if depth == 1:
            candidates[f"disk cowtgt busy-poll {name}"] = first_writes(polling)
            candidates[f"disk qcow2 tcp {name}"] = lambda: qcow2_first_writes(
                bench, bench.disk, image, depth, per_flush, writes, True)
        bench.interleaved(candidates)
    bench.stop(polling)
    bench.stop(cow)


def device(bench):
    """Bytes that the block device below the file system got, per byte of the guest; metadata of
    all sorts included."""
    if os.geteuid() != 0:
        print("needs root for loop devices: left out")
        return
    for fs in ("ext4", "xfs"):
        loop = LoopDisk(bench.disk / f"{fs}.img", fs)
        try:
            image = bench.image(loop.mount, TEMPLATE_BYTES, 64 << 20)
            cow = bench.started(Cowtgt(loop.mount / "cowtgt", image, bench.tools.binaries))
            device_phase(bench, fs, loop, cow, image)
            bench.stop(cow)
        finally:
            bench.stop_all()
            loop.remove()


def device_phase(bench, fs, loop, cow, image):
    def counted(name, measure, writes):
        before = loop.bytes_written()
        row = measure()
        bench.keep(f"{fs} {name}", {**row, "device":
                                    (loop.bytes_written() - before) / (writes * BLOCK)})

    for name in ("flush-64", "flush-1"):
        depth, per_flush, part = REGIMES[name]
        writes = int(bench.writes * part)
        counted(f"cowtgt {name}",
                lambda: cowtgt_first_writes(bench, cow, depth, per_flush, writes), writes)
        counted(f"qcow2 {name}",
                lambda: qcow2_first_writes(bench, loop.mount, image, depth, per_flush, writes),
                writes)
    disk = bench.new_disk(cow)
    places = bench.places(bench.writes, 42)
    write_places(bench, cow, disk, places, 32, 64)
    counted("cowtgt overwrite", lambda: write_places(bench, cow, disk, places, 32, 64),
            bench.writes)
    # Every other block is given back, so that no segment is wholly unused, and then others come.
    half = bench.writes // 2
    lines = places.read_text().splitlines(keepends=True)
    given_back, others = bench.disk / "given-back", bench.disk / "others"
    given_back.write_text("".join(lines[::2]))
    taken = set(lines)
    fresh = (line for line in bench.places(2 * bench.writes, 43).read_text().splitlines(
        keepends=True) if line not in taken)
    others.write_text("".join(itertools.islice(fresh, half)))
    write_places(bench, cow, disk, given_back, 32, half, "--unmap")
    counted("cowtgt recycled", lambda: write_places(bench, cow, disk, others, 32, 64), half)


def overlay(bench):
    """Reads and overwrites beside those of a disk that was written from its beginning to its end:
    a plain file by another name."""
    image = bench.image(bench.memory, SMALL_BYTES, SMALL_BYTES)
    cow = bench.started(Cowtgt(bench.memory / "overlay", image, bench.tools.binaries))
    fresh, in_order, scattered = (bench.new_disk(cow) for _ in range(3))
    fill = ("--read", 0, "--depth", 4, "--warm-up", 0)
    bench.tools.load(cow, in_order, *fill, "--order", "fill", "--block", 1 << 20)
    bench.tools.load(cow, scattered, *fill, "--order", "once")

    def reads(disk, *words):
        return lambda: bench.tools.load(cow, disk, *QD32_READS, *words)

    sequential = ("--order", "sequential", "--block", 128 << 10, "--depth", 8)
    bench.interleaved({
        "overlay fresh read": reads(fresh), "overlay plain read": reads(in_order),
        "overlay scattered overwrite": reads(scattered, "--read", 0),
        "overlay plain overwrite": reads(in_order, "--read", 0),
        "overlay scattered sequential": reads(scattered, *sequential),
        "overlay plain sequential": reads(in_order, *sequential)}, READS_BURSTS)
    bench.stop(cow)


def depth(bench):
    """The same blocks written into one layer and into eight."""
    image = bench.image(bench.memory, SMALL_BYTES, SMALL_BYTES)
    cow = bench.started(Cowtgt(bench.memory / "depth", image, bench.tools.binaries))
    one, eight = bench.new_disk(cow), bench.new_disk(cow)
    for layer in range(8):
        places = bench.places(bench.writes // 8, 50 + layer, SMALL_BYTES)
        for disk in (one, eight):
            write_places(bench, cow, disk, places, 32, 0)
        if layer < 7:
            ask_daemon(cow.socket, "snapshot", name=eight, label=f"s{layer}")
    for name, words in {"qd32": QD32_READS, "qd1": (*QD32_READS, "--depth", 1),
                        "128k": (*QD32_READS, "--block", 128 << 10)}.items():
        bench.interleaved({
            f"depth one {name}": lambda: bench.tools.load(cow, one, *words),
            f"depth eight {name}": lambda: bench.tools.load(cow, eight, *words)}, READS_BURSTS)
    bench.stop(cow)


ALL = {"rates": rates, "device": device, "overlay": overlay, "depth": depth}


def least(figure_name):
    """A goal's value: one figure as it is."""
    name, key = figure_name
    return lambda figure: (figure(name, key), "")


def goals():
    for name, text, limit in (("qd1", "QD 1", 1.2), ("qd32", "QD 32", 1.2),
                              ("flush-1", "a flush after each", 1.5),
                              ("flush-64", "QD 32, a flush every 64", None)):
        if limit:
            yield Goal(f"first writes per second, {text}, to qcow2's", "at least", limit,
                       ratio(f"disk cowtgt {name}", f"disk qcow2 {name}", IOPS, 0))
        if name in ("qd1", "flush-1"):
            yield Goal("the same, NBD on TCP like iSCSI", "at least", limit,
                       ratio(f"disk cowtgt {name}", f"disk qcow2 tcp {name}", IOPS, 0))
            yield Goal("the same with busy_poll_us = 100, NBD on a Unix socket", "at least", limit,
                       ratio(f"disk cowtgt busy-poll {name}", f"disk qcow2 {name}", IOPS, 0))
    yield Goal("first writes: bytes on disk per byte", "at most", 1.1,
               least(("disk cowtgt qd32", "allocated")))
    for fs in ("ext4", "xfs"):
        for name, text, limit in (("flush-64", "first writes, a flush every 64", 1.5),
                                  ("recycled", "the same in recycled space", 1.1),
                                  ("overwrite", "overwrites", 1.05)):
            yield Goal(f"{fs}: {text}: device bytes per byte", "at most", limit,
                       least((f"{fs} cowtgt {name}", "device")))
    yield Goal("overwrites per second, to a plain file's", "at least", 0.95,
               ratio("overlay scattered overwrite", "overlay plain overwrite", IOPS, 0))
    yield Goal("reads per second of a fresh overlay, to a plain file's", "at least", 0.97,
               ratio("overlay fresh read", "overlay plain read", IOPS, 0))
    for name, text in (("qd32", "4 KiB QD 32"), ("qd1", "4 KiB QD 1"), ("128k", "128 KiB QD 32")):
        yield Goal(f"reads at chain depth 8, {text}: IOPS to depth 1's", "at least", 0.97,
                   ratio(f"depth eight {name}", f"depth one {name}", IOPS, 0))
    yield Goal("reads at chain depth 8, 4 KiB QD 32: CPU to depth 1's", "at most", 1.03,
               ratio("depth eight qd32", "depth one qd32", CPU))


def goal_table(results):
    rows = [row for row in (goal.row(results) for goal in goals()) if row]
    lines = ["| figure | goal | measured | of | met |", "|---|---|---:|---|---|",
             *("| " + " | ".join(row) + " |" for row in rows), "",
             "| first writes | writes/s | p50 / p99 us | CPU us | bytes on disk per byte | "
             "device bytes per byte |", "|---|---:|---:|---:|---:|---:|"]
    for name, row in results.items():
        if " cowtgt " in name or " qcow2 " in name:
            more = [f"{row[key]:.2f}" if key in row else "-" for key in ("allocated", "device")]
            lines.append(f"| {name} | {row['iops']:,.0f} | {row['p50_us']:.0f} / "
                         f"{row['p99_us']:.0f} | {row['target_us']:.1f} | " + " | ".join(more) +
                         " |")
    return "\n".join(lines) + "\n"
