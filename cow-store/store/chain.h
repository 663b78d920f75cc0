#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cow-store/base/result.h"
#include "cow-store/identity/identity.h"
#include "cow-store/store/catalogue.h"
#include "cow-store/store/content.h"
#include "cow-store/store/documents.h"
#include "cow-store/store/layout.h"
#include "cow-store/store/sealed_file.h"
#include "cow-store/volume/chain_view.h"
#include "cow-store/volume/layer_file.h"

/// What lies below a live layer: sealed layers of its instance, those of its template, the image.
namespace cowtgt::store {

/// Layers of one disk, the live one included.
inline constexpr std::size_t chain_depth_max = 256;

/// A sealed layer, open for reading through the page cache that all its users share.
struct OpenedLayer {
    Uuid uuid;
    std::shared_ptr<const ClusterMap> map;
    OpenedFile file;
    std::uint64_t overlap_limit = 0;  ///< bytes of what lies below that show through
};

struct OpenedChain {
    std::vector<OpenedLayer> layers;  ///< from the top down
    /// Of their maps, which are null then, for who reads much of it; null: merge_maps() was not
    /// called, or had to leave them alone.
    std::shared_ptr<const MergedMap> merged;
    OpenedFile base;              ///< the image
    std::uint64_t base_size = 0;  ///< bytes
};

/// What a new layer on `layer` of an instance, or on its template if that is nil, has as parent.
Result<Parent> parent_for(const TemplateDocument& record, const InstanceDocument& document,
                          const Uuid& layer);
/// The same on a template alone.
Parent parent_for(const TemplateDocument& record);

/// The sealed layers of an instance from `top` down. corrupt when the document does not add up.
Result<std::vector<LayerEntry>> layers_from(std::string_view name, const InstanceDocument& document,
                                            const Uuid& top);

/// How many layers the disk would have with a live layer on `layer`.
Result<std::size_t> depth_on(std::string_view name, const TemplateDocument& record,
                             const InstanceDocument& document, const Uuid& layer);

/// Opens the sealed layers of an instance from `top` down, and all of its template. Refused when a
/// file is not the one that was sealed; corrupt when its map does not match its checksums.
Result<OpenedChain> open_chain(const Context& context, std::string_view name,
                               const InstanceDocument& document, const TemplateRecord& record,
                               const Uuid& top);
/// The layers and the image of a template.
Result<OpenedChain> open_chain(const Context& context, const TemplateRecord& record);

/// Puts the maps of two and more layers into one, so that a long chain reads as fast as a short
/// one.
void merge_maps(OpenedChain& chain);

/// A disk as it reads through a chain, by code that may wait.
class ChainReader final : public identity::BlockSource {
public:
    /// `chain` outlives the reader.
    ChainReader(const OpenedChain& chain, std::uint64_t size, std::string name);

    /// Another layer on top, open as `file`; both outlive the reader.
    void put_on_top(const ClusterMap& map, int file, std::uint64_t overlap_limit);

    Result<void> read(std::uint64_t offset, MutableBytes into) const override;
    /// Hands out what lies in layers, in order: all that is not as in the image.
    Result<void> read_layers(const ChunkSink& sink) const;
    std::uint64_t size() const override { return size_; }

private:
    ChainView view_;
    std::vector<ReadableFile> files_;
    ReadableFile base_;
    std::uint64_t size_;  ///< bytes
    std::string name_;    ///< for messages
};

}  // namespace cowtgt::store
