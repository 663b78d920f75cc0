#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cow-store/base/bytes.h"
#include "cow-store/store/store.h"

namespace cowtgt::store {

using Content = std::vector<std::byte>;

inline constexpr std::uint64_t mebibyte = std::uint64_t{1} << 20;
inline constexpr std::uint64_t gibibyte = std::uint64_t{1} << 30;
/// Where the disk signature is, the only identity of the test images.
inline constexpr std::uint64_t signature_offset = 440;
inline constexpr std::uint64_t signature_length = 4;

/// A real store in a temporary folder, which goes when the test ends.
class StoreTest : public testing::Test {
protected:
    void SetUp() override;
    void TearDown() override;

    std::filesystem::path folder() const { return folder_; }
    std::filesystem::path root() const { return folder_ / "store"; }

    /// A partitioned disk with data and holes, the same for the same `number`.
    std::filesystem::path make_image(const std::string& name, std::uint64_t size,
                                     std::uint32_t number) const;
    std::filesystem::path write_file(const std::string& name, std::string_view text) const;

    /// Opens the store; the test fails if that does.
    std::unique_ptr<Store> open(Locking locking = Locking::exclusive,
                                const Environment& environment = {}) const;
    /// Creates and opens it.
    std::unique_ptr<Store> make() const;

    /// The names in STORE/tmp.
    std::vector<std::string> leftovers() const;

private:
    std::filesystem::path folder_;
};

Content read_all(const std::filesystem::path& path);
Content export_of(Store& store, std::string_view instance);
Content export_of(const Store& store, const TemplateRef& ref);
/// Where two contents of one size differ, as offsets of the first and behind the last byte; equal
/// ends: nowhere.
struct Difference {
    std::uint64_t begin = 0, end = 0;
    friend bool operator==(const Difference&, const Difference&) = default;
};
Difference difference(const Content& a, const Content& b);
/// Bytes on the host of all files in a folder.
std::uint64_t allocated_in(const std::filesystem::path& folder);
/// Empty if it succeeded.
template <typename T>
std::string message_of(const Result<T>& result) {
    return result ? "" : result.error().message;
}

}  // namespace cowtgt::store
