#include <fcntl.h>
#include <sys/stat.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "cow-store/base/check.h"
#include "cow-store/file_posix.h"
#include "cow-store/store/catalogue.h"
#include "cow-store/store/image_input.h"
#include "cow-store/store/new_instance.h"
#include "cow-store/store/opened_store.h"
#include "cow-store/store/streams.h"
#include "cow-store/store/workplace.h"
#include "cow-store/volume/layer_writer.h"

/// Taking a stream in. A folder of STORE/receiving has the layer in the making, the stream's
/// document, and the records as they came: who goes on after a death reads the records, finds each
/// payload where the same calls put it before, and stops at the first that is not as it was sent.
namespace cowtgt::store {

namespace {

using Path = std::filesystem::path;

std::string source_text(const StreamDocument& document) {
    return document.instance + "@" + document.label;
}

ReceivedStream describe_stream(std::string_view name, const StreamDocument& document,
                               std::uint64_t next_offset) {
    return {.name = std::string(name),
            .source = source_text(document),
            .from = document.from.empty() ? "" : document.instance + "@" + document.from,
            .size_bytes = document.size_bytes,
            .next_offset = next_offset,
            .is_whole = document.is_whole};
}

Error nothing_received(std::string_view name) {
    return Error{ErrorCode::not_found, "no stream has begun to arrive for " + std::string(name)};
}

Result<StreamDocument> load_stream(const Context& context, std::string_view name) {
    if (Result<void> legal = check_name(name); !legal) return std::move(legal).error();
    const Path path = context.layout.receiving(name) / Layout::stream_file;
    const Result<std::string> text = read_text_file(path);
    if (!text && text.error().code == ErrorCode::not_found) return nothing_received(name);
    if (!text) return text.error();
    return decode_stream(*text, path.string());
}

LayerSpec spec_of(const StreamDocument& document) {
    LayerSpec spec;
    spec.uuid = document.layer;
    spec.virtual_size = document.size_bytes;
    spec.block_size = document.block_size;
    if (!document.from_layer.is_nil()) {
        spec.parent = Parent{document.from_layer, 0, document.from_size_bytes};
    }
    return spec;
}

/// Whether the instance that a stream is for can take it.
Result<void> check_fits(const Context& context, std::string_view name,
                        const StreamDocument& document) {
    if (document.from_layer.is_nil()) return check_name_is_free(context, name);
    const Result<InstanceDocument> instance = load_instance(context, name);
    if (!instance) return instance.error();
    const LayerEntry* from = find_layer(*instance, document.from_layer);
    if (from == nullptr) {
        return Error{ErrorCode::refused,
                     "the stream builds on " + document.instance + "@" + document.from +
                         ", which instance " + std::string(name) +
                         " has not received; send that one first, or without --from"};
    }
    if (find_snapshot(*instance, document.label) != nullptr) {
        return Error{ErrorCode::exists, "instance " + std::string(name) + " has a snapshot " +
                                            document.label + " already"};
    }
    return {};
}

/// One stream on its way into a folder.
class Receiver {
public:
    Receiver(const Context& context, std::string_view name)
        : context_(context), folder_(context.layout.receiving(name)), name_(name) {}

    /// Begins, or goes on with what is there.
    Result<void> begin(const StreamDocument& document) {
        if (Result<void> made = make_folder(); !made) return made;
        const Result<StreamDocument> known = load_stream(context_, name_);
        const bool is_new = !known && known.error().code == ErrorCode::not_found;
        if (!is_new && !known) return known.error();
        if (is_new && document.first_offset != 0) return cannot_go_on(0);
        if (!is_new && known->layer != document.layer) {
            return Error{ErrorCode::refused,
                         "a stream of " + source_text(*known) + " has begun to arrive for " +
                             std::string(name_) + "; finish it, or forget it with " +
                             "`cowtgt receive --abandon " + std::string(name_) + "`"};
        }
        if (!is_new && known->is_whole) {
            document_ = *known;
            position_ = known->size_bytes;
            return {};
        }
        document_ = document;
        document_.first_offset = 0;
        if (is_new) {
            if (Result<void> kept = keep_document(); !kept) return kept;
        }
        if (Result<void> opened = open_files(); !opened) return opened;
        if (Result<void> taken = take_over(); !taken) return taken;
        if (document.first_offset > position_) return cannot_go_on(position_);
        return {};
    }

