#include "target/scsi/kept_state.h"

#include <algorithm>
#include <charconv>
#include <vector>

namespace cowtgt::scsi {
namespace {

constexpr std::string_view first_line = "cowtgt-unit 1";
constexpr std::size_t port_name_max = 260;

/// What the text says, before any of it counts.
struct Reading {
    std::uint32_t generation = 0;
    std::vector<Registrant> registrants;
    std::optional<Reservations::Reservation> reservation;
    bool sanitize_failed = false;
    bool unrestricted_exit = false;
};

template <typename Number>
std::optional<Number> number_of(std::string_view word, int base) {
    Number value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value, base);
    if (error != std::errc{} || end != word.data() + word.size() || word.empty()) {
        return std::nullopt;
    }
    return value;
}

std::vector<std::string_view> words_of(std::string_view line) {
    std::vector<std::string_view> words;
    while (!line.empty()) {
        const std::size_t end = std::min(line.find(' '), line.size());
        words.push_back(line.substr(0, end));
        line.remove_prefix(std::min(end + 1, line.size()));
    }
    return words;
}

bool is_port(std::string_view word) {
    return !word.empty() && word.size() <= port_name_max;
}

bool read_registrant(const std::vector<std::string_view>& words, Reading& reading) {
    if (words.size() != 5 || reading.registrants.size() == registrants_max) return false;
    const auto key = number_of<std::uint64_t>(words[1], 16);
    const auto port = number_of<std::uint16_t>(words[2], 10);
    if (!key || *key == 0 || !port || !is_port(words[3]) || !is_port(words[4])) return false;
    reading.registrants.push_back({{std::string(words[3]), std::string(words[4])}, *port, *key});
    return true;
}

bool read_reservation(const std::vector<std::string_view>& words, Reading& reading) {
    if (words.size() != 4 || reading.reservation) return false;
    const auto number = number_of<std::uint8_t>(words[1], 10);
    const auto type = number ? reservation_type(*number) : std::nullopt;
    if (!type || !is_port(words[2]) || !is_port(words[3])) return false;
    reading.reservation = {*type, {std::string(words[2]), std::string(words[3])}};
    return true;
}

bool read_line(std::string_view line, Reading& reading) {
    const std::vector<std::string_view> words = words_of(line);
    if (words.empty()) return false;
    if (words[0] == "registrant") return read_registrant(words, reading);
    if (words[0] == "reservation") return read_reservation(words, reading);
    if (words[0] == "generation" && words.size() == 2) {
        const auto generation = number_of<std::uint32_t>(words[1], 10);
        reading.generation = generation.value_or(0);
        return generation.has_value();
    }
    if (words[0] == "sanitize" && words.size() == 2) {
        reading.sanitize_failed = true;
        reading.unrestricted_exit = words[1] == "unrestricted";
        return reading.unrestricted_exit || words[1] == "restricted";
    }
    return false;
}

/// A reservation needs a holder among the registrants.
bool is_consistent(const Reading& reading) {
    if (!reading.reservation) return true;
    if (is_all_registrants(reading.reservation->type)) return !reading.registrants.empty();
    return std::any_of(reading.registrants.begin(), reading.registrants.end(),
                       [&](const Registrant& r) { return r.nexus == reading.reservation->holder; });
}

std::optional<Reading> parse(std::string_view text) {
    Reading reading;
    for (bool is_first = true; !text.empty(); is_first = false) {
        const std::size_t end = text.find('\n');
        if (end == std::string_view::npos) return std::nullopt;
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(end + 1);
        const bool understood = is_first ? line == first_line : read_line(line, reading);
        if (!understood) return std::nullopt;
    }
    if (!is_consistent(reading)) return std::nullopt;
    return reading;
}

std::string hexadecimal(std::uint64_t value) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text(16, '0');
    for (std::size_t i = text.size(); i > 0; --i) {
        text[i - 1] = digits[value & 15];
        value >>= 4;
    }
    return text;
}

}  // namespace

std::string write_kept_state(const Unit& unit) {
    std::string text(first_line);
    text += '\n';
    if (unit.activates_persistence) {
        text += "generation " + std::to_string(unit.reservations.generation()) + "\n";
        for (const Registrant& one : unit.reservations.registrants()) {
            text += "registrant " + hexadecimal(one.key) + " " +
                    std::to_string(one.relative_target_port) + " " + one.nexus.initiator_port +
                    " " + one.nexus.target_port + "\n";
        }
        if (const auto& held = unit.reservations.reservation()) {
            // The holder means nothing to the all-registrants types, but the line needs words.
            text += "reservation " + std::to_string(static_cast<unsigned>(held->type)) + " " +
                    held->holder.initiator_port + " " + held->holder.target_port + "\n";
        }
    }
    if (unit.sanitizing.state != Sanitizing::State::idle) {
        text +=
            unit.sanitizing.unrestricted_exit ? "sanitize unrestricted\n" : "sanitize restricted\n";
    }
    return text;
}

bool understands_kept_state(std::string_view text) {
    return parse(text).has_value();
}

void take_kept_state(std::string_view text, Unit& unit) {
    std::optional<Reading> reading = parse(text);
    if (!reading) return;
    unit.activates_persistence = !reading->registrants.empty();
    unit.reservations.restore(std::move(reading->registrants), std::move(reading->reservation),
                              reading->generation);
    unit.sanitizing = {};
    if (reading->sanitize_failed) {
        unit.sanitizing.state = Sanitizing::State::failed;
        unit.sanitizing.unrestricted_exit = reading->unrestricted_exit;
    }
}

}  // namespace cowtgt::scsi
