#include "target/scsi/data_in.h"

#include <algorithm>

namespace cowtgt::scsi {

void DataIn::put(Bytes bytes) {
    if (size_ < buffer_.size()) {
        const std::size_t fits = std::min(bytes.size(), buffer_.size() - size_);
        std::copy_n(bytes.begin(), fits, buffer_.begin() + static_cast<std::ptrdiff_t>(size_));
    }
    size_ += bytes.size();
}

void DataIn::put_zeros(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
        put8(0);
    }
}

void DataIn::put_text(std::string_view text, std::size_t width) {
    put(bytes_of(text.substr(0, width)));
    for (std::size_t i = text.size(); i < width; ++i) {
        put8(' ');
    }
}

void DataIn::set(std::size_t at, const be64& value, std::size_t width) {
    const Bytes low = bytes_of_struct(value).last(width);
    for (std::size_t i = 0; i < width && at + i < buffer_.size(); ++i) {
        buffer_[at + i] = low[i];
    }
}

}  // namespace cowtgt::scsi