    /// What has arrived before is passed over.
    Result<void> add(const StreamPiece& piece) {
        if (piece.offset + piece.length <= position_) return {};
        if (piece.offset < position_) return cannot_go_on(position_);
        StreamRecord record{};
        record.kind = static_cast<std::uint8_t>(piece.kind);
        record.offset = piece.offset;
        record.length = piece.length;
        Result<void> done;
        if (piece.kind == RecordKind::data) {
            done = writer_->add_data(piece.offset, piece.payload);
        } else {
            writer_->add_zeros(piece.offset, piece.length);
        }
        if (!done) return done;
        record.checksum = record_checksum(0, record, piece.payload);
        done = records_->write_at(records_end_, bytes_of_struct(record));
        records_end_ += sizeof record;
        position_ = piece.offset + piece.length;
        return done;
    }

    /// All of it has arrived.
    Result<void> end() {
        const Path path = folder_ / Layout::live_file;
        Result<void> done = writer_->finish(LayerPhase::sealed);
        if (done) done = context_.files.seal(path);
        if (!done) return done;
        document_.is_whole = true;
        position_ = document_.size_bytes;
        return keep_document();
    }

    ReceivedStream state() const { return describe_stream(name_, document_, position_); }
    bool is_whole() const { return document_.is_whole; }

private:
    Error cannot_go_on(std::uint64_t at) const {
        return Error{ErrorCode::refused,
                     "this stream does not go on where the one before ended, "
                     "at byte " +
                         std::to_string(at) + " of the disk; send it with --resume " +
                         std::to_string(at)};
    }

    Result<void> make_folder() {
        for (const Path& path : {folder_.parent_path(), folder_}) {
            Result<void> made = context_.files.make_directory(path);
            if (!made && made.error().os_errno != EEXIST) return made;
        }
        std::optional<Descriptor> lock = lock_folder(folder_);
        if (!lock) {
            return Error{ErrorCode::in_use, "another stream is arriving for " + std::string(name_) +
                                                "; wait until it has ended"};
        }
        lock_ = std::move(*lock);
        return {};
    }

    Result<void> keep_document() {
        return replace_file(context_, folder_ / Layout::stream_file, encode(document_));
    }

    Result<void> open_files() {
        auto layer = PosixFile::open(folder_ / Layout::live_file, O_RDWR | O_CREAT);
        if (!layer) return std::move(layer).error();
        layer_ = context_.files.count_steps(std::move(*layer), folder_ / Layout::live_file);
        auto records = PosixFile::open(folder_ / Layout::received_file, O_RDWR | O_CREAT);
        if (!records) return std::move(records).error();
        records_ = context_.files.count_steps(std::move(*records), folder_ / Layout::received_file);
        writer_ = std::make_unique<LayerWriter>(*layer_, spec_of(document_));
        return {};
    }

    /// Takes over what an earlier one has left, as far as it is whole.
    Result<void> take_over() {
        const Result<std::uint64_t> size = records_->size();
        if (!size) return size.error();
        std::vector<std::byte> payload;
        while (records_end_ + sizeof(StreamRecord) <= *size) {
            StreamRecord record{};
            const MutableBytes into = std::as_writable_bytes(std::span(&record, 1));
            if (Result<void> read = records_->read_at(records_end_, into); !read) return read;
            const std::uint64_t offset = record.offset.get();
            const std::uint64_t length = record.length.get();
            const bool is_data = record.kind == static_cast<std::uint8_t>(RecordKind::data);
            if (!is_possible(record)) return {};
            payload.resize(is_data ? length : 0);
            if (is_data) {
                Result<void> read = writer_->take_over_data(offset, payload);
                if (!read) return read;
            }
            if (record_checksum(0, record, payload) != record.checksum.get()) {
                // Its place is taken, but nothing of the map names what lies there.
                return start_anew(offset);
            }
            if (!is_data) writer_->add_zeros(offset, length);
            records_end_ += sizeof record;
            position_ = offset + length;
        }
        return {};
    }

