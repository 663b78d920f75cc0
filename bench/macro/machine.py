"""Processes with a core and a priority of their own, and the programs that measure."""

import concurrent.futures
import ctypes
import json
import os
import re
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import time

SERVER_CORE, CLIENT_CORE = 0, 1


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


SCHED_SETATTR = 314  # x86-64; elsewhere the call fails and nothing happens
NICE = -15
SLICE_NS = 100_000


def raise_priority():
    """What else runs on the machine matters less then: a scheduling group of our own with a high
    weight, and short slices, so that a server that wakes up does not wait for the end of somebody
    else's (a tenth of the tail latency on a busy machine). Needs root, else nothing happens;
    children inherit it."""
    try:
        os.setsid()
    except OSError:
        pass
    try:
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
        with open("/proc/self/autogroup", "w", encoding="ascii") as group:
            group.write(str(NICE))
    except OSError:
        return
    # struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period, two more
    wish = struct.pack("=IIQiIQQQII", 56, 0, 0, NICE, 0, SLICE_NS, 0, 0, 0, 0)
    ctypes.CDLL(None).syscall(SCHED_SETATTR, 0, ctypes.create_string_buffer(wish), 0)


def run_quietly(*words):
    subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL)


def have(*programs):
    return all(shutil.which(program) for program in programs)


