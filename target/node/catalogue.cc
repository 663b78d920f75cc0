#include "target/node/catalogue.h"

#include <algorithm>

namespace cowtgt::node {

namespace {

constexpr std::string_view ipxe_name_prefix = "iqn.2010-04.org.ipxe:";

std::string lower_case(std::string_view text) {
    std::string lower(text);
    std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    return lower;
}

}  // namespace

Catalogue::Catalogue(std::vector<CatalogueEntry> entries,
                     std::optional<iscsi::LoginDecision::Chap> discovery_chap)
    : entries_(std::move(entries)), discovery_chap_(std::move(discovery_chap)) {
    by_name_.reserve(entries_.size() * 2);
    for (const CatalogueEntry& entry : entries_) {
        by_name_.emplace(lower_case(entry.target_name), Found{&entry, false});
        if (!entry.mac_alias.empty()) {
            by_name_.emplace(lower_case(entry.mac_alias), Found{&entry, true});
        }
    }
}

Catalogue::Found Catalogue::find(std::string_view target_name) const {
    const auto found = by_name_.find(lower_case(target_name));
    return found == by_name_.end() ? Found{} : found->second;
}

Refusal Catalogue::refusal(const Found& found, const Initiator& initiator) {
    const CatalogueEntry& entry = *found.entry;
    const auto& ranges = entry.admitted_addresses;
    const bool is_from_there =
        ranges.empty() || std::any_of(ranges.begin(), ranges.end(), [&](const AddressRange& range) {
            return range.contains(initiator.address);
        });
    if (!is_from_there) return Refusal::address;
    if (entry.admitted_initiator.empty()) return Refusal::none;
    const std::string name = lower_case(initiator.name);
    if (name == lower_case(entry.admitted_initiator)) return Refusal::none;
    return found.by_alias && name.starts_with(ipxe_name_prefix) ? Refusal::none : Refusal::name;
}

std::vector<const CatalogueEntry*> Catalogue::visible_to(const Initiator& initiator) const {
    std::vector<const CatalogueEntry*> visible;
    for (const CatalogueEntry& entry : entries_) {
        if (refusal({&entry, false}, initiator) == Refusal::none) visible.push_back(&entry);
    }
    return visible;
}

}  // namespace cowtgt::node
