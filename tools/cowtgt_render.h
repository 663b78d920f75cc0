#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

/// The results of the operations (target/control/operations.h) as text for people. Nothing else is
/// looked at, so what is printed is always also in --json.
namespace cowtgt::tools {

/// Columns as wide as their widest cell, two blanks apart; the first row is the heading. Cells of
/// `right` columns are aligned to the right.
std::string render_table(const std::vector<std::vector<std::string>>& rows,
                         const std::vector<std::size_t>& right);

std::string render_instances(const nlohmann::json& instances);  ///< ls
std::string render_instance(const nlohmann::json& instance);    ///< show
std::string render_clone(const nlohmann::json& instance);
std::string render_snapshots(const nlohmann::json& snapshots);
std::string render_templates(const nlohmann::json& templates);  ///< template ls
std::string render_template(const nlohmann::json& info);        ///< template show
std::string render_import(const nlohmann::json& info);
std::string render_status(const nlohmann::json& status);

}  // namespace cowtgt::tools