class Process:
    """A server in the background; `core` None: any."""

    def __init__(self, words, log, core):
        with open(log, "ab") as output:
            self.popen = subprocess.Popen(
                [str(word) for word in words], stdout=output, stderr=output,
                preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}))
        self.log = log
        self.pid = self.popen.pid

    def wait_for(self, is_ready, what):
        deadline = time.monotonic() + 60
        while not is_ready():
            if self.popen.poll() is not None or time.monotonic() > deadline:
                with open(self.log, encoding="utf-8", errors="replace") as log:
                    sys.exit(f"{what} did not start:\n{log.read()[-2000:]}")
            time.sleep(0.05)

    def resident_bytes(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        return 0

    def stop(self):
        self.popen.terminate()
        try:
            self.popen.wait(60)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


def warm(*paths):
    """Reads files, so that they are in the page cache: hosts take out of it what nobody used for
    a while, and a target would be measured by its disk."""
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            while file.read(1 << 20):
                pass


def touch_memory(folder, byte_count):
    """Makes and removes a file on tmpfs: memory that the guest never used is a page fault of its
    host's for whoever writes to it first (15 us instead of 5 for a first write)."""
    path = folder / "touched"
    with path.open("wb") as file:
        for _ in range(byte_count >> 20):
            file.write(bytes(1 << 20))
    path.unlink()


def listens_on(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Tools:
    """cowtgt-load and cowtgt-ping-pong of one build."""

    def __init__(self, binaries, seconds):
        self.binaries = binaries
        self.seconds = seconds

    def ask(self, program, *words, core=CLIENT_CORE):
        pin = [] if core is None else ["taskset", "-c", str(core)]
        words = [*pin, str(self.binaries / program), *[str(word) for word in words]]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{' '.join(words)}\n{done.stderr}")
        return json.loads(done.stdout)

    def load(self, peer, disk, *words, core=CLIENT_CORE, seconds=None):
        return self.ask("cowtgt-load", "--port", peer.port, "--target", peer.target(disk), "--pid",
                        peer.process.pid, "--seconds", seconds or self.seconds, *words, core=core)

    def load_while(self, look, peer, disk, *words, seconds):
        """A load during which `look` is called now and then."""
        with concurrent.futures.ThreadPoolExecutor() as executor:
            measured = executor.submit(self.load, peer, disk, *words, seconds=seconds)
            while not measured.done():
                look()
                time.sleep(0.2)
            return measured.result()

    def fio(self, pattern, block, depth, *words):
        """What fio reads from a file (io_uring; out of the page cache, which fio would empty
        without being told) or a server (nbd), as `words` say."""
        done = subprocess.run(
            ["taskset", "-c", str(CLIENT_CORE), "fio", "--name=limit", *words, f"--rw={pattern}",
             f"--bs={block}", f"--iodepth={depth}", "--time_based", "--invalidate=0",
             f"--runtime={round(self.seconds * 1000)}ms", "--thread", "--output-format=json"],
            capture_output=True, text=True, check=True)
        # Its nbd engine has words of its own before the JSON.
        read = json.loads(done.stdout[done.stdout.index("{"):])["jobs"][0]["read"]
        quantiles = read["clat_ns"]["percentile"]
        return {"iops": read["iops"], "mbps": read["bw_bytes"] / 1e6,
                "p50_us": quantiles["50.000000"] / 1000, "p99_us": quantiles["99.000000"] / 1000}

    def fio_writes(self, peer, depth, per_flush, writes, size):
        """Random 4 KiB writes to an NBD server, no block twice, a flush after every `per_flush` (0:
        none)."""
        before = cpu_seconds(peer.process.pid)
        done = subprocess.run(
            ["taskset", "-c", str(CLIENT_CORE), "fio", "--name=writes", "--ioengine=nbd",
             f"--uri={peer.uri}", "--rw=randwrite", "--bs=4k", f"--iodepth={depth}",
             f"--fsync={per_flush}", f"--size={size}", f"--number_ios={writes}", "--randseed=42",
             "--thread", "--output-format=json"], capture_output=True, text=True, check=True)
        used = cpu_seconds(peer.process.pid) - before
        row = json.loads(done.stdout[done.stdout.index("{"):])["jobs"][0]["write"]
        quantiles = row["clat_ns"]["percentile"]
        return {"iops": row["total_ios"] * 1000 / row["runtime"],
                "p50_us": quantiles["50.000000"] / 1000, "p99_us": quantiles["99.000000"] / 1000,
                "target_us": used * 1e6 / row["total_ios"]}

    def fio_through_nbd(self, peer, disk, depth, socket_path):
        """fio's nbd engine on qemu-nbd, whose libiscsi is the initiator; both on the client's
        core."""
        bridge = Process(["qemu-nbd", "--persistent", "--format", "raw", "--socket", socket_path,
                          peer.url(disk)], f"{socket_path}.log", CLIENT_CORE)
        try:
            bridge.wait_for(lambda: os.path.exists(socket_path), "qemu-nbd")
            before = cpu_seconds(peer.process.pid)
            row = self.fio("randread", "4k", depth, "--ioengine=nbd", "--size=100%",
                           f"--uri=nbd+unix:///?socket={socket_path}")
            used = cpu_seconds(peer.process.pid) - before
            return {**row, "target_us": used * 1e6 / (row["iops"] * self.seconds)}
        finally:
            bridge.stop()

    def iscsi_perf(self, peer, disk, depth):
        seconds = max(2, round(self.seconds))  # it takes whole ones, and forgets the first
        before = cpu_seconds(peer.process.pid)
        done = subprocess.run(
            ["taskset", "-c", str(CLIENT_CORE), "iscsi-perf", "-b", "8", "-m", str(depth), "-r",
             "-t", str(seconds), peer.url(disk)], capture_output=True, text=True, check=True)
        used = cpu_seconds(peer.process.pid) - before
        iops = int(re.findall(r"iops average (\d+)", done.stdout)[-1])
        return {"iops": iops, "mbps": iops * 4096 / 1e6, "target_us": used * 1e6 / (iops * seconds)}

    def ping_pong(self, *words):
        return self.ask("cowtgt-ping-pong", "--seconds", self.seconds, "--server-core", SERVER_CORE,
                        "--client-core", CLIENT_CORE, *words)


def cpu_seconds(pid):
    """Of a whole process, its ended threads included (clock_getcpuclockid)."""
    return time.clock_gettime(~pid << 3 | 2)


def median(rows):
    """One row out of several: the median of each figure."""
    return {key: statistics.median(row[key] for row in rows) for key in rows[0]}
