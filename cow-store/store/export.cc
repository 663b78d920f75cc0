#include "cow-store/store/export.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "cow-store/file_posix.h"
#include "cow-store/store/catalogue.h"
#include "cow-store/store/content.h"
#include "cow-store/store/opening.h"
#include "cow-store/volume/chain_view.h"

namespace cowtgt::store {

namespace {

constexpr std::uint64_t step_max = std::uint64_t{64} << 20;  ///< bytes between two looks at the map

/// Reads the disk of an instance that nobody serves.
class InstanceReader {
public:
    explicit InstanceReader(OpenedInstance& instance)
        : live_(instance.live_buffered.get()),
          base_(instance.base.get()),
          name_("instance " + instance.info.name),
          size_(instance.info.size_bytes),
          view_{{{&instance.layer.map(), instance.layer.summary().parent.overlap_limit}},
                instance.base_size} {}

    std::uint64_t size() const { return size_; }

    /// Hands out what is not zero of the bytes from `at`; the end of what it has looked at.
    Result<std::uint64_t> hand_out_from(std::uint64_t at, const ChunkSink& sink) {
        const ChainPiece piece = view_.find(at, std::min(step_max, size_ - at));
        Result<void> done;
        if (piece.source == ChainSource::layer) {
            done = hand_out(live_, piece.offset, at, piece.length, sink);
        } else if (piece.source == ChainSource::base) {
            done = hand_out_base(piece, at, sink);
        }
        if (!done) return std::move(done).error();
        return at + piece.length;
    }

private:
    /// `length` bytes at `offset` of a file, which are the disk's from `at`.
    Result<void> hand_out(int fd, std::uint64_t offset, std::uint64_t at, std::uint64_t length,
                          const ChunkSink& sink) {
        buffer_.resize(chunk_size);
        while (length > 0) {
            const MutableBytes into = MutableBytes{buffer_}.first(
                static_cast<std::size_t>(std::min<std::uint64_t>(length, buffer_.size())));
            const Result<std::size_t> got = read_some_at(fd, offset, into, name_);
            if (!got) return got.error();
            if (*got < into.size()) {
                return Error{ErrorCode::corrupt, "the files of " + name_ + " are too short"};
            }
            if (Result<void> sent = without_zero_runs(at, into, sink); !sent) return sent;
            offset += into.size();
            at += into.size();
            length -= into.size();
        }
        return {};
    }

    /// The same for the template, whose holes are skipped.
    Result<void> hand_out_base(const ChainPiece& piece, std::uint64_t at, const ChunkSink& sink) {
        const std::uint64_t end = piece.offset + piece.length;
        for (std::uint64_t from = piece.offset; from < end;) {
            const Result<std::optional<DataRun>> run =
                next_data_run(base_, round_down(from, chunk_size), end, name_);
            if (!run) return run.error();
            if (!run->has_value()) return {};
            const std::uint64_t begin = std::max((*run)->begin, from);
            const std::uint64_t stop = std::min((*run)->end, end);
            if (begin >= stop) return {};
            Result<void> sent =
                hand_out(base_, begin, at + (begin - piece.offset), stop - begin, sink);
            if (!sent) return sent;
            from = stop;
        }
        return {};
    }

    int live_;
    int base_;
    std::string name_;
    std::uint64_t size_;  ///< bytes
    ChainView view_;
    std::vector<std::byte> buffer_;
};

}  // namespace

Result<void> export_instance(const Context& context, std::string_view name, const Store::Sink& sink,
                             const Progress& progress) {
    const Result<std::unique_ptr<OpenedInstance>> instance = open_instance(context, name);
    if (!instance) return instance.error();
    InstanceReader reader(**instance);
    for (std::uint64_t at = 0; at < reader.size();) {
        const Result<std::uint64_t> end = reader.hand_out_from(at, sink);
        if (!end) return end.error();
        at = *end;
        if (progress) progress(at, reader.size());
    }
    return {};
}

Result<void> export_template(const Context& context, const TemplateRef& ref,
                             const Store::Sink& sink, const Progress& progress) {
    const Result<std::uint32_t> version = resolve(context, ref);
    if (!version) return version.error();
    const Result<TemplateRecord> record = load_template(context, ref.name, *version);
    if (!record) return record.error();
    const Result<Descriptor> image = open_image_of(context, *record);
    if (!image) return image.error();
    return read_chunks(image->get(), record->document.size_bytes,
                       "template " + template_text(ref.name, *version), progress,
                       [&sink](std::uint64_t offset, Bytes chunk) {
                           return without_zero_runs(offset, chunk, sink);
                       });
}

}  // namespace cowtgt::store
