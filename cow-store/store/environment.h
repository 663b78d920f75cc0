#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "cow-store/base/result.h"
#include "cow-store/base/uuid.h"

namespace cowtgt::store {

/// When the bytes of images and sealed layers are compared with their hashes at each read.
enum class VerifyReads {
    when_in_doubt,  ///< another time or inode than when the file was sealed
    always,
};

/// What the store is told by whoever opens it. The defaults are the real thing; tests kill the
/// process at each step, make each step fail, and choose how much space there is.
struct Environment {
    /// Called before each step that changes the disk, with what it is about. 0: go on; an errno:
    /// the step fails with it.
    std::function<int(std::string_view step)> before_step;
    /// Bytes that may be written into the store's file system; empty: what statvfs(3) says.
    std::function<std::uint64_t()> free_bytes;
    /// How long to wait for requests of a dead process that are still in the kernel.
    std::chrono::milliseconds lock_patience{5000};
    VerifyReads verify_reads = VerifyReads::when_in_doubt;
};

/// 16 bytes of getrandom(2) as a version 4 UUID.
Uuid draw_uuid();
/// Of the running kernel; nil where /proc does not tell.
Uuid read_boot_id();
/// UTC, RFC 3339, whole seconds.
std::string time_now();
/// Bytes that an ordinary user may still write into the file system of `path`.
Result<std::uint64_t> free_bytes_of(const std::filesystem::path& path);
/// Name of this process, or of process `pid`; "a process" when it cannot be told.
std::string program_name(int pid = 0);

}  // namespace cowtgt::store
