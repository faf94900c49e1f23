// SPDX-License-Identifier: MIT
// A run has one look, or two:
//
//   1. Look at all domains, in Mode::look. Nothing wrong: that was all.
//   2. Pause: what a living command of libxl's was at work on is over by then.
//   3. Look at the domains with a finding again, by the mode of the run. What both looks show is
//      told; and repaired, if the mode says so.
//
// Nodes of domains that are over are looked for behind the domains, where all were asked for: the
// same two looks (pass 6).
//
// The look at one domain (host_domain_look.hpp) is apart from all others, and up to kDomainsAtOnce
// are at work at once: a QEMU that is silent costs its own deadline.
#include "recovery/libxl/host_check.hpp"

#include <algorithm>

#include "recovery/libxl/host_domain_look.hpp"
#include "recovery/libxl/host_domains.hpp"
#include "recovery/libxl/private_store.hpp"
#include "recovery/passes/passes.hpp"

namespace xlstore::recovery {

namespace {

// Each takes two locks, a connection or two, and a directory of /proc at times.
constexpr std::size_t kDomainsAtOnce = 50;

bool is_problem(const HostFinding& finding)
{
    return problem(finding.code).if_left != Exit::clean ||
           finding.code == Code::host_document_left;
}

bool same(const HostFinding& a, const HostFinding& b)
{
    return a.code == b.code && a.about.text == b.about.text;
}

class HostRun {
public:
    HostRun(const HostOptions& host, Options options)
        : host_(host), where_(host.root), check_(std::move(options)), undo_(host.root)
    {}

    Result<HostChecked> run()
    {
        auto first = look_at_all(Mode::look, nullptr);
        if (!first) return std::move(first).error();
        if (!host_.domain.empty() && looks_.empty())
            return Error(Errc::not_found, "there is no domain " + host_.domain,
                         "'xl list' shows those that there are");
        note_unasked();
        const auto seen = std::move(looks_);
        const auto left = std::move(left_);
        const bool any = !left.empty() || std::ranges::any_of(seen, [](const auto& look) {
            return has_problem(look);
        });
        if (any && !check_.cancelled()) {
            Loop loop;
            const auto pause = [&]() -> Task<void> {
                (void)co_await loop.sleep(Clock::now() + host_.pause);
            };
            loop.wait_for(pause());
            seen_left_ = &left;
            auto second = look_at_all(check_.options().mode, &seen);
            if (!second) return std::move(second).error();
        }
        tell(seen);
        for (const auto& finding : left_)
            if (was_left(finding.code, finding.about.text)) tell(finding);
        return HostChecked{check_.so_far(), static_cast<int>(seen.size()), undo_.directory()};
    }

private:
    using Looks = std::vector<HostLook>;

    static bool has_problem(const HostLook& look)
    {
        return std::ranges::any_of(look.findings, is_problem);
    }

    [[nodiscard]] bool is_wanted(const HostDomain& domain, const Looks* seen) const
    {
        const auto& word = host_.domain;
        if (!word.empty() && word != std::to_string(domain.domid) && word != domain.name &&
            word != domain.uuid)
            return false;
        if (!seen) return true;
        const auto before = std::ranges::find(*seen, domain.domid, &HostLook::domid);
        return before != seen->end() && before->uuid == domain.uuid && has_problem(*before);
    }

    Result<void> look_at_all(Mode mode, const Looks* seen)
    {
        auto own = PrivateStore::make(host_.log);
        if (!own) return std::move(own).error();
        Store& store = (*own)->store();
        if (!host_.root.empty()) store.host().sysfs = host_.root + "/sys";
        store.host().runs_scripts = false;  // libxl's own to run: they are of its devices
        auto listed = store.loop().wait_for(
            list_host_domains(store.loop(), where_, host_.root.empty(), check_.deadline()));
        if (!listed) return std::move(listed).error();
        domains_ = *std::move(listed);
        take_note_of_domains();
        std::erase_if(domains_.domains,
                      [&](const HostDomain& one) { return !is_wanted(one, seen); });
        looks_.clear();
        looks_.resize(domains_.domains.size());
        next_ = 0;
        store.loop().wait_for(side_by_side(store, mode, seen));
        left_.clear();
        if (host_.domain.empty() && !check_.cancelled())
            store.loop().wait_for(look_for_leftovers(store, mode));
        return {};
    }

    [[nodiscard]] bool was_left(Code code, const std::string& subject) const
    {
        return seen_left_ && std::ranges::any_of(*seen_left_, [&](const HostFinding& one) {
                   return one.code == code && one.about.text == subject;
               });
    }

    // What xenstore has of domains that are over.
    Task<void> look_for_leftovers(Store& store, Mode mode)
    {
        Options options;
        options.mode = Mode::ask;
        options.timeout_each = check_.options().timeout_each;
        options.found = [this](const Finding& finding) {
            HostFinding one{finding.code, {finding.subject, finding.evidence}, finding.action, {}};
            if (finding.action == Action::failed) one.error = Error(Errc::busy, finding.error);
            left_.push_back(std::move(one));
        };
        options.answer = [this, mode](const Problem& about, const Subject& subject) -> bool {
            if (mode == Mode::look || !was_left(about.code, subject.text)) return false;
            if (mode != Mode::ask) return mode == Mode::yes || about.preen;
            return check_.options().answer && check_.options().answer(about, subject);
        };
        options.before_nodes = [this](std::optional<std::int64_t> domid,
                                      const std::vector<NodeBefore>& nodes) -> Result<std::string> {
            return undo_.keep_nodes(domid, nodes);
        };
        options.nodes_settled = [this](const std::string& proof, bool made) -> Result<void> {
            return undo_.settle_nodes(proof, made);
        };
        Check check(std::move(options));
        co_await pass6_xenstore(check, store, nullptr, &known_);
    }

