#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "cow-store/base/checksum.h"
#include "cow-store/journal/ring_writer.h"
#include "cow-store/volume/layer_file.h"
#include "tests/sim/sim_file.h"

/// The worked example of cow-store/FORMAT.md is what the code writes.
namespace cowtgt {
namespace {

/// "0000  63 6f 77 ..." for each 16 bytes that are not all zero.
std::string dump(Bytes bytes) {
    std::string text;
    for (std::size_t at = 0; at < bytes.size(); at += 16) {
        const Bytes line = bytes.subspan(at, std::min<std::size_t>(16, bytes.size() - at));
        std::string hex;
        bool zeros = true;
        for (const std::byte byte : line) {
            char digits[4];
            (void)std::snprintf(digits, sizeof digits, " %02x", std::to_integer<unsigned>(byte));
            hex += digits;
            zeros = zeros && byte == std::byte{0};
        }
        char head[24];
        (void)std::snprintf(head, sizeof head, "%04zx ", at);
        if (!zeros) text += head + hex + "\n";
    }
    return text;
}

LayerSpec example() {
    LayerSpec spec;
    for (std::uint8_t i = 0; i < 16; ++i) {
        spec.uuid.bytes[i] = static_cast<std::uint8_t>(i * 0x11);
        spec.parent.uuid.bytes[i] = static_cast<std::uint8_t>(0xa0 + i);
    }
    spec.virtual_size = std::uint64_t{1} << 30;
    spec.parent.content_id = 0x1122334455667788;
    spec.parent.overlap_limit = std::uint64_t{1} << 30;
    spec.initial_blocks = {{0, std::vector<std::byte>(8192, std::byte{'A'})},
                           {std::uint64_t{4} << 20, std::vector<std::byte>(4096, std::byte{'B'})}};
    return spec;
}

std::string format_text() {
    std::ifstream file(COWTGT_SOURCE_DIR "/cow-store/FORMAT.md");
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

void expect_in_format(const std::string& dumped) {
    EXPECT_NE(format_text().find("```\n" + dumped + "```"), std::string::npos)
        << "FORMAT.md should have:\n"
        << dumped;
}

TEST(FormatExample, TheLayerOfTheDocumentIsWhatIsWritten) {
    sim::File file(1);
    ASSERT_TRUE(create_layer(file, example()));
    EXPECT_EQ(*file.size(), 7U * 4096);
    std::vector<std::byte> bytes(7 * 4096);
    ASSERT_TRUE(file.read_at(0, bytes));
    const Bytes all = bytes;
    expect_in_format(dump(all.first(4096)));
    expect_in_format(dump(all.subspan(5 * 4096, 4096)));
    expect_in_format(dump(all.subspan(6 * 4096, 4096)));
}

TEST(FormatExample, TheRecordsOfTheDocumentAreWhatIsWritten) {
    RingWriter ring({256, 256, 0, 1, 1, 0}, example().uuid);
    expect_in_format(dump(ring.tentative(std::vector<RecordEntry>{{256, 2, 512}}).pieces[0].bytes));
    expect_in_format(dump(ring.commit(1).pieces[0].bytes));
}

TEST(FormatExample, TheCommitWithHashesOfTheDocumentIsWhatIsWritten) {
    RingWriter ring({256, 256, 0, 1, 1, 0}, example().uuid);
    (void)ring.tentative(std::vector<RecordEntry>{{256, 2, 512}});
    const std::uint64_t hash = xxh3_64(std::vector<std::byte>(4096, std::byte{'C'}));
    const std::vector<UnitHash> hashes = {{512, hash}, {513, hash}};
    expect_in_format(dump(ring.hashed_commit(hashes).pieces[0].bytes));
}

}  // namespace
}  // namespace cowtgt
