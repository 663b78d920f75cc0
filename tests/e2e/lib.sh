# What the end-to-end scripts share: a private store in a temporary folder, the daemon on a free
# loopback port, exact expectations. Sourced, not run.
#
# COWTGT_BIN is the folder of cowtgt and cowtgtd. Nothing of a test is left behind: the daemon is
# ended by its process id, the folder removed. After a failure the daemon's log is printed.

set -euo pipefail
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
: "${COWTGT_BIN:?names the folder of cowtgt and cowtgtd}"
COWTGT_BIN=$(cd "$COWTGT_BIN" && pwd)

prefix=iqn.2026-01.test.cowtgt
work=$(mktemp -d "${TMPDIR:-/tmp}/cowtgt-e2e.XXXXXX")
config=$work/cowtgt.toml
store=$work/store
daemon_log=$work/daemon.log
daemon_pid=
mounts=()

finish() {  # [status]
    local status=${1:-$?} mount
    trap - EXIT
    if [ -n "$daemon_pid" ]; then
        kill -KILL "$daemon_pid" 2>/dev/null || true
        wait "$daemon_pid" 2>/dev/null || true
    fi
    if [ $status != 0 ] && [ -s "$daemon_log" ]; then
        echo "--- the daemon's log:" >&2
        tail -n 40 "$daemon_log" >&2
    fi
    for mount in ${mounts[@]+"${mounts[@]}"}; do umount "$mount" || true; done
    rm -rf "$work"
    exit $status
}
trap finish EXIT

fail() {
    echo "FAILED at ${BASH_SOURCE[-1]##*/}:${BASH_LINENO[-2]}: $*" >&2
    exit 1
}

step() { echo "== $*"; }

expect_equal() {  # actual expected what
    [ "$1" = "$2" ] || fail "$3: is '$1', should be '$2'"
}

expect_different() {  # one other what
    [ "$1" != "$2" ] || fail "$3: both are '$1'"
}

expect_same_file() {  # file other what
    cmp -s "$1" "$2" || fail "$3: $(cmp "$1" "$2" 2>&1 || true)"
}

cowtgt() { "$COWTGT_BIN/cowtgt" --config "$config" "$@"; }
cowtgt_json() { cowtgt --json "$@"; }

# One value of JSON on standard input, by a Python expression in which v is the whole.
json() { python3 -c 'import json, sys; v = json.load(sys.stdin); print(eval(sys.argv[1]))' "$1"; }

# Runs a command that must end with this status; its output goes to $out and $err.
run_expecting() {  # status command...
    local wanted=$1 status=0
    shift
    "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
    out=$(<"$work/out")
    err=$(<"$work/err")
    [ "$status" = "$wanted" ] || fail "'$*' ended with $status, not $wanted: $err $out"
}

