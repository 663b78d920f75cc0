#include "tools/render_boot.h"

#include <nlohmann/json.hpp>

#include "tools/render_parts.h"

namespace cowtgt::tools {

using nlohmann::json;

std::string render_boot(const json& boot) {
    if (!boot.is_object()) return "";
    const json& kernel = at(boot, "kernel");
    std::string what =
        kernel.is_null()
            ? text(boot, "mode") + ": no kernel, since " + text(boot, "no_kernel_because")
            : text(boot, "mode") + ", kernel " + text(boot, "kernel_version") + ", initramfs " +
                  text(boot, "initramfs");
    if (!text(boot, "words").empty()) what += ", with " + text(boot, "words");
    return field("boot", what) + render_findings(at(boot, "findings"));
}

std::string render_findings(const json& findings) {
    std::string result;
    for (const json& finding : findings) {
        result += "  " + text(finding, "severity") + ": " + text(finding, "what") + ": " +
                  text(finding, "breaks") + "; " + text(finding, "mend") + "\n";
    }
    return result;
}

}  // namespace cowtgt::tools
