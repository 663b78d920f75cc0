#include "tests/unit/iscsi/pdu_words.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <map>
#include <sstream>

namespace cowtgt::iscsi {

/// "kind number... key=value..."
struct WordScript::Words {
    explicit Words(std::string_view text) {
        std::istringstream in{std::string(text)};
        in >> kind;
        for (std::string word; in >> word;) {
            const std::size_t equals = kind == "text" && plain.empty() ? word.npos : word.find('=');
            if (equals == word.npos) {
                plain.push_back(word);
            } else {
                fields[word.substr(0, equals)] = word.substr(equals + 1);
            }
        }
    }

    bool has(const std::string& key) const { return fields.contains(key); }
    std::uint32_t number(const std::string& key, std::uint32_t otherwise, int base = 10) const {
        const auto found = fields.find(key);
        return found == fields.end()
                   ? otherwise
                   : static_cast<std::uint32_t>(std::stoll(found->second, nullptr, base));
    }
    std::uint32_t plain_number(std::size_t index) const {
        return plain.size() > index ? static_cast<std::uint32_t>(std::stoul(plain[index])) : 0;
    }
    bool immediate() const { return !plain.empty() && plain.back() == "immediate"; }

    std::string kind;
    std::vector<std::string> plain;
    std::map<std::string, std::string> fields;
};

namespace {

std::string format(const char* form, unsigned long long a, unsigned long long b = 0,
                   unsigned long long c = 0, unsigned long long d = 0) {
    char text[120];
    std::snprintf(text, sizeof text, form, a, b, c, d);
    return text;
}

std::vector<std::byte> bytes_of_hex(const std::string& hex) {
    std::vector<std::byte> bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
        bytes.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    return bytes;
}

std::string with_separators(std::string text, char from, char to) {
    for (char& c : text)
        c = c == from ? to : c;
    return text;
}

}  // namespace

WordScript::WordScript(const KeyValues& keys) {
    if (!keys.empty() && keys.front().first == "SessionType") {
        script_.log_in_to_discovery();
    } else {
        script_.log_in(keys);
    }
}

std::string WordScript::send(std::string_view text) {
    const Words words(text);
    std::vector<ReceivedPdu> answers;
    if (words.kind == "read" || words.kind == "write" || words.kind == "hold" ||
        words.kind == "fail") {
        answers = send_command(words);
    } else if (words.kind == "data") {
        answers = send_data_out(words);
    } else {
        answers = send_other(words);
    }
    std::string told;
    for (const ReceivedPdu& answer : answers)
        told += (told.empty() ? "" : "; ") + describe(answer);
    if (!script_.owner.closes.empty() && !std::exchange(close_told_, true)) {
        told += told.empty() ? "closed" : "; closed";
    }
    return told.empty() ? "-" : told;
}

std::uint8_t WordScript::opcode_of(std::uint8_t opcode, const Words& words) const {
    return words.immediate() ? opcode | opcode::immediate : opcode;
}

/// The next number, unless it is told or the PDU takes none.
std::uint32_t WordScript::cmd_sn(const Words& words) {
    if (words.has("sn")) return script_.cmd_sn() + words.number("sn", 0);
    return words.immediate() ? script_.cmd_sn() : script_.next_cmd_sn();
}

std::vector<ReceivedPdu> WordScript::send_command(const Words& words) {
    static const std::map<std::string, std::pair<std::uint8_t, std::uint8_t>> kinds = {
        {"read", {read_operation, ScsiCommand::flag_read}},
        {"write", {write_operation, ScsiCommand::flag_write}},
        {"hold", {hold_operation, 0}},
        {"fail", {fail_operation, 0}},
    };
    const auto [operation, direction] = kinds.at(words.kind);
    const std::uint32_t length = words.plain_number(0);
    ScsiCommand pdu{};
    pdu.opcode = opcode_of(opcode::scsi_command, words);
    pdu.flags = static_cast<std::uint8_t>(words.number("f", flag_final | direction, 16));
    pdu.initiator_task_tag = words.has("itt") ? words.number("itt", 0, 16) : script_.next_tag();
    pdu.expected_data_transfer_length = words.number("edtl", length);
    pdu.cmd_sn = cmd_sn(words);
    pdu.cdb = cdb_of(operation, length);
    last_command_ = pdu.initiator_task_tag.get();
    last_cmd_sn_ = pdu.cmd_sn.get();
    const std::vector<std::byte> data(words.number("with", 0));
    if (!words.has("ahs")) return script_.send(pdu, data);
    const std::vector<std::byte> ahs = bytes_of_hex(words.fields.at("ahs"));
    pdu.total_ahs_length = static_cast<std::uint8_t>(ahs.size() / 4);
    const Bytes header = bytes_of_struct(pdu);
    std::vector<std::byte> wire(header.begin(), header.end());
    wire.insert(wire.end(), ahs.begin(), ahs.end());
    return script_.send_bytes(wire);
}

std::vector<ReceivedPdu> WordScript::send_data_out(const Words& words) {
    DataOut pdu{};
    pdu.opcode = opcode::data_out;
    pdu.flags = static_cast<std::uint8_t>(words.number("f", flag_final, 16));
    pdu.initiator_task_tag = words.has("itt") ? words.number("itt", 0, 16) : last_command_;
    pdu.target_transfer_tag = reserved_tag;
    if (words.has("ttt")) {
        pdu.target_transfer_tag =
            words.fields.at("ttt") == "r2t" ? last_transfer_tag_ : words.number("ttt", 0, 16);
    }
    pdu.data_sn = words.number("dsn", 0);
    pdu.buffer_offset = words.plain_number(0);
    return script_.send(pdu, std::vector<std::byte>(words.plain_number(1)));
}

/// What is not about the data of a command. Fields that a PDU does not have are not looked at.
std::vector<ReceivedPdu> WordScript::send_other(const Words& words) {
    static const std::map<std::string, std::uint8_t> kinds = {
        {"ping", opcode::nop_out},
        {"text", opcode::text_request},
        {"abort", opcode::task_management_request},
        {"function", opcode::task_management_request},
        {"logout", opcode::logout_request},
        {"snack", opcode::snack_request},
        {"login", opcode::login_request},
    };
    TaskManagementRequestPdu pdu{};
    const bool is_plain_opcode = words.kind == "opcode";
    pdu.opcode = opcode_of(
        is_plain_opcode ? static_cast<std::uint8_t>(words.plain_number(0)) : kinds.at(words.kind),
        words);
    std::uint32_t code = 0;  // function or reason
    if (words.kind == "abort") code = 1;
    if (words.kind == "function" || words.kind == "logout") code = words.plain_number(0);
    pdu.function = static_cast<std::uint8_t>(words.number("f", flag_final | code, 16));
    pdu.initiator_task_tag = words.has("itt") ? words.number("itt", 0, 16) : script_.next_tag();
    pdu.referenced_task_tag = reserved_tag;  // in other PDUs the Target Transfer Tag
    if (words.kind == "abort") pdu.referenced_task_tag = words.number("ref", last_command_, 16);
    if (words.kind == "logout") pdu.referenced_task_tag = words.number("cid", 0) << 16;
    if (words.has("ttt")) {
        pdu.referenced_task_tag =
            words.fields.at("ttt") == "r2t" ? last_transfer_tag_ : words.number("ttt", 0, 16);
    }
    pdu.cmd_sn = cmd_sn(words);
    pdu.ref_cmd_sn =
        words.has("refsn") ? script_.cmd_sn() + words.number("refsn", 0) : last_cmd_sn_;
    if (words.kind == "text" && !words.plain.empty() && words.plain[0] != "immediate") {
        const std::string text = with_separators(words.plain[0], ';', '\0');
        return script_.send(pdu, bytes_of(text));
    }
    return script_.send(pdu,
                        std::vector<std::byte>(words.kind == "ping" ? words.plain_number(0) : 0));
}

std::string WordScript::describe(const ReceivedPdu& pdu) {
    switch (pdu.header.opcode()) {
        case opcode::data_in: {
            const auto data = pdu.as<DataIn>();
            return format("data-in %02llx dsn=%llu %llu+%llu", data.flags, data.data_sn.get(),
                          data.buffer_offset.get(), pdu.data.size()) +
                   (data.residual_count.get() != 0 ? format(" res=%llu", data.residual_count.get())
                                                   : "");
        }
        case opcode::scsi_response: {
            const auto response = pdu.as<ScsiResponsePdu>();
            std::string text = format("status=%llu", response.status);
            if (response.residual_count.get() != 0) {
                text += format(" %02llx res=%llu", response.flags, response.residual_count.get());
            }
            if (pdu.data.size() < 16) return text;
            return text + format(" sense=%02llx/%02llx%02llx",
                                 std::to_integer<unsigned>(pdu.data[4]),
                                 std::to_integer<unsigned>(pdu.data[14]),
                                 std::to_integer<unsigned>(pdu.data[15]));
        }
        case opcode::ready_to_transfer: {
            const auto r2t = pdu.as<ReadyToTransfer>();
            last_transfer_tag_ = r2t.target_transfer_tag.get();
            return format("r2t %llu %llu+%llu", r2t.r2t_sn.get(), r2t.buffer_offset.get(),
                          r2t.desired_data_transfer_length.get());
        }
        case opcode::nop_in:
            return format("pong %llu", pdu.data.size());
        case opcode::task_management_response:
            return format("function=%llu", pdu.as<TaskManagementResponsePdu>().response);
        case opcode::logout_response:
            return format("logout=%llu", pdu.as<LogoutResponse>().response);
        case opcode::reject:
            return format("reject=%02llx", pdu.as<Reject>().reason);
        case opcode::text_response:
            last_transfer_tag_ = pdu.as<TextResponse>().target_transfer_tag.get();
            return format("text %02llx ", pdu.header.flags) +
                   with_separators(std::string(pdu.text()), '\0', ';');
        default:
            return format("opcode=%02llx", pdu.header.opcode());
    }
}

}  // namespace cowtgt::iscsi
