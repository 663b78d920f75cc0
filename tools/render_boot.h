#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

/// What machines boot with and how far they are, as text for people.
namespace cowtgt::tools {

/// Of a template: a line, and one for each finding.
std::string render_boot(const nlohmann::json& boot);
std::string render_findings(const nlohmann::json& findings);

}  // namespace cowtgt::tools
