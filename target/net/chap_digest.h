#pragma once

#include "target/iscsi/chap.h"

namespace cowtgt::net {

/// The hashes of CHAP by OpenSSL. One object without state serves all; any thread.
const iscsi::ChapDigest& openssl_chap_digest();

}  // namespace cowtgt::net
