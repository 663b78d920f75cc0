#include "target/node/name_holders.h"

#include <algorithm>

namespace cowtgt::node {

const NameHolders::Holder* NameHolders::find(const iscsi::LoginRequestInfo& info) const {
    const auto found = std::find_if(holders_.begin(), holders_.end(), [&](const Holder& holder) {
        return holder.name == info.initiator_name && holder.isid == info.isid;
    });
    return found == holders_.end() ? nullptr : &*found;
}

std::string_view NameHolders::held_against(const iscsi::LoginRequestInfo& info,
                                           std::string_view address) const {
    if (info.cmd_sn == 0 || iscsi::is_ipxe(info.isid)) return {};
    const Holder* holder = find(info);
    if (holder == nullptr || holder->address == address) return {};
    return holder->address;
}

void NameHolders::take(const iscsi::LoginRequestInfo& info, std::string_view address) {
    if (iscsi::is_ipxe(info.isid)) return;
    std::erase_if(holders_, [&](const Holder& holder) {
        return holder.name == info.initiator_name && holder.isid == info.isid;
    });
    if (holders_.size() == holders_max) {
        holders_.erase(std::min_element(
            holders_.begin(), holders_.end(),
            [](const Holder& a, const Holder& b) { return a.seconds_left < b.seconds_left; }));
    }
    holders_.push_back({info.initiator_name, info.isid, std::string(address), memory_seconds});
}

void NameHolders::second_passed(
    const std::function<bool(const std::string& name, const iscsi::Isid& isid)>& has_session) {
    for (Holder& holder : holders_) {
        holder.seconds_left =
            has_session(holder.name, holder.isid) ? memory_seconds : holder.seconds_left - 1;
    }
    std::erase_if(holders_, [](const Holder& holder) { return holder.seconds_left == 0; });
}

}  // namespace cowtgt::node
