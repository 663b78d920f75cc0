#include "cow-store/references/files.h"

namespace cowtgt::references {

bool is_boot_archive(std::string_view file_name) {
    return file_name.starts_with("initrd") || file_name.starts_with("initramfs");
}

}  // namespace cowtgt::references
