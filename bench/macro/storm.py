"""A hundred machines that boot from one template at the same time."""

import os
import random
import subprocess

MACHINES = 100
TRACE_BYTES = 50 << 20
SEED = 1


def make_trace(disk_bytes):
    """Reads like those of a booting Linux: files of some KiB to some MiB in places all over the
    disk, each read front to back in pieces that read-ahead makes larger and larger; no byte
    twice, since the machine has its own page cache."""
    random.seed(SEED)
    step = 4096
    free = list(range(0, disk_bytes >> 20))  # places of 1 MiB
    random.shuffle(free)
    places, total = [], 0
    while total < TRACE_BYTES:
        start = free.pop() << 20
        length = min(1 << 20, step * int(2 ** random.uniform(0, 8.5)))
        piece, at = step * random.choice((1, 1, 4, 8)), 0
        while at < length:
            piece = min(piece, length - at)
            places.append((start + at, piece))
            at += piece
            total += piece
            piece = min(piece * 2, 128 << 10)
    return places


def forget_pages(path):
    """The file's pages leave the page cache."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def bytes_read_by(process):
    with open(f"/proc/{process.pid}/io", encoding="ascii") as counters:
        for line in counters:
            if line.startswith("read_bytes:"):
                return int(line.split()[1])
    return 0


def run(tools, cow, folder):
    """Rows of one machine alone and of all of them, each from a cold page cache."""
    template = next((cow.folder / "store").glob("templates/*/*/image.raw"))
    trace = folder / "trace"
    places = make_trace(template.stat().st_size)
    trace.write_text("".join(f"{offset} {length}\n" for offset, length in places),
                     encoding="ascii")
    for number in range(1, MACHINES + 1):
        cow.add_disk(f"boot{number}")
    subprocess.run(["sync", "-f", str(folder)], check=True)
    rows = {}
    for machines in (1, MACHINES):
        forget_pages(template)
        before = bytes_read_by(cow.process)
        row = tools.load(cow, "boot%", "--sessions", machines, "--depth", 4, "--trace", trace,
                         "--warm-up", 0, seconds=600)
        distinct = sum(length for _, length in places)
        row["disk_bytes_per_distinct_byte"] = (bytes_read_by(cow.process) - before) / distinct
        rows[f"storm {machines}"] = row
        print(f"    {machines} machines: all done after {row['last_end_s']:.2f} s, median "
              f"{row['median_end_s']:.2f} s, {row['disk_bytes_per_distinct_byte']:.3f} bytes read "
              f"from disk per distinct byte", flush=True)
    return rows
