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

Catalogue::Catalogue(std::vector<CatalogueEntry> entries) : entries_(std::move(entries)) {
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

bool Catalogue::admits(const Found& found, std::string_view initiator_name) {
    if (found.entry == nullptr) return false;
    if (found.entry->admitted_initiator.empty()) return true;
    const std::string name = lower_case(initiator_name);
    if (name == lower_case(found.entry->admitted_initiator)) return true;
    return found.by_alias && name.starts_with(ipxe_name_prefix);
}

std::vector<const CatalogueEntry*> Catalogue::visible_to(std::string_view initiator_name) const {
    std::vector<const CatalogueEntry*> visible;
    for (const CatalogueEntry& entry : entries_) {
        if (admits({&entry, false}, initiator_name)) visible.push_back(&entry);
    }
    return visible;
}

}  // namespace cowtgt::node
