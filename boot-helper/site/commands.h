#pragma once

#include <string_view>

#include "boot-helper/site/site.h"
#include "target/control/operations.h"

namespace cowtgt::boot {

/// What the boot-helper adds to the commands (target/control/operations.h):
///   "unknown"       [{mac, uuid, arch, address, first_seen, last_seen, count}]
///   "export text"   kind, name, address -> {kind, text}
///   "template set"  template, settings {NAME: VALUE} -> the template
/// and to what is said of an instance `boot` {stage, since (null), stuck, text, refused (null)}, of
/// a template `boot` (boot_record.h; null: not looked at yet), of the site `problems` [sentence].
/// Ownership: `site` and `store` outlive what is returned.
control::Extensions boot_extensions(Site& site, const control::Operations& operations,
                                    const store::Store& store);

/// Findings of an image as it is now, by this version's checks; also verifies that kernel and
/// initrd are what they were. {ref, boot, findings, fine [code]}
Result<nlohmann::json> check_template(const store::Store& store, const store::TemplateInfo& info,
                                      const BootRecord& record);

}  // namespace cowtgt::boot
