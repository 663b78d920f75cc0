#pragma once

#include <fcntl.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cow-store/file_posix.h"
#include "cow-store/store/open_instance.h"
#include "cow-store/volume/layer_file.h"
#include "tests/unit/store/store_fixture.h"

namespace cowtgt::store {

inline constexpr std::uint64_t disk_bytes = 4 * mebibyte;
inline constexpr std::uint64_t mark_offset = 2 * mebibyte;  ///< where the tests write

/// A store with a template and web01, a clone of it. A mark is a cluster of one letter: enough to
/// tell states of a disk apart.
class MarkedDisks : public StoreTest {
protected:
    void SetUp() override {
        StoreTest::SetUp();
        store_ = make();
        ImportOptions options;
        options.image = make_image("image", disk_bytes, 1);
        options.name = "debian12";
        ASSERT_TRUE(store_->import_template(options));
        clone("web01");
    }

    void clone(const std::string& name) {
        CloneOptions options;
        options.source.name = "debian12";
        options.name = name;
        const auto made = store_->clone(options);
        ASSERT_TRUE(made) << message_of(made);
    }

    Result<InstanceInfo> clone_snapshot(const std::string& label, const std::string& name) {
        CloneOptions options;
        options.name = name;
        return store_->clone_snapshot("web01", label, options);
    }

    std::filesystem::path folder_of(const std::string& name) const {
        return root() / "instances" / name;
    }

    /// Makes a live layer that says `mark` at mark_offset, as a machine that wrote it would have.
    void write_mark(const std::string& name, char mark) {
        LayerSpec spec;
        std::filesystem::path path;
        {
            const auto opened = store_->open_instance(name);
            ASSERT_TRUE(opened) << message_of(opened);
            const LayerSummary& summary = (*opened)->layer.summary();
            spec.uuid = summary.uuid;
            spec.virtual_size = summary.virtual_size;
            spec.block_size = summary.block_size;
            spec.parent = summary.parent;
        }
        for (const auto& entry : std::filesystem::directory_iterator(folder_of(name))) {
            if (entry.path().extension() != ".cow") continue;
            const auto file = PosixFile::open(entry.path(), O_RDONLY);
            if (inspect_layer(**file)->uuid == spec.uuid) path = entry.path();
        }
        std::filesystem::remove(path);
        const auto file = PosixFile::open(path, O_RDWR | O_CREAT | O_EXCL);
        ASSERT_TRUE(file);
        spec.initial_blocks.push_back(
            {mark_offset, std::vector<std::byte>(4096, static_cast<std::byte>(mark))});
        ASSERT_TRUE(create_layer(**file, spec));
    }

    char mark_of(const std::string& name) {
        return static_cast<char>(export_of(*store_, name)[mark_offset + 100]);
    }

    Content snapshot_content(const std::string& name, const std::string& label) {
        Content content(disk_bytes);
        const auto sink = [&content](std::uint64_t offset,
                                     std::span<const std::byte> bytes) -> Result<void> {
            std::ranges::copy(bytes, content.begin() + static_cast<std::ptrdiff_t>(offset));
            return {};
        };
        const Result<void> done = store_->export_snapshot(name, label, sink, {});
        EXPECT_TRUE(done) << message_of(done);
        return content;
    }

    std::size_t layer_files(const std::string& name) const {
        std::size_t count = 0;
        for (const auto& entry : std::filesystem::directory_iterator(folder_of(name)))
            count += entry.path().extension() == ".cow" ? 1 : 0;
        return count;
    }

    std::unique_ptr<Store> store_;
};

}  // namespace cowtgt::store