    // Of the list as it was read: xenstore, then the hypervisor.
    void take_note_of_domains()
    {
        known_ = {};
        for (const auto& one : domains_.domains) {
            if (one.lives()) {
                known_.living.insert(one.domid);
                if (!one.uuid.empty()) known_.uuids.insert(one.uuid);
            } else if (one.in_hypervisor) {
                known_.over.emplace(one.domid, one.uuid);
            }
        }
    }

    // What both looks have may be repaired, by the mode; a person is asked.
    [[nodiscard]] HostAnswer answer_by(Mode mode, const HostLook* before) const
    {
        return [this, mode, before](const HostFinding& finding) -> bool {
            if (mode == Mode::look || !before) return false;
            const auto is_same = [&](const HostFinding& one) { return same(one, finding); };
            if (std::ranges::none_of(before->findings, is_same)) return false;
            const Problem& about = problem(finding.code);
            if (mode == Mode::ask)
                return check_.options().answer && check_.options().answer(about, finding.about);
            return mode == Mode::yes || about.preen;
        };
    }

    Task<void> side_by_side(Store& store, Mode mode, const Looks* seen)
    {
        // A person is asked about one domain after the other.
        const std::size_t most = mode == Mode::ask ? 1 : kDomainsAtOnce;
        std::vector<Task<void>> workers;
        for (std::size_t i = 0; i < std::min(most, domains_.domains.size()); ++i)
            workers.push_back(work(store, mode, seen));
        for (auto& worker : workers)
            worker.start();
        for (auto& worker : workers)
            co_await worker.join();
    }

    Task<void> work(Store& store, Mode mode, const Looks* seen)
    {
        while (next_ < domains_.domains.size() && !check_.cancelled()) {
            const std::size_t at = next_++;
            const HostDomain& domain = domains_.domains[at];
            check_.progress(seen ? 2 : 1, static_cast<int>(at),
                            static_cast<int>(domains_.domains.size()));
            const HostLook* before = nullptr;
            if (seen) before = &*std::ranges::find(*seen, domain.domid, &HostLook::domid);
            HostLookRequest request{where_, domain, domains_.tree,
                                    mode == Mode::look,
                                    before ? before->locks_left : locks_left_of(where_, domain),
                                    check_.options().timeout_each, answer_by(mode, before)};
            looks_[at] = co_await look_at_host_domain(store, undo_, std::move(request));
        }
    }

    void note_unasked()
    {
        if (domains_.hypervisor_unasked)
            check_.report(domains_.hypervisor_unasked->code == Errc::io ? Code::host_domain_unseen
                                                                        : Code::hypervisor_unasked,
                          Subject{"this host", domains_.hypervisor_unasked->message});
        if (domains_.files_unseen)
            check_.report(Code::host_document_unseen,
                          Subject{where_.lib(), domains_.files_unseen->message});
    }

    // Notes as the first look had them; of problems what the second look showed as well.
    void tell(const Looks& seen)
    {
        for (const auto& look : seen) {
            const auto again = std::ranges::find(looks_, look.domid, &HostLook::domid);
            for (const auto& finding : look.findings)
                if (!is_problem(finding)) check_.report(finding.code, finding.about);
            if (again == looks_.end()) continue;
            for (const auto& finding : again->findings) {
                const auto is_same = [&](const HostFinding& one) { return same(one, finding); };
                // What was made of nothing is told device by device; what could not be seen the
                // second time says nothing of what the first look had.
                const bool alone = finding.action == Action::fixed ||
                                   problem(finding.code).if_left == Exit::blind;
                if (is_problem(finding) && (alone || std::ranges::any_of(look.findings, is_same)))
                    tell(finding);
            }
        }
    }

    void tell(const HostFinding& finding)
    {
        switch (finding.action) {
        case Action::none:
            check_.report(finding.code, finding.about);
            break;
        case Action::left:
            check_.leave(finding.code, finding.about);
            break;
        case Action::fixed:
            check_.fixed(finding.code, finding.about);
            break;
        case Action::failed:
            check_.failed(finding.code, finding.about, finding.error.value_or(Error(Errc::io, "")));
            break;
        }
    }

    const HostOptions& host_;
    libxl::HostDirectories where_;
    Check check_;
    HostUndo undo_;
    HostDomains domains_;
    Looks looks_;  // of domains_, in their order
    KnownDomains known_;
    std::vector<HostFinding> left_;                     // of domains that are over
    const std::vector<HostFinding>* seen_left_ = nullptr;  // those of the first look
    std::size_t next_ = 0;
};

}  // namespace

Result<HostChecked> check_host(const HostOptions& host, Options options)
{
    if (auto ok = Store::check_process(); !ok) return std::move(ok).error();
    HostRun run(host, std::move(options));
    return run.run();
}

}  // namespace xlstore::recovery
