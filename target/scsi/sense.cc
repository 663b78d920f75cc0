#include "target/scsi/sense.h"

#include <algorithm>

namespace cowtgt::scsi {
namespace {

constexpr std::uint8_t fixed_length = 18;
constexpr std::uint64_t fixed_information_max = 0xffffffff;

void put_big_endian(std::span<std::uint8_t> out, std::uint64_t value) {
    for (std::size_t i = out.size(); i > 0; --i) {
        out[i - 1] = static_cast<std::uint8_t>(value);
        value >>= 8;
    }
}

/// SENSE KEY SPECIFIC: three bytes, SKSV first.
void put_field_pointer(std::span<std::uint8_t> out, const FieldPointer& field) {
    out[0] = 0x80;
    if (field.place == FieldPointer::Place::cdb) out[0] |= 0x40;
    if (field.bit) out[0] = static_cast<std::uint8_t>(out[0] | 0x08U | (*field.bit & 7U));
    put_big_endian(out.subspan(1, 2), field.byte);
}

/// SPC-4 section 4.5.2.4.4.
void put_progress(std::span<std::uint8_t> out, std::uint16_t progress) {
    out[0] = 0x80;
    put_big_endian(out.subspan(1, 2), progress);
}

std::uint8_t write_fixed(const Sense& sense, std::span<std::uint8_t> out) {
    out[0] = 0x70;
    if (sense.information && *sense.information <= fixed_information_max) {
        out[0] |= 0x80;
        put_big_endian(out.subspan(3, 4), *sense.information);
    }
    out[2] = static_cast<std::uint8_t>(sense.code.key);
    out[7] = fixed_length - 8;
    out[12] = sense.code.asc;
    out[13] = sense.code.ascq;
    if (sense.field) put_field_pointer(out.subspan(15, 3), *sense.field);
    if (sense.progress) put_progress(out.subspan(15, 3), *sense.progress);
    return fixed_length;
}

std::uint8_t write_descriptors(const Sense& sense, std::span<std::uint8_t> out) {
    out[0] = 0x72;
    out[1] = static_cast<std::uint8_t>(sense.code.key);
    out[2] = sense.code.asc;
    out[3] = sense.code.ascq;
    std::uint8_t length = 8;
    if (sense.information) {
        const std::span<std::uint8_t> descriptor = out.subspan(length, 12);
        descriptor[1] = 0x0a;
        descriptor[2] = 0x80;  // VALID
        put_big_endian(descriptor.subspan(4, 8), *sense.information);
        length = static_cast<std::uint8_t>(length + 12);
    }
    if (sense.field || sense.progress) {
        const std::span<std::uint8_t> descriptor = out.subspan(length, 8);
        descriptor[0] = 0x02;
        descriptor[1] = 0x06;
        if (sense.field) put_field_pointer(descriptor.subspan(4, 3), *sense.field);
        if (sense.progress) put_progress(descriptor.subspan(4, 3), *sense.progress);
        length = static_cast<std::uint8_t>(length + 8);
    }
    out[7] = static_cast<std::uint8_t>(length - 8);
    return length;
}

}  // namespace

std::uint8_t write_sense(const Sense& sense, SenseFormat format,
                         std::span<std::uint8_t, sense_bytes_max> out) {
    std::fill(out.begin(), out.end(), std::uint8_t{0});
    return format == SenseFormat::fixed ? write_fixed(sense, out) : write_descriptors(sense, out);
}

Done check_condition(const Sense& sense, SenseFormat format) {
    Done done;
    done.status = status::check_condition;
    done.sense_length = write_sense(sense, format, done.sense);
    return done;
}

}  // namespace cowtgt::scsi
