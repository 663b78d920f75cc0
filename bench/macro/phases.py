"""What is measured, phase by phase. A result is a row of figures with a name such as
"ext4 cowtgt rr4k-qd32"; report.py makes the tables."""

import itertools
import os

import boot_trace
import storm
from machine import have, median, touch_memory, warm
from peers import Cowtgt, other_targets

IMAGE_BYTES = 512 << 20

RANDOM_READ, RANDOM_WRITE = ("--read", 100), ("--read", 0)
SEQUENTIAL = ("--order", "sequential")
READS = {
    "rr4k-qd1": ("--depth", 1),
    "rr4k-qd32": ("--depth", 32),
    "sr128k-qd8": ("--depth", 8, "--block", 128 << 10, *SEQUENTIAL),
    "sr1m-qd4": ("--depth", 4, "--block", 1 << 20, *SEQUENTIAL),
}
RANDOM_WRITES = {
    "rw4k-qd1": ("--depth", 1, "--read", 0),
    "rw4k-qd32": ("--depth", 32, "--read", 0),
    "mix4k-qd32": ("--depth", 32, "--read", 70),
}
SEQUENTIAL_WRITES = {
    "sw128k-qd8": ("--depth", 8, "--read", 0, "--block", 128 << 10, *SEQUENTIAL),
}
TCP_LIMITS = {  # the same bytes without a target
    "rr4k-qd1": ("--depth", 1),
    "rr4k-qd32": ("--depth", 32),
    "sr128k-qd8": ("--response", 131120, "--depth", 8),
    "sr1m-qd4": ("--stream",),
}
WORKLOADS = {**READS, **RANDOM_WRITES, **SEQUENTIAL_WRITES}
FILL = ("--order", "fill", "--block", 1 << 20, "--depth", 4, "--read", 0, "--warm-up", 0)
FILL_SCATTERED = ("--order", "once", "--depth", 32, "--read", 0, "--warm-up", 0)

# The disks of cowtgtd. What was written to a disk does not move when it is written again.
FRESH = "fresh"          # nothing written: reads come from the template
SCATTERED = "scattered"  # every block written, in random order
IN_ORDER = "in-order"    # every block written, from the beginning to the end: as a plain file


class Bench:
    """The folders, the running targets and the results."""

    def __init__(self, tools, memory, disk, rounds):
        self.tools, self.rounds = tools, rounds
        self.places = {"tmpfs": memory, "ext4": disk}
        self.running = []
        self.results = {}
        self.setups = {}

    def image(self, place):
        path = self.places[place] / "image.raw"
        if not path.exists():
            with path.open("wb") as image:
                for _ in range(IMAGE_BYTES >> 20):
                    image.write(os.urandom(1 << 20))
                os.fsync(image.fileno())
        return path

    def started(self, peer):
        self.running.append(peer)
        return peer

    def cowtgt(self, place, name, image=None, **options):
        return self.started(Cowtgt(self.places[place] / name, image or self.image(place),
                                   self.tools.binaries, **options))

    def setup(self, place):
        """cowtgtd with its disks and the other targets on one image, once per place."""
        if place not in self.setups:
            cow = self.cowtgt(place, "cowtgt")
            for disk, fill in ((FRESH, None), (SCATTERED, FILL_SCATTERED), (IN_ORDER, FILL)):
                cow.add_disk(disk)
                if fill:
                    self.tools.load(cow, disk, *fill, seconds=600)
            others = [self.started(kind(self.places[place] / kind.name, self.image(place)))
                      for kind in other_targets()]
            self.setups[place] = [cow, *others]
        return self.setups[place]

    def stop(self, peer):
        self.running.remove(peer)
        peer.stop()

    def stop_all(self):
        for peer in list(self.running):
            self.stop(peer)

    def interleaved(self, candidates, rounds=None):
        """Every candidate in turn, as often as there are rounds, every other round backwards;
        keeps the medians. What the targets read through the page cache is in it."""
        rows = {name: [] for name in candidates}
        for number in range(rounds or self.rounds):
            for peer in self.running:
                peer.warm()
            order = list(candidates.items())
            for name, measure in order if number % 2 == 0 else reversed(order):
                rows[name].append(measure())
        for name, measured in rows.items():
            self.keep(name, median(measured))

    def keep(self, name, row):
        self.results[name] = row
        print(f"{name:42} " + " ".join(
            f"{key} {row[key]:.5g}" for key in ("iops", "mbps", "p50_us", "p99_us", "target_us",
                                                "client_us") if key in row), flush=True)


