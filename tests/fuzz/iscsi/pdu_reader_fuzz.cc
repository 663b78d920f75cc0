#include <cstddef>
#include <cstdint>

#include "cow-store/base/check.h"
#include "target/iscsi/pdu_reader.h"

// Byte 0: digests and the way the stream is cut; the rest is the stream. Whole and in pieces it
// has to be cut into the same PDUs.

namespace {

using namespace cowtgt;
using namespace cowtgt::iscsi;

struct Summary {
    std::uint64_t headers = 0, ends = 0, payload = 0, right_digests = 0;
    PduReader::Step last = PduReader::Step::need_more;
    friend bool operator==(const Summary&, const Summary&) = default;
};

Summary read_all(Bytes input, Digests digests, std::size_t cut) {
    PduReader reader;
    reader.set_digests(digests);
    Summary summary;
    while (!input.empty()) {
        Bytes piece = input.first(cut < input.size() ? cut : input.size());
        input = input.subspan(piece.size());
        for (;;) {
            const PduReader::Step step = reader.feed(piece);
            if (step == PduReader::Step::need_more) break;
            summary.last = step;
            switch (step) {
                case PduReader::Step::header:
                    ++summary.headers;
                    CHECK(reader.additional_headers().size() ==
                          std::size_t{reader.header().total_ahs_length} * 4);
                    break;
                case PduReader::Step::payload:
                    summary.payload += reader.payload().size();
                    summary.last = PduReader::Step::header;  // pieces depend on the cut
                    break;
                case PduReader::Step::end:
                    ++summary.ends;
                    summary.right_digests += reader.data_digest_is_right() ? 1 : 0;
                    break;
                default:
                    return summary;
            }
        }
        CHECK(piece.empty());
    }
    return summary;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const Digests digests{(data[0] & 1) != 0, (data[0] & 2) != 0};
    const Bytes stream = std::as_bytes(std::span(data + 1, size - 1));
    const Summary whole = read_all(stream, digests, stream.size() + 1);
    CHECK(read_all(stream, digests, 1 + (data[0] >> 2)) == whole);
    return 0;
}
