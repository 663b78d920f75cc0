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

Catalogue::Catalogue(std::vector<CatalogueEntry> entries) {
    for (CatalogueEntry& entry : entries)
        put(std::make_shared<const CatalogueEntry>(std::move(entry)));
}

void Catalogue::put(SharedEntry entry) {
    remove(entry->instance);
    by_name_.insert_or_assign(lower_case(entry->target_name), Found{entry.get(), false});
    if (!entry->mac_alias.empty()) {
        by_name_.insert_or_assign(lower_case(entry->mac_alias), Found{entry.get(), true});
    }
    entries_.insert_or_assign(entry->instance, std::move(entry));
}

void Catalogue::remove(const std::string& instance) {
    const auto found = entries_.find(instance);
    if (found == entries_.end()) return;
    const CatalogueEntry& entry = *found->second;
    for (const std::string& name : {lower_case(entry.target_name), lower_case(entry.mac_alias)}) {
        // A MAC that moved to another machine may be that one's by now.
        const auto named = by_name_.find(name);
        if (named != by_name_.end() && named->second.entry == &entry) by_name_.erase(named);
    }
    entries_.erase(found);
}

const CatalogueEntry* Catalogue::of_instance(const std::string& instance) const {
    const auto found = entries_.find(instance);
    return found == entries_.end() ? nullptr : found->second.get();
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

bool Catalogue::shows(const Found& found, const Initiator& initiator) const {
    const Refusal why = refusal(found, initiator);
    return why == Refusal::none ||
           (why == Refusal::name && sessions_.contains({initiator.address, found.entry->instance}));
}

void Catalogue::session_began(const std::string& instance, const IpAddress& address) {
    ++sessions_[{address, instance}];
}

void Catalogue::session_ended(const std::string& instance, const IpAddress& address) {
    const auto found = sessions_.find({address, instance});
    if (found == sessions_.end()) return;
    if (--found->second == 0) sessions_.erase(found);
}

std::vector<const CatalogueEntry*> Catalogue::visible_to(const Initiator& initiator) const {
    std::vector<const CatalogueEntry*> visible;
    for (const auto& [instance, entry] : entries_) {
        if (shows({entry.get(), false}, initiator)) visible.push_back(entry.get());
    }
    return visible;
}

}  // namespace cowtgt::node
