// SPDX-License-Identifier: MIT
// run_probe() asks for each product of the plan by its kind's list, one list a kind where that will
// do, and judges: none there, all there, or a part ("half"). Of a removal, absence is concluded
// from a list that was asked for anew. A drive is judged by what query-block says it holds; a
// medium that is neither image nor what was seen before means that others changed it ("overtaken").
// Descriptor sets that nothing uses count as a part that is left. What fails on the way proves
// nothing.
#include "store/qmp/probe.hpp"

#include <algorithm>
#include <set>
#include <vector>

#include "store/qmp/inventory.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

using qmp::Monitor;

Evidence nothing_known(std::string reason)
{
    Evidence evidence;
    evidence.silent = true;
    evidence.reason = std::move(reason);
    return evidence;
}

// A drive itself cannot be taken out; its entry may go when QEMU has no such drive.
Evidence judge_removal_of_drive(const Drives& found, const DriveProbe& probe)
{
    Evidence evidence;
    const bool there = found.find(probe.drive) != nullptr;
    evidence.image = there ? Image::before : Image::after;
    evidence.reason = (there ? "QEMU has drive " : "QEMU has no drive ") + json_shown(probe.drive);
    return evidence;
}

Evidence judge_drive(const Drives& found, const DriveProbe& probe)
{
    Evidence evidence;
    const auto* drive = found.find(probe.drive);
    if (!drive) {
        evidence.overtaken = true;
        evidence.reason = "QEMU has no drive " + json_shown(probe.drive);
        return evidence;
    }
    evidence.medium = drive->file;
    if (drive->file) evidence.medium_name = found.medium_in(*drive);
    evidence.tray_shut = drive->locked && !drive->tray_open;
    if (!drive->file) {
        evidence.image = !probe.after    ? Image::after
                         : !probe.before ? Image::before
                                         : Image::neither;
        evidence.reason = "query-block: drive " + json_shown(probe.drive) + " is empty";
    } else {
        evidence.reason =
            "query-block: drive " + json_shown(probe.drive) + " holds " + found.shown(*drive->file);
        if (probe.after && found.holds(*drive, *probe.after)) {
            evidence.image = Image::after;
        } else if ((probe.before && found.holds(*drive, *probe.before)) ||
                   (probe.seen && *probe.seen == *drive->file)) {
            evidence.image = Image::before;
        } else {
            evidence.overtaken = true;
            evidence.reason += ", which is not what the store knows of";
        }
    }
    if (evidence.tray_shut) evidence.reason += "; its guest keeps the tray shut";
    if (probe.after) evidence.leftover_fdsets = found.sets.unused(*probe.after);
    evidence.half = !evidence.leftover_fdsets.empty();
    return evidence;
}

std::string list_names(const std::vector<Product>& products)
{
    std::string text;
    for (const auto& product : products) {
        if (!text.empty()) text += ", ";
        text += product.kind + " " + json_shown(product.name);
    }
    return text;
}

// All there, none, or some.
Evidence judge_names(Verb verb, std::vector<Product> present, const std::vector<Product>& absent)
{
    Evidence evidence;
    evidence.present = std::move(present);
    if (evidence.present.empty()) {
        evidence.image = verb == Verb::remove ? Image::after : Image::before;
        evidence.reason = "QEMU has no " + list_names(absent);
    } else if (absent.empty()) {
        evidence.image = verb == Verb::remove ? Image::before : Image::after;
        evidence.reason = "QEMU has " + list_names(evidence.present);
    } else {
        evidence.half = true;
        evidence.reason =
            "QEMU has " + list_names(evidence.present) + ", but no " + list_names(absent);
    }
    return evidence;
}

// Descriptor sets are asked for only when the rest is gone: one in use belongs to its user.
Task<Result<void>> find_leftover_sets(Monitor& monitor, const Probe& probe, Evidence& evidence,
                                      Deadline until)
{
    monitor.catch_up();
    std::optional<DescriptorSets> fresh;
    if (!monitor.listing().sets()) {
        auto listed = co_await descriptor_sets(monitor, until);
        if (!listed) co_return std::move(listed).error();
        fresh = *std::move(listed);
    }
    const auto& sets = fresh ? fresh : monitor.listing().sets();
    for (const auto& product : probe.products)
        if (is_fdset(product))
            for (const auto id : sets->unused(product.name))
                evidence.leftover_fdsets.push_back(id);
    if (!evidence.leftover_fdsets.empty()) {
        evidence.half = true;
        evidence.reason += ", but an unused descriptor set of it";
    }
    co_return Result<void>();
}

}  // namespace

std::vector<qmp::Question> questions_of(const Probe& probe)
{
    std::vector<qmp::Question> questions;
    std::set<std::string> asked;
    for (const auto& product : probe.products)
        if (!is_fdset(product) && asked.insert(product.kind).second)
            if (auto question = question_of_kind(product.kind))
                questions.push_back(*std::move(question));
    return questions;
}

Task<Evidence> run_probe(Monitor& monitor, Verb verb, Probe probe, Deadline until)
{
    if (probe.drive) {
        auto drives = co_await query_drives(monitor, until);
        if (!drives) co_return nothing_known(drives.error().message);
        co_return verb == Verb::remove ? judge_removal_of_drive(*drives, *probe.drive)
                                       : judge_drive(*drives, *probe.drive);
    }
    if (!probe.absent.empty()) {
        Evidence evidence;
        evidence.image = verb == Verb::remove ? Image::after : Image::before;
        evidence.reason = probe.absent;
        co_return evidence;
    }
    std::vector<Product> present;
    std::vector<Product> absent;
    std::set<std::string> asked;  // kinds of which QEMU gave its list just now
    for (const auto& product : probe.products) {
        if (is_fdset(product)) continue;
        const bool may_go = verb == Verb::remove && !asked.contains(product.kind);
        auto has = co_await has_name(monitor, product, may_go ? Freshness::anew : Freshness::if_new,
                                     until);
        if (!has) co_return nothing_known(has.error().message);
        asked.insert(product.kind);
        (*has ? present : absent).push_back(product);
    }
    if (present.empty() && absent.empty()) {
        Evidence unasked;
        unasked.reason = "the plan makes nothing that QEMU could be asked for";
        co_return unasked;
    }
    auto evidence = judge_names(verb, std::move(present), absent);
    if (evidence.present.empty() &&
        std::any_of(probe.products.begin(), probe.products.end(), is_fdset)) {
        const auto found = co_await find_leftover_sets(monitor, probe, evidence, until);
        if (!found) co_return nothing_known(found.error().message);
    }
    co_return evidence;
}

}  // namespace xlstore
