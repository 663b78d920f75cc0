#include "tools/cowtgt_output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "cow-store/file_posix.h"

namespace cowtgt::tools {

namespace fs = std::filesystem;

Result<OutputFile> OutputFile::open(const std::string& name) {
    OutputFile output;
    if (name == "-") {
        if (::isatty(STDOUT_FILENO) == 1) {
            return Error{ErrorCode::usage,
                         "standard output is a terminal, which shows no disks; redirect it"};
        }
        output.descriptor_ = STDOUT_FILENO;
        return output;
    }
    std::error_code ignored;
    const fs::file_status status = fs::status(name, ignored);
    if (fs::is_directory(status)) {
        return Error{ErrorCode::failed, name + " is a folder; add a file name to it"};
    }
    const bool as_it_is = fs::exists(status) && !fs::is_regular_file(status);
    fs::path target = name;
    if (!as_it_is) {
        // A symbolic link keeps pointing to the file that is replaced.
        if (fs::path real = fs::canonical(name, ignored); !real.empty()) target = std::move(real);
        output.place_ = target;
        target += ".unfinished-" + std::to_string(::getpid());
    }
    auto opened = open_descriptor(target, as_it_is ? O_WRONLY : O_WRONLY | O_CREAT | O_EXCL, 0666);
    if (!opened) return opened.error();
    if (!as_it_is) output.unfinished_ = std::move(target);
    output.owned_ = std::move(*opened);
    output.descriptor_ = output.owned_.get();
    return output;
}

OutputFile::~OutputFile() {
    if (!unfinished_.empty()) ::unlink(unfinished_.c_str());
}

bool OutputFile::is_seekable() const {
    struct stat found {};
    if (::fstat(descriptor_, &found) != 0) return false;
    return S_ISREG(found.st_mode) || S_ISBLK(found.st_mode);
}

Result<void> OutputFile::commit() {
    if (unfinished_.empty()) return {};
    if (::rename(unfinished_.c_str(), place_.c_str()) != 0) {
        return system_error("renaming the export to " + place_.string(), errno);
    }
    unfinished_.clear();
    return {};
}

}  // namespace cowtgt::tools
