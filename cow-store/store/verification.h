#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cow-store/base/result.h"
#include "cow-store/store/content.h"
#include "cow-store/store/layout.h"
#include "cow-store/store/sealed_file.h"

/// Hashing sealed layers after they were sealed, and looking at files that are in doubt: what the
/// daemon does in the background, a file at a time.
namespace cowtgt::store {

/// An object that stands on a sealed file, and keeps in its document what is known of it.
struct Owner {
    std::string name;           ///< of an instance, or of a template
    std::uint32_t version = 0;  ///< of a template; 0: an instance

    friend bool operator==(const Owner&, const Owner&) = default;
};
/// "instance web01", "template debian12@1"
std::string owner_text(const Owner& owner);

/// A sealed file and everybody who stands on it.
struct SealedUse {
    SealedFile file;  ///< with all that any of them knows
    std::vector<Owner> owners;
    std::vector<Fingerprint> fingerprints;  ///< what each owner knows
    bool all_know = true;                   ///< its content id
};
/// Every sealed file of the store once; copies of one layer that are no hard links of each other
/// each for itself. Objects whose documents cannot be read are left out.
Result<std::vector<SealedUse>> sealed_files(const Context& context);

/// Work that is to be done: a layer that was not hashed yet, or a file with another time or inode
/// than when it was last known to be right.
struct Verification {
    SealedFile file;  ///< after verify(): as it is known now
    std::vector<Owner> owners;
    bool is_in_doubt = false;
};
Result<std::vector<Verification>> pending_verifications(const Context& context);

/// Reads all of the file; hashes it, or compares it with its hashes. Killed half way, it begins
/// again the next time. corrupt: naming the first chunk that is another.
/// Threads: any, beside whatever is done with the store, but one for each file.
Result<void> verify(const Context& context, Verification& work, const Pace& pace);

/// Writes what verify() found out into the document of one owner, for the next openings. Those who
/// read the file now need not verify it any more.
Result<void> settle(const Context& context, const Verification& work, const Owner& owner);

/// Removes the hashes of layers that nobody stands on any more.
Result<void> remove_unused_sums(const Context& context);

}  // namespace cowtgt::store
