#include "cow-store/store/boot_folder.h"

#include <cerrno>
#include <utility>

#include "cow-store/store/catalogue.h"
#include "cow-store/store/chain.h"
#include "cow-store/store/workplace.h"

namespace cowtgt::store {

namespace {

/// The disk of a template, with the files that it is made of.
class TemplateDisk final : public identity::BlockSource {
public:
    TemplateDisk(OpenedChain chain, std::uint64_t size, std::string name)
        : chain_(std::move(chain)), reader_(chain_, size, std::move(name)) {}

    Result<void> read(std::uint64_t offset, MutableBytes into) const override {
        return reader_.read(offset, into);
    }
    std::uint64_t size() const override { return reader_.size(); }

private:
    OpenedChain chain_;
    ChainReader reader_;
};

Result<std::unique_ptr<identity::BlockSource>> open_disk(const Context& context,
                                                         const TemplateRecord& record) {
    Result<OpenedChain> chain = open_chain(context, record);
    if (!chain) return std::move(chain).error();
    return std::unique_ptr<identity::BlockSource>(
        std::make_unique<TemplateDisk>(std::move(*chain), record.document.size_bytes,
                                       "template " + template_text(record.name, record.version)));
}

Result<TemplateRecord> find_record(const Context& context, const TemplateRef& ref) {
    const Result<std::uint32_t> version = resolve(context, ref);
    if (!version) return version.error();
    return load_template(context, ref.name, *version);
}

}  // namespace

Result<void> make_boot_folder(const Context& context, const std::filesystem::path& version,
                              const identity::BlockSource& disk, const FillBootFolder& fill) {
    const std::filesystem::path folder = version / Layout::boot_folder;
    if (Result<void> made = context.files.make_directory(folder); !made) return made;
    if (Result<void> filled = fill(disk, folder); !filled) return filled;
    return context.files.sync_directory(folder);
}

Result<void> add_boot_folder(const Context& context, const TemplateRef& ref,
                             const FillBootFolder& fill) {
    const Result<TemplateRecord> record = find_record(context, ref);
    if (!record) return record.error();
    const Result<std::unique_ptr<identity::BlockSource>> disk = open_disk(context, *record);
    if (!disk) return disk.error();
    Result<Workplace> workplace = Workplace::make(context, Work::boot_folder, record->name);
    if (!workplace) return std::move(workplace).error();
    if (Result<void> filled = fill(**disk, workplace->path()); !filled) return filled;
    Result<void> published =
        workplace->publish(context.layout.boot_folder_of(record->name, record->version));
    const int failure = published ? 0 : published.error().os_errno;
    if (failure == EEXIST || failure == ENOTEMPTY) {
        return Error{ErrorCode::exists, "what " + template_text(record->name, record->version) +
                                            " boots with is there already"};
    }
    return published;
}

Result<std::unique_ptr<identity::BlockSource>> open_template(const Context& context,
                                                             const TemplateRef& ref) {
    const Result<TemplateRecord> record = find_record(context, ref);
    if (!record) return record.error();
    return open_disk(context, *record);
}

}  // namespace cowtgt::store
