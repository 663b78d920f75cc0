"""A hundred machines that boot from one template at the same time: each reads what a Debian machine
read at its boot (boot-trace.txt, made by bench/record-boot), in that order."""

import os
import pathlib
import subprocess

import boot_trace

MACHINES = 100
TRACE = pathlib.Path(__file__).parent / "boot-trace.txt"
PAGE = 4096


def pages_of(places):
    """The pages of the disk that a boot needs at least once."""
    return {page for offset, length in places
            for page in range(offset // PAGE, (offset + length + PAGE - 1) // PAGE)}


def make_image(path, places):
    """A disk with data where the machine read some, and holes elsewhere."""
    disk_bytes = max(offset + length for offset, length in places)
    with path.open("wb") as image:
        image.truncate((disk_bytes + (1 << 20) - 1) >> 20 << 20)
        for page in sorted(pages_of(places)):
            image.seek(page * PAGE)
            image.write(os.urandom(PAGE))


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


def run(tools, cow, folder, places):
    """Rows of one machine alone and of all of them, each from a cold page cache."""
    template = next((cow.folder / "store").glob("templates/*/*/image.raw"))
    trace = folder / "trace"
    trace.write_text("".join(f"{offset} {length}\n" for offset, length in places),
                     encoding="ascii")
    for number in range(1, MACHINES + 1):
        cow.add_disk(f"boot{number}")
    subprocess.run(["sync", "-f", str(folder)], check=True)
    distinct = len(pages_of(places)) * PAGE
    rows = {}
    for machines in (1, MACHINES):
        forget_pages(template)
        before = bytes_read_by(cow.process)
        row = tools.load(cow, "boot%", "--sessions", machines, "--depth", 4, "--trace", trace,
                         "--warm-up", 0, seconds=600)
        row["disk_bytes_per_distinct_byte"] = (bytes_read_by(cow.process) - before) / distinct
        rows[f"storm {machines}"] = row
        print(f"    {machines} machines: all done after {row['last_end_s']:.2f} s, median "
              f"{row['median_end_s']:.2f} s, {row['disk_bytes_per_distinct_byte']:.3f} bytes read "
              f"from disk per distinct byte", flush=True)
    return rows
