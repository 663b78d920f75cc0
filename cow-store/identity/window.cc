#include "cow-store/identity/window.h"

#include <algorithm>

namespace cowtgt::identity {

Window::Window(const BlockSource& image, std::uint64_t begin, std::uint64_t length)
    : image_(&image),
      begin_(std::min(begin, image.size())),
      length_(std::min(length, image.size() - begin_)) {}

Result<void> Window::read(std::uint64_t offset, MutableBytes into) const {
    if (!contains(offset, into.size())) {
        return Error{ErrorCode::corrupt,
                     "it points to byte " + std::to_string(offset) + ", past its end"};
    }
    Result<void> done = image_->read(begin_ + offset, into);
    if (!done) {
        Error error = std::move(done).error();
        error.code = ErrorCode::io;
        return error;
    }
    return {};
}

Result<std::vector<std::byte>> Window::read_bytes(std::uint64_t offset,
                                                  std::uint64_t length) const {
    if (!contains(offset, length)) {  // asked before allocating what a damaged disk says
        return Error{ErrorCode::corrupt,
                     "it points to byte " + std::to_string(offset) + ", past its end"};
    }
    std::vector<std::byte> bytes(length);
    Result<void> done = read(offset, bytes);
    if (!done) return std::move(done).error();
    return bytes;
}

bool is_reason_to_keep(const Error& error) {
    return error.code == ErrorCode::corrupt || error.code == ErrorCode::refused ||
           error.code == ErrorCode::unsupported;
}

}  // namespace cowtgt::identity
