#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "cow-store/base/bytes.h"
#include "cow-store/base/result.h"

struct struct_ext2_filsys;

/// ext2, ext3 and ext4 through libext2fs, from bytes that lie anywhere. Nothing is written.
namespace cowtgt::ext_reader {

/// Where the file system lies. `read` fills its second argument from a place in bytes, and is only
/// asked for what lies within the size.
struct Source {
    std::uint64_t size_bytes;
    std::function<Result<void>(std::uint64_t offset, MutableBytes into)> read;
};

struct Free {
    void operator()(struct_ext2_filsys* fs) const;
};

/// An open file system, with what it reads from. Threads: one at a time.
class FileSystem {
public:
    static Result<FileSystem> open(Source source);

    struct_ext2_filsys* get() const { return fs_.get(); }  ///< for the calls of libext2fs
    struct_ext2_filsys* operator->() const { return fs_.get(); }

private:
    explicit FileSystem(std::unique_ptr<Source> source) : source_(std::move(source)) {}

    std::unique_ptr<Source> source_;  ///< outlives fs_, which has its address
    std::unique_ptr<struct_ext2_filsys, Free> fs_;
};

/// `code` is an errcode_t of libext2fs.
Error ext_error(const std::string& doing, long code);

}  // namespace cowtgt::ext_reader
