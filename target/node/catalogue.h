#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "target/iscsi/connection.h"

namespace cowtgt::node {

/// One target as a login sees it.
struct CatalogueEntry {
    std::string target_name;         ///< P:web01
    std::string mac_alias;           ///< P:mac-52-54-00-12-34-01, or empty
    std::string instance;            ///< web01
    std::string admitted_initiator;  ///< P:init:web01; empty: any
};

/// Which targets there are and who may log in to them: an immutable value that every ring holds
/// while it is the newest.
class Catalogue {
public:
    explicit Catalogue(std::vector<CatalogueEntry> entries);

    struct Found {
        const CatalogueEntry* entry = nullptr;
        bool by_alias = false;
    };
    /// By target name or alias. iSCSI names compare without case (RFC 7143 section 4.2.7.2 folds
    /// them to lower case).
    Found find(std::string_view target_name) const;
    /// Whether this initiator may log in. Firmware that only knows a MAC has no name of ours yet,
    /// so through the alias iPXE's own names are admitted too.
    static bool admits(const Found& found, std::string_view initiator_name);
    /// What SendTargets may tell this initiator.
    std::vector<const CatalogueEntry*> visible_to(std::string_view initiator_name) const;

private:
    std::vector<CatalogueEntry> entries_;
    std::unordered_map<std::string, Found> by_name_;
};

}  // namespace cowtgt::node
