#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cow-store/base/check.h"
#include "cow-store/base/units.h"

namespace cowtgt::iscsi {

/// StatSN, ExpCmdSN and MaxCmdSN of a session with one connection (RFC 7143 sections 4.2.2.1 and
/// 4.2.2.2).
///
/// The window shrinks by one with every command that is in the task set and grows when its status
/// leaves, so MaxCmdSN never goes back, and a window of one works.
class Numbering {
public:
    explicit Numbering(std::uint32_t command_window) : command_window_(command_window) {}

    /// The first Login Request says where the commands begin (section 11.12.8).
    void start(SerialNumber32 cmd_sn) { exp_cmd_sn_ = cmd_sn; }

    SerialNumber32 exp_cmd_sn() const { return exp_cmd_sn_; }
    SerialNumber32 max_cmd_sn() const {
        return exp_cmd_sn_.plus(command_window_ - slots_in_use_ - 1);
    }
    bool window_contains(SerialNumber32 cmd_sn) const {
        return !cmd_sn.is_before(exp_cmd_sn_) && !max_cmd_sn().is_before(cmd_sn);
    }
    /// Takes the command whose number is exp_cmd_sn().
    void command_received() {
        exp_cmd_sn_ = exp_cmd_sn_.plus(1);
        skip_given_up();
    }
    /// The initiator will not send the command with this number any more (section 11.5.1): whatever
    /// still comes under it is ignored.
    /// Requires: window_contains(cmd_sn).
    void give_up(SerialNumber32 cmd_sn) {
        if (!is_given_up(cmd_sn)) given_up_.push_back(cmd_sn);
        skip_given_up();
    }
    bool is_given_up(SerialNumber32 cmd_sn) const {
        return std::ranges::find(given_up_, cmd_sn) != given_up_.end();
    }
    void take_slot() {
        CHECK(slots_in_use_ < command_window_);
        ++slots_in_use_;
    }
    void give_slot_back() {
        CHECK(slots_in_use_ > 0);
        --slots_in_use_;
    }

    SerialNumber32 next_stat_sn() const { return stat_sn_; }
    /// The StatSN of a response that uses it up.
    SerialNumber32 use_stat_sn() {
        const SerialNumber32 used = stat_sn_;
        stat_sn_ = stat_sn_.plus(1);
        return used;
    }

private:
    void skip_given_up() {
        while (std::erase(given_up_, exp_cmd_sn_) != 0)
            exp_cmd_sn_ = exp_cmd_sn_.plus(1);
    }

    SerialNumber32 stat_sn_;
    SerialNumber32 exp_cmd_sn_;
    std::uint32_t command_window_;
    std::uint32_t slots_in_use_ = 0;
    std::vector<SerialNumber32> given_up_;  ///< beyond exp_cmd_sn_, in the window
};

}  // namespace cowtgt::iscsi
