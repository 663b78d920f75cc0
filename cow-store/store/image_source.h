#pragma once

#include <cstdint>
#include <string>

#include "cow-store/base/result.h"
#include "cow-store/file_posix.h"
#include "cow-store/identity/identity.h"

namespace cowtgt::store {

/// A template's image for the search for identities. Does not own the descriptor.
class ImageSource final : public identity::BlockSource {
public:
    ImageSource(int fd, std::uint64_t size, std::string name)
        : fd_(fd), size_(size), name_(std::move(name)) {}

    Result<void> read(std::uint64_t offset, MutableBytes into) const override {
        const Result<std::size_t> got = read_some_at(fd_, offset, into, name_);
        if (!got) return got.error();
        if (*got == into.size()) return {};
        return Error{ErrorCode::io, name_ + " is shorter than it was"};
    }
    std::uint64_t size() const override { return size_; }

private:
    int fd_;
    std::uint64_t size_;  ///< bytes
    std::string name_;
};

}  // namespace cowtgt::store