# The same, and standard error must be one sentence for people, in which `words` occur. The daemon
# may have logged before it.
refuses() {  # status words command...
    local wanted=$1 words=$2
    shift 2
    run_expecting "$wanted" "$@"
    [[ $1 != */cowtgtd ]] || err=${err##*$'\n'}
    [ "$(wc -l <<<"$err")" = 1 ] || fail "'$*' should say one sentence, says: $err"
    [[ $err == cowtgt:\ * || $err == cowtgtd:\ * ]] || fail "not ours: $err"
    [[ $err == *"$words"* ]] || fail "no '$words' in: $err"
    [[ $err != *terminate\ called* && $err != *std::* && $err != *"internal error"* ]] ||
        fail "not for people: $err"
}

free_port() {
    # Below the range from which the kernel takes the ports of clients.
    python3 - $$ <<'PYTHON'
import socket, sys
for step in range(5000):
    port = 12000 + (int(sys.argv[1]) * 7 + step) % 18000
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            continue
        print(port)
        break
PYTHON
}

# For scripts that mount: root, and mounts that no other test can see. A network namespace that is
# made meanwhile takes copies of all mounts that it sees, and XFS does not mount a UUID twice.
need_own_mounts() {  # arguments of the script...
    [ "$(id -u)" = 0 ] || { echo "not root: file systems cannot be mounted"; finish 77; }
    if [ -n "${COWTGT_OWN_MOUNTS-}" ]; then return; fi
    rm -rf "$work"
    COWTGT_OWN_MOUNTS=1 exec unshare --mount --propagation private "$0" "$@"
}

new_store() {
    port=$(free_port)
    portal=127.0.0.1:$port
    cowtgt init --iqn $prefix --store "$store" --listen "$portal" --http none
}

# The same, with the boot-helper at $http.
new_store_with_http() {
    new_store
    http=127.0.0.2:$port
    sed -i "s|^# http = .*|http = [\"$http\"]|" "$config"
}

# A connection alone proves nothing: for a moment the kernel keeps the listening socket of a process
# that was killed.
answers() { iscsi-ls "iscsi://$portal" >/dev/null 2>&1; }

# Starts the daemon and waits until an initiator can log in: at most 10 s, also after a kill.
start_daemon() {
    local i
    # setpriv: a test that is killed leaves no daemon behind
    setpriv --pdeathsig KILL "$COWTGT_BIN/cowtgtd" --config "$config" >>"$daemon_log" 2>&1 &
    daemon_pid=$!
    for ((i = 0; i < 500; i++)); do
        if answers; then return; fi
        kill -0 "$daemon_pid" 2>/dev/null || fail "the daemon ended at its start"
        sleep 0.02
    done
    fail "the daemon does not listen after 10 s"
}

# SIGTERM: it must drain and exit 0.
stop_daemon() {
    local status=0 i
    kill -TERM "$daemon_pid"
    for ((i = 0; i < 1000; i++)); do
        kill -0 "$daemon_pid" 2>/dev/null || break
        sleep 0.02
    done
    [ $i -lt 1000 ] || fail "SIGTERM does not end the daemon in 20 s"
    wait "$daemon_pid" || status=$?
    daemon_pid=
    expect_equal $status 0 "the daemon's exit status after SIGTERM"
}

kill_daemon() {
    kill -KILL "$daemon_pid"
    wait "$daemon_pid" 2>/dev/null || true
    daemon_pid=
}

url() { echo "iscsi://$portal/$prefix:$1/0"; }

# Reads a whole instance over iSCSI into a raw file.
read_back() {  # instance file
    qemu-img convert -f raw -O raw "$(url "$1")" "$2"
}

# A disk as machines have it: GPT, an ESP, an ext4 root made from a folder. No loop device.
esp_first=2048     # in 512-byte sectors
root_first=67584  # in 512-byte sectors: behind the ESP
make_disk() {  # file megabytes_of_root folder [mke2fs options...]
    local file=$1 megabytes=$2 folder=$3 last
    shift 3
    rm -f "$file" "$file.root" "$file.esp"
    last=$((root_first + megabytes * 2048 - 1))
    truncate -s $(((last + 2049) * 512)) "$file"
    sgdisk -n 1:$esp_first:67583 -t 1:ef00 -c 1:ESP -n 2:$root_first:$last -t 2:8304 -c 2:root \
        "$file" >/dev/null
    truncate -s 32M "$file.esp"
    mkfs.vfat -n ESP "$file.esp" >/dev/null
    truncate -s "${megabytes}M" "$file.root"
    mke2fs -q -F -t ext4 -T default -L root -d "$folder" "$@" "$file.root"
    dd if="$file.esp" of="$file" bs=1M seek=1 conv=notrunc,sparse status=none
    dd if="$file.root" of="$file" bs=512 seek=$root_first conv=notrunc,sparse status=none
    rm -f "$file.root" "$file.esp"
}

# The root file system of a disk that make_disk made.
take_root() {  # disk file
    local sectors
    sectors=$(sgdisk -i 2 "$1" | awk '/Partition size/ { print $3 }')
    dd if="$1" of="$2" bs=512 skip=$root_first count="$sectors" conv=sparse status=none
    truncate -s $((sectors * 512)) "$2"
}

# A folder with a few real files of all kinds.
make_tree() {  # folder
    mkdir -p "$1"/{etc,boot,usr/lib,home/user,var/empty}
    echo "LABEL=root / ext4 defaults 0 1" >"$1/etc/fstab"
    echo web >"$1/etc/hostname"
    seq 1 200000 >"$1/usr/lib/numbers"
    : >"$1/home/user/empty"
    ln -s ../usr/lib/numbers "$1/etc/numbers"
    head -c 3000000 /dev/zero | tr '\0' 'k' >"$1/boot/vmlinuz"
}

kernel_version=6.1.0-50-amd64
# A root with a kernel; the initrd has the names by which Debian's initramfs is told.
make_bootable_root() {  # folder
    local name
    make_tree "$1"
    rm "$1/boot/vmlinuz"
    mkdir -p "$1/usr/lib/modules/$kernel_version" "$work/initrd"
    ln -s usr/lib "$1/lib"
    : >"$1/etc/machine-id"
    head -c 5000000 /dev/urandom >"$1/boot/vmlinuz-$kernel_version"
    for name in conf/initramfs.conf scripts/local-top/iscsi usr/sbin/iscsistart \
        "usr/lib/modules/$kernel_version/"{iscsi_tcp,iscsi_ibft,sd_mod,virtio_net}.ko; do
        mkdir -p "$work/initrd/$(dirname "$name")"
        : >"$work/initrd/$name"
    done
    (cd "$work/initrd" && find . | cpio --quiet -o -H newc) |
        zstd -q >"$1/boot/initrd.img-$kernel_version"
}
