#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cow-store/base/result.h"
#include "target/config/machine.h"
#include "target/config/text_file.h"

namespace cowtgt::config {

using Machines = std::map<std::string, Machine, std::less<>>;  ///< by name

/// The machines of a machines.toml. Errors are "FILE:LINE:COLUMN: sentence"; a name or a MAC that
/// is there twice is an error that names both lines.
Result<Machines> parse_machines(std::string_view text, std::string_view file);

/// "10.0.0.0/24,fd00::/64"; "any" and "" are no ranges.
Result<std::vector<AddressRange>> parse_from(std::string_view text);

/// The line of one machine, without a line break.
std::string machine_line(const Machine& machine);

/// Edits of the text by the line: comments, order and everything else stay as they are. The text
/// is one that parse_machines accepts.
std::string with_machine_line(std::string_view text, const Machine& machine);  ///< add or replace
std::string without_machine_line(std::string_view text, std::string_view name);
std::string with_machine_renamed(std::string_view text, std::string_view from, std::string_view to);

/// machines.toml on disk. A file that does not exist has no machines.
///
/// An edit reads the file again if it was changed by hand since, so no edit is ever lost; a file
/// with an error is not edited.
/// Threads: one at a time.
class MachinesFile {
public:
    static Result<MachinesFile> load(std::filesystem::path file);

    const std::filesystem::path& path() const { return path_; }
    const Machines& machines() const { return machines_; }
    /// The machine's line, or a machine without settings when it has none.
    Machine find(std::string_view name) const;
    /// "machines.toml:3:1", where its line begins; the file alone when it has none.
    std::string place_of(std::string_view name) const;
    /// The name of the machine that has this MAC, or empty.
    std::string_view owner_of(const MacAddress& mac) const;

    /// Takes in what was changed by hand. On an error everything stays as it was.
    Result<void> reload();
    Result<void> put(const Machine& machine);
    Result<void> remove(std::string_view name);
    Result<void> rename(std::string_view from, std::string_view to);

private:
    explicit MachinesFile(std::filesystem::path path) : path_(std::move(path)) {}
    Result<void> write(std::string text);

    std::filesystem::path path_;
    FileStamp stamp_;
    std::string text_;
    Machines machines_;
};

}  // namespace cowtgt::config
