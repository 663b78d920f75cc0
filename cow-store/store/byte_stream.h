#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cow-store/base/bytes.h"
#include "cow-store/base/result.h"
#include "cow-store/descriptor.h"

namespace cowtgt::store {

/// Bytes that can be read once and in order: a pipe, a download, what was compressed.
///
/// Errors name the stream. Threads: one. May wait.
class ByteStream {
public:
    virtual ~ByteStream() = default;
    /// Fills the front of `into` and returns how much; 0: the end. Requires: into is not empty.
    virtual Result<std::size_t> read(MutableBytes into) = 0;
    virtual std::uint64_t position() const = 0;  ///< bytes of the source that were read
    virtual std::uint64_t size() const = 0;      ///< bytes of the source; 0: not known
};

std::shared_ptr<ByteStream> open_descriptor_stream(Descriptor file, std::string name);

/// What the source is when unpacked, if it is compressed with gzip, xz or zstd (told by its first
/// bytes), else the source itself. Several streams behind one another are one.
/// Errors: unsupported for other compressions.
Result<std::shared_ptr<ByteStream>> decompressed(std::shared_ptr<ByteStream> source,
                                                 const std::string& name);

/// The same bytes; at their end they are compared with a SHA-256 of 64 hexadecimal digits, and an
/// Error (refused) takes the place of the end when they are not those.
std::shared_ptr<ByteStream> verified(std::shared_ptr<ByteStream> source, std::string sha256,
                                     std::string name);
/// usage when the text is no SHA-256.
Result<void> check_sha256_text(const std::string& text);

/// Looks ahead.
class PeekStream final : public ByteStream {
public:
    explicit PeekStream(std::shared_ptr<ByteStream> source) : source_(std::move(source)) {}

    /// The next bytes, at least `count` unless the stream ends before.
    Result<Bytes> peek(std::size_t count);

    Result<std::size_t> read(MutableBytes into) override;
    std::uint64_t position() const override { return source_->position(); }
    std::uint64_t size() const override { return source_->size(); }

private:
    std::shared_ptr<ByteStream> source_;
    std::vector<std::byte> ahead_;
};

}  // namespace cowtgt::store
