#include "cow-store/store/chain.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "cow-store/file_posix.h"

namespace cowtgt::store {

namespace {

Error damaged_chain(std::string_view name) {
    return Error{ErrorCode::corrupt, "the layers of instance " + std::string(name) +
                                         " do not form a chain; restore its folder from a backup"};
}

Result<OpenedLayer> open_sealed(const Context& context, const LayerEntry& entry,
                                const std::filesystem::path& folder, const Uuid& parent) {
    const std::filesystem::path path = folder / entry.file;
    Result<OpenedFile> opened = open_sealed_file(context, sealed_file(context, entry, folder));
    if (!opened) return std::move(opened).error();
    PosixFile file(std::move(opened->file), path.string());
    OpenContext opening;
    opening.boot_id = context.boot_id;
    opening.expected_uuid = entry.uuid;
    Result<RecoveredLayer> layer = open_layer(file, opening);
    if (!layer) {
        Error error = std::move(layer).error();
        error.message = path.string() + ": " + error.message;
        return error;
    }
    const LayerSummary& summary = layer->summary();
    if (summary.phase != LayerPhase::sealed || summary.parent.uuid != parent) {
        return Error{ErrorCode::refused, "the layer " + path.string() +
                                             " is not the one that belongs there; restore it from "
                                             "a backup"};
    }
    return OpenedLayer{entry.uuid, std::make_shared<const ClusterMap>(std::move(*layer).take_map()),
                       OpenedFile{file.release(), std::move(opened->sums), opened->name},
                       summary.parent.overlap_limit};
}

/// Opens `entries`, which lie in `folder` and stand on `bottom`, below what `chain` has.
Result<void> append_layers(const Context& context, const std::vector<LayerEntry>& entries,
                           const std::filesystem::path& folder, const Uuid& bottom,
                           OpenedChain& chain) {
    for (std::size_t i = 0; i < entries.size(); ++i) {
        const Uuid& parent = i + 1 < entries.size() ? entries[i + 1].uuid : bottom;
        Result<OpenedLayer> layer = open_sealed(context, entries[i], folder, parent);
        if (!layer) return std::move(layer).error();
        chain.layers.push_back(std::move(*layer));
    }
    return {};
}

Result<void> append_template(const Context& context, const TemplateRecord& record,
                             OpenedChain& chain) {
    Result<void> appended = append_layers(context, record.document.layers,
                                          context.layout.version(record.name, record.version),
                                          record.document.image_uuid, chain);
    if (!appended || record.name.empty()) return appended;
    Result<OpenedFile> image = open_sealed_file(context, sealed_file(context, record));
    if (!image) return std::move(image).error();
    chain.base = std::move(*image);
    chain.base_size = record.document.image_bytes;
    return {};
}

}  // namespace

Parent parent_for(const TemplateDocument& record) {
    if (record.layers.empty()) {
        return Parent{record.image_uuid, record.content_id, record.image_bytes};
    }
    const LayerEntry& top = record.layers.front();
    return Parent{top.uuid, top.content_id, top.size_bytes};
}

Result<Parent> parent_for(const TemplateDocument& record, const InstanceDocument& document,
                          const Uuid& layer) {
    if (layer.is_nil()) return parent_for(record);
    const LayerEntry* entry = find_layer(document, layer);
    if (entry == nullptr) return damaged_chain("");
    return Parent{entry->uuid, entry->content_id, entry->size_bytes};
}

Result<std::vector<LayerEntry>> layers_from(std::string_view name, const InstanceDocument& document,
                                            const Uuid& top) {
    std::vector<LayerEntry> layers;
    for (Uuid at = top; !at.is_nil(); at = layers.back().parent) {
        const LayerEntry* entry = find_layer(document, at);
        if (entry == nullptr || layers.size() > document.sealed.size()) return damaged_chain(name);
        layers.push_back(*entry);
    }
    return layers;
}

Result<std::size_t> depth_on(std::string_view name, const TemplateDocument& record,
                             const InstanceDocument& document, const Uuid& layer) {
    const Result<std::vector<LayerEntry>> layers = layers_from(name, document, layer);
    if (!layers) return layers.error();
    return layers->size() + record.layers.size() + 1;
}

Result<OpenedChain> open_chain(const Context& context, std::string_view name,
                               const InstanceDocument& document, const TemplateRecord& record,
                               const Uuid& top) {
    const Result<std::vector<LayerEntry>> layers = layers_from(name, document, top);
    if (!layers) return layers.error();
    if (layers->size() + record.document.layers.size() >= chain_depth_max) {
        return Error{ErrorCode::refused, "instance " + std::string(name) + " has more than the " +
                                             std::to_string(chain_depth_max) +
                                             " layers that a disk may have"};
    }
    OpenedChain chain;
    Result<void> appended = append_layers(context, *layers, context.layout.instance(name),
                                          parent_for(record.document).uuid, chain);
    if (appended) appended = append_template(context, record, chain);
    if (!appended) return std::move(appended).error();
    return chain;
}

Result<OpenedChain> open_chain(const Context& context, const TemplateRecord& record) {
    OpenedChain chain;
    Result<void> appended = append_template(context, record, chain);
    if (!appended) return std::move(appended).error();
    return chain;
}

void merge_maps(OpenedChain& chain) {
    if (chain.layers.size() < 2) return;
    std::vector<MergedMap::Level> levels;
    for (const OpenedLayer& layer : chain.layers) {
        levels.push_back({layer.map.get(), layer.overlap_limit});
    }
    std::optional<MergedMap> merged = MergedMap::merge(levels);
    if (!merged) return;
    chain.merged = std::make_shared<const MergedMap>(std::move(*merged));
    for (OpenedLayer& layer : chain.layers) {
        layer.map.reset();
    }
}

ChainReader::ChainReader(const OpenedChain& chain, std::uint64_t size, std::string name)
    : base_(readable(chain.base)), size_(size), name_(std::move(name)) {
    for (const OpenedLayer& layer : chain.layers) {
        view_.levels.push_back({layer.map.get(), layer.overlap_limit});
        files_.push_back(readable(layer.file));
    }
    view_.base_size = chain.base_size;
}

void ChainReader::put_on_top(const ClusterMap& map, int file, std::uint64_t overlap_limit) {
    view_.levels.insert(view_.levels.begin(), {&map, overlap_limit});
    files_.insert(files_.begin(), ReadableFile{file, nullptr, name_});
}

Result<void> ChainReader::read_layers(const ChunkSink& sink) const {
    std::vector<std::byte> buffer(chunk_size);
    for (std::uint64_t at = 0; at < size_;) {
        const ChainPiece piece = view_.find(at, size_ - at);
        for (std::uint64_t done = 0; piece.source == ChainSource::layer && done < piece.length;) {
            const MutableBytes part = MutableBytes(buffer).first(static_cast<std::size_t>(
                std::min<std::uint64_t>(buffer.size(), piece.length - done)));
            if (Result<void> got = read(at + done, part); !got) return got;
            if (Result<void> taken = sink(at + done, part); !taken) return taken;
            done += part.size();
        }
        at += piece.length;
    }
    return {};
}

Result<void> ChainReader::read(std::uint64_t offset, MutableBytes into) const {
    while (!into.empty()) {
        const ChainPiece piece = view_.find(offset, into.size());
        const MutableBytes part = into.first(piece.length);
        if (piece.source == ChainSource::zeros) {
            std::memset(part.data(), 0, part.size());
        } else {
            const ReadableFile& file =
                piece.source == ChainSource::base ? base_ : files_[piece.level];
            if (Result<void> read = read_verified(file, piece.offset, part); !read) {
                return read;
            }
        }
        into = into.subspan(piece.length);
        offset += piece.length;
    }
    return {};
}

}  // namespace cowtgt::store
