#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "boot-helper/image/initrd.h"
#include "boot-helper/image/opened_image.h"

/// What is in an image that clones of it must not share, or that keeps them from booting.
namespace cowtgt::boot {

enum class Severity : std::uint8_t {
    failure,  ///< two clones disturb each other, or do not boot
    warning,  ///< works, but not as one would wish
};
std::string_view to_string(Severity severity);

struct Finding {
    std::string_view code;  ///< "ssh-host-keys": stable, for scripts
    Severity severity = Severity::warning;
    std::string what;         ///< "/etc/ssh/ssh_host_ed25519_key is in the image"
    std::string_view breaks;  ///< what comes of it
    std::string_view mend;    ///< what to do
};

struct LintSubject {
    const OpenedImage& image;
    std::optional<Kernel> kernel;        ///< as chosen for kernel mode
    std::optional<InitrdReport> initrd;  ///< of that kernel
};

/// All findings, failures first. An image without a root that can be read gives one finding.
std::vector<Finding> lint(const LintSubject& subject);

/// The codes of all checks, in the order of lint.cc, to print what was found to be in order.
std::vector<std::string_view> lint_codes();

}  // namespace cowtgt::boot