    bool is_possible(const StreamRecord& record) const {
        const std::uint64_t offset = record.offset.get();
        const std::uint64_t length = record.length.get();
        const auto kind = static_cast<RecordKind>(record.kind);
        const std::uint64_t size = document_.size_bytes;
        return (kind == RecordKind::zeros ||
                (kind == RecordKind::data && length <= stream_payload_max)) &&
               offset % cluster_size == 0 && offset >= position_ && offset < size && length > 0 &&
               length <= size - offset && (length % cluster_size == 0 || offset + length == size);
    }

    /// A payload is not as it was sent: its record and all behind it are forgotten, and the writer
    /// is asked again for what lies before.
    Result<void> start_anew(std::uint64_t broken_at) {
        const Path path = folder_ / Layout::received_file;
        if (Result<void> cut = context_.files.set_size(path, records_end_); !cut) return cut;
        writer_ = std::make_unique<LayerWriter>(*layer_, spec_of(document_));
        records_end_ = 0;
        position_ = 0;
        Result<void> done = take_over();
        CHECK(!done || position_ <= broken_at);
        return done;
    }

    const Context& context_;
    Path folder_;
    std::string_view name_;
    Descriptor lock_;
    StreamDocument document_;
    std::unique_ptr<File> layer_;
    std::unique_ptr<File> records_;
    std::unique_ptr<LayerWriter> writer_;
    std::uint64_t records_end_ = 0;  ///< bytes of the file of records
    std::uint64_t position_ = 0;     ///< bytes of the disk that have arrived
};

}  // namespace

Result<ReceivedStream> Streams::receive(std::string_view name, const StreamSource& source,
                                        const Progress& progress) const {
    const Context& context = store_.state_->context;
    if (Result<void> legal = check_name(name); !legal) return std::move(legal).error();
    StreamReader reader(source);
    const Result<StreamDocument> document = reader.begin();
    if (!document) return document.error();
    if (Result<void> fits = check_fits(context, name, *document); !fits) {
        return std::move(fits).error();
    }
    Receiver receiver(context, name);
    if (Result<void> begun = receiver.begin(*document); !begun) return std::move(begun).error();
    if (receiver.is_whole()) return receiver.state();
    while (true) {
        const Result<StreamPiece> piece = reader.next();
        if (!piece && piece.error().code == ErrorCode::failed) {
            Error error = piece.error();
            error.message += "; go on with `cowtgt send --resume " +
                             std::to_string(receiver.state().next_offset) + "`";
            return error;
        }
        if (!piece) return piece.error();
        if (piece->kind == RecordKind::end) break;
        if (Result<void> added = receiver.add(*piece); !added) return std::move(added).error();
        if (progress) progress(piece->offset + piece->length, document->size_bytes);
    }
    if (Result<void> ended = receiver.end(); !ended) return std::move(ended).error();
    return receiver.state();
}

Result<ReceivedStream> Streams::state(std::string_view name) const {
    const Context& context = store_.state_->context;
    const Result<StreamDocument> document = load_stream(context, name);
    if (!document) return document.error();
    if (document->is_whole) return describe_stream(name, *document, document->size_bytes);
    Receiver receiver(context, name);
    if (Result<void> begun = receiver.begin(*document); !begun) return std::move(begun).error();
    return receiver.state();
}

Result<void> Streams::abandon(std::string_view name) const {
    const Context& context = store_.state_->context;
    if (Result<void> legal = check_name(name); !legal) return legal;
    const Path folder = context.layout.receiving(name);
    struct stat status {};
    if (::lstat(folder.c_str(), &status) != 0) return nothing_received(name);
    const std::optional<Descriptor> lock = lock_folder(folder);
    if (!lock) {
        return Error{ErrorCode::in_use, "the stream for " + std::string(name) +
                                            " is arriving just now; end its sender first"};
    }
    return remove_object(context, Work::remove_stream, name, folder);
}

}  // namespace cowtgt::store
