#pragma once

#include <string>
#include <string_view>

#include "boot-helper/core/fleet.h"
#include "boot-helper/core/request.h"
#include "cow-store/base/result.h"

/// Scripts for iPXE (of 2019 and newer, BIOS and UEFI) and GRUB. The URLs in iPXE scripts
/// are paths on the server that the script came from; only iscsi: needs the address in numbers.
namespace cowtgt::boot {

/// What a firmware says about itself in the query of its request. Printable, at most 64 characters
/// each, whatever was sent.
struct Firmware {
    std::string uuid;      ///< of SMBIOS
    std::string arch;      ///< "i386" (also on 64-bit machines with BIOS), "x86_64", "arm64"
    std::string platform;  ///< "pcbios" or "efi"
    std::string serial;    ///< of SMBIOS
    bool is_efi() const { return platform == "efi"; }
};
Firmware firmware_of(const Target& target);

/// The same bytes for everybody: asks for the machine's own script, again and again for a minute.
std::string chain_script();

/// The script of a machine. When there is none that works, a script that shows why and asks again
/// later, since somebody may mend it meanwhile.
std::string machine_script(const Fleet& fleet, const Machine& machine, const Reached& reached,
                           const Firmware& firmware);

/// For a MAC that is no machine's: shows what to type, and asks again until it is one.
std::string unknown_script(const config::MacAddress& mac, const Firmware& firmware);

/// A GRUB configuration with one entry; `mac` is whoever asked, for machines that are unknown.
std::string grub_script(const Fleet& fleet, const Machine& machine, const Reached& reached);
std::string unknown_grub_script(const config::MacAddress& mac, const Reached& reached);

/// The command line for loaders without iSCSI (GRUB, hypervisors, pixiecore): no iBFT.
Result<std::string> explicit_command_line(const Fleet& fleet, const Machine& machine,
                                          const Reached& reached);

/// "/v1/blob/SHA/NAME?mac=52-54-00-12-34-01": the MAC tells the boot stages who fetches it.
std::string blob_path(const Blob& blob, const Machine& machine);

}  // namespace cowtgt::boot
