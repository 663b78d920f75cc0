"""The targets that are compared: each is started on a folder that holds a raw image."""

import json
import os
import shutil
import socket

from machine import Process, SERVER_CORE, free_port, have, listens_on, run_quietly, warm

PREFIX = "iqn.2026-01.bench.cowtgt"


def ask_daemon(path, command, **arguments):
    """One command over the daemon's socket: a line of JSON each way. Reached by its folder, since
    the path of a store may be longer than the name of a socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        folder = os.open(path.parent, os.O_PATH)
        connection.connect(f"/proc/self/fd/{folder}/{path.name}")
        os.close(folder)
        lines = connection.makefile("rwb")
        lines.write(json.dumps({"command": command, "arguments": arguments}).encode() + b"\n")
        lines.flush()
        while True:
            answer = json.loads(lines.readline())
            if "error" in answer:
                raise RuntimeError(answer["error"]["message"])
            if "result" in answer:
                return answer["result"]


class Peer:
    """A running target with the port it listens on."""

    lun = 0

    def url(self, disk):
        return f"iscsi://127.0.0.1:{self.port}/{self.target(disk)}/{self.lun}"

    def warm(self):
        """What is read through the page cache is in it."""
        warm(self.image)

    def stop(self):
        self.process.stop()


class Cowtgt(Peer):
    """Disks are clones of one template, by name."""

    name = "cowtgt"

    def __init__(self, folder, image, binaries, rings=1, core=SERVER_CORE, settings=""):
        self.folder, self.binaries, self.core = folder, binaries, core
        self.port = free_port()
        self.config = folder / "cowtgt.toml"
        folder.mkdir(parents=True)
        self.command("init", "--iqn", PREFIX, "--store", folder / "store", "--listen",
                     f"127.0.0.1:{self.port}")
        with self.config.open("a", encoding="ascii") as config:
            config.write(f"rings = {rings}\n{settings}\n")
        self.command("template", "import", image, "--name", "image")
        self.start()

    def command(self, *words):
        run_quietly(self.binaries / "cowtgt", "--config", self.config, *words)

    def start(self):
        self.process = Process([self.binaries / "cowtgtd", "--config", self.config],
                               self.folder / "log", self.core)
        self.socket = self.folder / "store" / "control.sock"
        self.process.wait_for(self.socket.is_socket, "cowtgtd")

    def warm(self):
        templates = self.folder / "store" / "templates"
        warm(*(path for path in templates.rglob("*") if path.is_file()))

    def add_disk(self, name):
        ask_daemon(self.socket, "clone", template="image", name=name, identity="keep")

    def remove_disk(self, name):
        """Requires: nobody is logged in any more."""
        ask_daemon(self.socket, "rm", name=name)

    def target(self, disk):
        return f"{PREFIX}:{disk}"


class Tgt(Peer):
    """One disk: the image itself, through the page cache."""

    name = "tgt"
    lun = 1
    control_port = 77

    def __init__(self, folder, image):
        folder.mkdir(parents=True)
        self.image = image
        self.port = free_port()
        Tgt.control_port += 1
        self.process = Process(
            ["tgtd", "-f", "-C", Tgt.control_port, "--iscsi", f"portal=127.0.0.1:{self.port}"],
            folder / "log", SERVER_CORE)
        self.process.wait_for(lambda: listens_on(self.port), "tgtd")
        self.control("target", "new", "-T", self.target(""))
        self.control("logicalunit", "new", "--lun", 1, "--bstype", "rdwr", "-b", image)
        self.control("target", "bind", "-I", "ALL")

    def control(self, mode, operation, *words):
        run_quietly("tgtadm", "-C", Tgt.control_port, "--lld", "iscsi", "--mode", mode, "--op",
                    operation, "--tid", 1, *words)

    def target(self, _disk):
        return f"{PREFIX}.tgt:disk"


ISTGT = """[Global]
  NodeBase "{prefix}.istgt"
  PidFile {folder}/pid
  AuthFile {folder}/auth
  MediaDirectory {folder}
  LogFacility "local7"
  Timeout 30
  NopInInterval 20
  DiscoveryAuthMethod None
  MaxSessions 16
  MaxConnections 4
  MaxR2T 32
  MaxOutstandingR2T 16
  DefaultTime2Wait 2
  DefaultTime2Retain 60
  FirstBurstLength 262144
  MaxBurstLength 1048576
  MaxRecvDataSegmentLength 262144
  InitialR2T Yes
  ImmediateData Yes
  DataPDUInOrder Yes
  DataSequenceInOrder Yes
  ErrorRecoveryLevel 0
[UnitControl]
[PortalGroup1]
  Portal DA1 127.0.0.1:{port}
[InitiatorGroup1]
  InitiatorName "ALL"
  Netmask 127.0.0.0/8
[LogicalUnit1]
  TargetName disk
  Mapping PortalGroup1 InitiatorGroup1
  AuthMethod None
  UseDigest Auto
  UnitType Disk
  QueueDepth 64
  LUN0 Storage {image} Auto
"""


class Istgt(Peer):
    """One disk: the image itself, through the page cache."""

    name = "istgt"

    def __init__(self, folder, image):
        folder.mkdir(parents=True)
        self.image = image
        self.port = free_port()
        config = folder / "istgt.conf"
        config.write_text(ISTGT.format(prefix=PREFIX, folder=folder, port=self.port, image=image),
                          encoding="ascii")
        (folder / "auth").touch(mode=0o600)
        self.process = Process(["istgt", "-D", "-c", config], folder / "log", SERVER_CORE)
        self.process.wait_for(lambda: listens_on(self.port), "istgt")

    def target(self, _disk):
        return f"{PREFIX}.istgt:disk"


class Qcow2:
    """A fresh qcow2 overlay with extended_l2 on the image, over NBD: on a Unix socket, or on TCP
    like iSCSI."""

    def __init__(self, folder, image, tcp=False):
        folder.mkdir(parents=True)
        self.folder = folder
        disk, socket_path = folder / "disk.qcow2", folder / "nbd"
        port = free_port() if tcp else None
        run_quietly("qemu-img", "create", "-q", "-f", "qcow2", "-o", "extended_l2=on", "-b", image,
                    "-F", "raw", disk)
        self.uri = f"nbd://127.0.0.1:{port}" if tcp else f"nbd+unix:///?socket={socket_path}"
        place = ("--bind", "127.0.0.1", "--port", port) if tcp else ("--socket", socket_path)
        self.process = Process(
            ["qemu-nbd", "--persistent", "--cache=none", "--aio=io_uring", "--format", "qcow2",
             *place, disk], folder / "log", SERVER_CORE)
        self.process.wait_for(lambda: listens_on(port) if tcp else socket_path.exists(),
                              "qemu-nbd")

    def stop(self):
        self.process.stop()

    def remove(self):
        shutil.rmtree(self.folder)


def other_targets():
    """Those that are installed; says which are not."""
    found = []
    for kind, programs in ((Tgt, ("tgtd", "tgtadm")), (Istgt, ("istgt",))):
        if have(*programs):
            found.append(kind)
        else:
            print(f"{kind.name} is not installed and is left out (tools/packages bench)")
    return found
