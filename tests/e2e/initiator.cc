#include "tests/e2e/initiator.h"

// libiscsi's headers are C and name no lengths; this order is the one they need.
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#include <poll.h>

#include <stdexcept>

namespace cowtgt::e2e {

/// One command in flight. libiscsi refers to the data until it calls back.
struct Initiator::Command {
    Initiator* initiator = nullptr;
    std::vector<std::uint8_t> data;
    WriteDone write_done;
    ReadDone read_done;
    bool finished = false;

    static void answered(iscsi_context*, int status, void* task, void* command);
};

void Initiator::Context::operator()(iscsi_context* context) const {
    iscsi_destroy_context(context);
}

void Initiator::Command::answered(iscsi_context*, int status, void* task, void* command_pointer) {
    auto& command = *static_cast<Command*>(command_pointer);
    auto* answer = static_cast<scsi_task*>(task);
    const Answer outcome = status == SCSI_STATUS_GOOD              ? Answer::good
                           : status == SCSI_STATUS_CHECK_CONDITION ? Answer::check_condition
                                                                   : Answer::connection_lost;
    if (outcome == Answer::connection_lost) command.initiator->lost_ = true;
    --command.initiator->in_flight_;
    command.finished = true;
    if (command.write_done) {
        command.write_done(outcome);
    } else if (outcome == Answer::good) {
        command.read_done(outcome,
                          {answer->datain.data, static_cast<std::size_t>(answer->datain.size)});
    } else {
        command.read_done(outcome, {});
    }
    if (answer != nullptr) scsi_free_scsi_task(answer);
}

Initiator::Initiator(const std::string& name, const std::string& portal, const std::string& target)
    : context_(iscsi_create_context(name.c_str())) {
    iscsi_set_targetname(context_.get(), target.c_str());
    iscsi_set_session_type(context_.get(), ISCSI_SESSION_NORMAL);
    iscsi_set_header_digest(context_.get(), ISCSI_HEADER_DIGEST_NONE);
    iscsi_set_noautoreconnect(context_.get(), 1);
    if (iscsi_full_connect_sync(context_.get(), portal.c_str(), 0) != 0) {
        throw std::runtime_error("login to " + target + ": " + iscsi_get_error(context_.get()));
    }
}

Initiator::~Initiator() {
    if (!lost_ && in_flight_ == 0) iscsi_logout_sync(context_.get());
    // Callbacks of what is still in flight come now, while their commands exist.
    for (const auto& command : commands_) {
        command->write_done = [](Answer) {};
    }
    context_.reset();
}

void Initiator::write(std::uint64_t lba, std::vector<std::uint8_t> data, WriteDone done) {
    auto command = std::make_unique<Command>();
    command->initiator = this;
    command->data = std::move(data);
    command->write_done = std::move(done);
    if (iscsi_write16_task(context_.get(), 0, lba, command->data.data(),
                           static_cast<std::uint32_t>(command->data.size()), block_size, 0, 0, 0, 0,
                           0, Command::answered, command.get()) == nullptr) {
        throw std::runtime_error(iscsi_get_error(context_.get()));
    }
    commands_.push_back(std::move(command));
    ++in_flight_;
}

void Initiator::read(std::uint64_t lba, std::uint32_t block_count, ReadDone done) {
    auto command = std::make_unique<Command>();
    command->initiator = this;
    command->read_done = std::move(done);
    if (iscsi_read16_task(context_.get(), 0, lba, block_count * block_size, block_size, 0, 0, 0, 0,
                          0, Command::answered, command.get()) == nullptr) {
        throw std::runtime_error(iscsi_get_error(context_.get()));
    }
    commands_.push_back(std::move(command));
    ++in_flight_;
}

bool Initiator::step() {
    if (lost_) return false;
    pollfd ready{descriptor(), poll_events(), 0};
    if (::poll(&ready, 1, 0) < 0) throw std::runtime_error("poll");
    // Input first and alone: libiscsi would throw away answers that have arrived when it is told
    // of an error at the same time.
    const bool input = (ready.revents & POLLIN) != 0;
    if (input && iscsi_service(context_.get(), POLLIN) != 0) lose_connection();
    if (!lost_ && (ready.revents & POLLOUT) != 0 && iscsi_service(context_.get(), POLLOUT) != 0) {
        lose_connection();
    }
    if (!lost_ && !input && (ready.revents & (POLLERR | POLLHUP)) != 0) lose_connection();
    std::erase_if(commands_, [](const auto& command) { return command->finished; });
    return !lost_;
}

void Initiator::lose_connection() {
    lost_ = true;
    iscsi_scsi_cancel_all_tasks(context_.get());
}

int Initiator::descriptor() const {
    return iscsi_get_fd(context_.get());
}

short Initiator::poll_events() const {
    return static_cast<short>(iscsi_which_events(context_.get()));
}

bool answers_discovery(const std::string& portal) {
    const auto destroy = [](iscsi_context* context) { iscsi_destroy_context(context); };
    const std::unique_ptr<iscsi_context, decltype(destroy)> context(
        iscsi_create_context("iqn.2026-01.test:probe"), destroy);
    iscsi_set_session_type(context.get(), ISCSI_SESSION_DISCOVERY);
    iscsi_set_noautoreconnect(context.get(), 1);
    iscsi_set_timeout(context.get(), 1);
    return iscsi_connect_sync(context.get(), portal.c_str()) == 0 &&
           iscsi_login_sync(context.get()) == 0 && iscsi_logout_sync(context.get()) == 0;
}

bool step_all(std::span<const std::unique_ptr<Initiator>> initiators) {
    std::vector<pollfd> waiting;
    for (const auto& initiator : initiators) {
        waiting.push_back({initiator->descriptor(), initiator->poll_events(), 0});
    }
    if (::poll(waiting.data(), waiting.size(), 1000) < 0) throw std::runtime_error("poll");
    bool connected = true;
    for (std::size_t i = 0; i < initiators.size(); ++i) {
        if (waiting[i].revents != 0) connected = initiators[i]->step() && connected;
    }
    return connected;
}

}  // namespace cowtgt::e2e
