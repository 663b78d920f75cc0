#include "target/iscsi/task_table.h"

#include <utility>

#include "cow-store/base/check.h"

namespace cowtgt::iscsi {

namespace {

/// Back to the state of a new task; only the memory that vectors hold is kept.
void renew(Task& task) {
    std::vector<std::uint8_t> extended_cdb = std::move(task.extended_cdb);
    std::vector<std::byte> sense_segment = std::move(task.sense_segment);
    extended_cdb.clear();
    sense_segment.clear();
    task = Task{};
    task.extended_cdb = std::move(extended_cdb);
    task.sense_segment = std::move(sense_segment);
}

}  // namespace

Task* TaskTable::create(std::uint32_t initiator_task_tag) {
    if (in_use_ == tasks_max_) return nullptr;
    if (free_ == nullptr) {
        chunks_.push_back(std::make_unique<Chunk>());
        for (Task& task : *chunks_.back())
            task.next_in_bucket = std::exchange(free_, &task);
    }
    Task& task = *free_;
    free_ = task.next_in_bucket;
    renew(task);
    task.in_use = true;
    task.initiator_task_tag = initiator_task_tag;
    Task*& bucket = buckets_[bucket_of(initiator_task_tag)];
    task.next_in_bucket = std::exchange(bucket, &task);
    ++in_use_;
    return &task;
}

Task* TaskTable::find(std::uint32_t initiator_task_tag) const {
    Task* task = buckets_[bucket_of(initiator_task_tag)];
    while (task != nullptr && task->initiator_task_tag != initiator_task_tag) {
        task = task->next_in_bucket;
    }
    return task;
}

void TaskTable::forget_tag(Task& task) {
    Task** link = &buckets_[bucket_of(task.initiator_task_tag)];
    while (*link != &task) {
        CHECK(*link != nullptr);
        link = &(*link)->next_in_bucket;
    }
    *link = std::exchange(task.next_in_bucket, nullptr);
}

void TaskTable::release(Task& task) {
    CHECK(task.in_use && task.next_in_bucket == nullptr);
    task.in_use = false;
    task.lent_data_in = {};
    task.next_in_bucket = std::exchange(free_, &task);
    --in_use_;
}

Task* TaskTable::at(std::size_t index) {
    Task& task = (*chunks_[index / chunk_size])[index % chunk_size];
    return task.in_use ? &task : nullptr;
}

}  // namespace cowtgt::iscsi
