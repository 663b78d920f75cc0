#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "boot-helper/core/fleet.h"
#include "cow-store/base/result.h"

namespace cowtgt::boot {

/// COMMAND_LINE_SIZE of the Linux kernel on x86, its terminator included.
inline constexpr std::size_t command_line_bytes_max = 2048;

/// How the initramfs learns about its disk.
enum class DiskSource {
    ibft,       ///< iPXE's sanhook leaves an iBFT; IPv4 only, as iPXE's iBFT is
    explicitly  ///< everything on the command line, for loaders without iSCSI and for IPv6
};

/// What a machine's command line depends on besides the machine.
struct CommandLineSite {
    std::string_view prefix;  ///< of the site's iSCSI names
    config::Endpoint portal;  ///< as choose_portal says
    std::string seed_url;     ///< of NoCloud, with the slash at its end; empty: no seed
    DiskSource source = DiskSource::ibft;
    /// No DHCPv4 server has been seen: the firmware came by IPv6.
    bool ipv6_only = false;
};

/// The kernel's command line of a machine, in its template's dialect; with the CHAP secrets if the
/// disk is named explicitly. refused when there is none that works (no root label, an iBFT dialect
/// over IPv6, a secret that is no word) or it is too long: the message says what to change.
Result<std::string> command_line(const Machine& machine, const CommandLineSite& site);

/// refused when the machine has to authenticate and its secrets may not go over HTTP: nothing that
/// is served would boot it. The sentence says what to do.
Result<void> check_chap(const Machine& machine);

/// Words that a machine's settings may add: printable ASCII in one line, and nothing that iPXE
/// would take for its own (`${`, a word `||`, `&&` or beginning with `#`).
Result<void> check_extra_words(std::string_view words);

/// "iscsi:10.0.0.1::3260:0:iqn....:web1" (RFC 4173 section 5), for iPXE.
std::string san_uri(std::string_view prefix, const Machine& machine,
                    const config::Endpoint& portal);

}  // namespace cowtgt::boot
