# What the boot tests share on top of tests/e2e/lib.sh: a network of their own, with machines of
# QEMU in it. Sourced, not run.
#
# The whole test runs in network, mount and process namespaces of its own, so nothing of it meets
# the machine's network, and nothing outlives it. Needs root, QEMU (TCG, no KVM) and /dev/net/tun.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ -z "${COWTGT_BOOT_INSIDE:-}" ]; then
    [ "$(id -u)" = 0 ] || { echo "boot tests need root (namespaces, tap devices)" >&2; exit 1; }
    [ -e /dev/net/tun ] || { echo "boot tests need /dev/net/tun (modprobe tun)" >&2; exit 1; }
    exec env COWTGT_BOOT_INSIDE=1 \
        unshare --net --mount --pid --fork --kill-child --mount-proc "$0" "$@"
fi
# shellcheck source=tests/e2e/lib.sh
. "$here/../e2e/lib.sh"

server4=10.77.0.1
server6=fd77::1
# An emulated machine on a busy host misses timer interrupts, and Linux would say that its timer
# does not work.
words="console=ttyS0 no_timer_check"
boot_host=$server4  # as firmware is told
dhcp_range=dhcp-range=10.77.0.100,10.77.0.199,1h
tftp=enable-tftp
mac1=52:54:00:77:00:01
mac2=52:54:00:77:00:02
debian=${COWTGT_DEBIAN:-$here/../../build/debian}

# A bridge that the machines and the server share.
make_network() {
    ip link set lo up
    ip link add br0 type bridge forward_delay 0
    # no IPv6 address of one's own making, no duplicate address detection: usable at once
    echo 0 >/proc/sys/net/ipv6/conf/br0/accept_dad
    ip link set br0 up
    ip address add $server4/24 dev br0
    ip address add $server6/64 dev br0 nodad
}

# The site: listens on the bridge, by HTTP too.
new_site() {
    portal=$server4:3260
    cowtgt init --iqn $prefix --store "$store" --listen "$portal" --listen "[$server6]:3260" \
        --http "$boot_host:8080"
}

# DHCP, router advertisements and TFTP, with what cowtgt says of the machines that there are by now.
start_dnsmasq() {
    cowtgt export dnsmasq >"$work/dnsmasq.export"
    cat >"$work/dnsmasq.conf" <<CONF
interface=br0
bind-interfaces
no-resolv
no-hosts
log-dhcp
log-facility=$work/dnsmasq.log
dhcp-leasefile=$work/leases
pid-file=$work/dnsmasq.pid
$tftp
tftp-root=/usr/lib/ipxe
$dhcp_range
conf-file=$work/dnsmasq.export
CONF
    # setpriv: nothing is left behind by a test that is killed
    setpriv --pdeathsig KILL dnsmasq --keep-in-foreground --user=root -C "$work/dnsmasq.conf" &
    wait_until 10 "dnsmasq answers" test -s "$work/dnsmasq.log"
}

# A condition that comes true sooner or later; on a loaded machine later.
wait_until() {  # seconds what command...
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        [ $SECONDS -lt $deadline ] || fail "not in time: $what"
        sleep 0.1
    done
}

declare -A machine_pid

# Powers a machine on: emulated, with no disk but what the network gives it. Its console and its
# reports go to $work/NAME.console and $work/NAME.report.
start_machine() {  # name mac bios|efi [QEMU options...]
    local name=$1 mac=$2 firmware=() tap=tap${2//:/}
    case $3 in
    bios) ;;
    efi)
        cp /usr/share/OVMF/OVMF_VARS_4M.fd "$work/$name.vars"
        firmware=(
            -drive "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd"
            -drive "if=pflash,format=raw,file=$work/$name.vars")
        ;;
    *) fail "no firmware is called $3" ;;
    esac
    shift 3
    tap=tap${tap: -6}
    [ -e "/sys/class/net/$tap" ] || ip tuntap add "$tap" mode tap
    ip link set "$tap" master br0 up
    : >"$work/$name.console"
    : >"$work/$name.report"
    # graphics=off: firmware and iPXE write to the serial port. qemu64: with the features of "max"
    # the guest loads modules for each and runs their self-tests.
    setpriv --pdeathsig KILL qemu-system-x86_64 -name "$name" -accel tcg -cpu qemu64 -m 512 \
        -machine pc,graphics=off,usb=off ${firmware[@]+"${firmware[@]}"} \
        -nodefaults -display none \
        -serial "file:$work/$name.console" -serial "file:$work/$name.report" \
        -netdev "tap,id=n0,ifname=$tap,script=no,downscript=no" \
        -device "virtio-net-pci,netdev=n0,mac=$mac,bootindex=0" -device virtio-rng-pci \
        "$@" >"$work/$name.qemu" 2>&1 &
    machine_pid[$name]=$!
}

