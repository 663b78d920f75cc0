#pragma once

#include <utility>

namespace cowtgt {

/// An open file descriptor and the duty to close it.
class Descriptor {
public:
    Descriptor() = default;
    /// Takes over `fd`, which is open, or -1 for none.
    explicit Descriptor(int fd) : fd_(fd) {}
    Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~Descriptor();

    int get() const { return fd_; }
    bool is_open() const { return fd_ >= 0; }
    /// Hands the descriptor and the duty over.
    int release() { return std::exchange(fd_, -1); }

private:
    int fd_ = -1;
};

}  // namespace cowtgt
