#pragma once

#include <memory>

#include "cow-store/base/result.h"
#include "cow-store/identity/identity.h"
#include "cow-store/store/layout.h"
#include "cow-store/store/store.h"

/// The folder of a template version that holds what its machines boot with. The store keeps it
/// with the version; what is in it is the business of whoever fills it.
namespace cowtgt::store {

/// Makes `boot` in a folder that becomes a version, and has it filled.
Result<void> make_boot_folder(const Context& context, const std::filesystem::path& version,
                              const identity::BlockSource& disk, const FillBootFolder& fill);

/// Store::add_boot_folder, open_template.
Result<void> add_boot_folder(const Context& context, const TemplateRef& ref,
                             const FillBootFolder& fill);
Result<std::unique_ptr<identity::BlockSource>> open_template(const Context& context,
                                                             const TemplateRef& ref);

}  // namespace cowtgt::store
