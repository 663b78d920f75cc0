#include "cow-store/store/import.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "cow-store/store/boot_folder.h"
#include "cow-store/store/catalogue.h"
#include "cow-store/store/content.h"
#include "cow-store/store/documents.h"
#include "cow-store/store/image_input.h"
#include "cow-store/store/image_source.h"
#include "cow-store/store/reference_search.h"
#include "cow-store/store/templates.h"
#include "cow-store/store/workplace.h"

namespace cowtgt::store {

namespace {

constexpr std::uint64_t reserve = std::uint64_t{16} << 20;         ///< bytes left to others
constexpr std::uint64_t check_interval = std::uint64_t{32} << 20;  ///< bytes between two looks
constexpr int publish_attempts_max = 100;

/// Notices that an image does not fit while there is still room for everybody else.
class SpaceGuard {
public:
    SpaceGuard(const Context& context, std::string image)
        : context_(context), image_(std::move(image)) {}

    Result<void> check() const {
        const Result<std::uint64_t> free = context_.free_bytes();
        if (!free) return free.error();
        if (*free < reserve + check_interval) return does_not_fit();
        return {};
    }

    Result<void> spend(std::uint64_t bytes) {
        spent_ += bytes;
        if (spent_ < check_interval) return {};
        spent_ = 0;
        return check();
    }

    Error does_not_fit() const {
        return Error{ErrorCode::no_space,
                     image_ + " does not fit into the store " + context_.layout.root.string() +
                         ": its data needs more than the space that is free there; free some, or "
                         "make the file system larger",
                     ENOSPC};
    }

private:
    const Context& context_;
    std::string image_;
    std::uint64_t spent_ = 0;  ///< bytes since the last look
};

/// What was learned while an image was brought in.
struct Content {
    std::uint64_t size = 0;  ///< bytes
    std::uint64_t id = 0;
    ReferenceSearch search;
};

/// The files of a template in the making.
struct Making {
    std::filesystem::path image, chunks, document;

