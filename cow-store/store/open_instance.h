#pragma once

#include <cstdint>

#include "cow-store/descriptor.h"
#include "cow-store/file.h"
#include "cow-store/store/chain.h"
#include "cow-store/store/store.h"
#include "cow-store/volume/layer_file.h"

namespace cowtgt::store {

/// An instance as the data path takes it over: its layer recovered, its files open and locked.
///
/// Ownership: movable; the descriptors go to the ring's files (Descriptor::release). The layer
/// stays locked until the last of `live_direct` and `live_buffered`, and every request in the
/// kernel that uses them, is gone; nobody else opens, resets, renames or removes it before.
struct OpenedInstance {
    InstanceInfo info;
    RecoveredLayer layer;
    /// Data of the live layer, read and write: O_DIRECT if `direct_io`.
    Descriptor live_direct;
    /// The same file through the page cache: appends to the journal, reads that must not wait.
    Descriptor live_buffered;
    bool direct_io = false;
    DirectIoAlignment alignment;  ///< of live_direct; 1 and 1 without direct I/O
    /// What lies below, read only, through the page cache that all its instances share.
    OpenedChain below;
};

}  // namespace cowtgt::store
