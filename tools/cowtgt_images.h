#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "boot-helper/capture/capture.h"
#include "cow-store/base/result.h"
#include "target/config/config.h"

namespace cowtgt::tools {

/// Imports in this process, also beside a running daemon, which finds the new version by itself.
/// `image` is a file of the caller's folder or "-". The result is a template (operations.h) with
/// twin: the version with the same content, or null,
/// and boot: what its machines boot with (boot::describe).
Result<nlohmann::json> import_image(const config::Config& config, const std::string& image,
                                    const std::string& name, const boot::CaptureOptions& boot);

/// Looks at a template once more, in this process: boot::check_template.
Result<nlohmann::json> check_boot(const config::Config& config, const std::string& ref);

/// Writes the raw disk of an instance, or of a template, to a file or "-". An existing file is
/// replaced once the export is whole; a block device is written to. The result has name, file,
/// size_bytes.
Result<nlohmann::json> export_raw(const config::Config& config, const std::string& name,
                                  const std::string& file);

}  // namespace cowtgt::tools
