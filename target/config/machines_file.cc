#include "target/config/machines_file.h"

#include <algorithm>
#include <optional>
#include <span>

#include "cow-store/store/store.h"
#include "target/config/size.h"
#include "target/config/toml_text.h"

namespace cowtgt::config {

namespace {

constexpr std::string_view what_a_line_is =
    "write name = \"[MAC] [TEMPLATE[@VERSION]] [size=SIZE] [ephemeral] [SETTING=VALUE]\"";
/// Is one of the words of a line, so a template of this name is written with its version.
constexpr std::string_view ephemeral_word = "ephemeral";

/// One word of a machine's value and where it begins in it.
struct Word {
    std::string_view text;
    std::size_t offset = 0;
};

std::vector<Word> words_of(std::string_view text) {
    std::vector<Word> words;
    std::size_t at = 0;
    while ((at = text.find_first_not_of(" \t", at)) != std::string_view::npos) {
        const std::size_t end = std::min(text.find_first_of(" \t", at), text.size());
        words.push_back({text.substr(at, end - at), at});
        at = end;
    }
    return words;
}

Place place_in(const TomlString& value, std::size_t offset) {
    Place place = value.place;
    if (value.plain) place.column += 1 + static_cast<std::uint32_t>(offset);
    return place;
}

bool looks_like_mac(std::string_view word) {
    return word.find(':') != std::string_view::npos || parse_mac(word).has_value();
}

/// Whether a setting of this name is among the words.
bool name_is_there(std::string_view name, std::span<const Word> words) {
    return std::any_of(words.begin(), words.end(), [&](const Word& word) {
        return word.text.starts_with(name) && word.text.substr(name.size()).starts_with('=');
    });
}

/// `before`: the words that stand before this one.
Result<void> read_word(const Word& word, std::span<const Word> before, Machine& machine) {
    if (word.text.starts_with("size=")) {
        if (machine.size_bytes != 0) return Error{ErrorCode::failed, "size= is there twice"};
        auto size = parse_size(word.text.substr(5));
        if (!size) return size.error();
        if (*size == 0) return Error{ErrorCode::failed, "a disk cannot have the size 0"};
        machine.size_bytes = *size;
        return {};
    }
    if (word.text.starts_with("from=")) {
        if (!machine.from.empty()) return Error{ErrorCode::failed, "from= is there twice"};
        auto from = parse_from(word.text.substr(5));
        if (!from) return from.error();
        machine.from = std::move(*from);
        return {};
    }
    if (const std::size_t equals = word.text.find('='); equals != std::string_view::npos) {
        const std::string_view name = word.text.substr(0, equals);
        if (name_is_there(name, before)) {
            return Error{ErrorCode::failed, std::string(name) + "= is there twice"};
        }
        return change_setting(machine, name, word.text.substr(equals + 1));
    }
    if (word.text == ephemeral_word) {
        if (machine.ephemeral) return Error{ErrorCode::failed, "ephemeral is there twice"};
        machine.ephemeral = true;
        return {};
    }
    if (looks_like_mac(word.text) && machine.template_ref.empty()) {
        if (machine.mac) return Error{ErrorCode::failed, "a machine has one MAC address"};
        auto mac = parse_mac(word.text);
        if (!mac) return mac.error();
        machine.mac = *mac;
        return {};
    }
    if (!machine.template_ref.empty()) {
        return Error{ErrorCode::failed, "'" + std::string(word.text) + "' is one word too many; " +
                                            std::string(what_a_line_is)};
    }
    if (auto ref = store::parse_template_ref(word.text); !ref) return ref.error();
    machine.template_ref = word.text;
    return {};
}

Result<Machine> read_entry(const TomlEntry& entry, std::string_view file) {
    Machine machine;
    machine.name = entry.key;
    if (auto name = store::check_name(entry.key); !name) {
        return error_at(file, entry.key_place, name.error().message);
    }
    const auto* value = std::get_if<TomlString>(&entry.value);
    if (value == nullptr) {
        return error_at(
            file, entry.value_place,
            "the value of '" + entry.key + "' is no string; " + std::string(what_a_line_is));
    }
    if (!entry.on_one_line) {
        return error_at(file, entry.key_place,
                        "a machine has one line, without escapes; " + std::string(what_a_line_is));
    }
    const std::vector<Word> words = words_of(value->text);
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (auto read = read_word(words[i], std::span(words).first(i), machine); !read) {
            return error_at(file, place_in(*value, words[i].offset), read.error().message);
        }
    }
    return machine;
}

std::string text_of_ranges(const std::vector<AddressRange>& ranges) {
    std::string text;
    for (const AddressRange& range : ranges) {
        if (!text.empty()) text += ',';
        text += to_string(range);
    }
    return text;
}

bool is_bare_key_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

/// Where the key of this line stands; nothing for comments and empty lines.
struct KeySpan {
    std::size_t begin = 0;  ///< the name itself, without quotes
    std::size_t size = 0;
};
std::optional<KeySpan> key_of(std::string_view line) {
    std::size_t at = line.find_first_not_of(" \t");
    if (at == std::string_view::npos || line[at] == '#') return std::nullopt;
    if (line[at] == '"' || line[at] == '\'') {
        const std::size_t close = line.find(line[at], at + 1);
        if (close == std::string_view::npos) return std::nullopt;
        return KeySpan{at + 1, close - at - 1};
    }
    std::size_t end = at;
    while (end < line.size() && is_bare_key_character(line[end]))
        ++end;
    return KeySpan{at, end - at};
}

/// The line of this machine: where it begins, and where its key is in it.
struct FoundLine {
    std::size_t begin = 0;
    std::size_t end = 0;  ///< past its line break
    KeySpan key;
};
std::optional<FoundLine> find_line(std::string_view text, std::string_view name) {
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t line_break = text.find('\n', begin);
        const std::size_t end = line_break == std::string_view::npos ? text.size() : line_break + 1;
        const std::string_view line = text.substr(begin, end - begin);
        const std::optional<KeySpan> key = key_of(line);
        if (key && line.substr(key->begin, key->size) == name) return FoundLine{begin, end, *key};
        begin = end;
    }
    return std::nullopt;
}

