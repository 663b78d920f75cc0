// Text is made from the JSON alone, and from JSON that lacks fields, too.

#include "tools/cowtgt_render.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace cowtgt::tools {
namespace {

using nlohmann::json;

json instance() {
    return {{"name", "web01"},
            {"template", "debian@3"},
            {"target", "iqn.2026-01.test:web01"},
            {"lun", 0},
            {"urls", {"iscsi://10.0.0.1:3260/iqn.2026-01.test:web01/0"}},
            {"initiator", nullptr},
            {"mac", nullptr},
            {"size_bytes", 40ULL << 30},
            {"allocated_bytes", 1503238553},
            {"block_size", 512},
            {"uuid", "0b3983cd-badb-4456-ab08-9015b25a414b"},
            {"created_at", "2026-01-01T00:00:00Z"},
            {"damage", ""},
            {"identity",
             {{{"where", "gpt"},
               {"kind", "disk-guid"},
               {"label", ""},
               {"old", "A"},
               {"new", "B"},
               {"kept_because", ""},
               {"note", ""}},
              {{"where", "ext4 on partition 2"},
               {"kind", "fs-uuid"},
               {"label", "root"},
               {"old", "C"},
               {"new", "C"},
               {"kept_because", "its journal is dirty"},
               {"note", ""}}}},
            {"sessions",
             {{{"initiator", "iqn.x:a"},
               {"address", "10.0.0.7:5"},
               {"isid", "400027230001"},
               {"since", "2026-01-01T00:00:01Z"}}}}};
}

TEST(Render, AListIsATableWithNumbersToTheRight) {
    json second = instance();
    second["name"] = "a";
    second["size_bytes"] = 512;
    second["mac"] = "52:54:00:12:34:01";
    second["sessions"] = json::array();
    EXPECT_EQ(
        render_instances({instance(), second}),
        "NAME   TEMPLATE  SIZE   OWN  SESSIONS  STAGE  MAC                TARGET\n"
        "web01  debian@3   40G  1.4G         1  -      -                  iqn.2026-01.test:web01\n"
        "a      debian@3   512  1.4G         0  -      52:54:00:12:34:01  "
        "iqn.2026-01.test:web01\n");
    EXPECT_EQ(render_instances(json::array()),
              "no instances; make one with: cowtgt clone TEMPLATE NAME\n");
}

TEST(Render, AnInstanceShowsWhatChangedAndWhatWasKept) {
    EXPECT_EQ(render_instance(instance()),
              "web01\n"
              "  template    debian@3\n"
              "  size        40G, 1.4G of its own, 512-byte blocks\n"
              "  target      iqn.2026-01.test:web01 LUN 0\n"
              "  url         iscsi://10.0.0.1:3260/iqn.2026-01.test:web01/0\n"
              "  mac         -\n"
              "  initiator   any (no MAC was given)\n"
              "  boot        not known: cowtgtd does not run\n"
              "  uuid        0b3983cd-badb-4456-ab08-9015b25a414b\n"
              "  created     2026-01-01T00:00:00Z\n"
              "  session     iqn.x:a from 10.0.0.7:5 since 2026-01-01T00:00:01Z (ISID "
              "400027230001)\n"
              "  identity\n"
              "    gpt disk-guid                       A  -> B\n"
              "    ext4 on partition 2 fs-uuid (root)  C  kept: its journal is dirty\n");
    EXPECT_NE(render_clone(instance()).find("1 changed, 1 kept"), std::string::npos);
}

TEST(Render, DamageIsSaid) {
    json damaged = instance();
    damaged["damage"] = "its layer is gone";
    EXPECT_NE(
        render_instances(json::array({damaged})).find("web01 is damaged: its layer is gone\n"),
        std::string::npos);
    EXPECT_NE(render_instance(damaged).find("  damage      its layer is gone\n"),
              std::string::npos);
}

TEST(Render, FieldsThatAreMissingDoNoHarm) {
    for (const json& odd : {json::object(), json(nullptr), json{{"name", 7}, {"identity", "x"}},
                            json{{"size_bytes", "large"}, {"urls", 1}, {"sessions", nullptr}}}) {
        EXPECT_NE(render_instance(odd), "");
        EXPECT_NE(render_clone(odd), "");
        EXPECT_NE(render_template(odd), "");
        EXPECT_NE(render_import(odd), "");
        EXPECT_NE(render_status(odd), "");
        EXPECT_NE(render_instances(json::array({odd})), "");
        EXPECT_NE(render_templates(json::array({odd})), "");
    }
}

TEST(Render, StatusSaysWhetherTheDaemonRuns) {
    json status = {{"config", "/c"}, {"store", "/s"},  {"iqn", "i"},
                   {"templates", 1}, {"instances", 2}, {"daemon", nullptr}};
    EXPECT_NE(render_status(status).find("cowtgtd     does not run\n"), std::string::npos);
    status["daemon"] = {{"rings", 4}, {"list", json::array()}};
    const std::string text = render_status(status);
    EXPECT_NE(text.find("cowtgtd     runs\n"), std::string::npos);
    EXPECT_NE(text.find("rings       4\n"), std::string::npos);
    EXPECT_EQ(text.find("list"), std::string::npos);
}

}  // namespace
}  // namespace cowtgt::tools