    explicit Making(const std::filesystem::path& folder)
        : image(folder / Layout::image_file),
          chunks(folder / Layout::chunks_file),
          document(folder / Layout::template_file) {}
};

Result<Content> finish(ContentHasher& hasher, File& table, std::uint64_t size,
                       ReferenceSearch search) {
    const Result<std::uint64_t> id = hasher.finish(size);
    if (!id) return id.error();
    if (Result<void> synced = table.sync_data(); !synced) return synced.error();
    return Content{size, *id, std::move(search)};
}

/// Reads a stream in whole chunks until its end; its size.
Result<std::uint64_t> read_stream(PeekStream& stream, const Progress& progress,
                                  const ChunkSink& sink) {
    std::vector<std::byte> chunk(chunk_size);
    for (std::uint64_t size = 0;;) {
        std::size_t filled = 0;
        while (filled < chunk.size()) {
            const auto count = stream.read(MutableBytes(chunk).subspan(filled));
            if (!count) return count.error();
            if (*count == 0) break;
            filled += *count;
        }
        const Bytes piece = Bytes{chunk}.first(filled);
        if (filled > 0 && !is_all_zeros(piece)) {
            if (Result<void> taken = sink(size, piece); !taken) return taken.error();
        }
        size += filled;
        if (progress) progress(stream.position(), stream.size());
        if (size > disk_size_max || filled < chunk.size()) return size;
    }
}

/// A raw image or a stream: read once, hashed on its way into the store.
Result<Content> copy_raw(const Context& context, const ImageInput& input, const Making& making,
                         const Progress& progress) {
    const Result<std::unique_ptr<File>> image = context.files.create_file(making.image);
    if (!image) return image.error();
    const Result<std::unique_ptr<File>> table = context.files.create_file(making.chunks);
    if (!table) return table.error();
    Result<ReferenceSearch> search =
        input.stream ? ReferenceSearch()
                     : ReferenceSearch::begin(input.file.get(), input.size, input.name);
    if (!search) return std::move(search).error();
    SpaceGuard guard(context, input.name);
    ContentHasher hasher(table->get());
    const ChunkSink write = [&](std::uint64_t offset, Bytes run) -> Result<void> {
        if (Result<void> fits = guard.spend(run.size()); !fits) return fits;
        Result<void> written = (*image)->write_at(offset, run);
        if (!written && written.error().code == ErrorCode::no_space) return guard.does_not_fit();
        return written;
    };
    const ChunkSink take = [&](std::uint64_t offset, Bytes chunk) -> Result<void> {
        if (Result<void> hashed = hasher.add(offset, chunk); !hashed) return hashed;
        search->feed(offset, chunk);
        return without_zero_runs(offset, chunk, write);
    };
    if (Result<void> fits = guard.check(); !fits) return fits.error();
    std::uint64_t size = input.size;
    if (input.stream) {
        const Result<std::uint64_t> length = read_stream(*input.stream, progress, take);
        if (!length) return length.error();
        size = *length;
        if (Result<void> legal = check_disk_size(size, input.name); !legal) return legal.error();
    } else {
        Result<void> read = read_chunks(input.file.get(), size, input.name, progress, take);
        if (!read) return read.error();
    }
    if (Result<void> sized = context.files.set_size(making.image, size); !sized) {
        return sized.error();
    }
    return finish(hasher, **table, size, *std::move(search));
}

/// Any other format: qemu-img writes it, sparse; then it is hashed.
Result<Content> convert(const Context& context, const ImageInput& input, const Making& making,
                        const Progress& progress) {
    const SpaceGuard guard(context, input.name);
    Result<void> converted =
        convert_image(input, making.image, progress, [&guard] { return guard.check(); });
    if (!converted) return std::move(converted).error();
    const Result<Descriptor> image = open_descriptor(making.image, O_RDONLY);
    if (!image) return image.error();
    const Result<Fingerprint> found = fingerprint_of(image->get(), making.image);
    if (!found) return found.error();
    if (Result<void> legal = check_disk_size(found->size, input.name); !legal) {
        return legal.error();
    }
    const Result<std::unique_ptr<File>> table = context.files.create_file(making.chunks);
    if (!table) return table.error();
    Result<ReferenceSearch> search =
        ReferenceSearch::begin(image->get(), found->size, making.image.string());
    if (!search) return std::move(search).error();
    ContentHasher hasher(table->get());
    Result<void> read = read_chunks(image->get(), found->size, making.image.string(), {},
                                    [&](std::uint64_t offset, Bytes chunk) {
                                        search->feed(offset, chunk);
                                        return hasher.add(offset, chunk);
                                    });
    if (!read) return read.error();
    return finish(hasher, **table, found->size, *std::move(search));
}

/// A format that is not read in order has to be there as a whole first: what came as a stream is
/// written down in the store for as long as it takes.
Result<Content> convert_stream(const Context& context, const ImageInput& input,
                               const Making& making, const Progress& progress) {
    const std::filesystem::path spool = making.image.parent_path() / "download";
    {
        const Result<std::unique_ptr<File>> file = context.files.create_file(spool);
        if (!file) return file.error();
        SpaceGuard guard(context, input.name);
        const auto written = read_stream(
            *input.stream, progress, [&](std::uint64_t offset, Bytes run) -> Result<void> {
                if (Result<void> fits = guard.spend(run.size()); !fits) return fits;
                Result<void> done = (*file)->write_at(offset, run);
                const bool is_full = !done && done.error().code == ErrorCode::no_space;
                return is_full ? guard.does_not_fit() : std::move(done);
            });
        if (!written) return written.error();
        if (Result<void> sized = context.files.set_size(spool, *written); !sized) {
            return std::move(sized).error();
        }
    }
    ImageInput local;
    local.path = spool;
    local.name = input.name;
    local.format = input.format;
    Result<Content> content = convert(context, local, making, progress);
    if (Result<void> gone = context.files.remove_file(spool); !gone) return gone.error();
    return content;
}

/// Brings the content in, and refuses an image that changed meanwhile: it would be two images.
Result<Content> bring_in(const Context& context, const ImageInput& input, const Making& making,
                         const Progress& progress) {
    if (input.stream) {
        return input.format == "raw" ? copy_raw(context, input, making, progress)
                                     : convert_stream(context, input, making, progress);
    }
    const Result<Fingerprint> before = fingerprint_of(input.file.get(), input.path);
    if (!before) return before.error();
    Result<Content> content = input.format == "raw" ? copy_raw(context, input, making, progress)
                                                    : convert(context, input, making, progress);
    if (!content) return content;
    const Result<Fingerprint> after = fingerprint_of(input.file.get(), input.path);
    if (!after) return after.error();
    // The node of a block device has no size, and its time says nothing about the content.
    if (before->size != 0 && *before != *after) {
        return Error{ErrorCode::failed, input.name +
                                            " was written to while it was being imported; "
                                            "stop whatever uses it and import it again"};
    }
    return content;
}

/// Seals the image and writes its document.
Result<TemplateDocument> describe_image(const Context& context, const ImageInput& input,
                                        const Making& making, Content& content,
                                        const std::string& note) {
    if (Result<void> sealed = context.files.seal(making.image); !sealed) return sealed.error();
    const Result<Descriptor> image = open_descriptor(making.image, O_RDONLY);
    if (!image) return image.error();
    const Result<Fingerprint> fingerprint = fingerprint_of(image->get(), making.image);
    if (!fingerprint) return fingerprint.error();
    Result<identity::Recipe> recipe =
        identity::examine(ImageSource(image->get(), content.size, input.name));
    if (!recipe) return std::move(recipe).error();
    if (content.size % recipe->block_size != 0) {
        return Error{ErrorCode::failed, input.name +
                                            " cannot be imported: it is partitioned in blocks of " +
                                            std::to_string(recipe->block_size) +
                                            " bytes, but its size is not a multiple of that"};
    }

    Result<void> searched = content.search.finish(*recipe, image->get(), input.name);
    if (!searched) return std::move(searched).error();

    TemplateDocument document;
    document.uuid = draw_uuid();
    document.content_id = content.id;
    document.image_uuid = document.uuid;
    document.image_bytes = content.size;
    document.size_bytes = content.size;
    document.imported_at = time_now();
    document.source = input.path.string();
    document.note = note;
    document.fingerprint = *fingerprint;
    document.recipe = std::move(*recipe);
    Result<void> written = context.files.write_new_file(making.document, encode(document));
    if (!written) return std::move(written).error();
    return document;
}

Result<void> look_for_boot(const Context& context, const std::filesystem::path& folder,
                           const Making& making, const Content& content,
                           const FillBootFolder& fill) {
    const Result<Descriptor> image = open_descriptor(making.image, O_RDONLY);
    if (!image) return image.error();
    return make_boot_folder(context, folder,
                            ImageSource(image->get(), content.size, making.image.string()), fill);
}

bool is_taken(const Error& error) {
    return error.os_errno == EEXIST || error.os_errno == ENOTEMPTY;
}

/// Another template with the same content, as people write it.
std::string find_twin(const Context& context, const TemplateRecord& record) {
    const Result<std::vector<std::string>> names = template_names(context);
    if (!names) return "";
    for (const std::string& name : *names) {
        const Result<std::vector<std::uint32_t>> versions = versions_of(context, name);
        if (!versions) continue;
        for (const std::uint32_t version : *versions) {
            if (name == record.name && version == record.version) continue;
            const Result<TemplateRecord> other = load_template(context, name, version);
            if (other && other->document.layers.empty() &&
                other->document.content_id == record.document.content_id &&
                other->document.size_bytes == record.document.size_bytes) {
                return template_text(name, version);
            }
        }
    }
    return "";
}

}  // namespace

Result<std::uint32_t> publish_version(const Context& context, Workplace& workplace,
                                      const std::string& name) {
    for (int attempt = 0; attempt < publish_attempts_max; ++attempt) {
        Result<void> made = context.files.make_directory(context.layout.versions_of(name));
        if (!made && !is_taken(made.error())) return std::move(made).error();
        if (made) made = context.files.sync_directory(context.layout.templates());
        const Result<std::vector<std::uint32_t>> versions = versions_of(context, name);
        if (!versions) return versions.error();
        const std::uint32_t version = versions->empty() ? 1 : versions->back() + 1;
        Result<void> published = workplace.publish(context.layout.version(name, version));
        if (published) return version;
        // ENOENT: somebody has removed the name's empty folder in between.
        if (!is_taken(published.error()) && published.error().os_errno != ENOENT) {
            return std::move(published).error();
        }
    }
    return Error{ErrorCode::failed, "too many imports of " + name + " at once; import it again"};
}

Result<ImportResult> import_template(const Context& context, const ImportOptions& options) {
    if (Result<void> legal = check_name(options.name); !legal) return legal.error();
    if (Result<void> legal = check_note(options.note); !legal) return legal.error();
    const Result<ImageInput> input = open_image(options);
    if (!input) return input.error();
    Result<Workplace> workplace = Workplace::make(context, Work::import_template, options.name);
    if (!workplace) return std::move(workplace).error();
    const Making making(workplace->path());
    Result<Content> content = bring_in(context, *input, making, options.progress);
    if (!content) return std::move(content).error();
    Result<TemplateDocument> document =
        describe_image(context, *input, making, *content, options.note);
    if (!document) return std::move(document).error();
    if (options.fill_boot_folder) {
        Result<void> filled =
            look_for_boot(context, workplace->path(), making, *content, options.fill_boot_folder);
        if (!filled) return std::move(filled).error();
    }
    const Result<std::uint32_t> version = publish_version(context, *workplace, options.name);
    if (!version) return version.error();

    const TemplateRecord record{options.name, *version, std::move(*document)};
    return ImportResult{describe(context, record, Usage{}), find_twin(context, record)};
}

}  // namespace cowtgt::store