std::string spliced(std::string_view text, std::size_t begin, std::size_t end,
                    std::string_view middle) {
    std::string result(text.substr(0, begin));
    result += middle;
    result += text.substr(end);
    return result;
}

/// What follows the value of a line: white space and a comment, with the line break.
std::string_view tail_of(std::string_view line, const KeySpan& key) {
    const std::size_t equals = line.find('=', key.begin + key.size);
    std::size_t at = line.find_first_of("\"'", equals);
    if (at == std::string_view::npos) return "\n";
    const char quote = line[at];
    const bool tripled = line.substr(at, 3) == std::string(3, quote);
    const std::string closing(tripled ? 3 : 1, quote);
    for (at += closing.size(); at < line.size(); ++at) {
        if (line.substr(at, closing.size()) == closing) return line.substr(at + closing.size());
        if (line[at] == '\\' && quote == '"') ++at;
    }
    return "\n";
}

/// The first name that has two lines, as an error that names both; nothing when there is none.
std::optional<Error> find_repeated_name(std::string_view text, std::string_view file) {
    std::map<std::string_view, std::uint32_t> lines;
    std::uint32_t number = 1;
    for (; !text.empty(); ++number) {
        const std::size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(end);
        const std::optional<KeySpan> key = key_of(line);
        if (!key || key->size == 0) continue;
        const std::string_view name = line.substr(key->begin, key->size);
        const auto [first, is_new] = lines.emplace(name, number);
        if (is_new) continue;
        return error_at(file, {number, static_cast<std::uint32_t>(key->begin + 1)},
                        "'" + std::string(name) + "' is there twice, first in line " +
                            std::to_string(first->second) + "; remove one of the two lines");
    }
    return std::nullopt;
}

}  // namespace

Result<Machines> parse_machines(std::string_view text, std::string_view file) {
    auto entries = parse_toml(text, file);
    if (!entries) return find_repeated_name(text, file).value_or(entries.error());
    Machines machines;
    std::map<MacAddress, const TomlEntry*> macs;
    for (const TomlEntry& entry : *entries) {
        auto machine = read_entry(entry, file);
        if (!machine) return machine.error();
        if (machine->mac) {
            const auto [owner, is_new] = macs.emplace(*machine->mac, &entry);
            if (!is_new) {
                return error_at(file, entry.value_place,
                                "the MAC " + to_string(*machine->mac) + " of " + entry.key +
                                    " belongs to " + owner->second->key + " (line " +
                                    std::to_string(owner->second->key_place.line) +
                                    "); correct one of the two lines");
            }
        }
        machines.emplace(entry.key, std::move(*machine));
    }
    return machines;
}

Result<std::vector<AddressRange>> parse_from(std::string_view text) {
    std::vector<AddressRange> ranges;
    if (text.empty() || text == "any") return ranges;
    for (std::size_t at = 0; at <= text.size();) {
        const std::size_t comma = std::min(text.find(',', at), text.size());
        auto range = parse_address_range(text.substr(at, comma - at));
        if (!range) return range.error();
        ranges.push_back(*range);
        at = comma + 1;
    }
    return ranges;
}

