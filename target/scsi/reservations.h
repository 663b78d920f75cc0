#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

/// Persistent reservations (SPC-4 section 5.13) of one logical unit, as values: who is registered,
/// who holds what, and what each service action changes. No CDB and no bytes.
namespace cowtgt::scsi {

/// TYPE of a persistent reservation, SPC-4 table 209.
enum class ReservationType : std::uint8_t {
    write_exclusive = 1,
    exclusive_access = 3,
    write_exclusive_registrants_only = 5,
    exclusive_access_registrants_only = 6,
    write_exclusive_all_registrants = 7,
    exclusive_access_all_registrants = 8,
};
/// The type with this number; nothing for obsolete and reserved numbers.
std::optional<ReservationType> reservation_type(std::uint8_t number);
bool is_all_registrants(ReservationType type);

/// A registration belongs to an I_T nexus by its port names and outlives the session.
struct NexusName {
    std::string initiator_port;
    std::string target_port;
    friend bool operator==(const NexusName&, const NexusName&) = default;
};

struct Registrant {
    NexusName nexus;
    std::uint16_t relative_target_port = 1;
    std::uint64_t key = 0;
};

/// What a medium access command does, for the question whether a reservation forbids it.
enum class MediumAccess : std::uint8_t { reads, writes };

inline constexpr std::size_t registrants_max = 128;

class Reservations {
public:
    /// What became of a service action.
    enum class Verdict : std::uint8_t {
        done,
        conflict,         ///< RESERVATION CONFLICT
        invalid_field,    ///< 26h/00 in the parameter list, the service action key
        invalid_release,  ///< 26h/04
        no_resources,     ///< 55h/04
    };
    /// Which unit attention the named nexuses get besides the verdict.
    enum class Notice : std::uint8_t { released, preempted, registrations_preempted };
    struct Outcome {
        Verdict verdict = Verdict::done;
        struct Attention {
            NexusName nexus;
            Notice notice;
        };
        std::vector<Attention> attentions;
    };
    struct Reservation {
        ReservationType type;
        NexusName holder;  ///< meaningless for the all-registrants types
    };
    enum class KeyCheck : std::uint8_t { must_match, ignored };

    /// REGISTER, or REGISTER AND IGNORE EXISTING KEY. `service_action_key` 0 unregisters.
    Outcome register_key(const Registrant& who, std::uint64_t reservation_key,
                         std::uint64_t service_action_key, KeyCheck check);
    Outcome reserve(const NexusName& who, std::uint64_t key, ReservationType type);
    Outcome release(const NexusName& who, std::uint64_t key, ReservationType type);
    Outcome clear(const NexusName& who, std::uint64_t key);
    Outcome preempt(const NexusName& who, std::uint64_t key, std::uint64_t victim_key,
                    ReservationType type);
    /// REGISTER AND MOVE: the reservation goes to `to`, which is registered with `to.key`.
    enum class Mover : std::uint8_t { stays_registered, unregisters };
    Outcome move(const NexusName& who, std::uint64_t key, const Registrant& to, Mover mover);
    /// What was kept over a restart.
    void restore(std::vector<Registrant> registrants, std::optional<Reservation> reservation,
                 std::uint32_t generation);

    /// True if the reservation forbids this access to this nexus (SPC-4 table 66).
    bool forbids(const NexusName& who, MediumAccess access) const;
    bool is_registered(const NexusName& who) const { return find(who) != nullptr; }
    bool is_holder(const NexusName& who) const;
    bool exist() const { return reservation_.has_value(); }

    const std::vector<Registrant>& registrants() const { return registrants_; }
    const std::optional<Reservation>& reservation() const { return reservation_; }
    /// The key shown with the reservation: 0 for the all-registrants types.
    std::uint64_t holder_key() const;
    std::uint32_t generation() const { return generation_; }  ///< PRGENERATION

private:
    const Registrant* find(const NexusName& who) const;
    bool has_key(const NexusName& who, std::uint64_t key) const;
    void remove(const NexusName& who);
    /// Everybody registered but `who` hears that the reservation is gone.
    void tell_others(const NexusName& who, Notice notice, Outcome& outcome) const;
    Outcome unregister(const NexusName& who);
    void remove_key(const NexusName& who, std::uint64_t victim_key, Outcome& outcome);

    std::vector<Registrant> registrants_;
    std::optional<Reservation> reservation_;
    std::uint32_t generation_ = 0;
};

}  // namespace cowtgt::scsi
