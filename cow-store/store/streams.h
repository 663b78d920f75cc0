#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cow-store/base/result.h"
#include "cow-store/store/store.h"
#include "cow-store/store/stream_format.h"

/// Snapshots on their way to other stores (STREAM.md).
namespace cowtgt::store {

struct SendOptions {
    std::string instance;
    std::string label;               ///< of the snapshot to send
    std::string from;                ///< of one that the receiver has; empty: everything is sent
    std::uint64_t first_offset = 0;  ///< bytes of the disk that the receiver has already
};

/// A stream that is arriving, or has arrived.
struct ReceivedStream {
    std::string name;    ///< under which it is received
    std::string source;  ///< "web01@before"
    std::string from;    ///< "web01@older"; empty: it holds everything
    std::uint64_t size_bytes = 0;
    std::uint64_t next_offset = 0;  ///< bytes of the disk that have arrived: where to go on
    bool is_whole = false;
};

/// What arrives is laid out beside the store's objects, so any Locking will do for that, also
/// beside a running daemon; what makes an instance of it needs the store for itself. Ownership: the
/// store outlives it.
class Streams {
public:
    explicit Streams(Store& store) : store_(store) {}

    /// Sealed layers are read only, so the instance may be in use.
    Result<void> send(const SendOptions& options, const StreamSink& sink,
                      const Progress& progress) const;

    /// Takes a stream in, up to its end, under the name that its instance is going to have. If it
    /// breaks off, what has arrived is kept: the same stream, sent from state().next_offset, goes
    /// on there. refused: another stream has begun under this name, or the instance has not what
    /// this one builds on; corrupt: it is damaged from there on.
    Result<ReceivedStream> receive(std::string_view name, const StreamSource& source,
                                   const Progress& progress) const;
    Result<ReceivedStream> state(std::string_view name) const;
    /// Forgets what has arrived under this name.
    Result<void> abandon(std::string_view name) const;

    /// Makes an instance of a stream that is whole, or the next snapshot of the instance that it
    /// builds on. in_use while somebody has that open; refused when it was written to since.
    Result<InstanceInfo> finish(std::string_view name);

private:
    Store& store_;
};

}  // namespace cowtgt::store
