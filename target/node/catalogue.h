#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "target/address_range.h"
#include "target/iscsi/connection.h"

namespace cowtgt::node {

/// One target as a login sees it.
struct CatalogueEntry {
    std::string target_name;                              ///< P:web01
    std::string mac_alias;                                ///< P:mac-52-54-00-12-34-01, or empty
    std::string instance;                                 ///< web01
    std::string admitted_initiator;                       ///< P:init:web01; empty: any
    std::vector<AddressRange> admitted_addresses = {};    ///< empty: any
    std::optional<iscsi::LoginDecision::Chap> chap = {};  ///< absent: no authentication
    bool ephemeral = false;  ///< each login may be the one at which it goes back to its template
};

/// Who asks: its name is its word, its address is where its answers go.
struct Initiator {
    std::string_view name;
    IpAddress address{};
};

/// Why an initiator may not log in.
enum class Refusal : std::uint8_t { none, name, address };

/// Which targets there are and who may log in to them. Every ring has one and is told what changes
/// in it; the entries are shared by all of them.
/// Threads: the ring's.
class Catalogue {
public:
    using SharedEntry = std::shared_ptr<const CatalogueEntry>;

    Catalogue() = default;
    explicit Catalogue(std::vector<CatalogueEntry> entries);

    /// Adds the entry, or replaces the one of that instance.
    void put(SharedEntry entry);
    /// Nothing to do when there is none.
    void remove(const std::string& instance);
    /// What discovery sessions have to prove; absent: nothing.
    void set_discovery_chap(std::optional<iscsi::LoginDecision::Chap> chap) {
        discovery_chap_ = std::move(chap);
    }

    struct Found {
        const CatalogueEntry* entry = nullptr;
        bool by_alias = false;
    };
    /// By target name or alias. iSCSI names compare without case (RFC 7143 section 4.2.7.2 folds
    /// them to lower case).
    Found find(std::string_view target_name) const;
    /// Null: there is none.
    const CatalogueEntry* of_instance(const std::string& instance) const;
    /// Whether this initiator may log in, by its name and its address. Firmware that only knows a
    /// MAC has no name of ours yet, so through the alias iPXE's own names are admitted too.
    /// Requires: found.entry.
    static Refusal refusal(const Found& found, const Initiator& initiator);
    /// Whether SendTargets may name this target: to who may log in, and whatever its name to the
    /// address that has a session, since a booted system often discovers by another name than the
    /// one that its firmware or initramfs logged in with. The ranges of addresses hold always.
    /// Requires: found.entry.
    bool shows(const Found& found, const Initiator& initiator) const;
    /// What SendTargets may tell this initiator.
    std::vector<const CatalogueEntry*> visible_to(const Initiator& initiator) const;
    /// A normal session of this instance, on whichever ring, has begun or is no more.
    void session_began(const std::string& instance, const IpAddress& address);
    void session_ended(const std::string& instance, const IpAddress& address);
    const std::optional<iscsi::LoginDecision::Chap>& discovery_chap() const {
        return discovery_chap_;
    }

private:
    std::map<std::string, SharedEntry, std::less<>> entries_;  ///< by instance
    std::optional<iscsi::LoginDecision::Chap> discovery_chap_;
    std::unordered_map<std::string, Found> by_name_;
    /// How many there are of one instance from one address.
    std::map<std::pair<IpAddress, std::string>, std::size_t> sessions_;
};

}  // namespace cowtgt::node
