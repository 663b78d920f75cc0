#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

/// What machines boot with and how far they are, as text for people.
namespace cowtgt::tools {

/// Of a template: a line, and one for each finding.
std::string render_boot(const nlohmann::json& boot);
std::string render_check(const nlohmann::json& check);         ///< template check
std::string render_template_boot(const nlohmann::json& info);  ///< template set
/// "initrd", or "-" when nothing is known of it.
std::string stage_word(const nlohmann::json& instance);
/// "initrd for 8 s, since 2026-11-23T10:02:11Z"
std::string stage_text(const nlohmann::json& instance);

std::string render_unknown(const nlohmann::json& machines);
std::string render_adopted(const nlohmann::json& instance);
std::string render_plan(const nlohmann::json& plan);
std::string render_applied(const nlohmann::json& result);

}  // namespace cowtgt::tools
