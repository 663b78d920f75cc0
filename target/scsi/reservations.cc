#include "target/scsi/reservations.h"

#include <algorithm>
#include <array>
#include <utility>

namespace cowtgt::scsi {
namespace {

using Type = ReservationType;

constexpr std::array types = {
    Type::write_exclusive,
    Type::exclusive_access,
    Type::write_exclusive_registrants_only,
    Type::exclusive_access_registrants_only,
    Type::write_exclusive_all_registrants,
    Type::exclusive_access_all_registrants,
};

bool is_for_registrants(Type type) {
    return type != Type::write_exclusive && type != Type::exclusive_access;
}

bool allows_reads_to_all(Type type) {
    return type == Type::write_exclusive || type == Type::write_exclusive_registrants_only ||
           type == Type::write_exclusive_all_registrants;
}

}  // namespace

std::optional<ReservationType> reservation_type(std::uint8_t number) {
    const auto* found = std::find(types.begin(), types.end(), static_cast<Type>(number));
    if (found == types.end()) return std::nullopt;
    return *found;
}

bool is_all_registrants(ReservationType type) {
    return type == Type::write_exclusive_all_registrants ||
           type == Type::exclusive_access_all_registrants;
}

const Registrant* Reservations::find(const NexusName& who) const {
    const auto found = std::find_if(registrants_.begin(), registrants_.end(),
                                    [&](const Registrant& r) { return r.nexus == who; });
    return found == registrants_.end() ? nullptr : &*found;
}

bool Reservations::has_key(const NexusName& who, std::uint64_t key) const {
    const Registrant* registrant = find(who);
    return registrant != nullptr && registrant->key == key;
}

void Reservations::remove(const NexusName& who) {
    std::erase_if(registrants_, [&](const Registrant& r) { return r.nexus == who; });
}

bool Reservations::is_holder(const NexusName& who) const {
    if (!reservation_) return false;
    return is_all_registrants(reservation_->type) ? is_registered(who)
                                                  : reservation_->holder == who;
}

std::uint64_t Reservations::holder_key() const {
    if (!reservation_ || is_all_registrants(reservation_->type)) return 0;
    const Registrant* holder = find(reservation_->holder);
    return holder == nullptr ? 0 : holder->key;
}

void Reservations::tell_others(const NexusName& who, Notice notice, Outcome& outcome) const {
    for (const Registrant& registrant : registrants_) {
        if (registrant.nexus != who) outcome.attentions.push_back({registrant.nexus, notice});
    }
}

Reservations::Outcome Reservations::unregister(const NexusName& who) {
    Outcome outcome;
    const bool was_holder = is_holder(who);
    remove(who);
    ++generation_;
    if (!was_holder) return outcome;
    // The last registrant of an all-registrants reservation takes it along; nobody is left to tell.
    if (is_all_registrants(reservation_->type) && !registrants_.empty()) return outcome;
    if (is_for_registrants(reservation_->type)) tell_others(who, Notice::released, outcome);
    reservation_.reset();
    return outcome;
}

Reservations::Outcome Reservations::register_key(const Registrant& who,
                                                 std::uint64_t reservation_key,
                                                 std::uint64_t service_action_key, KeyCheck check) {
    const Registrant* registrant = find(who.nexus);
    if (check == KeyCheck::must_match) {
        const std::uint64_t expected = registrant == nullptr ? 0 : registrant->key;
        if (reservation_key != expected) return {Verdict::conflict, {}};
    }
    if (service_action_key == 0) {
        if (registrant == nullptr) return {};
        return unregister(who.nexus);
    }
    if (registrant == nullptr) {
        if (registrants_.size() >= registrants_max) return {Verdict::no_resources, {}};
        registrants_.push_back(who);
        registrants_.back().key = service_action_key;
    } else {
        registrants_[static_cast<std::size_t>(registrant - registrants_.data())].key =
            service_action_key;
    }
    ++generation_;
    return {};
}

Reservations::Outcome Reservations::reserve(const NexusName& who, std::uint64_t key,
                                            ReservationType type) {
    if (!has_key(who, key)) return {Verdict::conflict, {}};
    if (reservation_) {
        // The holder may say it again, but not change the type (SPC-4 section 5.13.9).
        const bool same = is_holder(who) && reservation_->type == type;
        return {same ? Verdict::done : Verdict::conflict, {}};
    }
    reservation_ = Reservation{type, who};
    return {};
}

Reservations::Outcome Reservations::release(const NexusName& who, std::uint64_t key,
                                            ReservationType type) {
    if (!has_key(who, key)) return {Verdict::conflict, {}};
    if (!is_holder(who)) return {};
    if (reservation_->type != type) return {Verdict::invalid_release, {}};
    Outcome outcome;
    if (is_for_registrants(type)) tell_others(who, Notice::released, outcome);
    reservation_.reset();
    return outcome;
}

Reservations::Outcome Reservations::clear(const NexusName& who, std::uint64_t key) {
    if (!has_key(who, key)) return {Verdict::conflict, {}};
    Outcome outcome;
    tell_others(who, Notice::preempted, outcome);
    registrants_.clear();
    reservation_.reset();
    ++generation_;
    return outcome;
}

void Reservations::remove_key(const NexusName& who, std::uint64_t victim_key, Outcome& outcome) {
    for (const Registrant& registrant : registrants_) {
        if (registrant.key == victim_key && registrant.nexus != who) {
            outcome.attentions.push_back({registrant.nexus, Notice::registrations_preempted});
        }
    }
    std::erase_if(registrants_,
                  [&](const Registrant& r) { return r.key == victim_key && r.nexus != who; });
}

/// SPC-4 section 5.13.11.4.
Reservations::Outcome Reservations::preempt(const NexusName& who, std::uint64_t key,
                                            std::uint64_t victim_key, ReservationType type) {
    if (!has_key(who, key)) return {Verdict::conflict, {}};
    Outcome outcome;
    const bool takes_all =
        reservation_ && is_all_registrants(reservation_->type) && victim_key == 0;
    const bool takes_holder =
        reservation_ && !is_all_registrants(reservation_->type) && victim_key == holder_key();
    if (!takes_all && !takes_holder) {
        if (victim_key == 0) return {Verdict::invalid_field, {}};
        const bool known = std::any_of(registrants_.begin(), registrants_.end(),
                                       [&](const Registrant& r) { return r.key == victim_key; });
        if (!known) return {Verdict::conflict, {}};
        // A nexus may remove its own registration this way, too.
        if (has_key(who, victim_key)) {
            std::erase_if(registrants_, [&](const Registrant& r) { return r.nexus == who; });
        }
        remove_key(who, victim_key, outcome);
        if (reservation_ && registrants_.empty()) reservation_.reset();
        ++generation_;
        return outcome;
    }
    const ReservationType old_type = reservation_->type;
    if (takes_all) {
        tell_others(who, Notice::registrations_preempted, outcome);
        std::erase_if(registrants_, [&](const Registrant& r) { return r.nexus != who; });
    } else {
        remove_key(who, victim_key, outcome);
    }
    if (old_type != type) tell_others(who, Notice::released, outcome);
    reservation_ = Reservation{type, who};
    ++generation_;
    return outcome;
}

/// SPC-4 section 5.13.8.
Reservations::Outcome Reservations::move(const NexusName& who, std::uint64_t key,
                                         const Registrant& to, Mover mover) {
    if (!has_key(who, key)) return {Verdict::conflict, {}};
    if (!reservation_ || is_all_registrants(reservation_->type) || reservation_->holder != who) {
        return {Verdict::conflict, {}};
    }
    if (to.key == 0) return {Verdict::invalid_field, {}};
    const auto known = std::find_if(registrants_.begin(), registrants_.end(),
                                    [&](const Registrant& r) { return r.nexus == to.nexus; });
    if (known != registrants_.end()) {
        known->key = to.key;
    } else if (registrants_.size() >= registrants_max) {
        return {Verdict::no_resources, {}};
    } else {
        registrants_.push_back(to);
    }
    reservation_->holder = to.nexus;
    if (mover == Mover::unregisters) remove(who);
    ++generation_;
    return {};
}

void Reservations::restore(std::vector<Registrant> registrants,
                           std::optional<Reservation> reservation, std::uint32_t generation) {
    registrants_ = std::move(registrants);
    reservation_ = std::move(reservation);
    generation_ = generation;
}

bool Reservations::forbids(const NexusName& who, MediumAccess access) const {
    if (!reservation_) return false;
    if (access == MediumAccess::reads && allows_reads_to_all(reservation_->type)) return false;
    if (is_for_registrants(reservation_->type)) return !is_registered(who);
    return reservation_->holder != who;
}

}  // namespace cowtgt::scsi