def limits(bench):
    """What the files themselves give; the limits of TCP are measured beside the targets."""
    for place in bench.places:
        warm(bench.image(place))
        for name, words in (("rr4k-qd1", ("randread", "4k", 1)),
                            ("rr4k-qd32", ("randread", "4k", 32)),
                            ("sr128k-qd8", ("read", "128k", 8)), ("sr1m-qd4", ("read", "1m", 4))):
            bench.keep(f"{place} file {name}",
                       bench.tools.fio(*words, f"--filename={bench.image(place)}",
                                 "--ioengine=io_uring"))


def disk_for(workload):
    if workload in READS:
        return FRESH
    return SCATTERED if workload in RANDOM_WRITES else IN_ORDER


def targets(bench):
    for place in bench.places:
        peers = bench.setup(place)
        for workload, words in WORKLOADS.items():
            candidates = {
                f"{place} {peer.name} {workload}":
                    lambda peer=peer: bench.tools.load(peer, disk_for(workload), *words)
                for peer in peers}
            if workload in TCP_LIMITS:  # what it is compared with, at the same time
                candidates[f"{place} tcp {workload}"] = (
                    lambda: bench.tools.ping_pong(*TCP_LIMITS[workload]))
            bench.interleaved(candidates)
        for peer in peers:
            bench.keep(f"{place} {peer.name} idle", bench.tools.load(peer, FRESH, "--idle"))


def clients(bench):
    """The same through other initiators, for the sake of the order of targets: their own cost
    is most of what they measure."""
    tools, peers = bench.tools, bench.setup("tmpfs")
    for depth in (1, 32):
        candidates = {}
        if have("iscsi-perf"):
            candidates.update({f"iscsi-perf {peer.name} rr4k-qd{depth}":
                               lambda peer=peer: tools.iscsi_perf(peer, FRESH, depth)
                               for peer in peers})
        if have("qemu-nbd", "fio"):
            candidates.update({f"fio-nbd {peer.name} rr4k-qd{depth}":
                               lambda peer=peer: tools.fio_through_nbd(
                                   peer, FRESH, depth, bench.places["tmpfs"] / "nbd")
                               for peer in peers})
        bench.interleaved(candidates)


OVERLAY_BURSTS = 4  # per round


def overlay(bench):
    """What copy-on-write costs: disks of one daemon against one that is written in order. The
    limits are a few percent, so the turns are shorter here and more."""
    for place in bench.places:
        cow = bench.setup(place)[0]
        fresh = itertools.count()

        def load(*words):
            return bench.tools.load(*words, seconds=bench.tools.seconds / OVERLAY_BURSTS)

        def first_writes():
            number = next(fresh)
            if number > 1:  # the session on the one before may not have ended
                cow.remove_disk(f"first{number - 2}")
            if place == "tmpfs":
                touch_memory(bench.places[place], IMAGE_BYTES)
            cow.add_disk(f"first{number}")
            return load(cow, f"first{number}", *RANDOM_WRITES["rw4k-qd32"], "--order", "once")

        bench.interleaved({
            f"{place} overlay read": lambda: load(cow, FRESH, *READS["rr4k-qd32"]),
            f"{place} plain read": lambda: load(cow, IN_ORDER, *READS["rr4k-qd32"]),
            f"{place} overlay overwrite":
                lambda: load(cow, SCATTERED, *RANDOM_WRITES["rw4k-qd32"]),
            f"{place} plain overwrite": lambda: load(cow, IN_ORDER, *RANDOM_WRITES["rw4k-qd32"]),
            f"{place} overlay first write": first_writes}, rounds=OVERLAY_BURSTS * bench.rounds)


