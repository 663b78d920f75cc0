#include "tests/unit/store/store_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <random>

#include "cow-store/base/endian.h"
#include "cow-store/store/file_system.h"

namespace cowtgt::store {

namespace {

/// A boot sector with a signature and one partition from sector 2048 to the end.
std::array<std::byte, 512> boot_sector(std::uint64_t size, std::uint32_t number) {
    std::array<std::byte, 512> sector{};
    const auto put = [&sector](std::size_t at, std::uint32_t value) {
        const le32 field = value;
        std::ranges::copy(bytes_of_struct(field), sector.begin() + static_cast<std::ptrdiff_t>(at));
    };
    put(signature_offset, 0xc0de0000U + number);
    sector[450] = std::byte{0x83};
    put(454, 2048);
    put(458, static_cast<std::uint32_t>(std::min<std::uint64_t>(size / 512 - 2048, 0xffffffffU)));
    sector[510] = std::byte{0x55};
    sector[511] = std::byte{0xaa};
    return sector;
}

Store::Sink into(Content& content) {
    return [&content](std::uint64_t offset, std::span<const std::byte> bytes) -> Result<void> {
        EXPECT_LE(offset + bytes.size(), content.size());
        std::ranges::copy(bytes, content.begin() + static_cast<std::ptrdiff_t>(offset));
        return {};
    };
}

}  // namespace

void StoreTest::SetUp() {
    std::string pattern = (std::filesystem::temp_directory_path() / "cowtgt-store-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
}

void StoreTest::TearDown() {
    std::filesystem::remove_all(folder_);
}

std::filesystem::path StoreTest::make_image(const std::string& name, std::uint64_t size,
                                            std::uint32_t number) const {
    std::filesystem::path path = folder_ / name;
    std::ofstream(path).close();
    std::filesystem::resize_file(path, size);
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    const auto write = [&file](std::uint64_t offset, Bytes bytes) {
        file.seekp(static_cast<std::streamoff>(offset));
        file.write(text_of(bytes).data(), static_cast<std::streamsize>(bytes.size()));
    };
    if (size >= 2 * mebibyte) write(0, boot_sector(size, number));
    std::mt19937_64 random(number);
    std::vector<std::byte> data(20000);
    for (int piece = 0; piece < 8; ++piece) {
        std::ranges::generate(data, [&] { return static_cast<std::byte>(random()); });
        const std::uint64_t begin = std::min<std::uint64_t>(size / 2, mebibyte);
        const std::uint64_t length = std::min<std::uint64_t>(data.size(), size - begin);
        write(begin + random() % (size - begin - length + 1), Bytes{data}.first(length));
    }
    return path;
}

std::filesystem::path StoreTest::write_file(const std::string& name, std::string_view text) const {
    std::filesystem::path path = folder_ / name;
    std::ofstream(path, std::ios::binary) << text;
    return path;
}

std::unique_ptr<Store> StoreTest::open(Locking locking, const Environment& environment) const {
    Environment impatient = environment;
    impatient.lock_patience = std::chrono::milliseconds{0};
    Result<std::unique_ptr<Store>> store = Store::open(root(), locking, impatient);
    EXPECT_TRUE(store) << message_of(store);
    return store ? std::move(*store) : nullptr;
}

std::unique_ptr<Store> StoreTest::make() const {
    const Result<void> made = Store::create(root());
    EXPECT_TRUE(made) << message_of(made);
    return open();
}

std::vector<std::string> StoreTest::leftovers() const {
    return list_directory(root() / "tmp").value();
}

Content read_all(const std::filesystem::path& path) {
    Content content(std::filesystem::file_size(path));
    std::ifstream file(path, std::ios::binary);
    file.read(reinterpret_cast<char*>(content.data()),
              static_cast<std::streamsize>(content.size()));
    return content;
}

Content export_of(Store& store, std::string_view instance) {
    const Result<InstanceInfo> info = store.find_instance(instance);
    EXPECT_TRUE(info) << message_of(info);
    if (!info) return {};
    Content content(info->size_bytes);
    const Result<void> done = store.export_instance(instance, into(content), {});
    EXPECT_TRUE(done) << message_of(done);
    return content;
}

Content export_of(const Store& store, const TemplateRef& ref) {
    const Result<TemplateInfo> info = store.find_template(ref);
    EXPECT_TRUE(info) << message_of(info);
    if (!info) return {};
    Content content(info->size_bytes);
    const Result<void> done = store.export_template(ref, into(content), {});
    EXPECT_TRUE(done) << message_of(done);
    return content;
}

Difference difference(const Content& a, const Content& b) {
    EXPECT_EQ(a.size(), b.size());
    const std::size_t size = std::min(a.size(), b.size());
    std::size_t begin = 0;
    while (begin < size && a[begin] == b[begin])
        ++begin;
    std::size_t end = size;
    while (end > begin && a[end - 1] == b[end - 1])
        --end;
    return begin == end ? Difference{} : Difference{begin, end};
}

std::uint64_t allocated_in(const std::filesystem::path& folder) {
    std::uint64_t bytes = allocated_bytes_of(folder);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        bytes += allocated_bytes_of(entry.path());
    }
    return bytes;
}

}  // namespace cowtgt::store