# As by the plug: no logout, no flush.
cut_power() {  # name
    kill -KILL "${machine_pid[$1]}"
    wait "${machine_pid[$1]}" 2>/dev/null || true
    unset "machine_pid[$1]"
}

is_running() { [ -n "${machine_pid[$1]:-}" ] && kill -0 "${machine_pid[$1]}" 2>/dev/null; }

is_off() { ! is_running "$1"; }

machine_failed() {  # name what
    echo "--- the console of $1:" >&2
    tail -n 60 "$work/$1.console" | tr -d '\r\000' >&2
    tail -n 5 "$work/$1.qemu" >&2
    fail "$1: $2"
}

# A machine reports once per boot, before its login prompt or at the same time.
wait_for_boot() {  # name number_of_boot
    local name=$1 deadline=$((SECONDS + 900))
    until [ "$(grep -ac '^end=' "$work/$name.report")" -ge "$2" ] &&
        [ "$(grep -ac "^$name login: " "$work/$name.console")" -ge "$2" ]; do
        is_running "$name" || machine_failed "$name" "QEMU has ended"
        [ $SECONDS -lt $deadline ] || machine_failed "$name" "boot $2 does not reach its end"
        sleep 0.2
    done
}

# What a machine said about itself at its last boot.
fact() {  # name fact
    sed -n "s/^$2=//p" "$work/$1.report" | tail -n 1 | tr -d '\r'
}

# Runs a command in a machine; its host key must be the one that it has reported.
in_machine() {  # name command...
    local name=$1
    shift
    ssh -q -i "$debian/key" -o BatchMode=yes -o ConnectTimeout=60 \
        -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile="$work/$name.known_hosts" \
        -o HostKeyAlias="$name" "root@$(fact "$name" ipv6)" "$@"
}

# The root of a machine that is off, as its disk holds it now.
check_file_system() {  # name
    cowtgt export raw "$1" "$work/$1.raw"
    dd if="$work/$1.raw" of="$work/$1.ext4" bs=1M skip=33 conv=sparse status=none
    rm "$work/$1.raw"
    # after a power failure the journal comes first, as it does at the next mount
    e2fsck -fy -E journal_only "$work/$1.ext4" >"$work/fsck" 2>&1 || true
    e2fsck -fn "$work/$1.ext4" >"$work/fsck" 2>&1 || fail "fsck of $1: $(cat "$work/fsck")"
    rm "$work/$1.ext4"
}

# A site with the Debian template, and its first machine up. A test may set packages (more of them
# in the image).
packages=()
boot_one_machine() {  # bios|efi [options of the import...]
    local firmware=$1
    shift
    "$here/make-debian" "$debian" ${packages[@]+"${packages[@]}"}
    make_network
    new_site
    cowtgt template import "$debian/debian.raw" --name debian12 "$@"
    cowtgt clone debian12 web01 --mac $mac1
    start_daemon
    start_dnsmasq
    step "web01 powers on"
    start_machine web01 $mac1 "$firmware"
    wait_for_boot web01 1
}

# A GPT disk whose \EFI\BOOT\BOOTX64.EFI says that it runs and ends QEMU.
make_efi_disk() {  # file
    cc -c "$here/efi_program.S" -o "$work/efi_program.o"
    objcopy -O binary -j .text "$work/efi_program.o" "$work/BOOTX64.EFI"
    mkdir "$work/tree"
    make_disk "$1" 8 "$work/tree"
    mmd -i "$1@@1M" ::EFI ::EFI/BOOT
    mcopy -i "$1@@1M" "$work/BOOTX64.EFI" ::EFI/BOOT/BOOTX64.EFI
}

# A machine whose disk, made from $work/FIRMWARE.raw, says the text and ends QEMU.
boot_to_its_end() {  # name mac bios|efi text [QEMU options...]
    local name=$1 mac=$2 firmware=$3 text=$4 status=0 deadline=$((SECONDS + 300))
    shift 4
    step "$name powers on"
    cowtgt template import "$work/$firmware.raw" --name "$firmware" --mode disk
    cowtgt clone "$firmware" "$name" --mac "$mac"
    start_machine "$name" "$mac" "$firmware" -no-reboot \
        -device isa-debug-exit,iobase=0xf4,iosize=1 "$@"
    while is_running "$name"; do
        [ $SECONDS -lt $deadline ] || machine_failed "$name" "its disk does not boot"
        sleep 0.1
    done
    wait "${machine_pid[$name]}" || status=$?
    [ $status = 99 ] || machine_failed "$name" "QEMU ends with $status, not by the debug-exit port"
    grep -q "$text" "$work/$name.console" || machine_failed "$name" "does not say '$text'"
    expect_equal "$(cowtgt_json show "$name" | json 'v["initiator"]')" "$prefix:init:$name" \
        "initiator"
    grep -q "login .*initiator=$prefix:init:$name .*firmware=iPXE" "$daemon_log" ||
        fail "no login of $name by its own name"
}