def digests(bench):
    cow = bench.setup("ext4")[0]
    candidates = {}
    for workload in ("rr4k-qd32", "sr128k-qd8"):
        for label, words in (("", ()), (" digests", ("--digests",))):
            candidates[f"ext4 fresh {workload}{label}"] = (
                lambda words=words, workload=workload:
                bench.tools.load(cow, FRESH, *READS[workload], *words))
    bench.interleaved(candidates)


def poll(bench):
    cow, *others = bench.setup("tmpfs")
    polling = bench.cowtgt("tmpfs", "polling", settings="busy_poll_us = 100")
    polling.add_disk(FRESH)
    peers = {"polling": polling, "sleeping": cow, **{peer.name: peer for peer in others}}
    bench.interleaved({
        f"poll {name} rr4k-qd1": lambda peer=peer: bench.tools.load(peer, FRESH, "--depth", 1)
        for name, peer in peers.items()})
    bench.keep("poll polling idle", bench.tools.load(polling, FRESH, "--idle"))
    bench.stop(polling)


SESSIONS = (1, 16, 64, 256, 1000)
COMMANDS = 64  # in flight, over all sessions


def scale(bench):
    cow = bench.cowtgt("tmpfs", "many")
    for number in range(1, SESSIONS[-1] + 1):
        cow.add_disk(f"m{number}")
    bench.tools.load(cow, "m1", "--depth", 32)  # the daemon is warm
    before = cow.process.resident_bytes()
    candidates = {}
    for sessions in SESSIONS:
        active = min(sessions, COMMANDS)
        candidates[f"scale sessions {sessions}"] = (
            lambda sessions=sessions, active=active:
            bench.tools.load(cow, "m%", "--sessions", sessions, "--active", active, "--depth",
                             COMMANDS // active))
    for sessions in (32, SESSIONS[-1]):
        candidates[f"scale 32 of {sessions} qd1"] = (
            lambda sessions=sessions: bench.tools.load(cow, "m%", "--sessions", sessions,
                                                       "--active", 32, "--depth", 1))
    bench.interleaved(candidates)
    bench.stop(cow)
    cow.start()
    bench.running.append(cow)
    bench.tools.load(cow, "m1", "--depth", 32)
    before = cow.process.resident_bytes()
    peak = []
    # For 20 seconds after so many logins the boot-helper reads what it tells of the instances;
    # after 30 seconds of silence the first pings go out, which nobody answers here.
    row = bench.tools.load_while(
        lambda: peak.append(cow.process.resident_bytes()), cow, "m%", "--sessions", SESSIONS[-1],
        "--idle", "--warm-up", 21, seconds=8)
    row["memory_per_session"] = (max(peak) - before) / (SESSIONS[-1] - 1)
    bench.keep(f"scale idle {SESSIONS[-1]}", row)
    print(f"    {row['memory_per_session'] / 1024:.1f} KiB per session, "
          f"{row['target_core_percent']:.3f} % of a core", flush=True)
    bench.stop(cow)


def rings(bench):
    """Two rings, 64 sessions, nothing pinned."""
    cow = bench.cowtgt("tmpfs", "rings", rings=2, core=None)
    for number in range(1, 65):
        cow.add_disk(f"m{number}")
    bench.interleaved({
        "rings two, 64 sessions": lambda: bench.tools.load(
            cow, "m%", "--sessions", 64, "--depth", 1, core=None)})
    bench.stop(cow)


def boot_storm(bench):
    places = boot_trace.read(storm.TRACE)
    image = bench.places["ext4"] / "boot.raw"
    storm.make_image(image, places)
    cow = bench.cowtgt("ext4", "storm", image=image)
    for name, row in storm.run(bench.tools, cow, bench.places["ext4"], places).items():
        bench.keep(name, row)
    bench.stop(cow)


ALL = {"limits": limits, "targets": targets, "clients": clients, "overlay": overlay,
       "digests": digests, "poll": poll, "scale": scale, "rings": rings, "storm": boot_storm}
