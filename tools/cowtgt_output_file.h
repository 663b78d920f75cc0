#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "cow-store/base/result.h"
#include "cow-store/descriptor.h"

namespace cowtgt::tools {

/// Where an export goes: standard output, a device or pipe as it is, or a file that appears whole
/// or not at all (written beside its place, renamed at the end).
class OutputFile {
public:
    /// "-" is standard output, unless that is a terminal.
    static Result<OutputFile> open(const std::string& name);
    OutputFile(OutputFile&&) = default;
    OutputFile& operator=(OutputFile&&) = default;
    ~OutputFile();  ///< without commit() the unfinished file goes away

    int descriptor() const { return descriptor_; }
    /// Has a position and a size of its own: it can be handed to the daemon.
    bool is_seekable() const;
    Result<void> commit();

private:
    OutputFile() = default;

    Descriptor owned_;
    int descriptor_ = -1;
    std::filesystem::path place_;
    std::filesystem::path unfinished_;  ///< empty when there is nothing to rename
};

}  // namespace cowtgt::tools
