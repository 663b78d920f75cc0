#include "cow-store/references/text_search.h"

#include <gtest/gtest.h>

namespace cowtgt::references {
namespace {

const std::string uuid = "1b2c3d4e-5f60-4718-9a0b-c1d2e3f4a5b6";
const std::string serial = "c0ff-ee42";
const std::string signature = "5eed5eed";
const std::string ntfs = "0123456789abcdef";

std::vector<Occurrence> search(const std::string& text, std::size_t piece = 65536) {
    TextSearch search({uuid, serial, signature, ntfs});
    for (std::size_t at = 0; at < text.size(); at += piece)
        search.feed(at, bytes_of(text).subspan(at, std::min(piece, text.size() - at)));
    return search.finish();
}

std::vector<std::string> texts_in(const std::string& text) {
    std::vector<std::string> texts;
    for (const Occurrence& one : search(text))
        texts.push_back(one.text);
    return texts;
}

TEST(TextSearch, FindsEveryFormInBothCases) {
    using Texts = std::vector<std::string>;
    EXPECT_EQ(texts_in("UUID=" + uuid + " /"), Texts{uuid});
    EXPECT_EQ(texts_in("luks-" + uuid), Texts{uuid});
    EXPECT_EQ(texts_in("1B2C3D4E-5F60-4718-9A0B-C1D2E3F4A5B6"),
              Texts{"1B2C3D4E-5F60-4718-9A0B-C1D2E3F4A5B6"});
    EXPECT_EQ(texts_in("by-uuid/C0FF-EE42"), Texts{"C0FF-EE42"});
    EXPECT_EQ(texts_in("PARTUUID=5eed5eed-02 /"), Texts{signature});
    EXPECT_EQ(texts_in("UUID=0123456789ABCDEF"), Texts{"0123456789ABCDEF"});
    EXPECT_EQ(texts_in(uuid + "," + serial + " " + ntfs), (Texts{uuid, serial, ntfs}));
}

TEST(TextSearch, FindsWhatSystemdEscapedInTheNamesOfUnits) {
    const std::string escaped = "1b2c3d4e\\x2d5f60\\x2d4718\\x2d9a0b\\x2dc1d2e3f4a5b6";
    using Texts = std::vector<std::string>;
    EXPECT_EQ(texts_in("After=dev-disk-by\\x2duuid-" + escaped + ".device"), Texts{escaped});
    EXPECT_EQ(texts_in("systemd-cryptsetup@luks\\x2d" + escaped + ".service"), Texts{escaped});
    EXPECT_EQ(texts_in("dev-disk-by\\x2duuid-C0FF\\x2dEE42.device"), Texts{"C0FF\\x2dEE42"});
    EXPECT_EQ(texts_in("dev-disk-by\\x2dpartuuid-5eed5eed\\x2d01.swap"), Texts{signature});
    EXPECT_EQ(texts_in("dev-disk-by\\x2duuid-0123456789ABCDEF.mount"), Texts{"0123456789ABCDEF"});
    for (const std::string& text :
         Texts{"a" + escaped, escaped + "0", "1b2c3d4e\\x2d5f60-4718-9a0b-c1d2e3f4a5b6",
               "1b2c3d4e\\x2D5f60\\x2D4718\\x2D9a0b\\x2Dc1d2e3f4a5b6",
               "11111111\\x2dc0ff\\x2dee42\\x2d8000\\x2d000000000000",
               "5eed5eed\\x2d5eed\\x2d4000\\x2d8000\\x2d000000000000", "5eed5eed\\x2d012",
               "5eed5eed\\x2d0", "c0ff\\x2dee42\\x2d", "\\x2d", "\\"}) {
        EXPECT_TRUE(search(text).empty()) << text;
    }
    const std::string all = "by\\x2duuid-" + escaped + " " + uuid + std::string(90, '\\');
    for (std::size_t piece = 1; piece < 100; ++piece) {
        const std::vector<Occurrence> found = search(all, piece);
        ASSERT_EQ(found.size(), 2U) << "in pieces of " << piece;
        EXPECT_EQ(found[0].offset, 11U);
    }
}

TEST(TextSearch, PartsOfOtherWordsAreNone) {
    for (const std::string& text : std::vector<std::string>{
             "a" + uuid, uuid + "0", "11111111-c0ff-ee42-8000-000000000000", "f" + serial,
             "5eed5eed", "5eed5eed-0", "5eed5eed-5eed-4000-8000-000000000000", "5eed5eed-012",
             "0" + ntfs, "1b2c3d4e-5f60-4718-9a0b-c1d2e3f4a5b", "-", ""}) {
        EXPECT_TRUE(search(text).empty()) << text;
    }
}

TEST(TextSearch, FindsThemAtEveryPlaceInPiecesOfEverySize) {
    for (std::size_t before : {0U, 1U, 63U, 64U, 65U, 200U}) {
        const std::string text = std::string(before, 'x').append(before == 0 ? "" : "=") + uuid;
        const std::uint64_t offset = text.size() - uuid.size();
        for (std::size_t piece = 1; piece < 100; ++piece) {
            const std::vector<Occurrence> found = search(text + " " + std::string(90, '-'), piece);
            ASSERT_EQ(found.size(), 1U) << before << " in pieces of " << piece;
            EXPECT_EQ(found[0].offset, offset);
        }
        EXPECT_EQ(search(text).size(), 1U) << "at the very end";
    }
}

TEST(TextSearch, AGapPartsTexts) {
    TextSearch search({uuid});
    search.feed(0, bytes_of(uuid).first(20));
    search.feed(4096, bytes_of(uuid).subspan(20));
    search.feed(8192, bytes_of(uuid));
    const std::vector<Occurrence> found = search.finish();
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].offset, 8192U);
}

TEST(TextSearch, KeepsABoundedNumber) {
    TextSearch search({uuid});
    std::string text;
    for (std::size_t i = 0; i <= TextSearch::occurrences_max; ++i)
        text += uuid + "\n";
    search.feed(0, bytes_of(text));
    EXPECT_EQ(search.finish().size(), TextSearch::occurrences_max);
    EXPECT_EQ(search.too_often(), std::vector<std::string>{uuid});
}

TEST(TextSearch, TextsAreTheValuesThatFilesCanName) {
    identity::Recipe recipe;
    const auto add = [&](std::string kind, std::string value) {
        identity::Structure structure;
        identity::Finding finding;
        finding.kind = std::move(kind);
        finding.old_value = std::move(value);
        structure.findings.push_back(finding);
        recipe.structures.push_back(structure);
    };
    add("partition-guid", uuid);
    add("fs-uuid", "C0FF-EE42");
    add("fs-uuid", "");
    add("fs-uuid", "0000-0000");
    add("fs-uuid", "abcdef-abcd-abcd-abcd-abcd-abcd-abcdef");  // of LVM2
    add("vg-id", "C0FF-EE43");
    EXPECT_EQ(texts_of(recipe), (std::vector<std::string>{uuid, serial}));
}

}  // namespace
}  // namespace cowtgt::references
