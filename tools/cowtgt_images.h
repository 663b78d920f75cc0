#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "boot-helper/capture/capture.h"
#include "cow-store/base/result.h"
#include "target/config/config.h"
#include "target/control/output.h"

namespace cowtgt::tools {

struct ImportWords {
    std::string image;   ///< a file of the caller's folder, "-", or a URL
    std::string name;    ///< of the template
    std::string sha256;  ///< of the image as it comes; empty: any
    std::string note;
};

/// Looks at a template once more, in this process: boot::check_template.
Result<nlohmann::json> check_boot(const config::Config& config, const std::string& ref);

/// Imports in this process, also beside a running daemon, which finds the new version by itself.
/// The result is a template (operations.h) with twin: the version with the same content, or null,
/// and boot: what its machines boot with (boot::describe).
Result<nlohmann::json> import_image(const config::Config& config, const ImportWords& words,
                                    const boot::CaptureOptions& boot);

/// Writes the disk of an instance, or of a template, to a file; a raw one also to "-". An existing
/// file is replaced once the export is whole; a block device is written to. The result has name,
/// file, size_bytes.
Result<nlohmann::json> export_disk(const config::Config& config, const std::string& name,
                                   const std::string& file, control::ExportFormat format);

}  // namespace cowtgt::tools
