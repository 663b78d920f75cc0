#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "target/iscsi/connection.h"

namespace cowtgt::node {

/// Which machine has an initiator name: the one that booted last.
///
/// Two machines with one name (a cloned initiatorname.iscsi) end each other's sessions by session
/// reinstatement (RFC 7143 section 6.3.5). If both went on with what they believe of the disk they
/// would destroy it. So the one that was pushed out may not come back: a login whose commands go on
/// counting is refused while another address has the name, and for a while after, since a machine
/// that boots has no session for seconds. A login that begins at command 0 always takes the name.
///
/// Threads: one at a time. Pure; time is counted by second_passed().
class NameHolders {
public:
    static constexpr std::size_t holders_max = 64;  ///< the one that was silent longest goes first
    static constexpr std::uint32_t memory_seconds = 300;

    /// The address of the machine that keeps this one out; empty: it may log in. `address` without
    /// port; firmware is never kept out, since every boot begins with it.
    std::string_view held_against(const iscsi::LoginRequestInfo& info,
                                  std::string_view address) const;
    /// It has logged in.
    void take(const iscsi::LoginRequestInfo& info, std::string_view address);
    /// Once a second; who has a session is not forgotten.
    void second_passed(
        const std::function<bool(const std::string& name, const iscsi::Isid& isid)>& has_session);
    bool empty() const { return holders_.empty(); }

private:
    struct Holder {
        std::string name;
        iscsi::Isid isid{};
        std::string address;
        std::uint32_t seconds_left = memory_seconds;
    };
    const Holder* find(const iscsi::LoginRequestInfo& info) const;

    std::vector<Holder> holders_;
};

}  // namespace cowtgt::node
