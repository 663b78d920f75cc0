#pragma once

#include <string>

#include "cow-store/base/bytes.h"
#include "cow-store/base/uuid.h"

/// Text and UUIDs as they lie on disk, made fit for people and JSON.
namespace cowtgt::identity {

/// Up to the first NUL. What is not printable UTF-8 becomes '?', byte by byte.
std::string text_from_disk(Bytes field);

/// UTF-16LE up to the first NUL unit, as UTF-8. What is not printable becomes '?'.
std::string text_from_utf16(Bytes field);

/// Requires: 16 bytes.
Uuid uuid_from_disk(Bytes field);

}  // namespace cowtgt::identity