std::string machine_line(const Machine& machine) {
    std::string value;
    const auto add = [&value](const std::string& word) {
        if (!value.empty()) value += ' ';
        value += word;
    };
    if (machine.mac) add(to_string(*machine.mac));
    if (!machine.template_ref.empty()) add(machine.template_ref);
    if (machine.size_bytes != 0) add("size=" + exact_size(machine.size_bytes));
    if (!machine.from.empty()) add("from=" + text_of_ranges(machine.from));
    if (machine.ephemeral) add(std::string(ephemeral_word));
    for (const std::string& word : setting_words(machine)) {
        add(word);
    }
    return machine.name + " = \"" + value + "\"";
}

std::string with_machine_line(std::string_view text, const Machine& machine) {
    const std::string line = machine_line(machine);
    if (const auto found = find_line(text, machine.name)) {
        const std::string_view old = text.substr(found->begin, found->end - found->begin);
        return spliced(text, found->begin, found->end,
                       line + std::string(tail_of(old, found->key)));
    }
    std::string result(text);
    if (!result.empty() && result.back() != '\n') result += '\n';
    return result + line + "\n";
}

std::string without_machine_line(std::string_view text, std::string_view name) {
    const auto found = find_line(text, name);
    return found ? spliced(text, found->begin, found->end, "") : std::string(text);
}

std::string with_machine_renamed(std::string_view text, std::string_view from,
                                 std::string_view to) {
    const auto found = find_line(text, from);
    if (!found) return std::string(text);
    const std::size_t begin = found->begin + found->key.begin;
    return spliced(text, begin, begin + found->key.size, to);
}

Result<MachinesFile> MachinesFile::load(std::filesystem::path file) {
    MachinesFile machines(std::move(file));
    if (auto loaded = machines.reload(); !loaded) return loaded.error();
    return machines;
}

Machine MachinesFile::find(std::string_view name) const {
    const auto found = machines_.find(name);
    if (found != machines_.end()) return found->second;
    Machine machine;
    machine.name = name;
    return machine;
}

std::string MachinesFile::place_of(std::string_view name) const {
    const std::optional<FoundLine> line = find_line(text_, name);
    if (!line) return path_.string();
    const auto above = std::string_view(text_).substr(0, line->begin);
    const auto number = std::count(above.begin(), above.end(), '\n') + 1;
    return path_.string() + ":" + std::to_string(number) + ":" +
           std::to_string(line->key.begin + 1);
}

std::string_view MachinesFile::owner_of(const MacAddress& mac) const {
    const auto found = std::find_if(machines_.begin(), machines_.end(),
                                    [&mac](const auto& entry) { return entry.second.mac == mac; });
    return found != machines_.end() ? std::string_view(found->first) : std::string_view();
}

Result<void> MachinesFile::reload() {
    const FileStamp stamp = stamp_of(path_);
    if (stamp == stamp_) return {};
    std::string text;
    if (stamp != FileStamp{}) {
        auto read = read_text_file(path_);
        if (!read) return read.error();
        text = std::move(*read);
    }
    auto machines = parse_machines(text, path_.string());
    if (!machines) return machines.error();
    stamp_ = stamp;
    text_ = std::move(text);
    machines_ = std::move(*machines);
    return {};
}

Result<void> MachinesFile::put(const Machine& machine) {
    if (auto current = reload(); !current) return current;
    if (auto written = write(with_machine_line(text_, machine)); !written) return written;
    machines_.insert_or_assign(machine.name, machine);
    return {};
}

Result<void> MachinesFile::remove(std::string_view name) {
    if (auto current = reload(); !current) return current;
    const auto found = machines_.find(name);
    if (found == machines_.end()) return {};
    if (auto written = write(without_machine_line(text_, name)); !written) return written;
    machines_.erase(found);
    return {};
}

Result<void> MachinesFile::rename(std::string_view from, std::string_view to) {
    if (auto current = reload(); !current) return current;
    const auto found = machines_.find(from);
    if (found == machines_.end()) return {};
    // A line that a hand wrote for the new name, which had no instance, gives way.
    const std::string without_new = without_machine_line(text_, to);
    if (auto written = write(with_machine_renamed(without_new, from, to)); !written) return written;
    Machine machine = std::move(found->second);
    machines_.erase(found);
    machine.name = to;
    machines_.insert_or_assign(std::string(to), std::move(machine));
    return {};
}

Result<void> MachinesFile::write(std::string text) {
    if (auto replaced = replace_text_file(path_, text); !replaced) return replaced;
    text_ = std::move(text);
    stamp_ = stamp_of(path_);
    return {};
}

}  // namespace cowtgt::config
